"""Interrupted runs go on exactly where they stopped, and from no checkpoint but their own."""

import json
import shutil
from contextlib import nullcontext

import pytest
import torch
from transformers import TrainerCallback, TrainingArguments

from finecl_hf import FineCLConfig, LearningOrder
from finecl_hf.denoising.recorder import RUNNING_EPOCH, TABLE
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.arguments import FinetuneArguments
from finecl_hf.extraction.configuration import FITTED
from finecl_hf.training.checkpoints import (
    checkpoint_to_resume,
    last_checkpoint,
    refuse_another_run,
    refuse_longer_run,
)
from tests.helpers.script_runs import run, same_weights, weights, when_built
from tests.helpers.tiny_models import build_bert


class Interruption(Exception):
    """Stands for the end of a process."""


class Interrupt(TrainerCallback):
    """Stops a run behind a step: politely, with a checkpoint, or in the middle of everything."""

    def __init__(self, step, how):
        self.step, self.how = step, how

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step and self.how == "stop":
            control.should_training_stop = control.should_save = True

    def on_substep_end(self, args, state, control, **kwargs):
        if state.global_step == self.step and self.how == "kill":
            raise Interruption

    def on_step_begin(self, args, state, control, **kwargs):
        self.on_substep_end(args, state, control)


def interrupted(monkeypatch, step, how, stage, *args, **options):
    """Runs a script up to an interruption, then again from its checkpoint."""
    with monkeypatch.context() as patched:
        when_built(patched, lambda trainer: trainer.add_callback(Interrupt(step, how)))
        try:
            run(stage, *args, **options)
        except Interruption:
            pass
    return run(stage, *args, **options)


# An epoch of stage 1 has 4 batches, hence 4 steps, or 2 with gradient accumulation.
STEPS = {"save_strategy": "steps", "save_steps": 1, "num_train_epochs": 2}
DENOISE = {
    "mid-epoch, stopped": (2, "stop", {"save_strategy": "epoch", "num_train_epochs": 2}),
    "mid-epoch, killed": (6, "kill", STEPS),
    "edge, stopped": (4, "stop", STEPS),
    "edge, killed before the epoch ended": (4, "kill", STEPS),
    "edge, killed in the next epoch": (4, "kill", {"save_strategy": "epoch", "num_train_epochs": 2}),
    "accumulation": (3, "stop", {**STEPS, "gradient_accumulation_steps": 2}),
    "max_steps in an epoch": (5, "stop", {**STEPS, "max_steps": 7}),
    "epoch mode, mid-epoch": (6, "stop", {**STEPS, "order_mode": "epoch"}),
    "epoch mode, edge": (4, "kill", {**STEPS, "order_mode": "epoch"}),
}


FAST = {"mid-epoch, killed", "epoch mode, mid-epoch"}


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[pytest.mark.slow] * (case not in FAST)) for case in DENOISE]
)
def test_denoising_resumes_exactly(case, bert_folder, corpus, tmp_path, monkeypatch):
    step, how, options = DENOISE[case]
    whole = run("denoise", bert_folder, corpus, tmp_path / "whole", **options)
    resumed = interrupted(monkeypatch, step, how, "denoise", bert_folder, corpus, tmp_path / "resumed", **options)
    assert resumed.to_table().equals(whole.to_table())
    assert whole.num_epochs == 2
    for name in ("whole", "resumed"):
        assert LearningOrder.read(tmp_path / name / "learning_order.parquet").to_table().equals(whole.to_table())
    assert same_weights(weights(tmp_path / "whole"), weights(tmp_path / "resumed"))


@pytest.mark.parametrize(
    "step, how, accumulation",
    [pytest.param(2, "stop", 1, marks=pytest.mark.slow), (3, "kill", 1), (2, "stop", 2)],
)
def test_pretraining_resumes_exactly(step, how, accumulation, bert_folder, corpus, order_file, tmp_path, monkeypatch):
    options = {"learning_order": order_file, "max_steps": 8, "save_steps": 1, "logging_steps": 1}
    options |= {"gradient_accumulation_steps": accumulation}
    run("pretrain", bert_folder, corpus, tmp_path / "whole", **options)
    interrupted(monkeypatch, step, how, "pretrain", bert_folder, corpus, tmp_path / "resumed", **options)
    assert same_weights(weights(tmp_path / "whole"), weights(tmp_path / "resumed"))
    logs = [json.loads((tmp_path / name / "trainer_state.json").read_text()) for name in ("whole", "resumed")]
    losses = [[entry["loss_rd"] for entry in log["log_history"] if "loss_rd" in entry] for log in logs]
    assert len(losses[0]) == 8 and losses[0] == losses[1]


@pytest.mark.parametrize(
    "step, how, flags",
    [(2, "stop", []), pytest.param(3, "kill", [], marks=pytest.mark.slow), (4, "kill", ["--use_lora"])],
)
def test_fine_tuning_resumes_exactly(step, how, flags, bert_folder, corpus, tmp_path, monkeypatch):
    options = {"save_strategy": "steps", "save_steps": 1, "eval_strategy": "epoch", "na_ratio": 2.0}
    options |= {"num_train_epochs": 3, "validation_file": corpus / "gold_validation.json"}
    names = ("whole", "resumed")
    whole = run("finetune", bert_folder, corpus, tmp_path / names[0], *flags, **options)
    resumed = interrupted(
        monkeypatch, step, how, "finetune", bert_folder, corpus, tmp_path / names[1], *flags, **options
    )
    assert same_weights(*(weights(tmp_path / name) for name in names))
    timeless = [{name: value for name, value in r.items() if "second" not in name and "runtime" not in name}
                for r in (whole, resumed)]  # fmt: skip
    assert timeless[0] == timeless[1]


PARTS = ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "finecl_run.json", "trainer_state.json")


def make_checkpoint(folder, *lacking):
    folder.mkdir()
    for part in set(PARTS) - {*lacking}:
        (folder / part).write_text("{}")


def test_incomplete_checkpoints_are_named_and_ignored(tmp_path, caplog):
    assert last_checkpoint(str(tmp_path / "nowhere")) is None
    for name in ("checkpoint-9", "checkpoint-10", "checkpoint-best", "tmp-checkpoint-200"):
        make_checkpoint(tmp_path / name)
    make_checkpoint(tmp_path / "checkpoint-100", "trainer_state.json")
    assert last_checkpoint(str(tmp_path)) == str(tmp_path / "checkpoint-10")
    assert f"{tmp_path / 'checkpoint-100'} is incomplete" in caplog.text


@pytest.mark.parametrize("part", PARTS[1:-1])
def test_a_checkpoint_that_lacks_a_part_is_passed_over(part, tmp_path, caplog):
    make_checkpoint(tmp_path / "checkpoint-2", part)
    with pytest.raises(FineCLError, match=f"lacks {part}"):
        last_checkpoint(str(tmp_path))
    make_checkpoint(tmp_path / "checkpoint-1")
    assert last_checkpoint(str(tmp_path)) == str(tmp_path / "checkpoint-1")
    assert f"lacks {part}" in caplog.text
    args = FinetuneArguments(str(tmp_path), resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    with pytest.raises(FineCLError, match=f"lacks {part}"):
        checkpoint_to_resume(args)


@pytest.mark.parametrize("stage", ["denoise", "pretrain", "finetune"])
@pytest.mark.parametrize("part", PARTS[:-2])
@pytest.mark.parametrize("damage", ["cut", "other"])
def test_a_damaged_part_is_a_sentence(stage, part, damage, checkpointed, tmp_path, corpus, bert_folder):
    shutil.copytree(checkpointed(stage), tmp_path / "out")
    path = tmp_path / "out" / "checkpoint-4" / part
    if damage == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        torch.save({"other": torch.zeros(3)}, path)
    options = {"save_strategy": "steps", "save_steps": 4, "max_steps": 6}
    with pytest.raises(FineCLError, match="checkpoint-4.*damaged"):
        run(stage, bert_folder, corpus, tmp_path / "out", **options)


FOUR_STEPS = {"save_strategy": "steps", "save_steps": 4, "max_steps": 4}


@pytest.fixture(scope="module")
def checkpointed(tmp_path_factory, bert_folder, corpus):
    """Makes the folder of a stage's run of 4 steps, once."""
    folder = tmp_path_factory.mktemp("checkpointed")

    def make(stage):
        if not (folder / stage).exists():
            run(stage, bert_folder, corpus, folder / stage, **FOUR_STEPS)
        return folder / stage

    return make


@pytest.mark.parametrize("lora", [[], ["--use_lora"]], ids=["full", "adapter"])
def test_the_threshold_belongs_to_the_weights(lora, bert_folder, corpus, tmp_path, trainers):
    """That of the best checkpoint is restored with it, and that of the last one with a resumed run."""
    options = {"eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps", "save_steps": 1, "max_steps": 3}
    options |= {"validation_file": corpus / "gold_validation.json", "save_total_limit": 9, "learning_rate": 3e-2}
    flags = [*lora, "--load_best_model_at_end", "true", "--metric_for_best_model", "loss"]
    run("finetune", bert_folder, corpus, tmp_path, *flags, **options)
    trainer = trainers[0]
    best = FineCLConfig.from_pretrained(trainer.state.best_model_checkpoint).threshold
    thresholds = {FineCLConfig.from_pretrained(folder).threshold for folder in tmp_path.glob("checkpoint-*")}
    assert len(thresholds) == 3
    assert FineCLConfig.from_pretrained(tmp_path).threshold == best

    trainer.relation_model.config.threshold = trainer.relation_model.config.temperature = 123.0
    trainer.restore(str(tmp_path / "checkpoint-3"))
    for name in FITTED:
        saved = getattr(FineCLConfig.from_pretrained(tmp_path / "checkpoint-3"), name)
        assert getattr(trainer.relation_model.config, name) == saved


def test_going_on_from_nothing_is_a_sentence(bert_folder, corpus, tmp_path, trainers):
    run("finetune", bert_folder, corpus, tmp_path / "out", "--save_strategy", "no", max_steps=1)
    with pytest.raises(FineCLError, match="no checkpoint"):
        trainers[0].train(resume_from_checkpoint=True)
    with pytest.raises(FineCLError, match="no whole checkpoint"):
        trainers[0].train(resume_from_checkpoint=str(tmp_path / "nowhere"))
    with pytest.raises(FineCLError, match="no such folder"):
        run("finetune", bert_folder, corpus, tmp_path / "out", resume_from_checkpoint=tmp_path / "nowhere")


def test_a_run_goes_on_from_the_newest_complete_checkpoint(bert_folder, corpus, tmp_path):
    options = {**STEPS, "num_train_epochs": 3, "save_total_limit": 20}
    whole = run("denoise", bert_folder, corpus, tmp_path / "a", **options)
    shutil.copytree(tmp_path / "a", tmp_path / "b", ignore=lambda _, names: {f"checkpoint-{n}" for n in (10, 11, 12)})
    (tmp_path / "b" / "checkpoint-9" / "trainer_state.json").unlink()
    resumed = run("denoise", bert_folder, corpus, tmp_path / "b", **options)
    assert resumed.to_table().equals(whole.to_table())
    assert same_weights(weights(tmp_path / "a"), weights(tmp_path / "b"))


def test_incomplete_checkpoints_do_not_push_complete_ones_out(bert_folder, corpus, tmp_path):
    """The Trainer keeps the newest checkpoints, whole or not: with a limit of one, nothing would be left."""
    options = {**STEPS, "save_total_limit": 1}
    run("denoise", bert_folder, corpus, tmp_path, **{**options, "num_train_epochs": 1})
    (tmp_path / "checkpoint-99").mkdir()
    (tmp_path / "checkpoint-99" / "model.safetensors").write_bytes(b"half")
    run("denoise", bert_folder, corpus, tmp_path, **options)
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-8"]
    assert last_checkpoint(str(tmp_path)) == str(tmp_path / "checkpoint-8")


def test_a_finished_run_is_not_repeated(bert_folder, corpus, tmp_path, trainers):
    whole = run("denoise", bert_folder, corpus, tmp_path)
    again = run("denoise", bert_folder, corpus, tmp_path)
    assert trainers[1].state.global_step == trainers[0].state.global_step
    assert again.to_table().equals(whole.to_table())


@pytest.mark.parametrize("stage", ["denoise", "pretrain"])
def test_a_run_that_ended_in_an_epoch_is_not_made_longer(stage, bert_folder, corpus, tmp_path, trainers):
    """Started again, the Trainer by itself would take one step more."""
    options = {"max_steps": 3, "save_strategy": "steps", "save_steps": 1}
    run(stage, bert_folder, corpus, tmp_path, **options)
    before = weights(tmp_path)
    (tmp_path / "model.safetensors").unlink()  # killed before it was written
    run(stage, bert_folder, corpus, tmp_path, **options)
    assert trainers[1].state.global_step == 3
    assert same_weights(weights(tmp_path), before)
    assert not (tmp_path / "checkpoint-4").exists()


def test_a_checkpoint_of_another_corpus_is_refused(bert_folder, corpus, checkpointed):
    options = {**FOUR_STEPS, "train_file": corpus / "gold_train.json"}
    with pytest.raises(FineCLError, match="belongs to another run.*--output_dir"):
        run("denoise", bert_folder, corpus, checkpointed("denoise"), **options)


CHANGES = {
    "learning_rate": (3e-4, r"--learning_rate \(0.001, now 0.0003\) changed"),
    "loss": ("bce", r"--loss \(adaptive_threshold, now bce\) changed"),
    "lora_r": (4, r"--lora_r \(16, now 4\) changed"),
    "train_file": ("gold_test.json", ": the tokenised training documents or their weights changed"),
    "entity_markers": ("asterisk", ": the tokenised training documents or their weights changed"),
    "rel_info": (None, "the label set.* changed"),
    "model_name_or_path": ("other", "the encoder changed"),
    "attention_dropout": (0, "the encoder's dropout changed"),
    "max_seq_length": (40, ": the tokenised training documents or their weights changed"),  # other windows
    "max_grad_norm": (0.1, r"--max_grad_norm \(1.0, now 0.1\) changed"),
    "lr_scheduler_type": ("cosine", r"--lr_scheduler_type \(.* changed"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_checkpoint_of_another_run_is_refused(name, bert_folder, corpus, tmp_path, checkpointed):
    value, message = CHANGES[name]
    if name == "train_file":
        value = corpus / value
    if name == "rel_info":
        names = json.loads((corpus / "rel_info.json").read_text())
        value = tmp_path / "names.json"
        value.write_text(json.dumps({**names, "P_more": "one more"}))
    if name == "model_name_or_path":
        value = build_bert(tmp_path / "other", seed=1)
    with pytest.raises(FineCLError, match=f"belongs to another run.*{message}.*another --output_dir"):
        run("finetune", bert_folder, corpus, checkpointed("finetune"), **{**FOUR_STEPS, name: value})


@pytest.mark.parametrize("strategy", ["epoch", "no"])
def test_validation_documents_belong_to_a_run_whose_checkpoint_they_choose(strategy, bert_folder, corpus, tmp_path):
    options = {"num_train_epochs": 1, "save_strategy": "epoch", "eval_strategy": strategy}
    run("finetune", bert_folder, corpus, tmp_path, validation_file=corpus / "gold_validation.json", **options)
    refused = pytest.raises(FineCLError, match="belongs to another run.*validation documents changed")
    with refused if strategy == "epoch" else nullcontext():
        run("finetune", bert_folder, corpus, tmp_path, validation_file=corpus / "gold_test.json", **options)


def test_labels_that_changed_in_part_are_another_run(bert_folder, corpus, tmp_path, checkpointed):
    """Tokens and relations are the same: heads and tails change places, or evidence is gone."""
    for change in (lambda fact: {**fact, "h": fact["t"], "t": fact["h"]}, lambda fact: {**fact, "evidence": []}):
        documents = json.loads((corpus / "gold_train.json").read_text())
        for document in documents:
            document["labels"] = [change(fact) for fact in document["labels"]]
        (tmp_path / "other.json").write_text(json.dumps(documents))
        with pytest.raises(FineCLError, match="training documents or their weights changed"):
            other = {**FOUR_STEPS, "train_file": tmp_path / "other.json"}
            run("finetune", bert_folder, corpus, checkpointed("finetune"), **other)


@pytest.mark.parametrize("text", ["", '{"--seed": ', "[]", "null"])
def test_a_damaged_note_of_the_run_is_a_sentence(text, tmp_path):
    (tmp_path / "finecl_run.json").write_text(text)
    with pytest.raises(FineCLError, match="finecl_run.json"):
        refuse_another_run(str(tmp_path), {"--seed": "42"})


def test_a_run_may_be_made_longer(bert_folder, corpus, tmp_path, trainers):
    run("finetune", bert_folder, corpus, tmp_path, num_train_epochs=1)
    run("finetune", bert_folder, corpus, tmp_path, num_train_epochs=2, logging_steps=1)
    assert trainers[1].state.epoch == 2


@pytest.mark.parametrize("text", ["", '{"global_step": 1', "[]", "\x00" * 9])
def test_damaged_checkpoints_are_named_and_ignored(text, tmp_path, caplog):
    for name, content in (("checkpoint-1", "{}"), ("checkpoint-2", text)):
        make_checkpoint(tmp_path / name)
        (tmp_path / name / "trainer_state.json").write_text(content)
    assert last_checkpoint(str(tmp_path)) == str(tmp_path / "checkpoint-1")
    assert f"{tmp_path / 'checkpoint-2'} is incomplete" in caplog.text


@pytest.mark.parametrize(
    "steps, epoch, options, fits",
    [
        (8, 2.0, {"num_train_epochs": 2}, True),
        (9, 2.25, {"num_train_epochs": 2}, False),
        (8, 2.0, {"num_train_epochs": 1}, False),
        (3, 0.6, {"num_train_epochs": 0.5}, True),  # 2.5 of 5 steps an epoch end with the third
        (4, 0.8, {"num_train_epochs": 0.5}, False),
        (1, 0.4, {"num_train_epochs": 0.3}, True),  # 5 batches an epoch, 2 a step
        (2, 0.8, {"num_train_epochs": 0.3}, False),
        (5, 1.25, {"num_train_epochs": 1, "max_steps": 5}, True),
        (5, 1.25, {"num_train_epochs": 9, "max_steps": 4}, False),
    ],
)
def test_a_checkpoint_past_the_end_is_refused(steps, epoch, options, fits, tmp_path):
    (tmp_path / "trainer_state.json").write_text(json.dumps({"global_step": steps, "epoch": epoch}))
    args = TrainingArguments(output_dir=str(tmp_path / "out"), **options)
    if fits:
        return refuse_longer_run(str(tmp_path), args)
    with pytest.raises(FineCLError, match=f"is already {steps} steps .* choose another --output_dir"):
        refuse_longer_run(str(tmp_path), args)


def test_a_run_is_not_made_shorter(bert_folder, corpus, tmp_path):
    run("denoise", bert_folder, corpus, tmp_path)
    with pytest.raises(FineCLError, match=r"checkpoint-8 is already 8 steps \(2 epochs\).*--num_train_epochs 1 asks"):
        run("denoise", bert_folder, corpus, tmp_path, num_train_epochs=1)


@pytest.mark.parametrize("name", [TABLE, RUNNING_EPOCH])
@pytest.mark.parametrize("damage", ["lost", "cut", "other"])
def test_stage_1_s_own_parts_of_a_checkpoint(name, damage, checkpointed, tmp_path, corpus, bert_folder):
    shutil.copytree(checkpointed("denoise"), tmp_path / "out")
    path = tmp_path / "out" / "checkpoint-4" / name
    data = path.read_bytes()
    path.unlink()  # the table is another name for the folder's
    if damage != "lost":
        path.write_bytes(data[: len(data) // 2] if damage == "cut" else b"other")
    with pytest.raises(FineCLError, match="checkpoint-4"):
        run("denoise", bert_folder, corpus, tmp_path / "out", save_strategy="steps", save_steps=4, max_steps=6)
