"""Scores of training dynamics: what an instance may weigh in stage 2, instead of by when it was learned.

A score reads a learning order's `probability`, `margin` and `observed`, (N, E) each: N instances, E epochs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from finecl_hf.errors import FineCLError


def check_weight_by(name: str) -> None:
    """Raises FineCLError unless stage 2 can weight by this: the learning order itself, or a score."""
    if name != "first_epoch" and name not in SCORES:
        raise FineCLError(f'there is no score "{name}"; weight by one of first_epoch, {", ".join(SCORES)}.')


def unit_score(name: str, order: Any) -> np.ndarray:
    """The score (N,) of a name in [`SCORES`].

    Raises:
        FineCLError: it leaves [0, 1], or the table has no training dynamics.
    """
    scores = SCORES[name](order)
    if not ((scores >= 0) & (scores <= 1)).all():
        raise FineCLError(f'the score "{name}" leaves [0, 1]; map it there, for instance with unit_ranks.')
    return scores


def unit_ranks(values: np.ndarray) -> np.ndarray:
    """(N,) any numbers -> (N,) their ranks spread over [0, 1]; ties share their mean rank."""
    ordered = np.sort(values)
    ranks = (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right") - 1) / 2
    return ranks / max(len(values) - 1, 1)


def _mean_over_epochs(values: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """(N, E), (N, E) bool -> (N,) mean over the observed epochs; the lowest of all where there are none."""
    if not observed.any():
        raise FineCLError("this learning order has no training dynamics, only first epochs; weight by first_epoch.")
    epochs = observed.sum(axis=1)
    means = np.sum(values, axis=1, dtype=np.float32, where=observed) / np.maximum(epochs, 1)
    return np.where(epochs > 0, means, means[epochs > 0].min())


# Scores to weight by: a table -> (N,) in [0, 1], higher for a more trustworthy label. Add yours as SCORES["name"] = f.
SCORES: dict[str, Callable[[Any], np.ndarray]] = {
    # dataset cartography's confidence: mean over the epochs
    "probability": lambda order: np.clip(_mean_over_epochs(order.probability, order.observed), 0.0, 1.0),
    # as a rank, because margins have no fixed scale
    "margin": lambda order: unit_ranks(_mean_over_epochs(order.margin, order.observed)),
}
