"""Every stage survives `kill -9`: started again, it gives what a run gives that nothing disturbed."""

import json
import os
import random
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from finecl_hf import LearningOrder, LearningOrderCallback
from finecl_hf.denoising.recorder import TABLE
from tests.helpers.killed_run import MOMENTS, STAGE_1
from tests.helpers.script_runs import arguments, run, same_weights, weights
from tests.helpers.survival_runs import finish, hit_at, start


EACH_STEP = {"save_strategy": "steps", "save_steps": 1}
EACH_EPOCH = {"save_strategy": "epoch"}
CASES = [
    ("in a step", EACH_STEP),
    ("in a step", EACH_EPOCH),  # three steps behind the checkpoint
    ("before an epoch is closed", EACH_STEP),
    ("when an epoch is closed", EACH_EPOCH),  # the table is newer than the checkpoint
    ("before the table is replaced", EACH_EPOCH),
    ("before the table of a checkpoint", EACH_STEP),
    ("before the running epoch of a checkpoint", EACH_STEP),
    ("before the state of a checkpoint", EACH_STEP),
]


def assert_same_order(found, expected, epochs=2):
    order, whole = (LearningOrder.read(folder / TABLE) for folder in (found, expected))
    assert order.num_epochs == epochs
    assert order.to_table().equals(whole.to_table())
    assert same_weights(weights(found), weights(expected))
    assert not [path.name for path in found.iterdir() if path.name.endswith(".tmp")]


@pytest.fixture(scope="module")
def whole(bert_folder, corpus, tmp_path_factory):
    """A run that nothing disturbs, by the number of its processes."""
    runs = {}

    def undisturbed(processes):
        if processes not in runs:
            runs[processes] = tmp_path_factory.mktemp("whole")
            options = {**EACH_STEP, "per_device_train_batch_size": 4 // processes}
            finish("run_denoise.py", arguments("denoise", bert_folder, corpus, runs[processes], **options), processes)
        return runs[processes]

    return undisturbed


def kill_at(moment, words, stage="denoise", step=7, processes=1):
    hit_at(moment, words, "SIGKILL", stage, step, processes)


def test_every_moment_has_a_case():
    assert {moment for moment, _ in CASES} >= set(STAGE_1)
    assert {moment for kills, _, _ in CHAINS.values() for moment, _ in kills} == set(MOMENTS)


@pytest.mark.slow
@pytest.mark.parametrize("moment, options", CASES)
def test_killed(moment, options, bert_folder, corpus, tmp_path, whole):
    words = arguments("denoise", bert_folder, corpus, tmp_path, **options)
    kill_at(moment, words)
    finish("run_denoise.py", words)
    assert_same_order(tmp_path, whole(1))


@pytest.mark.slow
def test_killed_again_and_again(bert_folder, corpus, tmp_path, whole):
    words = arguments("denoise", bert_folder, corpus, tmp_path, **EACH_STEP)
    moments = ("before the table of a checkpoint", "in a step", "before the state of a checkpoint")
    for moment, step in zip(moments, (5, 6, 7), strict=True):
        kill_at(moment, words, step=step)
    finish("run_denoise.py", words)
    assert_same_order(tmp_path, whole(1))


@pytest.mark.slow
@pytest.mark.parametrize("step", [2, 6])
def test_killed_from_outside(step, bert_folder, corpus, tmp_path, whole):
    """Wherever it is while it writes a checkpoint."""
    words = arguments("denoise", bert_folder, corpus, tmp_path, **EACH_STEP)
    process = start("run_denoise.py", words)
    while not (tmp_path / f"checkpoint-{step}").exists() and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    finish("run_denoise.py", words)
    assert_same_order(tmp_path, whole(1))


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment, options",
    [
        ("in a step", EACH_STEP),
        ("when an epoch is closed", EACH_EPOCH),
        ("before the running epoch of a checkpoint", EACH_STEP),
    ],
)
def test_one_of_two_processes_killed(moment, options, bert_folder, corpus, tmp_path, whole):
    words = arguments("denoise", bert_folder, corpus, tmp_path, per_device_train_batch_size=2, **options)
    kill_at(moment, words, processes=2)
    finish("run_denoise.py", words, 2)
    assert_same_order(tmp_path, whole(2))


# Stages 2 and 3: one kill after the other, each of the run that the one before left behind. -----------------------

PRETRAIN = {"max_steps": 8, "gradient_accumulation_steps": 2, "save_steps": 1, "save_total_limit": 1}
FINETUNE = {"num_train_epochs": 3, "eval_strategy": "epoch", "na_ratio": 2.0}  # of 3 steps each
CHAINS = {
    "pretrain": (
        [
            ("in gradient accumulation", 2),
            ("before the model of a checkpoint", 3),
            ("before the optimizer of a checkpoint", 4),
            ("before the tokenizer of a checkpoint", 5),
            ("before the state of a checkpoint", 5),
            ("while an old checkpoint is removed", 6),
            ("in a step", 7),
            ("while the final model is written", 8),
            ("before the card", 8),
        ],
        PRETRAIN,
        [],
    ),
    "pretrain, workers": ([("in a step", 3), ("before the state of a checkpoint", 6)],
                          {**PRETRAIN, "dataloader_num_workers": 2}, []),
    "finetune": (
        [
            ("while evaluating", 2),
            ("in gradient accumulation", 2),
            ("before the optimizer of a checkpoint", 4),
            ("while the final model is written", 6),
        ],
        {**FINETUNE, "save_strategy": "steps", "save_steps": 1, "gradient_accumulation_steps": 2},
        [],
    ),
    "finetune, adapters, best checkpoint": (
        [
            ("in a step", 1),
            ("before the state of a checkpoint", 3),
            ("while evaluating", 6),
            ("before the model of a checkpoint", 6),
            ("in a step", 7),
            ("before the card", 9),
        ],
        {**FINETUNE, "save_strategy": "epoch", "save_total_limit": 1},
        ["--use_lora", "--load_best_model_at_end"],
    ),
}  # fmt: skip


def results(folder):
    """What a run measured, without times."""
    figures = json.loads((folder / "all_results.json").read_text())
    return {name: value for name, value in figures.items() if name.startswith(("eval_", "test_")) and
            not name.endswith(("runtime", "per_second"))}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case, processes", [("pretrain", 2), *((case, 1) for case in CHAINS)])
def test_other_stages_killed_again_and_again(case, processes, bert_folder, corpus, order_file, tmp_path):
    kills, options, flags = CHAINS[case]
    stage = case.split(",")[0]
    if processes == 2:
        kills = [kills[i] for i in (0, 2, 4, 5)]
        options = {**options, "per_device_train_batch_size": 2}
    if stage == "pretrain":
        options = {**options, "learning_order": order_file}
    else:
        files = {f"{split}_file": corpus / f"gold_{split}.json" for split in ("validation", "test")}
        options = {**options, **files}
    command = [arguments(stage, bert_folder, corpus, tmp_path / name, *flags, **options) for name in ("a", "b")]
    finish(f"run_{stage}.py", command[0], processes)
    for moment, step in kills:
        kill_at(moment, command[1], stage, step, processes)
    finish(f"run_{stage}.py", command[1], processes)
    assert same_weights(*(weights(tmp_path / name) for name in ("a", "b")))
    assert results(tmp_path / "b") == results(tmp_path / "a")
    assert (tmp_path / "b" / "README.md").exists()


# Kills at random moments, from outside: six of each run, wherever they hit it.

AT_RANDOM = {
    "denoise": ({**EACH_STEP, "num_train_epochs": 3}, []),
    "denoise, epoch mode": ({**EACH_STEP, "order_mode": "epoch", "num_train_epochs": 3}, []),
    "pretrain": ({**PRETRAIN, "save_total_limit": 2}, []),
    "pretrain, workers": ({**PRETRAIN, "dataloader_num_workers": 2}, []),
    "pretrain, streaming": ({**PRETRAIN, "streaming": "true", "streaming_block": 8}, []),
    "finetune": ({**FINETUNE, **EACH_STEP}, []),
    "finetune, best": (
        {**FINETUNE, **EACH_STEP, "eval_strategy": "steps", "eval_steps": 1},
        ["--load_best_model_at_end"],
    ),
    "finetune, best, one kept": (
        {**FINETUNE, "save_strategy": "epoch", "save_total_limit": 1},
        ["--load_best_model_at_end"],
    ),
    "finetune, adapters": ({**FINETUNE, **EACH_STEP}, ["--use_lora"]),
    "finetune, adapters, best": (
        {**FINETUNE, **EACH_STEP, "eval_strategy": "steps", "eval_steps": 1},
        ["--use_lora", "--load_best_model_at_end"],
    ),
}  # fmt: skip
KILLS = 6


@pytest.mark.slow
@pytest.mark.parametrize("case", AT_RANDOM)
def test_killed_at_random_moments(case, bert_folder, corpus, order_file, tmp_path):
    options, flags = AT_RANDOM[case]
    stage = case.split(",")[0]
    if stage == "pretrain":
        options = {**options, "learning_order": order_file}
    if stage == "finetune":
        options = {**options, **{f"{split}_file": corpus / f"gold_{split}.json" for split in ("validation", "test")}}
    command = [arguments(stage, bert_folder, corpus, tmp_path / name, *flags, **options) for name in ("a", "b")]
    began = time.monotonic()
    finish(f"run_{stage}.py", command[0])
    lasts = time.monotonic() - began
    draw = random.Random(case)
    kills = 0
    while kills < KILLS or not (tmp_path / "b" / "train_results.json").exists():
        process = start(f"run_{stage}.py", command[1])
        try:  # imports take the first third
            output, _ = process.communicate(timeout=draw.uniform(0.35, 0.95) * lasts if kills < KILLS else None)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
            continue
        assert process.returncode == 0, output[-4000:]
        assert_same_run(stage, tmp_path / "b", tmp_path / "a")
        if kills < KILLS:  # it was quicker this time: another one
            shutil.rmtree(tmp_path / "b")
            lasts *= 0.9


def assert_same_run(stage, found, expected):
    """Weights and all that a run found out are the same."""
    assert same_weights(weights(found), weights(expected))
    if stage == "denoise":
        assert_same_order(found, expected, epochs=3)
    if stage == "finetune":
        assert results(found) == results(expected)
        for name in ("config.json", "predictions.json"):
            assert (found / name).read_bytes() == (expected / name).read_bytes(), name


# A checkpoint's table is another name for the output folder's file, where the disk allows. ---------------------


def test_checkpoints_keep_their_table_when_the_next_epoch_is_written(bert_folder, corpus, tmp_path):
    run("denoise", bert_folder, corpus, tmp_path, num_train_epochs=3, save_total_limit=2)
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-12", "checkpoint-8"]
    epochs = [LearningOrder.read(tmp_path / name / TABLE).num_epochs for name in ("checkpoint-8", "checkpoint-12", "")]
    assert epochs == [2, 3, 3]  # and the table outlives the checkpoint that was deleted
    shutil.rmtree(tmp_path / "checkpoint-12")
    assert LearningOrder.read(tmp_path / TABLE).num_epochs == 3


@pytest.mark.parametrize("newer_table", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_an_output_folder_goes_on_elsewhere(newer_table, bert_folder, corpus, tmp_path):
    """A copy without the last checkpoint, with the table of all epochs or without any."""
    run("denoise", bert_folder, corpus, tmp_path / "a", **EACH_EPOCH)
    left_out = ["checkpoint-8", *([] if newer_table else [TABLE])]
    shutil.copytree(tmp_path / "a", tmp_path / "b", ignore=lambda _, names: {*left_out} & {*names})
    before = LearningOrder.read(tmp_path / "a" / "checkpoint-4" / TABLE).to_table()
    shutil.copy(tmp_path / "a" / "checkpoint-4" / TABLE, tmp_path / "b" / "checkpoint-4" / TABLE)
    run("denoise", bert_folder, corpus, tmp_path / "b", **EACH_EPOCH)
    assert_same_order(tmp_path / "b", tmp_path / "a")
    assert LearningOrder.read(tmp_path / "a" / "checkpoint-4" / TABLE).to_table().equals(before)
    assert LearningOrder.read(tmp_path / "b" / "checkpoint-4" / TABLE).to_table().equals(before)


def test_a_finished_run_writes_the_table_that_its_folder_lacks(bert_folder, corpus, tmp_path):
    run("denoise", bert_folder, corpus, tmp_path, **EACH_EPOCH)
    expected = LearningOrder.read(tmp_path / TABLE).to_table()
    for replace in (lambda path: path.unlink(), lambda path: LearningOrder(["stale"]).write(path)):
        replace(tmp_path / TABLE)
        run("denoise", bert_folder, corpus, tmp_path, **EACH_EPOCH)
        assert LearningOrder.read(tmp_path / TABLE).to_table().equals(expected)


@pytest.mark.parametrize("error", [OSError, None])
def test_disks_without_hard_links(error, tmp_path, monkeypatch):
    def refuse(source, target):
        raise OSError("not supported")

    if error:
        monkeypatch.setattr(os, "link", refuse)
    callback = LearningOrderCallback(LearningOrder(list("ab")))
    callback.order.record_epoch(np.ones(2), np.ones(2), [True, False])
    callback._written = str(tmp_path / TABLE)
    callback.order.write(tmp_path / TABLE)
    (tmp_path / "checkpoint-1").mkdir()
    callback.save(tmp_path / "checkpoint-1")
    resumed = LearningOrderCallback(LearningOrder(list("ab")))
    resumed.load(tmp_path / "checkpoint-1")
    assert resumed.order.to_table().equals(callback.order.to_table())
    assert (tmp_path / TABLE).samefile(tmp_path / "checkpoint-1" / TABLE) == (error is None)
