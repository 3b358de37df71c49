"""Tiny random encoders with real tokenizers, written to disk by the session fixtures in conftest.py."""

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, PreTrainedTokenizerFast, RobertaConfig

from finecl_hf.encoding.encoders import load_tokenizer
from finecl_hf.extraction.adapters import add_adapters
from finecl_hf.synthetic.encoder import build_small_encoder, train_tokenizer


TEXT = [
    "Ada Lovelace was born in London , the capital of England .",
    "She worked with Charles Babbage on the Analytical Engine .",
    "Marie Curie , a physicist , was born in Warsaw and died in France .",
    "The company was founded by Alan Turing in 1936 and is based in Manchester .",
    "born in died in works for founded by located in capital of author employer spouse",
] * 4

PIECES = """
    , . 1 3 6 9 a b c d e f g h i k l m n o p r s t u v w y ##3 ##6 ##9 ##a ##b ##c ##d ##e ##f ##g ##h ##i ##k ##l
    ##m ##n ##o ##p ##r ##s ##t ##u ##v ##w ##y ##36 ##ag ##age ##al ##alytic ##an ##ance ##any ##ar ##at ##aw ##bb
    ##cat ##ce ##che ##ed ##ela ##er ##es ##he ##ic ##in ##ist ##it ##la ##les ##loy ##mp ##mpany ##nd ##nded ##ndon
    ##ng ##on ##or ##ou ##ouse ##oy ##pit ##ri ##rie ##rsaw ##saw ##se ##sed ##sic ##st ##ster ##th ##tic ##uri
    ##vela ##ysic ##ytic 19 1936 ad ada al alan an analytic analytical and au auth author ba babb babbage based bor
    born by ca capit capital ch char charles co company curi curie di died emp employ employer eng engin engine
    engla england for fou founded fr france in is lo locat located london lovela lovelace ma man manche manchester
    marie of on ph physic physicist she sp spouse the turi turing wa warsaw was wit with wor work worked works
"""  # what a WordPiece trainer made of `TEXT`; run again, it breaks ties in another way

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}


def build_bert(folder, seed=0, dropout=0.1):
    """Saves a random 2-layer BERT (uncased WordPiece, with MLM head) to `folder`."""
    rates = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    return build_small_encoder(wordpiece(), folder, BertConfig(**SMALL, **rates), seed)


def build_roberta(folder, seed=0):
    """Saves a random 2-layer RoBERTa (byte-level BPE, positions start at padding_idx + 1) to `folder`."""
    tokenizer = train_tokenizer(TEXT, vocab_size=500, model_max_length=128, lowercase=False)
    return build_small_encoder(tokenizer, folder, RobertaConfig(type_vocab_size=1, **SMALL), seed)


def wordpiece():
    """BERT's uncased tokenizer. Not trained here: in each process, all tests would see other numbers."""
    special = {name: f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    vocabulary = {piece: number for number, piece in enumerate([*special.values(), *PIECES.split()])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=special["unk"]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    cls, sep = ((special[name], tokenizer.token_to_id(special[name])) for name in ("cls", "sep"))
    tokenizer.post_processor = processors.BertProcessing(sep, cls)
    names = {f"{name}_token": token for name, token in special.items()}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=128, **names)


def save_relation_model(model, encoder, folder, adapters=False):
    """Saves a relation model, or random adapters of it, with the tokenizer of its encoder; returns the model."""
    if adapters:
        config, model = model.config, add_adapters(model)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
        config.save_pretrained(folder)
    model.save_pretrained(folder)
    load_tokenizer(encoder).save_pretrained(folder)
    return model
