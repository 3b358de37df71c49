"""Learning orders of a corpus's shards as one, on one scale.

A table is a dict of columns, see [`~finecl_hf.learning_order.table.LearningOrder`]. Shapes: N instances, E epochs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.columns import concatenate, first_epochs, take


def merge_columns(tables: list[dict[str, Any]], on_conflict: str = "raise", calibrate: bool = False) -> dict[str, Any]:
    """The rows of several tables, one after the other. Epochs that a table lacks count as not observed.

    Args:
        tables: at least one.
        on_conflict: `raise` leaves ids that occur in two tables for the caller to refuse; `min` keeps the row that was
            learned first.
        calibrate: put the tables on one scale first, see [`calibrated`].

    Raises:
        FineCLError: no table, an unknown `on_conflict`, or tables that cannot be calibrated.
    """
    if not tables or on_conflict not in ("raise", "min"):
        raise FineCLError('merging needs at least one learning order, and on_conflict "raise" or "min".')
    if calibrate:
        tables = calibrated(tables)
    epochs = max(table["correct"].shape[1] for table in tables)
    columns = {name: concatenate([table[name] for table in tables], epochs) for name in tables[0]}
    if on_conflict == "min":
        rows = _earliest_of_each(columns["key"], columns["first_epoch"])
        verdict = _verdict_of_each(columns["key"], columns["verdict"])
        columns = {name: take(column, rows) for name, column in columns.items()}
        columns["verdict"] = verdict[np.argsort(np.argsort(columns["key"]))]
    return columns


def calibrated(tables: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tables with their dynamics on one scale, for shards whose models learned at their own pace.

    Quantile normalisation (Bolstad et al., Bioinformatics 2003), epoch by epoch: each value is replaced by the mean,
    over the shards, of the values at its rank. Afterwards every shard has the same distribution, so that a shard whose
    model was quick does not look more trustworthy; the order within a shard stays. A label counts as predicted where
    its new margin is above 0, and the first epochs follow from that. This presupposes that the corpus was cut at
    random, so that no shard is cleaner than the others.

    Raises:
        FineCLError: a table has no dynamics, or another number of epochs.
    """
    epochs = {table["correct"].shape[1] for table in tables}
    if len(epochs) > 1 or epochs == {0}:
        raise FineCLError(
            f"shards can only be put on one scale with the dynamics of equally many epochs, found {sorted(epochs)}; "
            "run stage 1 on each with the same --num_train_epochs, or merge without calibration."
        )
    scaled = [dict(table) for table in tables]
    for name in ("probability", "margin", "loss"):
        by_epoch = [
            on_one_scale([table[name][table["observed"][:, epoch], epoch] for table in tables])
            for epoch in range(max(epochs))
        ]
        for shard, table in enumerate(scaled):
            table[name] = tables[shard][name].copy()
            for epoch, shards in enumerate(by_epoch):
                table[name][table["observed"][:, epoch], epoch] = shards[shard]
    for table in scaled:
        table["correct"] = (table["margin"] > 0) & table["observed"]
        table["first_epoch"] = first_epochs(table["correct"], table["observed"], table["first_epoch"])
    return scaled


def on_one_scale(shards: list[np.ndarray]) -> list[np.ndarray]:
    """Quantile normalisation: (N_s,) numbers of each shard -> (N_s,) the mean over the shards of the same quantile.

    Equal numbers stay equal, and the order within a shard stays. An empty shard is left out of the mean.
    """
    filled = [values.astype(np.float64) for values in shards if len(values)]
    if not filled:
        return shards
    grid = (np.arange(max(map(len, filled))) + 0.5) / max(map(len, filled))
    mean = np.mean([np.quantile(values, grid, method="hazen") for values in filled], axis=0)
    return [np.interp(_quantiles(values), grid, mean).astype(values.dtype) for values in shards]


def _quantiles(values: np.ndarray) -> np.ndarray:
    """(N,) quantile of each number among all of them, in (0, 1); ties share their mean."""
    ordered = np.sort(values)
    below, above = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
    return (below + above) / (2 * max(len(values), 1))


def _verdict_of_each(keys: np.ndarray, verdicts: np.ndarray) -> np.ndarray:
    """(M,) int8 verdict of each fact, whichever of its rows has it, in the order of the keys.

    Raises:
        FineCLError: a fact is right by one row and wrong by another.
    """
    unique, fact = np.unique(keys, return_inverse=True)
    found = np.zeros((2, len(unique)), np.int8)
    np.maximum.at(found[0], fact, verdicts)
    np.minimum.at(found[1], fact, verdicts)
    if contradicted := np.count_nonzero(found[0] - found[1] == 2):
        raise FineCLError(
            f"{contradicted:,} labels are right by the verdicts of one learning order and wrong by those of another; "
            "judge them again (finecl-hf review) and merge orders without the old verdicts."
        )
    return found.sum(axis=0, dtype=np.int8)


def _earliest_of_each(keys: np.ndarray, first_epoch: np.ndarray) -> np.ndarray:
    """Rows to keep, ascending: for each fact the one learned first, and of equals the first."""
    order = np.lexsort((first_epoch.astype(np.uint32), keys))  # as unsigned, -1 (never) comes last
    return np.sort(order[np.unique(keys[order], return_index=True)[1]])
