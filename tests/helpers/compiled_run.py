"""A stage's script, compiled for a GPU's attention: `compiled_run.py STAGE ARGUMENTS`; says how often it was compiled.

Not a test: tests/test_compilation.py starts it in processes of its own.
"""

import os
import sys
from pathlib import Path


sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from transformers import Trainer

from finecl_hf.encoding import packing
from finecl_hf.training.arguments import run_script
from tests.helpers.script_runs import MAIN


training_step = Trainer.training_step


def count_graphs(trainer, *args):
    loss = training_step(trainer, *args)
    if os.environ.get("RANK", "0") == "0":
        print("graphs", torch._dynamo.utils.counters["stats"]["unique_graphs"], flush=True)
    return loss


if __name__ == "__main__":
    Trainer.training_step = count_graphs
    packing._attend_one_by_one = packing._attend_padded
    run_script(lambda: MAIN[sys.argv[1]](sys.argv[2:]))
