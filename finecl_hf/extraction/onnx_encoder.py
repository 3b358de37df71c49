"""An encoder that onnxruntime runs in place of torch, and the models that [`onnx_export`] writes with it.

The head stays ours in torch: windows over long documents, pooling and all heads are those of any other encoder.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from copy import deepcopy
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load
from torch import nn
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils import cached_file

from finecl_hf.cards.pushing import GRAPH, HEAD
from finecl_hf.encoding.encoders import hub_arguments, loading_from
from finecl_hf.encoding.packing import PACKED, Packing
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.modeling import FineCLForRelationExtraction


FORMAT = 1  # of an export; another one cannot be read
LAST, EARLIER, QUERY, KEY, ATTENTION = (
    "last_hidden_state", "earlier_hidden_states", "last_query", "last_key", "last_attention",
)  # fmt: skip
# Axes of documents and of tokens
AXES = {LAST: (0, (1,)), EARLIER: (1, (2,)), QUERY: (0, (2,)), KEY: (0, (2,)), ATTENTION: (0, (2, 3))}
# Takes ten times as long on CPUs as the addition and the normalisation that it stands for (onnxruntime 1.32)
SLOW_FUSIONS = ["SkipLayerNormFusion"]
MISSING = 'ONNX needs onnx, onnxruntime and onnxscript; run `pip install "finecl_hf[onnx]"`.'


class OnnxEncoder(PreTrainedModel):
    """Called as an encoder of transformers, for inference on the CPU; gives tensors where its inputs were.

    Documents run one by one, so that nothing is padded, and the scales of int8 are those of a document, whatever else
    is in its batch.

    Args:
        config: the encoder's own.
        graph: the exported model.
        scaling, window: of the last layer's attention, where the graph gives queries and keys.
    """

    def __init__(
        self, config: PreTrainedConfig, graph: bytes, scaling: float | None = None, window: int | None = None
    ):
        config = deepcopy(config)
        config._attn_implementation = "eager"  # others would have to be declared
        super().__init__(config)
        self.session, self.scaling, self.window = _session(graph), scaling, window
        self.outputs = {output.name for output in self.session.get_outputs()}
        self.config._attn_implementation = "eager" if ATTENTION in self.outputs else PACKED  # how it is called
        # One graph is told from another as models are, by their weights; and this knows the device
        self.identity = nn.Parameter(torch.tensor(list(bytes.fromhex(digest(graph))), dtype=torch.float32))

    def train(self, mode: bool = True) -> OnnxEncoder:
        if mode:
            raise FineCLError("an ONNX export cannot be trained; train the model that it was made from.")
        return super().train(mode)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        packing: Packing | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        **kwargs: Any,
    ) -> BaseModelOutput:
        """
        Args:
            input_ids: (B, L), with padding behind the text; or (1, T) with `packing`.
        """
        wanted = [
            LAST,
            *[EARLIER] * (output_hidden_states and EARLIER in self.outputs),
            *[ATTENTION] * output_attentions,
        ]
        if packing is not None and packing.attention is not None:
            wanted += [QUERY, KEY]
        if not self.outputs.issuperset(wanted):
            raise FineCLError("this ONNX export gives no attention, which the head reads; export the whole model.")
        ids = input_ids.to("cpu", torch.int64).numpy()
        if packing is not None:
            rows, length = np.split(ids[0], np.cumsum(packing.lengths)[:-1]), None
        else:
            rows = [row[:real] for row, real in zip(ids, attention_mask.sum(dim=1).tolist(), strict=True)]
            length = ids.shape[1]
        runs = [
            self.session.run(wanted, {"input_ids": row[None], "attention_mask": np.ones_like(row[None])})
            for row in rows
        ]
        found = {
            name: _joined(arrays, *AXES[name], length).to(input_ids.device)
            for name, arrays in zip(wanted, zip(*runs, strict=True), strict=True)
        }
        if QUERY in found:
            packing.attention.offer(found[QUERY], found[KEY], self.scaling, self.window)
        return BaseModelOutput(
            found[LAST],
            (*found.get(EARLIER, ()), found[LAST]) if output_hidden_states else None,
            (found[ATTENTION],) if output_attentions else None,
        )


def _joined(arrays: Sequence[np.ndarray], documents: int, tokens: tuple[int, ...], length: int | None) -> torch.Tensor:
    """What came of several documents, one behind the other.

    Args:
        documents, tokens: which axes they are.
        length: up to which zeros are put behind each document, which then has a row of its own.
    """
    if length is None:
        return torch.from_numpy(np.concatenate(arrays, axis=tokens[0]))
    padded = [
        np.pad(array, [(0, length - size if axis in tokens else 0) for axis, size in enumerate(array.shape)])
        for array in arrays
    ]
    return torch.from_numpy(np.concatenate(padded, axis=documents))


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
            remote = {"trust_remote_code": bool(kwargs.get("trust_remote_code"))}
            return OnnxEncoder(AutoConfig.from_pretrained(name, **options, **remote), graph).eval()
        config = FineCLConfig.of_relation_model(name, **options)
        encoder = OnnxEncoder(config.text_config, graph, facts.get("scaling"), facts.get("window"))
        model = FineCLForRelationExtraction(config, encoder=encoder)
        model.relation_head.load_state_dict(load(_read(name, HEAD, facts, options)))
        _check_outputs(name, model)
        return model.eval()


def _check_facts(name: str, facts: Any, dtype: Any) -> None:
    if not isinstance(facts, dict):
        raise FineCLError(f"{name}: is no ONNX export; make one with `finecl-hf export {name} --output_dir DIR`.")
    scaling, window = facts.get("scaling"), facts.get("window")
    known = isinstance(scaling, (float, type(None))) and isinstance(window, (int, type(None)))
    if facts.get("format") != FORMAT or not known:
        raise FineCLError(
            f"{name}: this ONNX export was written by another version of finecl_hf; export the model again."
        )
    if dtype not in (None, "auto", "float32", torch.float32):
        raise FineCLError(f"{name}: dtype {dtype}: an ONNX export is loaded as it is; leave dtype away.")


def _read(name: str, file: str, facts: dict[str, Any], options: dict[str, Any]) -> bytes:
    """A file of the export, if it is the one that was written with the configuration."""
    if os.path.isdir(name) and not os.path.isfile(os.path.join(name, file)):
        raise FineCLError(f"{name}: {file} is missing; copy the whole folder again.")
    data = Path(cached_file(name, file, **options)).read_bytes()
    if digest(data) != facts.get(Path(file).stem):
        raise FineCLError(
            f"{name}: {file} belongs to another export than config.json, or is damaged; copy the whole folder again."
        )
    return data


def _check_outputs(name: str, model: FineCLForRelationExtraction) -> None:
    """Raises FineCLError where the graph does not give what the head reads."""
    head, found = model.relation_head, model.encoder.outputs
    told = {EARLIER} <= found or head.layer_weights is None
    if not told or (head.reads_attention and not {QUERY, KEY} <= found and ATTENTION not in found):
        raise FineCLError(f"{name}: {GRAPH} does not give what the head reads; export the model again.")
