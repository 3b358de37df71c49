"""LoRA adapters: made for training, and their configuration checked before it is used."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from transformers.utils import find_adapter_config_file

from finecl_hf.encoding.encoders import hub_arguments
from finecl_hf.errors import LIBRARIES, FineCLError, raised_in


if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel
    from transformers import PreTrainedModel

    from finecl_hf.extraction.modeling import FineCLForRelationExtraction


NO_POOLER = r".*\.pooler.*"  # entity pooling makes no use of it
HEAD = "relation_head"
_REACHES = 3  # `.*` in a pattern: each multiplies the time that a regular expression may take
_PLAIN = re.compile(r"(?:\w|-|\\\.|\.\*|\.|\^|\$)*")


def add_adapters(
    model: FineCLForRelationExtraction, r: int = 16, alpha: int = 32, dropout: float = 0.05, **options: Any
) -> PeftModel:
    """Freezes the encoder and puts adapters on its linear layers; the head stays trainable and is saved with them.

    The adapter's configuration names the encoder that the model was made from, for whoever loads it.

    Args:
        options: of peft's `LoraConfig`, such as `use_dora`, `use_rslora`, `target_modules`; they win.

    Raises:
        FineCLError: an option that `LoraConfig` does not have, or does not take; or adapters that could not be trained
            or not be loaded again.
    """
    from peft import LoraConfig, get_peft_model
    from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict

    base = model.config.base_encoder or {}
    try:
        config = LoraConfig(**{"r": r, "lora_alpha": alpha, "lora_dropout": dropout} | options)
        _check_patterns(config, "the configuration of the adapters")
        adapted = get_peft_model(model, for_encoder(config, model.encoder))
        # What is saved is loaded again, at the latest by the best checkpoint: what cannot be is known before training
        set_peft_model_state_dict(adapted, get_peft_model_state_dict(adapted, save_embedding_layers=False))
    except FineCLError:
        raise
    except Exception as error:  # peft checks few of the values that it is given
        if not isinstance(error, (TypeError, ValueError)) and not raised_in(error, (*LIBRARIES, "torch")):
            raise
        told = " ".join(str(error).split()) or type(error).__name__
        raise FineCLError(f"peft refuses the options of the adapters ({told}).") from error
    if not any(weight.requires_grad for name, weight in adapted.named_parameters() if "lora_" in name):
        raise FineCLError(
            "the options of the adapters leave nothing to train; leave `inference_mode` and the like out."
        )
    if getattr(config, "alora_invocation_tokens", None):
        raise FineCLError("`alora_invocation_tokens` is for text generation: no encoder takes it; leave it out.")
    adapter = adapted.peft_config["default"]
    adapter.base_model_name_or_path, adapter.revision = base.get("name_or_path"), base.get("revision")
    return adapted


def for_encoder(config: LoraConfig, encoder: PreTrainedModel) -> LoraConfig:
    """Completes a configuration: all linear layers of the encoder where it names none, and the head trained in full.

    An unused pooler gets no adapter: DDP and FSDP take a parameter without a gradient for a mistake.
    """
    if config.target_modules is None and not config.target_parameters:
        config.target_modules = "all-linear"
        if config.exclude_modules is None and getattr(encoder, "pooler", None) is not None:
            config.exclude_modules = NO_POOLER
    more = [config.modules_to_save] if isinstance(config.modules_to_save, str) else config.modules_to_save or ()
    config.modules_to_save = sorted({HEAD, *more})
    return config


def is_adapter(name_or_path: str, **kwargs: Any) -> bool:
    """Whether a folder or a repository on the Hub holds an adapter, not a whole model."""
    return find_adapter_config_file(name_or_path, **hub_arguments(kwargs)) is not None


def read_adapter_config(name_or_path: str, **kwargs: Any) -> LoraConfig:
    """The configuration of an adapter, which may come from anybody.

    Raises:
        FineCLError: it cannot be read, is no LoRA adapter, or holds a pattern that could take for ever to match.
    """
    from peft import LoraConfig, PeftConfig, PeftType

    try:
        config = PeftConfig.from_pretrained(name_or_path, **hub_arguments(kwargs))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        if not is_adapter(name_or_path, **kwargs):
            told = "holds no adapter (adapter_config.json); name the output folder of a --use_lora run, or a Hub id."
            if not os.path.isdir(name_or_path):
                told = "no such repository on the Hub with an adapter, no access to it, or no connection."
            raise FineCLError(f"{name_or_path}: {told}") from error
        reason = " ".join(str(error).split())
        raise FineCLError(f"{name_or_path}: the adapter's configuration cannot be read ({reason}).") from error
    if config.peft_type != PeftType.LORA or not isinstance(config, LoraConfig):
        raise FineCLError(f"{name_or_path}: holds an adapter of the type {config.peft_type}; only LoRA is supported.")
    _check_patterns(config, f"{name_or_path}: adapter_config.json")
    return config


def _check_patterns(config: LoraConfig, source: str) -> None:
    for pattern in _patterns(config):
        if not isinstance(pattern, str) or not _PLAIN.fullmatch(pattern) or pattern.count(".*") > _REACHES:
            raise FineCLError(
                f"{source} holds the pattern `{str(pattern)[:60]}`, which may take long to match; name modules, with "
                "at most three `.*`."
            )


def _patterns(config: LoraConfig) -> Iterable[Any]:
    """Whatever in a configuration is taken for a regular expression."""
    for value in (config.target_modules, config.exclude_modules, config.layers_pattern):
        yield from [value] if isinstance(value, str) else value or ()
    for value in (config.rank_pattern, config.alpha_pattern):
        yield from value or ()
