"""A small random encoder with its own tokenizer: where no pre-trained one can be downloaded (quickstart, tests)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModelForMaskedLM, PreTrainedConfig, PreTrainedTokenizerFast


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


def build_small_encoder(
    tokenizer: PreTrainedTokenizerFast, folder: str, config: PreTrainedConfig, seed: int = 0
) -> str:
    """Saves a randomly initialised masked language model and its tokenizer to `folder`.

    Args:
        config: architecture and sizes; the vocabulary, the special tokens and the length are the tokenizer's.
    """
    config.vocab_size = len(tokenizer)
    config.max_position_embeddings = tokenizer.model_max_length
    for name in ("pad", "cls", "sep"):
        setattr(config, f"{name}_token_id", getattr(tokenizer, f"{name}_token_id"))
    config.bos_token_id, config.eos_token_id = tokenizer.cls_token_id, tokenizer.sep_token_id
    torch.manual_seed(seed)
    AutoModelForMaskedLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
