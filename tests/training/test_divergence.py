"""A loss that is not finite stops a run before it spoils the weights, and names the documents."""

from collections import Counter

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

from finecl_hf import read_documents
from finecl_hf.data.corpus import load_corpus
from finecl_hf.errors import FineCLError
from finecl_hf.training.checkpoints import last_checkpoint
from finecl_hf.training.divergence import name_documents
from tests.helpers.script_runs import arguments, run, same_weights, weights, when_built
from tests.helpers.survival_runs import hit_at


EACH_STEP = {"save_strategy": "steps", "save_steps": 1, "max_steps": 4}


@pytest.fixture
def with_trainer(monkeypatch):
    """Runs a script whose trainer is changed once it is built; it must end with an error, whose text returns."""

    def failing(change, *args, **options):
        with monkeypatch.context() as patched:
            when_built(patched, change)
            with pytest.raises(FineCLError) as error:
                run(*args, **options)
        return str(error.value)

    return failing


def loss_becomes(change, step=2, batch=0):
    """Changes the loss of one batch, when so many steps are done."""

    def patch(trainer):
        compute, batches = trainer.compute_loss, iter(range(99))

        def compute_loss(*args, **kwargs):
            loss = compute(*args, **kwargs)
            hit = trainer.state.global_step == step and next(batches) == batch
            if not hit:
                return loss
            return (change(loss[0]), *loss[1:]) if isinstance(loss, tuple) else change(loss)

        trainer.compute_loss = compute_loss

    return patch


BAD = {
    "nan": (lambda loss: loss * float("nan"), "the loss"),
    "infinite": (lambda loss: loss * float("inf"), "the loss"),
    "nan without a gradient": (lambda loss: loss + float("nan"), "the loss"),
    "a gradient that is none": (lambda loss: loss + (loss * 0).sqrt(), "the gradient"),
}


CASES = [(stage, name) for stage in ("denoise", "pretrain", "finetune") for name in BAD]


@pytest.mark.parametrize("stage, name", [case for case in CASES if case[0] == "pretrain" or case[1] == "nan"])
def test_stops_before_the_step(stage, name, bert_folder, corpus, tmp_path, with_trainer):
    change, what = BAD[name]
    out = tmp_path / "out"
    message = with_trainer(loss_becomes(change), stage, bert_folder, corpus, out, **EACH_STEP)
    assert f"diverged: {what} is not finite at step 3, in a batch with the documents " in message
    assert f"{out / 'checkpoint-2'} was written before and is whole. The same command would" in message
    assert (
        "point: lower --learning_rate (now 0.001), or leave these documents out, with another --output_dir." in message
    )
    assert last_checkpoint(str(out)) == str(out / "checkpoint-2")
    assert not (out / "model.safetensors").exists() and not (out / "README.md").exists()
    run(stage, bert_folder, corpus, out, **EACH_STEP)  # nothing spoils it this time
    run(stage, bert_folder, corpus, tmp_path / "whole", **EACH_STEP)
    assert same_weights(weights(out), weights(tmp_path / "whole"))


def load_titles(path):
    return [document.title for document in read_documents(path)]


@pytest.mark.parametrize("batch", [0, 2])
def test_names_the_accumulated_batch(batch, bert_folder, corpus, tmp_path, with_trainer, trainers):
    options = {**EACH_STEP, "gradient_accumulation_steps": 3, "per_device_train_batch_size": 2}
    seen = []

    def record(trainer):
        loss_becomes(lambda loss: loss * float("nan"), step=0, batch=batch)(trainer)
        step = trainer.training_step

        def training_step(model, inputs, *args):
            seen.append(inputs["keys"].tolist())
            return step(model, inputs, *args)

        trainer.training_step = training_step

    message = with_trainer(record, "denoise", bert_folder, corpus, tmp_path, **options)
    documents = load_corpus(str(corpus / "silver.json"))
    assert len(seen) == 3 and len(set(seen[batch])) == 2
    assert f"in a batch with {name_documents(seen[batch], documents)}. No checkpoint was written." in message


@pytest.mark.parametrize("stage, file", [("denoise", "silver.json"), ("finetune", "gold_train.json")])
def test_names_the_one_document_to_blame(stage, file, bert_folder, corpus, tmp_path, with_trainer):
    """A weight that one document of the batch alone meets."""
    guilty = []

    def spoil_a_token(trainer):
        rows = [np.unique(row["input_ids"]) for row in trainer.train_dataset]
        counts = Counter(np.concatenate(rows).tolist())
        row, token = next((i, t) for i, tokens in enumerate(rows) for t in tokens.tolist() if counts[t] == 1)
        guilty.append(trainer.train_dataset[row]["key"])

        class Spoil(TrainerCallback):
            def on_step_begin(self, args, state, control, model, **kwargs):
                if state.global_step == 1:
                    with torch.no_grad():
                        model.get_input_embeddings().weight[token] = float("nan")

        trainer.add_callback(Spoil())

    options = {**EACH_STEP, "per_device_train_batch_size": 14}
    message = with_trainer(spoil_a_token, stage, bert_folder, corpus, tmp_path, **options)
    name = name_documents([int(guilty[0])], load_corpus(str(corpus / file)))
    assert name.startswith('the document "')
    assert f"the loss is not finite at step 2, in a batch with {name}. " in message


def test_weights_that_are_not_finite_are_not_saved(bert_folder, corpus, tmp_path, with_trainer):
    """The last step of all, and one before a checkpoint, have no loss behind them that would tell."""

    class Spoil(TrainerCallback):
        def on_step_end(self, args, state, control, model, **kwargs):
            if state.global_step == 2:
                with torch.no_grad():
                    next(model.parameters())[0] = float("inf")

    for name, options in (("saved", {}), ("last", {"save_strategy": "no", "max_steps": 2})):
        message = with_trainer(lambda trainer: trainer.add_callback(Spoil()), "pretrain", bert_folder, corpus,
                               tmp_path / name, **{**EACH_STEP, **options})  # fmt: skip
        assert "weights are not finite after step 2. " in message
    assert last_checkpoint(str(tmp_path / "saved")) == str(tmp_path / "saved" / "checkpoint-1")
    assert not (tmp_path / "saved" / "checkpoint-2").exists()


def test_half_precision_is_named_first(bert_folder, corpus, tmp_path, with_trainer):
    message = with_trainer(loss_becomes(BAD["nan"][0]), "pretrain", bert_folder, corpus, tmp_path, "--bf16",
                           **EACH_STEP)  # fmt: skip
    assert "to the same point: go on from it with --bf16 false, or lower --learning_rate" in message
    run("pretrain", bert_folder, corpus, tmp_path, "--bf16", "false", **EACH_STEP)


class Scaler:
    """Stands for the gradient scaler of fp16, which a CPU does not need."""


def test_gradients_of_fp16_may_overflow(bert_folder, corpus, tmp_path, with_trainer, monkeypatch):
    overflow = loss_becomes(BAD["a gradient that is none"][0], step=3)

    def change(trainer):
        overflow(trainer)
        check = trainer.check_step

        def scaled(model):
            trainer.accelerator.scaler = Scaler()
            try:
                check(model)
            finally:
                trainer.accelerator.scaler = None

        trainer.check_step = scaled

    # Only here does no scaler skip the step: so the weights tell at the end.
    message = with_trainer(change, "pretrain", bert_folder, corpus, tmp_path, **{**EACH_STEP, "save_strategy": "no"})
    assert "weights are not finite after step 4" in message


def test_names_of_documents(corpus):
    documents = load_corpus(str(corpus / "silver.json"))
    keys = np.asarray(documents["key"]).tolist()
    titles = load_titles(corpus / "silver.json")
    assert name_documents([], documents) == ""
    assert name_documents(keys[3:4] * 2, documents) == f'the document "{titles[3]}"'
    assert name_documents(keys[:2], documents) == f'the documents "{titles[0]}", "{titles[1]}"'
    assert name_documents(keys[:12], documents).endswith(f'"{titles[4]}" and 7 more')
    assert name_documents(keys[:1], None) == f"the document with the key {keys[0]}"
    assert name_documents(keys[:2], None) == f"the documents with the keys {keys[0]}, {keys[1]}"


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_all_processes_end_with_one_sentence(processes, bert_folder, corpus, tmp_path):
    """The loss is NaN in the first process only."""
    options = {**EACH_STEP, "per_device_train_batch_size": 4 // processes}
    words = arguments("pretrain", bert_folder, corpus, tmp_path, **options)
    status = {1: 2, 2: 1}[processes]  # of the script; of the launcher
    printed = hit_at("in the loss", words, "NAN", "pretrain", 2, processes, status=status)
    assert (
        printed.count("error: Training has diverged: the loss is not finite at step 3, in a batch with") == processes
    )
    assert last_checkpoint(str(tmp_path)) == str(tmp_path / "checkpoint-2")
    assert "Watchdog" not in printed and "RuntimeError" not in printed
