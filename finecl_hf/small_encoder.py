"""A small random encoder with its own tokenizer: where no pre-trained one can be downloaded (quickstart, tests)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast


def train_wordpiece(texts: Iterable[str], vocab_size: int, model_max_length: int = 512) -> PreTrainedTokenizerFast:
    """Trains BERT's uncased WordPiece tokenizer on `texts`."""
    special = {name: f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    tokenizer = Tokenizer(models.WordPiece(unk_token=special["unk"]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size, special_tokens=list(special.values()), min_frequency=1, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    separator, start = (
        (special["sep"], tokenizer.token_to_id("[SEP]")),
        (special["cls"], tokenizer.token_to_id("[CLS]")),
    )
    tokenizer.post_processor = processors.BertProcessing(separator, start)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=model_max_length,
        **{f"{name}_token": token for name, token in special.items()},
    )


def build_small_bert(tokenizer: PreTrainedTokenizerFast, folder: str, seed: int = 0, **config) -> str:
    """Saves a randomly initialised BERT with MLM head, and its tokenizer, to `folder`.

    Args:
        config: sizes for `BertConfig`, such as `hidden_size` and `num_hidden_layers`.
    """
    torch.manual_seed(seed)
    bert_config = BertConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=tokenizer.model_max_length,
        pad_token_id=tokenizer.pad_token_id,
        **config,
    )
    BertForMaskedLM(bert_config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
