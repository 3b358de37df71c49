"""One run of stage 3 in a process of its own, and what it wrote of itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any


SCRIPT = Path(__file__).parent.parent / "run_finetune.py"


def mean_and_spread(values: Sequence[float]) -> list[float]:
    """Mean and standard deviation of a sample, 0 for one value; with four digits."""
    return [round(mean(values), 4), round(stdev(values), 4) if len(values) > 1 else 0.0]


def finetune(flags: dict[str, Any], further: Sequence[str] = ()) -> dict[str, float]:
    """Runs `run_finetune.py`, without checkpoints; its output goes to stderr.

    Args:
        flags: among them output_dir and seed; further: words as they are.

    Returns:
        The figures of the test documents where flags name any, with `epoch_seconds` and `peak_rss_mb`.

    Raises:
        SystemExit: the run failed.
    """
    output = Path(flags["output_dir"])
    words = [f"--{name}={value}" for name, value in {"save_strategy": "no", **flags}.items()]
    process = subprocess.Popen([sys.executable, str(SCRIPT), *words, *further], stdout=sys.stderr)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"The run with seed {flags['seed']} failed; its message stands above.")
    train = json.loads((output / "train_results.json").read_text())
    test = json.loads((output / "test_results.json").read_text()) if "test_file" in flags else {}
    figures = {name.removeprefix("test_"): value for name, value in test.items()}
    figures["epoch_seconds"] = train["train_runtime"] / train["epoch"]
    figures["peak_rss_mb"] = round(usage.ru_maxrss / 1024)
    return figures
