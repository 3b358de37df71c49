"""Stage 2, whose first gradients are kept: `gradient_run.py FILE ARGUMENTS`.

Not a test: tests/pretraining/test_step.py starts it in processes of its own.
"""

import os
import sys
from pathlib import Path


sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from transformers import Trainer

import run_pretrain
from finecl_hf.training.arguments import run_script


training_step = Trainer.training_step


def keep_gradients(trainer, model, *args):
    loss = training_step(trainer, model, *args)
    if os.environ.get("RANK", "0") == "0" and not Path(sys.argv[1]).exists():
        parameters = trainer.accelerator.unwrap_model(model).named_parameters()
        torch.save({name: parameter.grad for name, parameter in parameters}, sys.argv[1])
    return loss


if __name__ == "__main__":
    Trainer.training_step = keep_gradients
    run_script(lambda: run_pretrain.main(sys.argv[2:]))
