"""What codecarbon measured of a run: `--report_to codecarbon` has it write emissions.csv into the output folder."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pandas as pd
from transformers import TrainingArguments


FILE = "emissions.csv"  # codecarbon's name; a row for each training in the folder, the newest last
GRAMS = "co2_eq_grams"


def emissions_of_the_run(args: TrainingArguments) -> dict[str, float]:
    """The emissions of the training that has just ended, as a figure of the run, in grams of CO2 equivalents.

    codecarbon measures one machine. Empty where it was not asked, wrote elsewhere, or several machines took part.
    """
    machines = args.world_size / int(os.environ.get("LOCAL_WORLD_SIZE", args.world_size))
    if "codecarbon" not in args.report_to or machines > 1:
        return {}
    grams = last_emissions(Path(args.output_dir, FILE))
    return {} if grams is None else {GRAMS: grams}


def last_emissions(path: Path) -> float | None:
    """Grams of CO2 equivalents in the last row of codecarbon's file, which has kilograms; None where it has none."""
    try:
        grams = 1000 * float(pd.read_csv(path, usecols=["emissions"])["emissions"].iloc[-1])
    except (OSError, ValueError, IndexError):  # pandas' own errors are among them
        return None
    return grams if math.isfinite(grams) and grams >= 0 else None
