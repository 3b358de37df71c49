"""A small random encoder with its own tokenizer: where no pre-trained one can be downloaded (quickstart, tests)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModelForMaskedLM, PreTrainedConfig, PreTrainedTokenizerFast


SPECIAL_TOKENS = {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}


def train_tokenizer(
    texts: Iterable[str], vocab_size: int, model_max_length: int = 512, lowercase: bool = True
) -> PreTrainedTokenizerFast:
    """Trains RoBERTa's byte-level BPE on `texts`.

    Not WordPiece: its trainer in `tokenizers` breaks ties differently in each process, so no seed would fix a run.
    """
    tokenizer = Tokenizer(models.BPE())
    if lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS.values()),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    cls, sep = ((token := SPECIAL_TOKENS[name], tokenizer.token_to_id(token)) for name in ("cls", "sep"))
    tokenizer.post_processor = processors.RobertaProcessing(sep, cls, add_prefix_space=True)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=model_max_length,
        add_prefix_space=True,
        **{f"{name}_token": token for name, token in SPECIAL_TOKENS.items()},
    )


def build_small_encoder(
    tokenizer: PreTrainedTokenizerFast, folder: str, config: PreTrainedConfig, seed: int = 0
) -> str:
    """Saves a randomly initialised masked language model and its tokenizer to `folder`.

    Args:
        config: architecture and sizes; the vocabulary, the special tokens and the length are the tokenizer's.
    """
    config.vocab_size = len(tokenizer)
    config.pad_token_id = tokenizer.pad_token_id
    first_position = config.pad_token_id + 1 if config.model_type == "roberta" else 0
    config.max_position_embeddings = tokenizer.model_max_length + first_position
    config.cls_token_id = config.bos_token_id = tokenizer.cls_token_id
    config.sep_token_id = config.eos_token_id = tokenizer.sep_token_id
    torch.manual_seed(seed)
    AutoModelForMaskedLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
