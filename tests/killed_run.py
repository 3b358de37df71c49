"""Stage 1, killed at one moment, as a machine that fails would do it: `killed_run.py MOMENT ARGUMENTS`.

Not a test: tests/test_survival.py starts it in processes of its own. Of several processes, the first one is killed.
"""

import os
import signal
import sys
from pathlib import Path


sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
from transformers import Trainer

import run_denoise
from finecl_hf.arguments import run_script
from finecl_hf.callbacks import TABLE, LearningOrderCallback


def kill_if(happens):
    if happens and os.environ.get("RANK", "0") == "0":
        os.kill(os.getpid(), signal.SIGKILL)


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


# An epoch has 4 steps
MOMENTS = {
    "in a step": lambda: after(Trainer, "training_step", lambda trainer, *args: trainer.state.global_step == 6),
    "before an epoch is closed": lambda: before(LearningOrderCallback, "_close_epoch", closed(1)),
    "when an epoch is closed": lambda: after(LearningOrderCallback, "_close_epoch", closed(2)),
    "before the table is replaced": lambda: before(
        os, "replace", lambda source, target: Path(target).name == TABLE and Path(target).exists()
    ),
    "before the table of a checkpoint": lambda: before(LearningOrderCallback, "_save_table", closed(1)),
    "before the running epoch of a checkpoint": lambda: before(
        np, "savez", lambda path, **arrays: path.parent.name == "checkpoint-7"
    ),
    "before the state of a checkpoint": lambda: after(
        Trainer, "_save_rng_state", lambda trainer, folder: trainer.state.global_step == 7
    ),
}


if __name__ == "__main__":
    MOMENTS[sys.argv[1]]()
    run_script(lambda: run_denoise.main(sys.argv[2:]))
