"""One forward pass of any masked language model that gives hidden states for all tokens and logits for masked ones."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModelForMaskedLM, PreTrainedModel

from finecl_hf.encoders import loading_options
from finecl_hf.errors import loading_from


def load_masked_lm(name_or_path: str, dtype: torch.dtype = torch.float32, **kwargs) -> tuple[PreTrainedModel, bool]:
    """Loads an encoder with its MLM head.

    Args:
        kwargs: see [`~finecl_hf.encoders.loading_options`]; the rest is passed to `from_pretrained`.

    Returns:
        the model, and whether the checkpoint had a head; if not, a new one was started.
    """
    with loading_from(name_or_path):
        model, report = AutoModelForMaskedLM.from_pretrained(
            name_or_path, dtype=dtype, output_loading_info=True, **loading_options(name_or_path, **kwargs)
        )
    prefix = f"{model.base_model_prefix}."
    new = [name for name in report["missing_keys"] if not name.startswith(prefix)]
    return model, not new


def masked_lm_forward(
    model: torch.nn.Module,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    masked: torch.Tensor,
    unwrapped: PreTrainedModel,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Runs the encoder on all tokens and the vocabulary head on the masked ones only.

    A hook on the encoder keeps its output for the caller and hands the head just the masked rows, so that this works
    for any architecture and through any wrapper (DDP and FSDP see one forward pass).

    Args:
        model: possibly wrapped; unwrapped: the model itself.
        input_ids, attention_mask: (B, L).
        masked: (B, L) bool with M True.

    Returns:
        hidden states (B, L, D) and logits (M, V).
    """
    kept: list[torch.Tensor] = []

    def keep_hidden(module: torch.nn.Module, args: tuple, output: Any) -> Any:
        hidden = output[0]
        kept.append(hidden)
        output.last_hidden_state = hidden[masked]
        return output

    handle = unwrapped.base_model.register_forward_hook(keep_hidden)
    try:
        logits = model(input_ids=input_ids, attention_mask=attention_mask).logits
    finally:
        handle.remove()
    return kept[0], logits
