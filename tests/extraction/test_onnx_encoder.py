"""An encoder that onnxruntime runs is called as any other, and a folder that is no whole export is refused."""

import json
import sys

import numpy as np
import pytest
import torch
from transformers import AutoConfig

from finecl_hf import RelationEmbedder, RelationExtractionPipeline, load_relation_model
from finecl_hf.encoding.packing import encode
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.onnx_encoder import FORMAT, GRAPH, LAST, OnnxEncoder, digest


onnx = pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")

WIDTH = 32


@pytest.fixture(scope="module")
def graph():
    """Looks vectors up, and multiplies them by the mask."""
    helper, types = onnx.helper, onnx.TensorProto
    table = np.random.default_rng(0).normal(size=(500, WIDTH)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("Cast", ["attention_mask"], ["real"], to=types.FLOAT),
        helper.make_node("Unsqueeze", ["real", "axis"], ["column"]),
        helper.make_node("Mul", ["rows", "column"], [LAST]),
    ]
    made = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, types.INT64, ["b", "l"]) for name in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info(LAST, types.FLOAT, ["b", "l", WIDTH])],
        [onnx.numpy_helper.from_array(table, "table"), onnx.numpy_helper.from_array(np.array([2]), "axis")],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return model.SerializeToString()


@pytest.fixture
def folder(bert_folder, bert_tokenizer, graph, tmp_path):
    """An export of an encoder."""
    config = AutoConfig.from_pretrained(bert_folder)
    config.onnx = {"format": FORMAT, "model": digest(graph)}
    config.save_pretrained(tmp_path)
    bert_tokenizer.save_pretrained(tmp_path)
    (tmp_path / GRAPH).write_bytes(graph)
    return tmp_path


def edit(folder, **facts):
    raw = json.loads((folder / "config.json").read_text())
    raw["onnx"] |= facts
    (folder / "config.json").write_text(json.dumps(raw))


def test_it_encodes_documents_without_padding_and_with(bert_folder, graph):
    encoder = OnnxEncoder(AutoConfig.from_pretrained(bert_folder), graph).eval()
    ids = torch.tensor([[5, 6, 7], [8, 9, 0]])
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    padded = encoder(ids, mask).last_hidden_state
    packed, _ = encode(encoder, encoder.config, ids, mask)
    assert torch.equal(padded, packed)
    assert padded[1, 1].abs().sum() > 0 and padded[1, 2].abs().sum() == 0
    assert encoder.device == torch.device("cpu")


def test_what_it_cannot_do_is_said(bert_folder, graph):
    encoder = OnnxEncoder(AutoConfig.from_pretrained(bert_folder), graph).eval()
    with pytest.raises(FineCLError, match="cannot be trained"):
        encoder.train()
    with pytest.raises(FineCLError, match="gives no attention"):
        encoder(torch.tensor([[5]]), torch.tensor([[1]]), output_attentions=True)


def test_an_embedder_runs_on_it(folder, ada):
    found = RelationEmbedder(str(folder)).encode([ada])
    assert found.entities.shape == (4, WIDTH) and len(found) == 12


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"format": 0}, "another version of finecl_hf"),
        ({"scaling": "x"}, "another version of finecl_hf"),
        ({"model": "0" * 32}, "belongs to another export"),
    ],
)
def test_another_export_is_told(folder, facts, told):
    edit(folder, **facts)
    with pytest.raises(FineCLError, match=told):
        RelationEmbedder(str(folder))


def test_a_damaged_graph_is_told(folder):
    (folder / GRAPH).write_bytes(b"damaged")
    edit(folder, model=digest(b"damaged"))
    with pytest.raises(FineCLError, match="onnxruntime .* cannot run model.onnx"):
        RelationEmbedder(str(folder))
    (folder / GRAPH).unlink()
    with pytest.raises(FineCLError, match=GRAPH):
        RelationEmbedder(str(folder))


def test_a_missing_extra_is_told(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(FineCLError, match=r"finecl_hf\[onnx\]"):
        RelationEmbedder(str(folder))


def test_what_is_no_export_of_a_relation_model(folder, bert_folder):
    with pytest.raises(FineCLError, match="no ONNX export; make one with `finecl-hf export"):
        RelationExtractionPipeline(bert_folder, backend="onnx")
    with pytest.raises(FineCLError, match="without weights for torch"):
        load_relation_model(str(folder), backend="torch")
    with pytest.raises(FineCLError, match="no backend 'tf'"):
        load_relation_model(str(folder), backend="tf")
    with pytest.raises(FineCLError, match="go with the name"):
        RelationExtractionPipeline(object(), backend="onnx")
    with pytest.raises(FineCLError, match="needs its tokenizer"):
        RelationExtractionPipeline(object())
    with pytest.raises(FineCLError, match="holds no relation model"):
        RelationExtractionPipeline(str(folder), backend="onnx")
