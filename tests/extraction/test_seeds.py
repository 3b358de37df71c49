"""Several seeds: what is made of their figures, and how they run."""

import json
import shutil
import statistics

import pytest

from finecl_hf.errors import FineCLError
from finecl_hf.extraction.arguments import FinetuneArguments, seed_list
from finecl_hf.extraction.seeds import lines_of, run_seeds, summarise
from tests.helpers.script_runs import run, same_weights, weights


RUNS = {3: {"eval_f1": 0.5, "test_f1": 0.4, "test_loss": 1.0}, 1: {"eval_f1": 0.7, "test_f1": 0.1, "test_loss": 3.0}}


def test_means_and_deviations():
    summary = summarise(RUNS)
    assert summary["seeds"] == [3, 1] and summary["runs"]["1"] == RUNS[1]
    assert summary["mean"] == pytest.approx({"eval_f1": 0.6, "test_f1": 0.25, "test_loss": 2.0})
    for name, value in summary["standard_deviation"].items():
        assert value == pytest.approx(statistics.stdev(run[name] for run in RUNS.values()))
    assert summary["best_on_validation"] == 1 and summarise(RUNS, "eval_loss")["best_on_validation"] is None
    assert lines_of(summary)[1] == "test_f1: 0.2500 +- 0.2121 over 2 seeds (0.4000, 0.1000)"


def test_the_best_run_by_an_error_has_the_lowest():
    runs = {1: {"eval_ece": 0.1, "eval_loss": 2.0}, 2: {"eval_ece": 0.3, "eval_loss": 1.0}}
    assert summarise(runs, "ece")["best_on_validation"] == summarise(runs, "eval_ece")["best_on_validation"] == 1
    assert summarise(runs, "loss")["best_on_validation"] == 2


def test_one_run_has_no_deviation():
    summary = summarise({5: {"test_f1": 0.4}})
    assert summary["standard_deviation"] == {"test_f1": None} and "+-" not in lines_of(summary)[0]


@pytest.mark.parametrize("seeds", ["1,1", "a", "1,,2", "-1", "1;2", "01,1", str(2**32)])
def test_seeds_that_are_none(seeds, tmp_path):
    with pytest.raises(FineCLError, match="--seeds.*different whole numbers"):
        FinetuneArguments(str(tmp_path), seeds=seeds)
    assert seed_list(" 3, 1") == [3, 1] and seed_list(None) == seed_list("") == []


@pytest.mark.parametrize(
    "flags", [{"do_train": False}, {"push_to_hub": True}, {"resume_from_checkpoint": "somewhere/checkpoint-3"}]
)
def test_what_belongs_to_one_run(flags, tmp_path):
    with pytest.raises(FineCLError, match="--seeds"):
        run_seeds(pytest.fail, [], FinetuneArguments(str(tmp_path), seeds="1", **flags))


@pytest.mark.slow
def test_each_seed_is_a_run_of_its_own(bert_folder, corpus, tmp_path):
    options = {"validation_file": corpus / "gold_validation.json", "train_fraction": 0.5, "num_train_epochs": 1}
    summary = run("finetune", bert_folder, corpus, tmp_path / "all", seeds="1,2", **options)
    assert json.loads((tmp_path / "all" / "seeds.json").read_text()) == summary
    assert sorted(summary["runs"]) == ["1", "2"] and not any("runtime" in name for name in summary["mean"])
    alone = run("finetune", bert_folder, corpus, tmp_path / "alone", seed=2, **options)
    assert summary["runs"]["2"]["eval_f1"] == alone["eval_f1"]
    assert same_weights(weights(tmp_path / "all" / "seed-2"), weights(tmp_path / "alone"))
    drawn = [json.loads((tmp_path / "all" / f"seed-{i}" / "train_documents.json").read_text()) for i in (1, 2)]
    assert [part["seed"] for part in drawn] == [1, 2] and drawn[0]["documents"] != drawn[1]["documents"]
    assert all(len(part["documents"]) == 6 and part["train_fraction"] == 0.5 for part in drawn)

    shutil.rmtree(tmp_path / "all" / "seed-2")  # stopped before the second seed; the same documents for both now
    (tmp_path / "all" / "seed-1" / "checkpoint-2" / "mark").touch()
    assert run("finetune", bert_folder, corpus, tmp_path / "all", seeds="1,2", **options) == summary
    assert (tmp_path / "all" / "seed-1" / "checkpoint-2" / "mark").exists()  # nothing was trained again


def test_one_draw_for_all_seeds(bert_folder, corpus, tmp_path):
    options = {"train_fraction": 0.5, "max_steps": 1, "save_strategy": "no", "data_seed": 7}
    options["validation_file"] = corpus / "gold_validation.json"
    summary = run("finetune", bert_folder, corpus, tmp_path, seeds="1,2", **options)
    assert json.loads((tmp_path / "seeds.json").read_text()) == summary and list(summary["runs"]) == ["1", "2"]
    drawn = [json.loads((tmp_path / f"seed-{i}" / "train_documents.json").read_text()) for i in (1, 2)]
    assert drawn[0] == drawn[1] and drawn[0]["seed"] == 7
