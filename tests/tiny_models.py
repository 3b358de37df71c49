"""Tiny random encoders with real tokenizers, written to disk by the session fixtures in conftest.py."""

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import BertConfig, PreTrainedTokenizerFast, RobertaConfig, RobertaForMaskedLM

from finecl_hf.small_encoder import build_small_encoder, train_wordpiece


TEXT = [
    "Ada Lovelace was born in London , the capital of England .",
    "She worked with Charles Babbage on the Analytical Engine .",
    "Marie Curie , a physicist , was born in Warsaw and died in France .",
    "The company was founded by Alan Turing in 1936 and is based in Manchester .",
    "born in died in works for founded by located in capital of author employer spouse",
] * 4

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}


def build_bert(folder, seed=0, dropout=0.1):
    """Saves a random 2-layer BERT (uncased WordPiece, with MLM head) to `folder`."""
    tokenizer = train_wordpiece(TEXT, vocab_size=400, model_max_length=128)
    rates = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    return build_small_encoder(tokenizer, folder, BertConfig(**SMALL, **rates), seed)


def build_roberta(folder, seed=0):
    """Saves a random 2-layer RoBERTa (byte-level BPE, positions start at padding_idx + 1) to `folder`."""
    special = {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}
    pieces = Tokenizer(models.BPE())
    pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    pieces.train_from_iterator(
        TEXT,
        trainers.BpeTrainer(
            vocab_size=500, special_tokens=list(special.values()), initial_alphabet=alphabet, show_progress=False
        ),
    )
    pieces.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=True)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=pieces,
        add_prefix_space=True,
        model_max_length=128,
        **{f"{name}_token": token for name, token in special.items()},
    )
    torch.manual_seed(seed)
    config = RobertaConfig(vocab_size=len(tokenizer), max_position_embeddings=130, type_vocab_size=1, **SMALL)
    RobertaForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
