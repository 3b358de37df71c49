"""What does a step of stage 3 cost beside the bare encoder?

    python benchmarks/finetune_step.py                                       # generated documents, a random encoder
    python benchmarks/finetune_step.py --documents dev_revised.json --model all-MiniLM-L6-v2 --threads 2

As pretrain_step.py; the step includes the paper's head on every entity pair. Further arguments go to run_finetune.py.
"""

from __future__ import annotations

import sys
from pathlib import Path


sys.path.insert(0, str(Path(__file__).parent.parent))

import run_finetune
from benchmarks import step_cost
from benchmarks.running import run_benchmark
from finecl_hf import FinetuneTrainer


def main(argv=None):
    return step_cost.run(step_cost.parser(__doc__, batch_size=8), argv, measure)


def measure(args, further, folder):
    flags = step_cost.flags_of(args, *step_cost.inputs_of(args, folder, part="gold_train"), folder)
    flags["long_documents"] = "truncate"  # the floor knows no windows
    trainer = step_cost.built_trainer(run_finetune.main, FinetuneTrainer, flags, further)
    return step_cost.measure_steps(trainer, trainer.relation_model.encoder, args)


if __name__ == "__main__":
    run_benchmark(main)
