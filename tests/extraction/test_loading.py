"""Loading relation models: what is passed on, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from finecl_hf import FineCLConfig, FineCLForRelationExtraction, RelationExtractionPipeline, load_relation_model
from finecl_hf.cli import main
from finecl_hf.encoding.encoders import load_tokenizer
from finecl_hf.errors import FineCLError
from finecl_hf.extraction import demo, loading
from finecl_hf.extraction.adapters import add_adapters, is_adapter
from tests.helpers.tiny_models import save_relation_model


@pytest.fixture(params=["full", "adapter"])
def folder(request, bert_folder, tmp_path):
    config = FineCLConfig.for_labels({"NA": 0, "P1": 1}, max_seq_length=64)
    model = FineCLForRelationExtraction.from_encoder(bert_folder, config, revision="v2")
    if request.param == "adapter":
        model = add_adapters(model, r=2)
        config.save_pretrained(tmp_path)
    model.save_pretrained(tmp_path)
    load_tokenizer(bert_folder).save_pretrained(tmp_path)
    return str(tmp_path)


def test_arguments_reach_the_encoder(folder):
    extract = RelationExtractionPipeline.from_pretrained(
        folder, attn_implementation="eager", trust_remote_code=False, dtype=torch.bfloat16, revision="main"
    )
    assert extract.model.encoder.config._attn_implementation == "eager"
    assert {weight.dtype for weight in extract.model.parameters()} == {torch.bfloat16}


def test_a_device_map_is_passed_on_or_refused(folder):
    if is_adapter(folder):
        with pytest.raises(FineCLError, match="device_map"):
            RelationExtractionPipeline.from_pretrained(folder, device_map="cpu")
    else:
        extract = RelationExtractionPipeline.from_pretrained(folder, device_map="cpu")
        assert extract.model.device == torch.device("cpu")


@pytest.mark.parametrize("dtype", ["float33", torch.int8, 3])
def test_a_dtype_that_no_model_can_have_is_refused(dtype, folder):
    with pytest.raises(FineCLError, match=f"dtype {dtype}.*float32"):
        RelationExtractionPipeline.from_pretrained(folder, dtype=dtype)


@pytest.mark.parametrize("dtype, expected", [("bfloat16", torch.bfloat16), ("auto", torch.float32)])
def test_a_dtype_may_be_named(dtype, expected, folder):
    assert load_relation_model(folder, dtype).dtype == expected


def test_the_encoder_s_revision_is_asked_for(folder, monkeypatch):
    asked = []
    load = loading.load_encoder

    def ask(name, dtype, **kwargs):
        asked.append(kwargs)
        return load(name, dtype)

    monkeypatch.setattr(loading, "load_encoder", ask)
    load_relation_model(folder)
    assert [kwargs["revision"] for kwargs in asked] == ["v2"] * is_adapter(folder)


LOADERS = [RelationExtractionPipeline.from_pretrained, load_relation_model]


@pytest.mark.parametrize("load", [*LOADERS, FineCLForRelationExtraction.from_pretrained])
def test_an_encoder_is_no_relation_model(load, bert_folder):
    with pytest.raises(FineCLError, match="no relation model.*run_finetune.py"):
        load(bert_folder)


@pytest.mark.parametrize("load", LOADERS)
def test_what_is_not_there(load, tmp_path):
    with pytest.raises(FineCLError, match="no such folder"):
        load(str(tmp_path / "nowhere"))


def test_a_folder_without_a_model_and_a_run_that_has_not_finished(tmp_path):
    with pytest.raises(FineCLError, match="No config.json.*name the output folder"):
        loading.load_encoder(str(tmp_path), torch.float32)
    (tmp_path / "checkpoint-2").mkdir()
    with pytest.raises(FineCLError, match="has not finished.*checkpoints"):
        loading.load_encoder(str(tmp_path), torch.float32)


def test_the_dtype_of_a_name_and_an_argument_that_is_misspelt(folder):
    assert RelationExtractionPipeline(folder, dtype="bfloat16").dtype == torch.bfloat16
    assert RelationExtractionPipeline(folder, base_model=None).dtype == torch.float32
    with pytest.raises(FineCLError, match="base_model go with the name"):
        RelationExtractionPipeline(load_relation_model(folder), load_tokenizer(folder), base_model="b")
    if not is_adapter(folder):
        with pytest.raises(FineCLError, match="no adapter.*leave --base_model"):
            load_relation_model(folder, base_model="b")
    with pytest.raises(TypeError, match="quantise"):
        load_relation_model(folder, quantise=True)


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "[" * 100_000])
def test_damaged_configurations(folder, text):
    Path(folder, "config.json").write_text(text)
    with pytest.raises(FineCLError, match="cannot be|config"):
        load_relation_model(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "weights"])
def test_files_that_are_missing_are_said(folder, name):
    if name == "weights":
        name = "adapter_model.safetensors" if is_adapter(folder) else "model.safetensors"
    Path(folder, name).unlink(missing_ok=True)  # where no tokenizer was saved, it is missing as it is
    with pytest.raises(FineCLError, match="missing|no tokenizer|no file named"):
        RelationExtractionPipeline.from_pretrained(folder)


def test_an_adapter_whose_encoder_is_gone_or_is_itself(bert_folder, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(bert_folder, base)
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, encoder in ((first, base), (second, first)):
        config = FineCLConfig.for_labels({"NA": 0, "P1": 1})
        add_adapters(FineCLForRelationExtraction.from_encoder(str(encoder), config), r=2).save_pretrained(folder)
        config.save_pretrained(folder)
    base.rename(tmp_path / "moved")
    with pytest.raises(FineCLError, match="base: no such folder.*Name it with --base_model .in Python: base_model="):
        load_relation_model(first)
    with pytest.raises(FineCLError, match="Load .*first with base_model, save it"):
        load_relation_model(second)
    config = json.loads((first / "adapter_config.json").read_text())
    (first / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": str(second)}))
    for folder in (first, second):
        with pytest.raises(FineCLError, match="an adapter on itself"):
            load_relation_model(folder)


def test_weights_that_are_missing_are_said(folder):
    for path in Path(folder).glob("*.safetensors"):
        path.unlink()
    with pytest.raises(FineCLError):
        load_relation_model(folder)


SIZES = [("num_hidden_layers", 10**7), ("hidden_size", 10**12), ("vocab_size", 2**62), ("num_hidden_layers", "many")]


@pytest.mark.parametrize(
    "key, value", [*SIZES, ("model_type", "nosuch"), ("model_type", None), ("hidden_act", "nosuch")]
)
def test_configurations_that_no_model_has(folder, key, value):
    path = Path(folder, "config.json")
    raw = json.loads(path.read_text())
    raw["text_config"][key] = value
    path.write_text(json.dumps(raw))
    if is_adapter(folder) and key != "model_type":  # whose encoder has a configuration of its own
        return
    with pytest.raises(FineCLError):
        load_relation_model(folder)


def test_weights_of_another_head_are_no_model(bert_folder, tmp_path):
    config = FineCLConfig.for_labels({"NA": 0, "a": 1}, head="bilinear")
    FineCLForRelationExtraction.from_encoder(bert_folder, config).save_pretrained(tmp_path)
    raw = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**raw, "head": "sentence"}))
    with pytest.raises(FineCLError, match="relation_head"):
        load_relation_model(tmp_path)


@pytest.mark.parametrize("labels", [None, {}])
def test_a_configuration_without_relations(folder, labels):
    path = Path(folder, "config.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "id2label": labels}))
    for load in LOADERS:
        with pytest.raises(FineCLError, match="config.json names no relations.*id2label"):
            load(folder)


def test_the_commands_say_where_an_adapters_encoder_lies(bert_folder, tmp_path, monkeypatch, capsys, ada):
    adapter, moved = tmp_path / "adapter", tmp_path / "moved"
    shutil.copytree(bert_folder, tmp_path / "base")
    config = FineCLConfig.for_labels({"NA": 0, "P1": 1}, threshold=-1e6)
    model = FineCLForRelationExtraction.from_encoder(str(tmp_path / "base"), config)
    save_relation_model(model, bert_folder, str(adapter), adapters=True)
    (tmp_path / "base").rename(moved)
    (tmp_path / "in.json").write_text(json.dumps([ada.to_dict()]))
    predict = ["predict", str(adapter), str(tmp_path / "in.json"), "-", "--device", "cpu"]
    assert main(predict) == 2
    assert "Name it with --base_model" in capsys.readouterr().err
    assert main([*predict, "--base_model", str(moved)]) == 0
    assert json.loads(capsys.readouterr().out)["triples"]
    served = []
    monkeypatch.setattr(demo, "serve", lambda *arguments: served.append(arguments))
    assert main(["demo", str(adapter), "--base_model", str(moved)]) == 0
    assert served[0][1] == "adapter"
