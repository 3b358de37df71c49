"""How an encoder is to be loaded, whatever its architecture."""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig

from finecl_hf.errors import loading_from


ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout")  # an architecture has one of these names


def loading_options(name_or_path: str, attention_dropout: float | None = None, **kwargs: Any) -> dict[str, Any]:
    """Keyword arguments for `from_pretrained`.

    Args:
        name_or_path: folder or Hub id.
        attention_dropout: in place of the encoder's own; with 0, CPUs have a kernel that is about twice as fast. None,
            or an architecture without attention dropout, leaves everything as it is.
        kwargs: passed through, such as `revision`.
    """
    if attention_dropout is None:
        return kwargs
    with loading_from(name_or_path):
        config = AutoConfig.from_pretrained(name_or_path, **kwargs)
    for name in ATTENTION_DROPOUT:
        if hasattr(config.get_text_config(), name):
            setattr(config.get_text_config(), name, attention_dropout)
    return {**kwargs, "config": config}
