"""An encoder that onnxruntime runs in place of torch, and the models that [`onnx_export`] writes with it.

The head stays ours in torch: windows over long documents, pooling and all heads are those of any other encoder.
"""

from __future__ import annotations

import os
from copy import deepcopy
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils import cached_file

from finecl_hf.encoding.encoders import hub_arguments, loading_from
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.modeling import FineCLForRelationExtraction


FORMAT = 1  # of an export; another one cannot be read
GRAPH, HEAD = "model.onnx", "head.safetensors"
LAST, EARLIER, ATTENTION = "last_hidden_state", "earlier_hidden_states", "last_attention"
# Its kernel takes ten times as long on CPUs as the addition and the normalisation that it stands for (onnxruntime 1.32)
SLOW_FUSIONS = ["SkipLayerNormFusion"]
MISSING = 'ONNX needs onnx, onnxruntime and onnxscript; run `pip install "finecl_hf[onnx]"`.'


class OnnxEncoder(PreTrainedModel):
    """Called as an encoder of transformers, for inference on the CPU; gives back tensors where its inputs were.

    Args:
        config: the encoder's own.
        graph: the exported model.
    """

    def __init__(self, config: PreTrainedConfig, graph: bytes):
        config = deepcopy(config)
        config._attn_implementation = "eager"  # neither packed, nor switched to packing
        super().__init__(config)
        self.session = _session(graph)
        self.outputs = {output.name for output in self.session.get_outputs()}
        # One graph is told from another as models are, by their weights, and knows the device that it is moved to
        self.identity = nn.Parameter(torch.tensor(list(bytes.fromhex(digest(graph))), dtype=torch.float32))

    def train(self, mode: bool = True) -> OnnxEncoder:
        if mode:
            raise FineCLError("an ONNX export cannot be trained; train the model that it was made from.")
        return super().train(mode)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        **kwargs: Any,
    ) -> BaseModelOutput:
        """Row by row, without padding: the scales of int8 are those of a row, whatever else is in the batch.

        Args:
            input_ids, attention_mask: (B, L); padding lies behind the text.
        """
        wanted = [LAST]
        wanted += [EARLIER] if output_hidden_states and EARLIER in self.outputs else []
        wanted += [ATTENTION] if output_attentions else []
        if not self.outputs.issuperset(wanted):
            raise FineCLError("this ONNX export gives no attention, which the head reads; export the whole model.")
        lengths = attention_mask.sum(dim=1).clamp(min=1).tolist()
        rows = [
            self.session.run(wanted, {"input_ids": ids[None, :length], "attention_mask": mask[None, :length]})
            for ids, mask, length in zip(_numbers(input_ids), _numbers(attention_mask), lengths, strict=True)
        ]
        size, device = input_ids.shape[1], input_ids.device
        found = {name: [row[place] for row in rows] for place, name in enumerate(wanted)}
        last = _padded([values[0] for values in found[LAST]], size).to(device)  # (B, L, D)
        states = None
        if output_hidden_states:
            earlier = (
                _padded([values[:, 0].swapaxes(0, 1) for values in found[EARLIER]], size) if EARLIER in found else None
            )
            states = (*(earlier.to(device).unbind(2) if earlier is not None else ()), last)
        maps = None
        if output_attentions:
            maps = torch.zeros(len(rows), rows[0][-1].shape[1], size, size)
            for row, (values, length) in enumerate(zip(found[ATTENTION], lengths, strict=True)):
                maps[row, :, :length, :length] = torch.from_numpy(values[0])
        return BaseModelOutput(last, states, (maps.to(device),) if maps is not None else None)


def _numbers(values: torch.Tensor) -> np.ndarray:
    return values.to("cpu", torch.int64).numpy()


def _padded(rows: list[np.ndarray], length: int) -> torch.Tensor:
    """(B, L, ...) of arrays (l, ...), with zeros behind each."""
    padded = torch.zeros(len(rows), length, *rows[0].shape[1:])
    for row, values in enumerate(rows):
        padded[row, : len(values)] = torch.from_numpy(values)
    return padded


def _session(graph: bytes):
    """Runs a graph with as many threads as torch has."""
    try:
        import onnxruntime
    except ImportError:
        raise FineCLError(MISSING) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"], disabled_optimizers=SLOW_FUSIONS
        )
    except Exception as error:  # its errors derive from nothing else
        reason = " ".join(str(error).split())[:200]
        raise FineCLError(
            f"onnxruntime {onnxruntime.__version__} cannot run {GRAPH} ({reason}); install the version of "
            "constraints.txt, or export the model again."
        ) from error


def digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()


def export_facts(name_or_path: str, **kwargs: Any) -> dict[str, Any] | None:
    """What the configuration of an ONNX export says of it; None for any other model."""
    raw, _ = PreTrainedConfig.get_config_dict(name_or_path, **hub_arguments(kwargs))
    return raw.get("onnx") if isinstance(raw, dict) else None


def load_export(
    name_or_path: str, dtype: torch.dtype | str | None = torch.float32, **kwargs: Any
) -> FineCLForRelationExtraction | OnnxEncoder:
    """The relation model or the encoder of an export, for inference.

    Args:
        name_or_path: folder that `finecl-hf export` wrote, or a Hub id.
        dtype: float32: what int8 there is lies inside the graph.
        kwargs: those that say where to look, such as `revision`; others mean nothing here.

    Raises:
        FineCLError: another version wrote it, its files do not belong together, or onnxruntime is missing.
    """
    name, options = os.fspath(name_or_path), hub_arguments(kwargs)
    with loading_from(name):
        facts = export_facts(name, **options)
        _check_facts(name, facts, dtype)
        graph = _read(name, GRAPH, facts, options)
        if "head" not in facts:
            return OnnxEncoder(AutoConfig.from_pretrained(name, **options), graph).eval()
        config = FineCLConfig.of_relation_model(name, **options)
        model = FineCLForRelationExtraction(config, encoder=OnnxEncoder(config.text_config, graph))
        _read(name, HEAD, facts, options)
        weights = load_file(cached_file(name, HEAD, **options))
        model.relation_head.load_state_dict(weights)
        _check_outputs(name, model)
        return model.eval()


def _check_facts(name: str, facts: Any, dtype: Any) -> None:
    if not isinstance(facts, dict):
        raise FineCLError(f"{name}: is no ONNX export; make one with `finecl-hf export {name} --output_dir DIR`.")
    if facts.get("format") != FORMAT:
        told = (facts.get("versions") or {}).get("finecl_hf", "unknown")
        raise FineCLError(
            f"{name}: this ONNX export was written by another version of finecl_hf ({told}); export the model again."
        )
    if dtype not in (None, "auto", "float32", torch.float32):
        raise FineCLError(f"{name}: dtype {dtype}: an ONNX export is loaded as it is; leave dtype away.")


def _read(name: str, file: str, facts: dict[str, Any], options: dict[str, Any]) -> bytes:
    """A file of the export, if it is the one that was written with the configuration."""
    data = Path(cached_file(name, file, **options)).read_bytes()
    if digest(data) != facts.get(Path(file).stem):
        raise FineCLError(
            f"{name}: {file} belongs to another export than config.json, or is damaged; copy the whole folder again."
        )
    return data


def _check_outputs(name: str, model: FineCLForRelationExtraction) -> None:
    """The graph gives what the head reads."""
    head, encoder = model.relation_head, model.encoder
    wanted = [EARLIER] if head.layer_weights is not None else []
    wanted += [ATTENTION] if head.reads_attention else []
    for output in wanted:
        if output not in encoder.outputs:
            raise FineCLError(f"{name}: {GRAPH} gives no {output}, which the head reads; export the model again.")
