"""Batches that hold nothing to learn from contribute a zero: losses stay finite, and no process waits for ever."""

import json

import numpy as np
import pytest

from finecl_hf import write_documents
from tests.helpers.script_runs import arguments, run
from tests.helpers.small_documents import small_document
from tests.helpers.survival_runs import finish


FULL = [small_document(f"Full {i}", ["Ada", "London", "Babbage"], [(0, 1, "P19"), (2, 1, "P20")]) for i in range(4)]
KINDS = {
    "documents without an entity": [small_document(f"No entity {i}", []) for i in range(4)],
    "documents with one entity": [small_document(f"One entity {i}", ["Ada"]) for i in range(4)],
    "documents without a label": [small_document(f"No label {i}", ["Ada", "London"]) for i in range(4)],
    "a relation with one label": [
        small_document(f"Single {i}", ["Ada", "London"], [(0, 1, f"P{i}")]) for i in range(1, 5)
    ],
}
ALONE = {**KINDS, "one relation": [small_document(f"Same {i}", ["Ada", "London"], [(0, 1, "P19")]) for i in range(4)]}
# Whole sentences out of reach: nothing of a label is left where documents are cut to a few tokens
CUT = small_document("Cut", ["born"] * 40 + ["Ada", "London"], [(40, 41, "P19")])


def corpus_file(folder, documents):
    write_documents(documents, folder / "train.json")
    (folder / "rel_info.json").write_text(json.dumps({"P19": "place of birth", "P20": "place of death"}
                                                     | {f"P{i}": f"relation {i}" for i in range(1, 5)}))  # fmt: skip
    return folder


def options_for(stage, folder, **options):
    options = {"train_file": folder / "train.json", "logging_steps": 1, "save_strategy": "no", **options}
    if stage == "pretrain":
        return {"max_steps": 4, "pair_documents": "false", **options}
    if stage == "denoise":
        options = {"report": "true", **options}
    return {"num_train_epochs": 1, "na_ratio": 0.0, **options}


def losses(folder):
    log = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    return [entry["loss"] for entry in log if "loss" in entry]


@pytest.mark.parametrize("stage", ["denoise", "pretrain", "finetune"])
@pytest.mark.parametrize("kind", KINDS)
def test_single_documents_between_others(kind, stage, bert_folder, tmp_path):
    """Batches of one document, so that some hold nothing of the kind that the stage learns from."""
    folder = corpus_file(tmp_path, [*FULL[:2], *KINDS[kind][:2]])
    run(stage, bert_folder, folder, tmp_path / "out",
        **options_for(stage, folder, per_device_train_batch_size=1, num_train_epochs=1))  # fmt: skip
    found = losses(tmp_path / "out")
    assert len(found) == 4 and np.isfinite(found).all()
    assert any(found)


@pytest.mark.parametrize("kind", [*ALONE][-3:])
@pytest.mark.parametrize("mask", [0.0, 0.15])
def test_pretraining_with_nothing_else(kind, mask, bert_folder, tmp_path):
    documents = ALONE[kind] + ([FULL[0]] if kind == "documents without a label" else [])
    folder = corpus_file(tmp_path, documents)
    run("pretrain", bert_folder, folder, tmp_path / "out",
        **options_for("pretrain", folder, per_device_train_batch_size=2, mlm_probability=mask, na_pairs=0,
                      pair_documents="true"))  # fmt: skip
    assert np.isfinite(losses(tmp_path / "out")).all()


@pytest.mark.parametrize("stage", ["denoise", "pretrain", "finetune"])
def test_labels_out_of_reach(stage, bert_folder, tmp_path):
    folder = corpus_file(tmp_path, [FULL[0], FULL[1], CUT])
    run(stage, bert_folder, folder, tmp_path / "out",
        **options_for(stage, folder, per_device_train_batch_size=1, max_seq_length=16))  # fmt: skip
    assert np.isfinite(losses(tmp_path / "out")).all()


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["denoise", "pretrain", "finetune"])
def test_one_of_two_processes_has_nothing(stage, bert_folder, tmp_path):
    """Two processes take a document each: now and then one of them has labels, and the other no entity."""
    folder = corpus_file(tmp_path, [*FULL, *KINDS["documents without an entity"]])
    options = options_for(stage, folder, per_device_train_batch_size=1, num_train_epochs=2)
    if stage == "pretrain":
        options |= {"max_steps": 8, "mlm_probability": 0.0}
    finish(f"run_{stage}.py", arguments(stage, bert_folder, folder, tmp_path / "out", **options), 2)
    found = losses(tmp_path / "out")
    assert len(found) == 8 and np.isfinite(found).all() and any(found)
