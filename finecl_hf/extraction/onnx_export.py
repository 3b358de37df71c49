"""Writes encoders and relation models for onnxruntime: the transformer as an ONNX graph, in float32 or int8.

What lies around it (windows, pooling, the head) stays in torch, see [`onnx_encoder`].
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCard, ModelCardData
from safetensors.torch import save
from torch import nn
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from finecl_hf import __version__
from finecl_hf.cards.card_file import CARD, FACTS, STATE, is_as_made, read_card, write_card
from finecl_hf.cards.markdown import renamed
from finecl_hf.cards.model_card import onnx_note
from finecl_hf.encoding.encoders import hub_arguments, load_tokenizer, loading_from, max_length_for
from finecl_hf.encoding.packing import PACKABLE, PACKED
from finecl_hf.errors import FineCLError, raised_in
from finecl_hf.extraction.adapters import is_adapter
from finecl_hf.extraction.base_encoder import weights_digest
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.loading import load_encoder, load_relation_model
from finecl_hf.extraction.modeling import FineCLForRelationExtraction
from finecl_hf.extraction.onnx_encoder import (
    ATTENTION,
    EARLIER,
    FORMAT,
    GRAPH,
    HEAD,
    KEY,
    LAST,
    MISSING,
    QUERY,
    OnnxEncoder,
    digest,
    export_facts,
)


RECORDING = "recording"  # an attention implementation
OPSET = 23  # the first with attention as one operator
TOLERANCE = 1e-3  # of a float32 graph against torch; what is exported wrongly is off by far more
EXPORTERS = ("torch", "onnx", "onnxruntime", "onnxscript", "onnx_ir", "transformers", "transformers_modules")
PACKAGES = ("torch", "transformers", "onnx", "onnxruntime")


@dataclass
class Export:
    """What was written.

    Attributes:
        folder: where.
        megabytes: size of the graph.
        deviation: of the hidden states from torch's, as a share of their root mean square, on any tokens.
    """

    folder: Path
    megabytes: float
    deviation: float


def export_onnx(
    name_or_path: str | os.PathLike, output_dir: str | os.PathLike, quantize: bool = False, **kwargs: Any
) -> Export:
    """Exports an encoder, a relation model, or an adapter merged into its encoder.

    Args:
        name_or_path: folder or Hub id.
        output_dir: an empty folder, a new one, or an earlier export, which is replaced.
        quantize: weights in int8, one scale a column, and activations as they come: smaller and faster, a little less
            exact.
        kwargs: see [`load_relation_model`], such as `base_model` and `revision`.

    Raises:
        FineCLError: nothing can be loaded from there or written to there, the extra `onnx` is missing, or torch cannot
            export the architecture.
    """
    if any(find_spec(package) is None for package in ("onnx", "onnxruntime", "onnxscript")):
        raise FineCLError(MISSING)
    name, output = os.fspath(name_or_path), Path(output_dir)
    _check_output(name, output)
    model, tokenizer = _load(name, **kwargs)
    parts = _parts_of(model)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as folder:
        made = Path(folder, "export")
        made.mkdir()
        graph, deviation = _graph(name, parts, tokenizer, quantize, made)
        _write_rest(model, tokenizer, parts, graph, deviation, quantize, made)
        kind = "relation_model" if isinstance(model, FineCLForRelationExtraction) else "encoder"  # adapters are merged
        _write_card(Path(name), kind, "int8" if quantize else "float32", made, output)
        output.mkdir(exist_ok=True)
        for file in {HEAD, FACTS, STATE} - {file.name for file in made.iterdir()}:
            (output / file).unlink(missing_ok=True)  # of an earlier export
        for file in sorted(made.iterdir()):
            os.replace(file, output / file.name)
    return Export(output, len(graph) / 1e6, deviation)


def _check_output(name: str, output: Path) -> None:
    if output.exists() and not output.is_dir():
        raise FineCLError(f"--output_dir {output}: this is a file; name a folder.")
    if output.is_dir() and os.path.isdir(name) and os.path.samefile(name, output):
        raise FineCLError(f"--output_dir {output}: the model lies there; name another folder.")
    if output.is_dir() and any(output.iterdir()) and not _is_export(output):
        raise FineCLError(f"--output_dir {output}: holds other files; name an empty folder.")


def _is_export(folder: Path) -> bool:
    try:
        return bool(export_facts(str(folder)))
    except (OSError, ValueError):  # there is no configuration, or a damaged one
        return False


def _load(name: str, **kwargs: Any) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A relation model or an encoder, ready for inference, and its tokenizer."""
    options = hub_arguments(kwargs)
    with loading_from(name):
        raw, _ = PreTrainedConfig.get_config_dict(name, **options)
        is_ours = is_adapter(name, **options) or raw.get("model_type") == FineCLConfig.model_type
    if raw.get("onnx"):
        raise FineCLError(f"{name}: is an ONNX export already; name the model that it was made from.")
    model = load_relation_model(name, **kwargs) if is_ours else load_encoder(name, torch.float32, **kwargs)
    return model.eval(), load_tokenizer(name, **options)


class _Graph(nn.Module):
    """What becomes the graph: an encoder, and what a head reads of it.

    Args:
        layers: whose hidden states it reads, the last among them.
        reads_attention: whether it reads the last layer's attention: queries and keys, where layers hand them over,
            else the whole map.
    """

    def __init__(self, encoder: PreTrainedModel, layers: int = 1, reads_attention: bool = False):
        super().__init__()
        config = encoder.config.get_text_config()
        self.encoder, self.layers = encoder, layers
        self.records = reads_attention and config.model_type in PACKABLE
        self.maps = reads_attention and not self.records
        self.last: tuple = (None,) * 4  # queries, keys, scaling and window of the last layer that ran
        if self.maps or config._attn_implementation == PACKED:  # which is no operator of ONNX
            encoder.set_attn_implementation("eager" if self.maps else "sdpa")
        if self.records:
            encoder.set_attn_implementation(RECORDING)
        self.names = [LAST, *[EARLIER] * (layers > 1), *[QUERY, KEY] * self.records, *[ATTENTION] * self.maps]

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(B, L, D) last hidden states, (N - 1, B, L, D) those of the layers before, and queries and keys (B, H, L, d)
        or attention (B, H, L, L)."""
        wanted = {"output_hidden_states": True} if self.layers > 1 else {}
        wanted |= {"output_attentions": True} if self.maps else {}
        wanted |= {"recorder": self} if self.records else {}
        output = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **wanted)
        found = [output[0]]
        found += [torch.stack(output.hidden_states[-self.layers : -1])] if self.layers > 1 else []
        found += self.last[:2] if self.records else []
        found += [output.attentions[-1]] if self.maps else []
        return tuple(found)


def _recording_attention(module, query, key, value, attention_mask, recorder, sliding_window=None, **kwargs):
    """transformers' own SDPA; `recorder` keeps what it was called with."""
    recorder.last = (query, key, kwargs.get("scaling"), sliding_window)
    return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)


AttentionInterface.register(RECORDING, _recording_attention)
AttentionMaskInterface.register(RECORDING, sdpa_mask)


def _parts_of(model: PreTrainedModel) -> _Graph:
    if not isinstance(model, FineCLForRelationExtraction):
        return _Graph(model)
    weights = model.relation_head.layer_weights
    layers = 1 if weights is None else len(weights)
    return _Graph(model.encoder, layers, model.relation_head.reads_attention)


def _graph(
    name: str, parts: _Graph, tokenizer: PreTrainedTokenizerBase, quantize: bool, folder: Path
) -> tuple[bytes, float]:
    """Writes the graph; returns it, and how far it is from torch."""
    config = parts.encoder.config.get_text_config()
    length = min(16, max_length_for(tokenizer, config))
    path = folder / GRAPH
    with _told(name), _quiet(), torch.no_grad():
        _trace(parts, _sample(config, 2, length), path)
        largest, deviation = _deviation(parts, _sample(config, 1, length - 3), path)
        if not largest < TOLERANCE:
            raise FineCLError(
                f"{name}: the exported graph differs from torch by {largest:.2g}: {config.model_type} cannot be "
                "exported with these versions of torch and onnxruntime; use the model as it is."
            )
        if quantize:
            _quantize(path)
            _, deviation = _deviation(parts, _sample(config, 1, length - 3), path)
    return path.read_bytes(), deviation


def _sample(config: Any, rows: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Any ids, none of them padding, and a mask."""
    ids = torch.arange(rows * length).view(rows, length) * 7919 % config.vocab_size
    return torch.where(ids == config.pad_token_id, (ids + 1) % config.vocab_size, ids), torch.ones_like(ids)


def _trace(parts: _Graph, sample: tuple[torch.Tensor, torch.Tensor], path: Path) -> None:
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}
    program = torch.onnx.export(
        parts,
        sample,
        dynamo=True,
        opset_version=OPSET,
        dynamic_shapes={"input_ids": axes, "attention_mask": axes},
        input_names=["input_ids", "attention_mask"],
        output_names=parts.names,
        verbose=False,
    )
    ClearMetadataAndDocStringPass()(program.model)  # the code that each node comes from, with its path on this machine
    program.save(path, external_data=False)


def _deviation(parts: _Graph, sample: tuple[torch.Tensor, torch.Tensor], path: Path) -> tuple[float, float]:
    """The largest difference of the graph's hidden states from torch's; and their root mean square, as a share of that
    of torch's."""
    found = OnnxEncoder(parts.encoder.config, path.read_bytes()).eval()(*sample)
    expected = parts(*sample)[0]
    difference = found.last_hidden_state - expected
    return difference.abs().max().item(), (difference.norm() / expected.norm()).item()


def _quantize(path: Path) -> None:
    """Puts int8 in place of weights; those that several products share (DeBERTa) have to be transposed before, since
    what the graph transposes is no weight to the quantiser."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxscript.optimizer import optimize

    folded = optimize(onnx.load(path), input_size_limit=sys.maxsize, output_size_limit=sys.maxsize)
    quantize_dynamic(
        folded, path, op_types_to_quantize=["MatMul", "Gemm", "Gather"], per_channel=True, weight_type=QuantType.QInt8
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Exporters tell at length what is none of the user's business."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Turns what an exporter cannot do into one sentence."""
    try:
        yield
    except (FineCLError, OSError):  # a full disk says nothing of an architecture
        raise
    except Exception as error:
        if not raised_in(error, EXPORTERS):
            raise
        reason = " ".join(str(error).split())[:200]
        raise FineCLError(
            f"{name}: its architecture cannot be exported to ONNX (opset {OPSET}) with torch {torch.__version__} "
            f"({type(error).__name__}: {reason}); use the model as it is."
        ) from error


def _write_rest(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    parts: _Graph,
    graph: bytes,
    deviation: float,
    quantize: bool,
    folder: Path,
) -> None:
    """Head, configuration and tokenizer."""
    is_relation_model = isinstance(model, FineCLForRelationExtraction)
    facts: dict[str, Any] = {
        "format": FORMAT,
        "quantized": quantize,
        "deviation": deviation,
        "weights": weights_digest(model.encoder if is_relation_model else model),
        "versions": {"finecl_hf": __version__, "opset": OPSET, **{name: metadata.version(name) for name in PACKAGES}},
        "scaling": parts.last[2],
        "window": parts.last[3],
        "model": digest(graph),
    }
    if is_relation_model:
        head = save({name: weight.contiguous() for name, weight in model.relation_head.state_dict().items()})
        (folder / HEAD).write_bytes(head)
        facts["head"] = digest(head)
    model.config.onnx = facts
    model.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _write_card(source: Path, kind: str, onnx: str, folder: Path, output: Path) -> None:
    """The card of the export, from the facts of the run that made the model. Of a model without them, or whose card
    somebody has changed, it is that card with a note on top; but for an adapter's, as the export is none.

    Args:
        source: the model's folder, where it is one.
        kind, onnx: of the card, see [`FineCLCardData`].
        folder: where the export is made; output: where it will lie.
    """
    card, was_adapter = source / CARD, (source / "adapter_config.json").is_file()
    named = [os.path.abspath(source), str(source)]  # in a card's code
    try:
        facts = read_card(source)
        is_own = was_adapter or is_as_made(card, facts)
    except FineCLError:
        is_own = False
    else:
        named.append(facts.repo)
        facts.kind, facts.onnx, facts.repo, facts.model_name = kind, onnx, str(output), output.absolute().name
        write_card(facts, folder)
        if (source / STATE).is_file():
            shutil.copy(source / STATE, folder / STATE)
    if not is_own:
        _card_with_note(None if was_adapter else card, onnx_note(kind, onnx), folder / CARD)
        text = (folder / CARD).read_bytes()
        for path in dict.fromkeys(named):  # each once: the export's own may begin with it
            text = renamed(text, path, str(output))
        (folder / CARD).write_bytes(text)


def _card_with_note(card: Path | None, note: str, path: Path) -> None:
    """Says on top of the model's card, or on one of its own, that this is an export."""
    with _quiet():  # about cards without metadata
        there = card is not None and card.is_file()
        card = ModelCard.load(card, ignore_metadata_errors=True) if there else ModelCard("")
    data = {**card.data.to_dict(), "library_name": "finecl_hf"}
    data["tags"] = [*(data.get("tags") or []), "onnx"]
    data.pop("pipeline_tag", None)  # of another library
    text = f"---\n{ModelCardData(**data).to_yaml()}\n---\n\n{note}\n{card.text.strip()}"
    path.write_text(f"{text.strip()}\n", encoding="utf-8")
