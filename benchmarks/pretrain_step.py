"""What does a step of stage 2 cost beside the bare encoder?

    python benchmarks/pretrain_step.py                                       # generated documents, a random encoder
    python benchmarks/pretrain_step.py --documents dev_revised.json --model all-MiniLM-L6-v2 --threads 2

Times, on the same batches and in turns: fetching and collating documents (relation and entity rows); a training step
(collated batch to gradients, MLM head included, optimiser left out); and the floor, see `step_cost`. `ratio` is step
over floor, `padded_ratio` what the floor saves against rows padded 16 at a time. Medians; the last line is JSON.
Further arguments go to run_pretrain.py, such as `--contrastive_batch_size 64`.
"""

from __future__ import annotations

import sys
from pathlib import Path


sys.path.insert(0, str(Path(__file__).parent.parent))

import run_pretrain
from benchmarks import step_cost
from benchmarks.running import run_benchmark
from finecl_hf import PretrainTrainer


def main(argv=None):
    return step_cost.run(step_cost.parser(__doc__, batch_size=16), argv, measure)


def measure(args, further, folder):
    flags = step_cost.flags_of(args, *step_cost.inputs_of(args, folder), folder)
    trainer = step_cost.built_trainer(
        run_pretrain.main, PretrainTrainer, {**flags, "weight_scheme": "uniform"}, further
    )
    return step_cost.measure_steps(trainer, trainer.model.base_model, args)


if __name__ == "__main__":
    run_benchmark(main)
