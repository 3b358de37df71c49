"""What training starts from: an encoder, a relation model or an adapter; and runs that do not train at all."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from finecl_hf import FineCLConfig, RelationExtractionPipeline, load_relation_model, read_documents
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.arguments import what_to_do
from finecl_hf.extraction.configuration import FITTED
from finecl_hf.extraction.starting_point import StartingPoint
from finecl_hf.extraction.type_constraints import learned_constraints
from finecl_hf.training.arguments import ModelArguments
from tests.helpers.script_runs import run


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return tmp_path_factory.mktemp("relation_models")


@pytest.fixture
def trained(folders, bert_folder, corpus, request):
    """Makes a relation model or an adapter, once for the module."""

    def make(name, *flags):
        folder = folders / name
        if not folder.exists():
            files = {"validation_file": corpus / "gold_validation.json", "test_file": corpus / "gold_test.json"}
            run("finetune", bert_folder, corpus, folder, "--entity_markers", "asterisk", "--hide_names", "type",
                "--max_seq_length", "96", *flags, num_train_epochs=3, learning_rate=1e-2, **files)  # fmt: skip
        return folder

    return make


def figures(folder):
    return json.loads((folder / "all_results.json").read_text())


@pytest.mark.parametrize("lora", [[], ["--use_lora"]], ids=["full", "adapter"])
def test_a_relation_model_goes_on_where_it_stood(trained, corpus, tmp_path, lora):
    first = trained("-".join(["first", *lora]), *lora)
    again = run("finetune", first, corpus, tmp_path / "again", "--do_train", "true", "--num_train_epochs", "0",
                rel_info=None, test_file=corpus / "gold_test.json")  # fmt: skip
    for name in ("test_f1", "test_loss", "test_threshold"):
        assert again[name] == pytest.approx(figures(first)[name]), name
    before, after = (FineCLConfig.from_pretrained(folder) for folder in (first, tmp_path / "again"))
    kept = ("entity_markers", "hide_names", "max_seq_length", "label2id", "loss", "relation_names", "type_constraints")
    for name in (*FITTED, *kept):
        assert getattr(after, name) == getattr(before, name), name
    assert after.base_encoder["name_or_path"] == str(first)


def test_a_head_of_other_default_sizes_goes_on(trained, corpus, tmp_path, caplog):
    first = trained("first")
    config = json.loads(shutil.copytree(first, tmp_path / "old").joinpath("config.json").read_text())
    (tmp_path / "old" / "config.json").write_text(json.dumps({**config, "block_size": 48}))  # unused by its head
    again = run("finetune", tmp_path / "old", corpus, tmp_path / "again", "--do_train", "true", rel_info=None,
                num_train_epochs=0, test_file=corpus / "gold_test.json")  # fmt: skip
    assert again["test_f1"] == pytest.approx(figures(first)["test_f1"]) and "starts anew" not in caplog.text
    assert FineCLConfig.from_pretrained(tmp_path / "again").block_size == 48


def test_type_constraints_are_learned_kept_or_given(trained, corpus, tmp_path):
    first = trained("first")
    learned = FineCLConfig.from_pretrained(first).type_constraints
    assert learned == learned_constraints(read_documents(corpus / "gold_train.json")) != {}
    relation, allowed = next(iter(learned.items()))
    (tmp_path / "types.json").write_text(json.dumps({relation: allowed}))
    for wanted, kept in (("none", None), (tmp_path / "types.json", {relation: allowed})):
        run("finetune", first, corpus, tmp_path / "out", "--max_steps", "1",
            type_constraints=wanted)  # fmt: skip
        assert FineCLConfig.from_pretrained(tmp_path / "out").type_constraints == kept
        shutil.rmtree(tmp_path / "out")
    with pytest.raises(FineCLError, match="no training documents"):
        run("finetune", first, corpus, tmp_path / "out", "--do_eval", "true", train_file=None, rel_info=None,
            type_constraints="learned", validation_file=corpus / "gold_validation.json")  # fmt: skip


def test_with_another_label_set_the_head_starts_anew(trained, corpus, tmp_path, caplog):
    relations = json.loads((corpus / "rel_info.json").read_text())
    (tmp_path / "rel_info.json").write_text(json.dumps({**relations, "P0": "new"}))
    first = trained("first")
    run("finetune", first, corpus, tmp_path / "out", "--max_steps", "1", rel_info=tmp_path / "rel_info.json",
        learning_rate=1e-9)  # fmt: skip
    assert "another label set" in caplog.text and "starts anew" in caplog.text
    old, new = (load_file(folder / "model.safetensors") for folder in (first, tmp_path / "out"))
    name = next(name for name in old if "query.weight" in name)
    torch.testing.assert_close(old[name], new[name])
    assert new["relation_head.weight"].shape[0] == old["relation_head.weight"].shape[0] + 1


@pytest.mark.parametrize("stage", ["denoise", "pretrain", "finetune"])
@pytest.mark.parametrize("lora", [[], ["--use_lora"]], ids=["full", "adapter"])
def test_every_stage_starts_from_a_relation_model_or_an_adapter(trained, corpus, tmp_path, stage, lora, trainers):
    first = trained("-".join(["first", *lora]), *lora)
    run(stage, first, corpus, tmp_path / "out", "--max_steps", "1", learning_rate=1e-9)
    merged = load_relation_model(str(first)).encoder.state_dict()
    model = trainers[-1].model
    encoder = (model.base_model if stage == "pretrain" else model.encoder).state_dict()
    names = [name for name in merged if "pooler" not in name]
    assert len(names) > 20
    for name in names:
        torch.testing.assert_close(encoder[name], merged[name], msg=name)


def test_evaluating_and_predicting_change_nothing(trained, corpus, tmp_path):
    first = trained("first")
    files = {"validation_file": corpus / "gold_validation.json", "test_file": corpus / "gold_test.json"}
    files |= {"train_file": None, "rel_info": None}
    both = run("finetune", first, corpus, tmp_path / "both", "--do_train", "false", **files)
    assert both["eval_f1"] == pytest.approx(figures(first)["eval_f1"])
    assert both["test_loss"] == pytest.approx(figures(first)["test_loss"])
    assert both["eval_threshold"] == both["test_threshold"] == FineCLConfig.from_pretrained(first).threshold
    assert not list((tmp_path / "both").glob("*.safetensors")) and not (tmp_path / "both" / "README.md").exists()
    assert (tmp_path / "both" / "predictions.json").read_bytes() == (first / "predictions.json").read_bytes()

    run("finetune", first, corpus, tmp_path / "one", "--do_eval", "true", **files)
    run("finetune", first, corpus, tmp_path / "other", "--do_predict", "true", **files)
    names = [{path.name for path in (tmp_path / name).glob("*_results.json")} for name in ("one", "other")]
    assert names == [{"eval_results.json", "all_results.json"}, {"test_results.json", "all_results.json"}]


@pytest.mark.parametrize(
    ("flags", "options", "sentence"),
    [
        (["--do_train", "false"], {}, "without a head"),
        (["--do_train", "false"], {"model": "first"}, "nothing to do"),
        (["--do_eval", "true"], {"model": "first"}, "--validation_file"),
        (["--do_predict", "true"], {"model": "first"}, "--test_file"),
        ([], {"train_file": None}, "--train_file"),
    ],
)
def test_what_cannot_be_done_is_said(trained, bert_folder, corpus, tmp_path, flags, options, sentence):
    model = trained(options.pop("model")) if "model" in options else bert_folder
    with pytest.raises(FineCLError, match=sentence):
        run("finetune", model, corpus, tmp_path / "out", *flags, **options)


@pytest.mark.parametrize("stage", ["denoise", "pretrain"])
@pytest.mark.parametrize("flag", [["--do_train", "false"], ["--do_eval", "true"], ["--do_predict", "true"]])
def test_the_first_stages_only_train(bert_folder, corpus, tmp_path, stage, flag):
    with pytest.raises(FineCLError, match="only trains"):
        run(stage, bert_folder, corpus, tmp_path / "out", *flag)


def test_who_asks_for_one_thing_gets_that():
    assert what_to_do(None, None, None) == (True, None, None)
    assert what_to_do(None, True, None) == (False, True, False)
    assert what_to_do(None, None, True) == (False, False, True)
    assert what_to_do(True, True, None) == (True, True, None)
    assert what_to_do(False, None, None) == (False, None, None)
    assert what_to_do(True, False, None) == (True, False, None)


def test_what_is_given_counts_more_than_what_the_model_has(trained, bert_folder):
    first = str(trained("first"))
    start = StartingPoint.of(ModelArguments(first, entity_markers="none", max_seq_length=64))
    assert (start.model.entity_markers, start.model.hide_names, start.model.max_seq_length) == ("none", "type", 64)
    start = StartingPoint.of(ModelArguments(bert_folder))
    assert start.relation_model is None and start.label_set({"P1"}, None) is None
    assert (start.model.entity_markers, start.model.hide_names, start.model.max_seq_length) == ("none", "none", None)
    assert StartingPoint.of(ModelArguments(bert_folder), "sentence").model.entity_markers == "typed"
    assert StartingPoint.of(ModelArguments(first), "sentence").model.entity_markers == "asterisk"


@pytest.fixture
def away(trained, bert_folder, tmp_path, monkeypatch, corpus):
    """An adapter trained on the relative path `work/base`; another encoder lies there, seen from elsewhere."""
    here, there = tmp_path / "here", tmp_path / "there"
    shutil.copytree(bert_folder, here / "work" / "base")
    monkeypatch.chdir(here)
    run("finetune", "work/base", corpus, "adapter", "--use_lora", num_train_epochs=2, learning_rate=1e-2)
    other = load_relation_model("adapter").encoder
    other.embeddings.word_embeddings.weight.data += 0.5
    other.save_pretrained(there / "work" / "base")
    return here, there


def test_an_adapter_knows_its_encoder(away, monkeypatch, corpus):
    here, there = away
    documents = read_documents(corpus / "gold_test.json")[:4]
    expected = RelationExtractionPipeline.from_pretrained("adapter")(documents)
    monkeypatch.chdir(there)
    assert RelationExtractionPipeline.from_pretrained(str(here / "adapter"))(documents) == expected

    shutil.copy(there / "work" / "base" / "model.safetensors", here / "work" / "base" / "model.safetensors")
    with pytest.raises(FineCLError, match="adapter.*holds other weights.*base_model"):
        load_relation_model(str(here / "adapter"))
    with pytest.raises(FineCLError, match="adapter.*holds other weights.*base_model"):
        run("denoise", here / "adapter", corpus, there / "out")
    shutil.rmtree(here / "work")
    with pytest.raises(FineCLError, match="cannot be loaded.*base_model"):
        load_relation_model(str(here / "adapter"))


def test_base_model_says_where_the_encoder_lies(away, bert_folder, corpus, caplog, tmp_path):
    here, there = away
    expected = load_relation_model("adapter").state_dict()
    shutil.rmtree(here / "work")
    found = load_relation_model("adapter", base_model=bert_folder).state_dict()
    assert all(torch.equal(weight, found[name]) for name, weight in expected.items() if "pooler" not in name)
    assert "other weights" not in caplog.text
    run("pretrain", "adapter", corpus, tmp_path / "out", "--base_model", bert_folder, "--max_steps", "1")
    load_relation_model("adapter", base_model=str(there / "work" / "base"))
    assert "other weights" in caplog.text
