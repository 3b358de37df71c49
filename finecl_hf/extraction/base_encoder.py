"""Which encoder a relation model or an adapter was trained on: enough to tell another one from it."""

from __future__ import annotations

import os
from hashlib import blake2b
from typing import Any

import torch
from transformers import PreTrainedModel


def describe_base(name_or_path: str, revision: str | None, encoder: PreTrainedModel) -> dict[str, Any]:
    """What a model's configuration keeps of the encoder that it started from.

    Returns:
        `name_or_path`: a Hub id, or the folder as an absolute path, since other commands run in other folders;
        `revision`: branch, tag or commit on the Hub, None for its newest; `weights`: see [`weights_digest`].
    """
    return {
        "name_or_path": os.path.abspath(name_or_path) if os.path.exists(name_or_path) else str(name_or_path),
        "revision": None if revision == "main" else revision,
        "weights": weights_digest(encoder),
    }


def weights_digest(encoder: PreTrainedModel) -> str | None:
    """A hash of an encoder's weights in float32, its unused pooler left out; None where another process holds them.

    Half a second for 110 million weights.
    """
    digest = blake2b(digest_size=16)
    weights = {name.replace(".base_layer", ""): weight for name, weight in encoder.named_parameters()}
    for name, weight in sorted(weights.items()):
        if weight.is_meta:
            return None
        if "pooler" not in name and "lora_" not in name:  # adapters lie beside the encoder's own layers
            digest.update(name.encode())
            digest.update(weight.detach().to("cpu", torch.float32).contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()


def other_weights(known: dict[str, Any] | None, found: dict[str, Any]) -> str:
    """Says so where two descriptions of encoders tell that their weights differ; empty otherwise."""
    if not known or None in (known.get("weights"), found.get("weights")) or known["weights"] == found["weights"]:
        return ""
    return f"{_told(known)}, and {_told(found)} holds other weights"


def _told(base: dict[str, Any]) -> str:
    revision = f"@{base['revision']}" if base.get("revision") else ""
    return f"{base.get('name_or_path') or 'an encoder that was not saved'}{revision}"
