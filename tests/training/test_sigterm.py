"""SIGTERM ends training with a checkpoint, from which the same command gives what an undisturbed run gives."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from transformers import TrainerCallback

from finecl_hf import LearningOrder
from finecl_hf.denoising.recorder import TABLE
from finecl_hf.training.checkpoints import last_checkpoint
from finecl_hf.training.lock import LOCK
from finecl_hf.training.sigterm import EXIT_STATUS, INTERRUPTED, on_sigterm
from tests.helpers.script_runs import ROOT, arguments, run, same_weights, weights, when_built
from tests.helpers.survival_runs import finish, hit_at, start


class Signal(TrainerCallback):
    """Sends SIGTERM to its own process, twice, when so many steps are done and something happens."""

    def __init__(self, event, step):
        self.step = step
        setattr(self, event, self._send)

    def _send(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def signalled(monkeypatch):
    """Runs a script that gets SIGTERM at a moment."""

    def stopped(event, step, *args, **options):
        with monkeypatch.context() as patched:
            when_built(patched, lambda trainer: trainer.add_callback(Signal(event, step)))
            with pytest.raises(SystemExit) as ended:
                run(*args, **options)
        assert ended.value.code == EXIT_STATUS == 143

    return stopped


STEPS, EPOCH = {"save_strategy": "steps", "save_steps": 1}, {"save_strategy": "epoch"}
EVALUATED = {**STEPS, "eval_strategy": "steps", "eval_steps": 1}
NO = {"save_strategy": "no"}
TWO = {"gradient_accumulation_steps": 2}
BEST = {"num_train_epochs": 3, "eval_strategy": "epoch", **EPOCH}
# Where the signal comes, and the step whose checkpoint the run leaves. Stage 1 has 4 steps an epoch, stage 3 has 3.
CASES = {
    "in a step": ("denoise", "on_step_begin", 1, 2, EPOCH),
    "in a step, no checkpoints": ("denoise", "on_step_begin", 5, 6, NO),
    "in the last step of an epoch": ("denoise", "on_step_begin", 3, 4, EPOCH),
    "in the last step of an epoch, saved before": ("denoise", "on_step_begin", 3, 4, STEPS),
    "behind the last step of an epoch": ("denoise", "on_step_end", 4, 4, NO),
    "in the last step": ("denoise", "on_step_begin", 7, 8, STEPS),
    "in the last step, epoch mode": ("denoise", "on_step_begin", 7, 8, {**NO, "order_mode": "epoch"}),
    "while saving": ("denoise", "on_save", 6, 7, STEPS),
    "when an epoch ends": ("denoise", "on_epoch_end", 4, 4, EPOCH),
    "accumulation": ("pretrain", "on_substep_end", 2, 3, {"max_steps": 6, **NO, **TWO}),
    "stage 2": ("pretrain", "on_step_begin", 4, 5, {"max_steps": 6, "save_steps": 2}),
    "before the first step": ("pretrain", "on_train_begin", 0, 1, {"max_steps": 6}),
    "evaluation of an epoch": ("finetune", "on_prediction_step", 3, 3, BEST),
    "evaluation between epochs": ("finetune", "on_prediction_step", 4, 4, EVALUATED),
    "in a step, adapters": ("finetune", "on_step_begin", 4, 5, BEST),
    "in the last step of an epoch, evaluated": ("finetune", "on_step_begin", 5, 6, BEST),
}  # fmt: skip


# One of each stage and each kind of moment in the fast suite.
FAST = {"in a step", "while saving", "stage 2", "evaluation of an epoch", "in a step, adapters"}


@pytest.mark.parametrize("case", [pytest.param(case, marks=[pytest.mark.slow] * (case not in FAST)) for case in CASES])
def test_stopped(case, signalled, bert_folder, corpus, tmp_path, caplog):
    stage, event, step, saved, options = CASES[case]
    flags = ["--use_lora"] if "adapters" in case else []
    if options.get("eval_strategy"):
        options = {**options, "validation_file": corpus / "gold_validation.json"}
        flags += ["--load_best_model_at_end"]
    whole, out = tmp_path / "whole", tmp_path / "out"
    result = run(stage, bert_folder, corpus, whole, *flags, **options)
    signalled(event, step, stage, bert_folder, corpus, out, *flags, **options)
    checkpoint = out / f"checkpoint-{saved}"
    assert f"Stopped by SIGTERM after step {saved}; {checkpoint} is saved, and the same command goes on" in caplog.text
    assert last_checkpoint(str(out)) == str(checkpoint)
    left = {path.name for path in out.iterdir() if not path.name.startswith(("checkpoint-", LOCK))}
    assert left <= {TABLE}  # of the epochs that are closed; no model, no card, no figures
    again = run(stage, bert_folder, corpus, out, *flags, **options)
    assert same_weights(weights(whole), weights(out))
    if stage == "denoise":
        assert again.to_table().equals(result.to_table())
        assert LearningOrder.read(out / TABLE).to_table().equals(result.to_table())
    if stage == "finetune":
        assert [log[-2:] for log in evaluations(whole, out)][0] == evaluations(whole, out)[1][-2:]


def evaluations(*folders):
    """The F1 of each evaluation, by folder."""
    states = [json.loads((folder / "trainer_state.json").read_text()) for folder in folders]
    return [[(entry["step"], entry["eval_f1"]) for entry in state["log_history"] if "eval_f1" in entry]
            for state in states]  # fmt: skip


def test_handlers_of_others_return(signalled, bert_folder, corpus, tmp_path):
    received = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    try:
        signalled("on_step_begin", 1, "pretrain", bert_folder, corpus, tmp_path)
        assert not received
        os.kill(os.getpid(), signal.SIGTERM)
        assert received == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_threads_leave_signals_alone():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work():
        with on_sigterm(lambda number, frame: None):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


OUTSIDE = """
import os, signal, sys, time
sys.path.insert(0, sys.argv[1])
from finecl_hf.training.arguments import run_script
signal.signal(signal.SIGINT, signal.default_int_handler)  # which is ignored where a shell starts the tests with `&`
def main():
    ready, begun = os.pipe()
    if not (child := os.fork()):  # such as a process that tokenises
        os.write(begun, b".")
        signal.pause()
    os.read(ready, 1)
    os.kill(child, signal.SIGTERM)
    _, status = os.waitpid(child, 0)
    print("child", -os.waitstatus_to_exitcode(status), flush=True)
    os.kill(os.getpid(), int(sys.argv[2]))
    while True:
        time.sleep(0.1)  # and not one long pause: where another thread takes the signal, it wakes nobody
run_script(main)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number, status", [(signal.SIGTERM, EXIT_STATUS), (signal.SIGINT, INTERRUPTED)])
def test_outside_training_a_script_just_ends(number, status):
    ended = subprocess.run(
        [sys.executable, "-c", OUTSIDE, str(ROOT), str(int(number))], capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    assert ended.returncode == status
    assert ended.stdout.split() == ["child", str(int(signal.SIGTERM))]  # which ended as ever
    assert ended.stderr.count("\n") == 1 and "same command" in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "stage, moment, step", [("denoise", "in a step", 5), ("pretrain", "in gradient accumulation", 1)]
)
def test_one_of_two_processes_is_signalled(stage, moment, step, bert_folder, corpus, tmp_path):
    """Both stop at the same step."""
    options = {"save_strategy": "no", "per_device_train_batch_size": 2}
    if stage == "pretrain":
        options["gradient_accumulation_steps"] = 2
    whole, words = (arguments(stage, bert_folder, corpus, tmp_path / name, **options) for name in ("whole", "out"))
    finish(f"run_{stage}.py", whole, 2)
    printed = hit_at(moment, words, "SIGTERM", stage, step, processes=2, status=1)  # the launcher's own status
    assert f"Stopped by SIGTERM after step {step + 1}" in printed
    assert (tmp_path / "out" / f"checkpoint-{step + 1}" / "rng_state_1.pth").exists()
    assert not (tmp_path / "out" / "model.safetensors").exists()
    finish(f"run_{stage}.py", words, 2)
    assert same_weights(*(weights(tmp_path / name) for name in ("whole", "out")))


@pytest.mark.slow
def test_the_launcher_is_signalled(bert_folder, corpus, tmp_path):
    options = {"save_strategy": "steps", "save_steps": 5, "per_device_train_batch_size": 2, "max_steps": 4000}
    words = arguments("pretrain", bert_folder, corpus, tmp_path, **options)
    process = start("run_pretrain.py", words, 2)
    while last_checkpoint(str(tmp_path)) is None and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode
    step = int(last_checkpoint(str(tmp_path)).rsplit("-", 1)[1])
    assert printed.count(f"Stopped by SIGTERM after step {step:,}") == 1, printed[-3000:]
