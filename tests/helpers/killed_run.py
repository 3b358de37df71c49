"""A stage that meets something at one moment: `killed_run.py STAGE WHAT MOMENT STEP ARGUMENTS`.

Not a test: tests/test_survival.py and others start it in processes of their own. Of several processes, the first one
is hit. Moments without a step of their own come when so many steps are done. WHAT is `SIGKILL`, `SIGTERM`, or a
number: from then on files longer than so many bytes cannot be written, as on a disk that is full.
"""

import os
import resource
import shutil
import signal
import sys
from pathlib import Path


sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
from transformers import PreTrainedTokenizerBase, Trainer

from finecl_hf.denoising.recorder import TABLE, LearningOrderCallback
from finecl_hf.extraction.trainer import FinetuneTrainer
from finecl_hf.pretraining.trainer import PretrainTrainer
from finecl_hf.training.arguments import run_script
from finecl_hf.training.trainer import FineCLTrainer
from tests.helpers.script_runs import MAIN


def kill_if(happens):
    if not happens or os.environ.get("RANK", "0") != "0":
        return
    what = sys.argv[2]
    if what.isdigit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(what), resource.RLIM_INFINITY))
    else:
        os.kill(os.getpid(), signal.Signals[what])


def before(owner, name, happens):
    function = getattr(owner, name)

    def wrapper(*args, **kwargs):
        kill_if(happens(*args))
        return function(*args, **kwargs)

    setattr(owner, name, wrapper)


def after(owner, name, happens):
    function = getattr(owner, name)

    def wrapper(*args, **kwargs):
        result = function(*args, **kwargs)
        kill_if(happens(*args))
        return result

    setattr(owner, name, wrapper)


def closed(epochs):
    """Whether the callback has closed so many epochs."""
    return lambda callback, *args: callback.order.num_epochs == epochs


def at(step):
    """Whether a trainer has done so many steps."""
    return lambda trainer, *args: trainer.state.global_step == step


def anyway(*args):
    return True


def half_way_through_the_final_model(step):
    save = Trainer._save

    def wrapper(trainer, output_dir=None, state_dict=None):
        if Path(output_dir or trainer.args.output_dir) == Path(trainer.args.output_dir):
            save(trainer, output_dir, state_dict)
            for path in Path(trainer.args.output_dir).glob("*model.safetensors"):
                path.write_bytes(path.read_bytes()[:1000])
            kill_if(True)
        save(trainer, output_dir, state_dict)

    Trainer._save = wrapper


def half_way_through_a_removal(step):
    def rmtree(path, *args, **kwargs):
        for file in sorted(Path(path).iterdir())[::2]:
            file.unlink()
        kill_if(True)

    shutil.rmtree = rmtree


def loss_is_nan(step):
    compute_loss = PretrainTrainer.compute_loss

    def wrapper(trainer, *args, **kwargs):
        loss = compute_loss(trainer, *args, **kwargs)
        return loss * float("nan") if at(step)(trainer) and os.environ.get("RANK", "0") == "0" else loss

    PretrainTrainer.compute_loss = wrapper


MOMENTS = {
    "in a step": lambda step: after(Trainer, "training_step", at(step)),
    "in gradient accumulation": lambda step: after(
        Trainer, "training_step",
        lambda trainer, *args: at(step)(trainer) and not trainer.accelerator.sync_gradients,
    ),
    "before the model of a checkpoint": lambda step: before(Trainer, "_save", at(step)),
    "before the tokenizer of a checkpoint": lambda step: before(PreTrainedTokenizerBase, "save_pretrained", anyway),
    "before the optimizer of a checkpoint": lambda step: before(Trainer, "_save_optimizer_and_scheduler", at(step)),
    "before the state of a checkpoint": lambda step: after(Trainer, "_save_rng_state", at(step)),
    "while an old checkpoint is removed": half_way_through_a_removal,
    "while evaluating": lambda step: before(FinetuneTrainer, "_score", at(step)),
    "while the final model is written": half_way_through_the_final_model,
    "before the card": lambda step: before(FineCLTrainer, "create_model_card", at(step)),
}  # fmt: skip

# An epoch has 4 steps
STAGE_1 = {
    "before an epoch is closed": lambda step: before(LearningOrderCallback, "_close_epoch", closed(1)),
    "when an epoch is closed": lambda step: after(LearningOrderCallback, "_close_epoch", closed(2)),
    "before the table is replaced": lambda step: before(
        os, "replace", lambda source, target: Path(target).name == TABLE and Path(target).exists()
    ),
    "before the table of a checkpoint": lambda step: before(LearningOrderCallback, "_save_table", closed(1)),
    "before the running epoch of a checkpoint": lambda step: before(
        np, "savez", lambda path, **arrays: path.parent.name == f"checkpoint-{step}"
    ),
}


if __name__ == "__main__":
    stage, _, moment, step, *words = sys.argv[1:]
    {**MOMENTS, **STAGE_1, "in the loss": loss_is_nan}[moment](int(step))
    run_script(lambda: MAIN[stage](words))
