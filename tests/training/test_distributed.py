"""Two processes on CPU do what one does, and none of them hangs."""

import json
import os
import subprocess

import numpy as np
import pytest
import torch

from finecl_hf import LearningOrder, RelationExtractionPipeline, read_documents
from finecl_hf.metrics import docred_scores
from tests.helpers.script_runs import ROOT, arguments, launched, run, weights
from tests.helpers.tiny_models import build_bert


def launch(stage, *args, timeout=240, **options):
    """Runs a script in two processes."""
    result = subprocess.run(
        [*launched(f"run_{stage}.py", 2), *arguments(stage, *args, **options)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-4000:]
    return result.stdout


def test_denoising_observes_every_label(bert_folder, corpus, tmp_path):
    """14 documents in batches of 3 for two processes: the last round repeats documents, and no label counts twice."""
    options = {"per_device_train_batch_size": 3, "num_train_epochs": 2, "report": True}
    printed = launch("denoise", bert_folder, corpus, tmp_path / "two", **options)
    two = LearningOrder.read(tmp_path / "two" / "learning_order.parquet")
    one = run("denoise", bert_folder, corpus, tmp_path / "one", **options)
    state = json.loads((tmp_path / "two" / "trainer_state.json").read_text())
    assert state["global_step"] == 2 * 3  # one process takes 2 * 5
    assert two.instance_id.equals(one.instance_id)
    assert two.num_epochs == one.num_epochs == 2
    assert (two.observed == one.observed).all()
    assert two.observed.any()
    assert printed.count("Wrote ") == 3  # the table, the missing labels and the report: one process speaks


@pytest.mark.slow
@pytest.mark.parametrize("documents", [12, 14])
def test_two_processes_record_what_one_records(documents, corpus, tmp_path):
    """A step of two processes is one of one process that accumulates two batches.

    14 documents make 7 batches of 2, so the last step of two processes repeats one and differs from there on: labels
    of the first epoch are judged before that, and the repeated ones count as they were judged first.
    """
    encoder = build_bert(tmp_path / "encoder", dropout=0.0)
    options = {"per_device_train_batch_size": 2, "num_train_epochs": 3, "max_train_samples": documents}
    launch("denoise", encoder, corpus, tmp_path / "two", **options)
    two = LearningOrder.read(tmp_path / "two" / "learning_order.parquet")
    one = run("denoise", encoder, corpus, tmp_path / "one", gradient_accumulation_steps=2, **options)
    assert two.instance_id.equals(one.instance_id)
    assert (two.observed == one.observed).all() and two.num_epochs == 3
    same = slice(None) if documents == 12 else slice(0, 1)
    for name in ("probability", "margin", "loss"):
        np.testing.assert_allclose(getattr(two, name)[:, same], getattr(one, name)[:, same], atol=4e-3, err_msg=name)
    assert (two.correct == one.correct)[:, same].mean() > 0.99  # a margin of 0 may fall to either side


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # the option has another name in later versions
def test_checkpointed_gradients_in_half_precision(corpus, bert_folder, tmp_path):
    """With these, DDP refuses a parameter that gets no gradient."""
    launch("denoise", bert_folder, corpus, tmp_path, gradient_checkpointing="true", bf16="true", num_train_epochs=1)
    trained = weights(tmp_path)
    assert all(weight.isfinite().all() and weight.dtype == torch.float32 for weight in trained.values())


@pytest.mark.slow
def test_epoch_mode_judges_every_label(bert_folder, corpus, tmp_path):
    launch("denoise", bert_folder, corpus, tmp_path / "two", order_mode="epoch", num_train_epochs=1, learning_rate=0.0)
    two = LearningOrder.read(tmp_path / "two" / "learning_order.parquet")
    one = run(
        "denoise", bert_folder, corpus, tmp_path / "one", order_mode="epoch", num_train_epochs=1, learning_rate=0.0
    )
    assert (two.observed == one.observed).all() and (two.correct == one.correct).all()
    np.testing.assert_allclose(two.margin, one.margin, atol=2e-3)


@pytest.mark.slow
def test_denoising_resumes_in_two_processes(bert_folder, corpus, tmp_path):
    """With `max_steps` a run ends inside its second epoch; a longer one goes on from there and loses no label."""
    options = {"save_strategy": "steps", "save_steps": 1, "per_device_train_batch_size": 2}
    launch("denoise", bert_folder, corpus, tmp_path, max_steps=6, **options)
    launch("denoise", bert_folder, corpus, tmp_path, max_steps=8, **options)
    order = LearningOrder.read(tmp_path / "learning_order.parquet")
    seen = order.observed.any(axis=1)
    assert order.num_epochs == 2
    assert order.observed[seen].all()


@pytest.mark.slow
def test_pretraining(bert_folder, corpus, tmp_path):
    launch("pretrain", bert_folder, corpus, tmp_path, max_steps=3, gradient_accumulation_steps=2)
    assert all(np.isfinite(weight.numpy()).all() for weight in weights(tmp_path).values())


@pytest.mark.slow
def test_fine_tuning_scores_every_document(bert_folder, corpus, tmp_path):
    """5 documents for two processes: scores must be those of one process with the same model."""
    splits = {f"{name}_file": corpus / f"gold_{name}.json" for name in ("validation", "test")}
    options = {"num_train_epochs": 1, "per_device_eval_batch_size": 2, **splits}
    launch("finetune", bert_folder, corpus, tmp_path / "two", **options)
    results = json.loads((tmp_path / "two" / "all_results.json").read_text())
    extract = RelationExtractionPipeline.from_pretrained(str(tmp_path / "two"))
    for split, prefix in (("validation", "eval"), ("test", "test")):
        documents = read_documents(corpus / f"gold_{split}.json")
        rows = [
            {"title": document.title, "h_idx": found["h_idx"], "t_idx": found["t_idx"], "r": found["relation"]}
            for document, triples in zip(documents, extract(documents), strict=True)
            for found in triples
        ]
        scores = docred_scores(rows, documents)
        assert results[f"{prefix}_f1"] == pytest.approx(scores["f1"])
        assert results[f"{prefix}_recall"] == pytest.approx(scores["recall"])
