"""Loads what a name stands for: an encoder, a relation model, or an adapter on the encoder that it belongs to."""

from __future__ import annotations

import logging
import os
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModel, PreTrainedModel

from finecl_hf.encoding.encoders import (
    HUB_ARGUMENTS,
    hub_arguments,
    loading_from,
    loading_options,
    warn_of_missing_weights,
    without_loading_report,
)
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.adapters import is_adapter, read_adapter_config
from finecl_hf.extraction.base_encoder import other_weights
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.modeling import FineCLForRelationExtraction
from finecl_hf.extraction.onnx_encoder import export_facts, load_export


logger = logging.getLogger(__name__)

BASE_MODEL = "--base_model (in Python: base_model=...)"
DTYPES = {name: getattr(torch, name) for name in ("float32", "bfloat16", "float16", "float64")}


def load_relation_model(
    name_or_path: str,
    dtype: torch.dtype = torch.float32,
    base_model: str | None = None,
    merge: bool = True,
    adapter_name: str | None = None,
    backend: str | None = None,
    **kwargs: Any,
) -> FineCLForRelationExtraction:
    """Loads a fine-tuned model, or a LoRA adapter with the encoder it was trained on.

    Args:
        name_or_path: output folder of `run_finetune.py`, or a Hub id.
        base_model: the adapter's encoder, where it is no longer where the adapter's configuration says.
        merge: whether the adapter is merged into its encoder, which makes it a plain model; if not, others can be
            loaded beside it, see [`~finecl_hf.extraction.adapter_heads.AdapterHeads`].
        adapter_name: of an adapter that is not merged; `default` by default.
        backend: `torch`, or `onnx` for an export of `finecl-hf export`; by default what lies there.
        kwargs: passed on to `from_pretrained`, such as `revision`.

    Raises:
        FineCLError: it is no relation model; or an adapter whose encoder is missing, or is another one by now.
    """
    if not isinstance(name_or_path, (str, os.PathLike)) or not os.fspath(name_or_path):
        raise FineCLError(f"{name_or_path!r} names no model; give the output folder of run_finetune.py, or a Hub id.")
    name_or_path, dtype = os.fspath(name_or_path), _checked_dtype(dtype)
    with loading_from(name_or_path):
        _check_backend(name_or_path, backend, **kwargs)
        if is_adapter(name_or_path, **kwargs):
            return _load_adapter(name_or_path, dtype, base_model, merge, adapter_name, **kwargs)
        options = loading_options(name_or_path, **kwargs)
        if base_model is not None:
            raise FineCLError(f"{name_or_path}: no adapter, so it holds its encoder; leave {BASE_MODEL} away.")
        return FineCLForRelationExtraction.from_pretrained(name_or_path, dtype=dtype, **options)


def _check_backend(name: str, backend: str | None, **kwargs: Any) -> None:
    """Raises FineCLError where another kind of model lies there than was asked for."""
    if backend not in (None, "torch", "onnx"):
        raise FineCLError(f"there is no backend {backend!r}; it is torch or onnx.")
    if backend == "onnx" and not export_facts(name, **kwargs):
        raise FineCLError(f"{name}: is no ONNX export; make one with `finecl-hf export {name} --output_dir DIR`.")
    if backend == "torch" and export_facts(name, **kwargs):
        raise FineCLError(f"{name}: is an ONNX export, without weights for torch; name the model it was made from.")


def _checked_dtype(given: Any) -> torch.dtype | str | None:
    """The dtype by itself or by its name; None and `auto` are for `from_pretrained` to understand."""
    dtype = DTYPES.get(given, given) if isinstance(given, str) else given
    if dtype not in (None, "auto", *DTYPES.values()):
        raise FineCLError(f"dtype {given}: no model can be loaded in it; give one of {', '.join(DTYPES)}.")
    return dtype


def _load_adapter(
    name: str, dtype: torch.dtype, base_model: str | None, merge: bool, adapter_name: str | None, **kwargs: Any
) -> FineCLForRelationExtraction:
    if kwargs.pop("device_map", None) is not None:
        raise FineCLError(f"{name}: device_map does not go with an adapter; leave it away.")
    dtype = torch.float32 if dtype in (None, "auto") else dtype  # in which adapters are kept
    config = FineCLConfig.of_relation_model(name, **kwargs)
    config.check()  # before its base is loaded
    adapter = read_adapter_config(name, **kwargs)
    known = config.base_encoder or {}
    base = base_model or adapter.base_model_name_or_path
    if not base:
        raise FineCLError(f"{name}: the adapter does not say which encoder it belongs to; name it with {BASE_MODEL}.")
    _refuse_a_circle(name, base)
    of_encoder = {name: value for name, value in kwargs.items() if name not in HUB_ARGUMENTS}
    try:
        # In float32, in which its weights are compared, whatever they are wanted in
        model = FineCLForRelationExtraction.from_encoder(
            base, config, torch.float32, revision="main" if base_model else adapter.revision or "main", **of_encoder
        )
    except (FineCLError, OSError) as error:
        told = f"{name}: the encoder that this adapter was trained on cannot be loaded ({error})"
        if _is_local_adapter(base):  # whose own encoder is missing, and base_model is about this one's
            raise FineCLError(f"{told} Load {base} with base_model, save it, and name that folder.") from error
        raise FineCLError(f"{told} Name it with {BASE_MODEL}.") from error
    if told := other_weights(known, model.config.base_encoder):
        told = f"{name}: this adapter was trained on {told}"
        if base_model is None:
            raise FineCLError(f"{told} by now; name the encoder that it was trained on with {BASE_MODEL}.")
        logger.warning("%s. They are used, as base_model asks for.", told)
    if not merge:
        model.load_adapter(name, adapter_name, check_base=False, **hub_arguments(kwargs))
        return model.to(dtype)
    merged = PeftModel.from_pretrained(model, name, config=adapter, **hub_arguments(kwargs)).merge_and_unload()
    merged.make_trainable()  # an adapter's encoder is frozen
    return merged.to(dtype)


def _is_local_adapter(name: str) -> bool:
    return os.path.isdir(name) and is_adapter(name)


def _refuse_a_circle(name: str, base: str) -> None:
    """Raises FineCLError where the encoder of an adapter is, in the end, the adapter itself."""
    seen = {os.path.realpath(name)}
    while base and _is_local_adapter(base):
        if os.path.realpath(base) in seen:
            raise FineCLError(
                f"{name}: the encoder that this adapter names, {base}, is an adapter on itself; name the encoder with "
                f"{BASE_MODEL}."
            )
        seen.add(os.path.realpath(base))
        base = read_adapter_config(base).base_model_name_or_path


def load_encoder(
    name_or_path: str, dtype: torch.dtype, base_model: str | None = None, **kwargs: Any
) -> PreTrainedModel:
    """The encoder that a name stands for: by itself, or inside a relation model or an adapter merged into its own.

    `AutoModel.from_pretrained` reports at length what does not fit exactly. A checkpoint with an MLM head fits an
    encoder in all but the head and an unused pooler; encoder weights that are missing are said.

    Args:
        base_model: an adapter's encoder, see [`load_relation_model`].
        kwargs: see [`loading_options`]; the rest is passed to `from_pretrained`.
    """
    with loading_from(name_or_path):
        if is_adapter(name_or_path, **kwargs):
            return load_relation_model(name_or_path, dtype, base_model, **kwargs).encoder
        if export_facts(name_or_path, **kwargs):
            export = load_export(name_or_path, dtype, **kwargs)
            return export.encoder if isinstance(export, FineCLForRelationExtraction) else export
    with loading_from(name_or_path), without_loading_report():
        encoder, report = AutoModel.from_pretrained(
            name_or_path, dtype=dtype, output_loading_info=True, **loading_options(name_or_path, **kwargs)
        )
    warn_of_missing_weights(name_or_path, report["missing_keys"])
    return encoder.encoder if isinstance(encoder, FineCLForRelationExtraction) else encoder
