"""Several runs that differ in their seed only: `--seeds 1,2,3` of stage 3."""

from __future__ import annotations

import gc
import json
import logging
import os
import statistics
import sys
from collections.abc import Callable
from typing import Any

from finecl_hf.errors import FineCLError
from finecl_hf.extraction.arguments import FinetuneArguments, lower_is_better, seed_list


logger = logging.getLogger(__name__)

SUMMARY = "seeds.json"
_TIMES = ("_runtime", "_per_second", "_threshold", "epoch")  # of no use as a mean


def run_seeds(
    main: Callable[[list[str]], dict[str, float]], argv: list[str] | None, args: FinetuneArguments
) -> dict[str, Any]:
    """Runs a script once for each seed, in a folder of its own, and writes what came out to `seeds.json`.

    Started again, each run goes on from its last checkpoint. All read the same cached features.

    Args:
        main: the script; called with its command line, it returns its figures.
        argv: the command line; that of this process if None.

    Returns:
        as in the file: each run's figures, their mean and their standard deviation (of a sample; None of one run).

    Raises:
        FineCLError: what is asked for belongs to a single run.
    """
    _refuse_single_runs(args)
    argv = sys.argv[1:] if argv is None else argv
    runs: dict[int, dict[str, float]] = {}
    for seed in seed_list(args.seeds):
        folder = os.path.join(args.output_dir, f"seed-{seed}")
        figures = main([*argv, "--seeds", "", "--seed", str(seed), "--output_dir", folder])
        runs[seed] = {name: value for name, value in figures.items() if not name.endswith(_TIMES)}
        summary = summarise(runs, args.metric_for_best_model or "f1")
        if args.process_index == 0:  # after each: whoever stops it has what there is
            with open(os.path.join(args.output_dir, SUMMARY), "w", encoding="utf-8") as file:
                json.dump(summary, file, indent=2)
        gc.collect()  # model and optimiser of the last run
    for line in lines_of(summary):
        logger.info("%s", line)
    return summary


def summarise(runs: dict[int, dict[str, float]], best_by: str = "f1") -> dict[str, Any]:
    """Mean and standard deviation of figures over runs.

    Args:
        runs: figures by seed.
        best_by: figure of the validation set by which a run is called the best.
    """
    names = [name for name in next(iter(runs.values())) if all(name in run for run in runs.values())]
    columns = {name: [run[name] for run in runs.values()] for name in names}
    best = f"eval_{best_by.removeprefix('eval_')}"
    better = min if lower_is_better(best_by) else max
    return {
        "seeds": list(runs),
        "mean": {name: statistics.fmean(values) for name, values in columns.items()},
        "standard_deviation": {
            name: statistics.stdev(values) if len(values) > 1 else None for name, values in columns.items()
        },
        "best_on_validation": better(runs, key=lambda seed: runs[seed][best]) if best in columns else None,
        "runs": {str(seed): figures for seed, figures in runs.items()},
    }


def lines_of(summary: dict[str, Any]) -> list[str]:
    """`test_f1: 0.543 +- 0.004 over 3 seeds (0.540, 0.542, 0.547)`, for each F1."""
    lines = []
    for name, mean in summary["mean"].items():
        if not name.endswith("f1"):
            continue
        values = ", ".join(f"{run[name]:.4f}" for run in summary["runs"].values())
        spread = summary["standard_deviation"][name]
        after = f" +- {spread:.4f}" if spread is not None else ""
        lines.append(f"{name}: {mean:.4f}{after} over {len(summary['seeds'])} seeds ({values})")
    return lines


def _refuse_single_runs(args: FinetuneArguments) -> None:
    if not args.do_train:
        raise FineCLError("--seeds: nothing is trained, so that seeds change nothing; leave it away.")
    if args.push_to_hub:
        raise FineCLError(
            "--seeds and --push_to_hub exclude each other; push one of the runs, with its --seed and its --output_dir."
        )
    if str(args.resume_from_checkpoint).lower() not in ("none", "true", "false"):
        raise FineCLError(
            "--seeds and --resume_from_checkpoint with a folder exclude each other; each run goes on from its own."
        )
