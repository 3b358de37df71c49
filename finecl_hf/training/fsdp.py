"""FSDP 2: which parts of an encoder are gathered together, and what checkpoints are like."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from accelerate import Accelerator
from torch import nn
from transformers import PreTrainedModel

from finecl_hf.errors import FineCLError


def check_sharding(accelerator: Accelerator) -> None:
    """Checks that FSDP, where it is asked for, leaves checkpoints that `from_pretrained` loads.

    Raises:
        FineCLError: it is version 1, or keeps each process's shard in a file of its own.
    """
    plugin = getattr(accelerator.state, "fsdp_plugin", None)
    if plugin is None:
        return
    if plugin.fsdp_version != 2:
        raise FineCLError("FSDP 1 is not supported; set `fsdp_version: 2` in the configuration of accelerate.")
    if "FULL_STATE_DICT" not in str(plugin.state_dict_type):
        raise FineCLError(
            "With sharded checkpoints no model that `from_pretrained` loads is saved; set "
            "`fsdp_state_dict_type: FULL_STATE_DICT` in the configuration of accelerate."
        )


@contextmanager
def sharding_layers(accelerator: Accelerator, model: PreTrainedModel) -> Iterator[None]:
    """Within it, Accelerate's FSDP 2 makes a shard group of each layer, and one of all the rest.

    Left to itself, Accelerate 1.15 takes BERT's embeddings for a layer and shards what is in them once more, and puts
    the matrix of an MLM head, but not the other names of its tied weights, into a group with them; torch refuses both.
    """
    plugin = getattr(accelerator.state, "fsdp_plugin", None)
    if plugin is None:
        yield
        return
    if plugin.transformer_cls_names_to_wrap is None:
        plugin.transformer_cls_names_to_wrap = layer_classes(model)
    hidden = ("get_input_embeddings", "get_output_embeddings")
    for name in hidden:
        setattr(model, name, lambda: None)
    try:
        yield
    finally:
        for name in hidden:
            delattr(model, name)


def layer_classes(model: nn.Module) -> list[str]:
    """Names of the classes of the model's layers: what its lists of modules hold."""
    lists = (module for module in model.modules() if isinstance(module, nn.ModuleList))
    return sorted({type(layer).__name__ for layers in lists for layer in layers})
