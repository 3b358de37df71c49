"""One forward pass of any masked language model that gives hidden states for all tokens and logits for masked ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForMaskedLM, PreTrainedModel

from finecl_hf.encoding.encoders import (
    loading_from,
    loading_options,
    warn_of_missing_weights,
    without_loading_report,
)
from finecl_hf.encoding.packing import enable_packing, encode


def load_masked_lm(name_or_path: str, dtype: torch.dtype = torch.float32, **kwargs) -> tuple[PreTrainedModel, bool]:
    """Loads an encoder with its MLM head; encoder weights that are missing are said.

    Args:
        kwargs: see [`~finecl_hf.encoding.encoders.loading_options`]; the rest is passed to `from_pretrained`.

    Returns:
        the model, and whether the checkpoint had a head; if not, a new one was started.
    """
    with loading_from(name_or_path), without_loading_report():
        model, report = AutoModelForMaskedLM.from_pretrained(
            name_or_path, dtype=dtype, output_loading_info=True, **loading_options(name_or_path, **kwargs)
        )
    enable_packing(model)
    prefix = f"{model.base_model_prefix}."
    new = [name for name in report["missing_keys"] if not name.startswith(prefix)]
    warn_of_missing_weights(name_or_path, (name for name in report["missing_keys"] if name.startswith(prefix)))
    return model, not new


def masked_lm_of(encoder: PreTrainedModel) -> PreTrainedModel:
    """An encoder, such as that of a relation model, with a new MLM head."""
    model = AutoModelForMaskedLM.from_config(encoder.config).to(encoder.dtype)
    model.base_model.load_state_dict(encoder.state_dict(), strict=False)  # an encoder with a head has no pooler
    enable_packing(model)
    return model


@torch.no_grad()
def start_head(model: PreTrainedModel, token_counts: np.ndarray) -> None:
    """Lets a new MLM head begin with what is known: predictions are those of the tokens' frequencies.

    The weights of the vocabulary are the encoder's embeddings already; their bias becomes the log frequency.

    Args:
        token_counts: (V,) how often each token occurs in the training documents.
    """
    decoder = model.get_output_embeddings()
    if decoder is not None and getattr(decoder, "bias", None) is not None:
        counts = torch.from_numpy(token_counts + 1.0)
        decoder.bias.copy_((counts / counts.sum()).log())


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


BLOCK = 2**21  # logits that are looked at together: what stays in the caches


class _TokenLoss(torch.autograd.Function):
    @staticmethod
    def forward(context, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        normalisers = torch.cat([block.float().logsumexp(dim=1) for block in logits.split(_rows(logits))])
        context.save_for_backward(logits, labels, normalisers)
        return (normalisers - logits.gather(1, labels[:, None]).squeeze(1).float()).sum()

    @staticmethod
    def backward(context, gradient: torch.Tensor):
        logits, labels, normalisers = context.saved_tensors
        rows = _rows(logits)
        for block, normaliser in zip(logits.split(rows), normalisers.split(rows), strict=True):
            block.copy_(torch.sub(block, normaliser[:, None]).exp_().mul_(gradient))
        logits.scatter_add_(1, labels[:, None], -gradient.to(logits.dtype).expand(len(labels), 1))
        return logits, None


def _rows(logits: torch.Tensor) -> int:
    return max(1, BLOCK // logits.shape[1])


def token_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Sum of the cross-entropies, in float32. Its gradient takes the place of the logits, which nobody may need then.

    Args:
        logits: (M, V); labels: (M,).

    Returns:
        Scalar; a zero that keeps the graph where nothing is to be predicted.
    """
    return _TokenLoss.apply(logits, labels) if len(labels) else logits.float().sum() * 0.0
