"""What is exported gives what torch gives: vectors within 1e-4, the same triples, for all heads."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from transformers import DebertaV2Config

from finecl_hf import (
    FineCLConfig,
    FineCLForRelationExtraction,
    RelationEmbedder,
    RelationExtractionPipeline,
    load_relation_model,
)
from finecl_hf.cards.card_file import write_card
from finecl_hf.cards.model_card import FineCLCardData
from finecl_hf.cli import main
from finecl_hf.encoding.encoders import load_tokenizer
from finecl_hf.encoding.packing import encode
from finecl_hf.errors import FineCLError
from finecl_hf.extraction import onnx_export
from finecl_hf.extraction.heads import HEADS
from finecl_hf.extraction.onnx_encoder import EARLIER, GRAPH, HEAD, KEY, LAST, QUERY
from finecl_hf.extraction.onnx_export import export_onnx
from finecl_hf.extraction.starting_point import StartingPoint
from finecl_hf.synthetic.encoder import build_small_encoder
from finecl_hf.training.arguments import ModelArguments
from tests.extraction.test_pipeline import RELATIONS
from tests.helpers.fake_hub import FakeHub, hub_environment
from tests.helpers.tiny_models import SMALL, save_relation_model, wordpiece


onnx = pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
pytest.importorskip("onnxscript", reason="the extra `onnx` is not installed")


@pytest.fixture(scope="module")
def deberta_folder(tmp_path_factory):
    """A random DeBERTa-v3: positions relative, in buckets, with shared projections."""
    config = DebertaV2Config(
        **SMALL, relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=16, share_att_key=True,
        norm_rel_ebd="layer_norm", max_relative_positions=-1, position_biased_input=False, type_vocab_size=0,
    )  # fmt: skip
    return build_small_encoder(wordpiece(), str(tmp_path_factory.mktemp("tiny_deberta")), config)


@pytest.fixture
def relation_model(tmp_path):
    """Saves a relation model with a random head, which finds many triples."""

    def build(encoder, adapters=False, **settings):
        config = FineCLConfig.for_labels(
            {name: i for i, name in enumerate(RELATIONS)},
            **{"threshold": -1e6, "max_seq_length": 16, "entity_types": ["PER", "LOC"], "num_prototypes": 5}
            | settings,
        )
        torch.manual_seed(0)
        model = FineCLForRelationExtraction.from_encoder(encoder, config)
        for parameter in model.relation_head.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        folder = str(tmp_path / "extractor")
        save_relation_model(model, encoder, folder, adapters)
        return folder

    return build


def assert_same_triples(expected, found, tolerance=1e-4):
    assert score_differences(expected, found).max() < tolerance


def score_differences(expected, found):
    """Of the same triples, (T,)."""
    assert expected and list(map(len, expected)) == list(map(len, found))
    differences = []
    for one, other in zip(expected, found, strict=True):
        other = {(triple["h_idx"], triple["relation"], triple["t_idx"]): triple for triple in other}
        for triple in one:
            same = other[triple["h_idx"], triple["relation"], triple["t_idx"]]
            assert {**same, "score": 0} == {**triple, "score": 0}
            differences.append(abs(same["score"] - triple["score"]))
    return np.array(differences)


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["bert_folder", "roberta_folder", "deberta_folder"])
def test_the_pipeline_gives_the_triples_of_torch(encoder, relation_model, tmp_path, request, ada, curie):
    source = relation_model(request.getfixturevalue(encoder), head="context", mixed_layers=2)
    expected = RelationExtractionPipeline(source, backend="torch", device="cpu")([ada, curie])
    for quantize in (False, True):
        made = export_onnx(source, tmp_path / f"export{quantize}", quantize=quantize)
        extract = RelationExtractionPipeline(made.folder, backend="onnx", device="cpu")
        found = extract([ada, curie])  # in windows of 16 tokens
        differences = score_differences(expected, found)
        assert differences.mean() < 0.05 if quantize else differences.max() < 1e-5
        assert made.deviation < (0.5 if quantize else 1e-5)
        assert_same_triples(found, [extract(ada), extract(curie)], 1e-5)  # what else is in a batch has no influence
    assert (tmp_path / "exportTrue" / GRAPH).stat().st_size < (tmp_path / "exportFalse" / GRAPH).stat().st_size


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
def test_every_head(head, relation_model, bert_folder, tmp_path, ada, curie):
    source = relation_model(bert_folder, head=head, task="sentence" if head in ("linear", "sentence") else "document")
    expected = RelationExtractionPipeline(source, device="cpu")([ada, curie])
    export_onnx(source, tmp_path / "export")
    found = RelationExtractionPipeline.from_pretrained(str(tmp_path / "export"), device="cpu")([ada, curie])
    assert_same_triples(expected, found)
    if head == "evidence":
        assert any(triple["evidence"] for triple in found[0])


@pytest.mark.slow
def test_an_adapter_is_merged_and_the_graph_takes_any_batch(relation_model, bert_folder, tmp_path, ada):
    source = relation_model(bert_folder, adapters=True, head="atlop", mixed_layers=2)
    assert main(["export", source, "--output_dir", str(tmp_path / "export")]) == 0
    models = [load_relation_model(name).eval() for name in (source, str(tmp_path / "export"))]
    tokenizer = load_tokenizer(source)
    triples = ([RelationExtractionPipeline(model, tokenizer, device="cpu")(ada)] for model in models)
    assert_same_triples(*triples)
    session = onnxruntime.InferenceSession(tmp_path / "export" / GRAPH)
    assert [output.name for output in session.get_outputs()] == [LAST, EARLIER, QUERY, KEY]
    ids = torch.randint(5, 100, (3, 21))
    mask = (torch.arange(21) < torch.tensor([[21], [4], [1]])).long()
    last = session.run([LAST], {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})[0]
    with torch.no_grad():
        states, _ = encode(models[0].encoder, models[0].encoder.config, ids, mask)
    assert np.abs(last - states.numpy())[mask.bool().numpy()].max() < 1e-4


PUSH = """
import sys
from finecl_hf.cli import main

for folder, name in zip(sys.argv[1::2], sys.argv[2::2]):
    assert main(["push", folder, "--hub_model_id", name]) == 0
"""
LOAD = """
import json, sys
from finecl_hf import RelationExtractionPipeline
from finecl_hf.data.documents import Document

extract = RelationExtractionPipeline("user/int8", backend="onnx", device="cpu")
print(json.dumps(extract(Document.from_dict(json.loads(sys.argv[1])))))
"""


@pytest.mark.slow
def test_the_export_of_an_adapter_has_a_card_of_its_own_and_is_pushed(relation_model, bert_folder, tmp_path, ada):
    source, export = relation_model(bert_folder, adapters=True), tmp_path / "int8"
    write_card(FineCLCardData("lora_adapter", "mine", repo=source, base_model=bert_folder, tags=["mine"]), source)
    Path(source, "trainer_state.json").write_text(json.dumps({"log_history": []}))
    with open(Path(source, "README.md"), "a") as file:  # peft, too, writes into it
        file.write("An adapter.")
    assert main(["export", source, "--output_dir", str(export), "--quantize"]) == 0
    written = (export / "README.md").read_text()
    metadata = ModelCard.load(export / "README.md").data
    assert metadata.tags == ["finecl", "relation-extraction", "onnx", "mine"] and metadata.model_name == "int8"
    assert metadata.library_name == "finecl_hf" and "base_model_relation" not in metadata.to_dict()
    assert "**ONNX export** (int8)" in written and "A LoRA adapter" not in written and "PeftModel" not in written
    assert f'RelationExtractionPipeline("{export}", backend="onnx")' in written
    assert main(["card", str(export), "--write"]) == 0
    assert (export / "README.md").read_text() == written
    with FakeHub(token="hf_secretsecretsecret") as hub:
        options = {"env": hub_environment(hub, tmp_path), "cwd": tmp_path, "capture_output": True, "text": True}
        words = [str(export), "user/int8", source, "user/adapter"]
        push = subprocess.run([sys.executable, "-c", PUSH, *words], **options)
        assert push.returncode == 0 and push.stderr.count("nobody can load it elsewhere") == 1, push.stderr
        assert "You are using a model of type" not in push.stderr
        load = subprocess.run([sys.executable, "-c", LOAD, json.dumps(ada.to_dict())], **options)
        assert load.returncode == 0, load.stderr
        assert hub.unknown == []
    expected = RelationExtractionPipeline(export, backend="onnx", device="cpu")(ada)
    assert expected and json.loads(load.stdout) == json.loads(json.dumps(expected))
    files = hub.repos["models/user/int8"].files
    assert files.keys() - {".gitattributes"} == {
        "README.md", "config.json", GRAPH, HEAD, "tokenizer.json", "tokenizer_config.json", "trainer_state.json",
    }  # fmt: skip
    assert b'RelationExtractionPipeline("user/int8", backend="onnx")' in files["README.md"]
    for path, data in [*files.items(), *hub.repos["models/user/adapter"].files.items()]:
        for word in (hub.token, str(tmp_path), bert_folder, onnx_export.__file__, torch.__file__, str(Path.home())):
            assert word.encode() not in data, (path, word)


@pytest.mark.slow
def test_an_encoder(bert_folder, tmp_path, ada, curie):
    export_onnx(bert_folder, tmp_path / "export")
    expected, found = (RelationEmbedder(str(name)).encode([ada, curie]) for name in (bert_folder, tmp_path / "export"))
    assert torch.allclose(expected.entities, found.entities, atol=1e-4)
    assert "RelationEmbedder" in (tmp_path / "export" / "README.md").read_text()
    with pytest.raises(FineCLError, match="ONNX export already"):
        export_onnx(tmp_path / "export", tmp_path / "again")


@pytest.mark.slow
def test_predict_and_what_lies_in_the_folder(relation_model, bert_folder, tmp_path, ada):
    source = relation_model(bert_folder, head="bilinear", max_seq_length=64)
    (tmp_path / "extractor" / "README.md").write_text("---\nlicense: mit\ntags: [finecl]\n---\n\n# Mine\n")
    assert main(["export", source, "--output_dir", str(tmp_path / "export"), "--quantize"]) == 0
    card = (tmp_path / "export" / "README.md").read_text()
    assert "license: mit" in card and "- onnx" in card and "(int8)" in card and "# Mine" in card
    assert json.loads((tmp_path / "export" / "config.json").read_text())["onnx"]["quantized"] is True
    (tmp_path / "ada.json").write_text(json.dumps([ada.to_dict()]))
    for model in (source, str(tmp_path / "export")):
        out = str(tmp_path / f"{len(model)}.jsonl")
        assert main(["predict", model, str(tmp_path / "ada.json"), out, "--device", "cpu"]) == 0
        assert json.loads(open(out).read())["triples"]
    with pytest.raises(FineCLError, match="cannot be trained or evaluated"):
        StartingPoint.of(ModelArguments(model_name_or_path=str(tmp_path / "export")))
    with pytest.raises(FineCLError, match="leave --base_model"):
        load_relation_model(str(tmp_path / "export"), base_model=bert_folder)
    with pytest.raises(FineCLError, match="leave dtype away"):
        RelationExtractionPipeline(str(tmp_path / "export"), dtype="float16")
    (tmp_path / "export" / HEAD).write_bytes(b"other")
    with pytest.raises(FineCLError, match="head.safetensors belongs to another export"):
        load_relation_model(str(tmp_path / "export"))
    (tmp_path / "export" / GRAPH).unlink()
    with pytest.raises(FineCLError, match="model.onnx is missing"):
        load_relation_model(str(tmp_path / "export"))


@pytest.mark.slow
def test_a_changed_card_names_the_export_and_not_its_model(relation_model, bert_folder, tmp_path):
    source = relation_model(bert_folder)
    write_card(FineCLCardData("relation_model", "extractor", repo=source), Path(source))
    with open(Path(source, "README.md"), "a") as card:
        card.write("Mine.\n")
    export_onnx(source, f"{source}_onnx")
    text = Path(f"{source}_onnx", "README.md").read_text()
    assert text.endswith("Mine.\n") and f'"{source}"' not in text and f'"{source}_onnx"' in text
    assert "_onnx_onnx" not in text


def test_where_an_export_may_be_written(bert_folder, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "model.onnx").write_text("of something else")
    for folder, told in (("file", "this is a file"), ("full", "holds other files")):
        with pytest.raises(FineCLError, match=told):
            export_onnx(bert_folder, tmp_path / folder)
    with pytest.raises(FineCLError, match="the model lies there"):
        export_onnx(bert_folder, bert_folder)


def test_a_missing_extra_and_a_missing_model(bert_folder, tmp_path, monkeypatch, capsys):
    assert main(["export", str(tmp_path / "none"), "--output_dir", str(tmp_path / "export")]) == 2
    assert "no such folder" in capsys.readouterr().err
    monkeypatch.setattr(onnx_export, "find_spec", lambda name: None)
    with pytest.raises(FineCLError, match=r"finecl_hf\[onnx\]"):
        export_onnx(bert_folder, tmp_path / "export")


@pytest.mark.parametrize("failure", ["exporter", "graph"])
def test_what_torch_cannot_export_or_exports_wrongly_is_told(failure, bert_folder, tmp_path, monkeypatch):
    def trace(*args):
        if failure == "exporter":
            torch.nn.Linear(2, 2)(torch.zeros(3))

    monkeypatch.setattr(onnx_export, "_trace", trace)
    monkeypatch.setattr(onnx_export, "_deviation", lambda *args: (0.5, 0.5))
    told = "cannot be exported to ONNX .opset 23" if failure == "exporter" else "differs from torch by 0.5"
    with pytest.raises(FineCLError, match=told):
        export_onnx(bert_folder, tmp_path / "export")
    assert not (tmp_path / "export").exists() and not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["bert_folder", "deberta_folder"])
def test_all_weights_of_products_become_int8(encoder, tmp_path, request):
    export_onnx(request.getfixturevalue(encoder), tmp_path / "export", quantize=True)
    operators = [node.op_type for node in onnx.load(tmp_path / "export" / GRAPH).graph.node]
    projections = 6 * SMALL["num_hidden_layers"]  # queries, keys, values, output, and two of the feed-forward layer
    positions = 2 * SMALL["num_hidden_layers"] if encoder == "deberta_folder" else 0
    assert operators.count("MatMulInteger") == projections + positions
