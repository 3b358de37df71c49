"""One forward pass of any masked language model that gives hidden states for all tokens and logits for masked ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AutoModelForMaskedLM, PreTrainedModel

from finecl_hf.encoders import loading_options
from finecl_hf.errors import loading_from
from finecl_hf.packing import enable_packing, encode


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
    enable_packing(model)
    prefix = f"{model.base_model_prefix}."
    new = [name for name in report["missing_keys"] if not name.startswith(prefix)]
    return model, not new


@contextmanager
def calling(module: torch.nn.Module, function: Callable) -> Iterator[Callable]:
    """Within it, calling the module (through any wrapper: DDP and FSDP see one forward pass) calls the function.

    Yields:
        what the module called before.
    """
    original, own = module.forward, "forward" in vars(module)
    module.forward = function
    try:
        yield original
    finally:
        if own:
            module.forward = original
        else:
            del module.forward


def masked_lm_forward(
    model: Callable[..., Any],
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    masked: torch.Tensor,
    unwrapped: PreTrainedModel,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Runs the encoder on all real tokens and the vocabulary head on the masked ones only.

    The encoder inside the model is called our way, without padding; the head gets just the masked rows of what comes
    out. So this works for any architecture and through any wrapper.

    Args:
        model: possibly wrapped, or its `forward`; unwrapped: the model itself.
        input_ids, attention_mask: (B, L).
        masked: (B, L) bool with M True.

    Returns:
        hidden states (B, L, D), zeros for padding, and logits (M, V).
    """
    kept: list[torch.Tensor] = []
    encoder = unwrapped.base_model

    def forward(*args: Any, **kwargs: Any) -> Any:
        hidden, output = encode(plain, encoder.config, input_ids, attention_mask)
        kept.append(hidden)
        output.last_hidden_state = hidden[masked]
        return output

    with calling(encoder, forward) as plain:
        logits = model(input_ids=input_ids, attention_mask=attention_mask).logits
    return kept[0], logits
