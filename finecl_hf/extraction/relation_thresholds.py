"""A threshold for each relation, where validation documents have enough facts of it."""

from __future__ import annotations

import numpy as np


LEAST_FACTS = 30  # of a relation; with fewer it has the common threshold
SHRINKAGE = 100  # facts with which a relation's own threshold counts as much as the common one
FARTHEST = 2.0  # from the common threshold, before the two are mixed


def fit_relation_thresholds(
    scores: np.ndarray, relation: np.ndarray, correct: np.ndarray, num_gold: np.ndarray, common: float
) -> dict[int, float]:
    """Thresholds for the best F1 over the facts of all relations, each drawn towards the common one.

    F1 over all facts, 2 T / (P + G) with T of P predictions right and G facts, is beaten where 2 T - F1 * P grows, a
    sum over relations; each relation's part is made as large as it gets. (The threshold with a relation's own best F1
    is another one, and worse for F1 over all.)

    Args:
        scores, relation, correct: (N,) of candidate facts: raw scores, relation ids, whether they are gold.
        num_gold: (R,) gold facts of each relation, those that are no candidate included.
        common: the threshold of all relations together.

    Returns:
        Of each relation id with `LEAST_FACTS` gold facts; of the others nothing.
    """
    predicted = scores > common
    f1 = 2 * (predicted & correct).sum() / max(predicted.sum() + num_gold.sum(), 1)
    thresholds = {}
    for number in np.flatnonzero(num_gold >= LEAST_FACTS).tolist():
        own = relation == number
        if not own.any():
            continue
        best = np.clip(_best_cut(scores[own], correct[own], f1), common - FARTHEST, common + FARTHEST)
        weight = num_gold[number] / (num_gold[number] + SHRINKAGE)
        thresholds[number] = float(weight * best + (1 - weight) * common)
    return thresholds


def _best_cut(scores: np.ndarray, correct: np.ndarray, f1: float) -> float:
    """The threshold with the largest 2 T - F1 * P; midway between two scores, equal ones on the same side."""
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order].astype(np.float64), correct[order].cumsum()
    gain = np.append(0.0, 2 * hits - f1 * np.arange(1, len(scores) + 1))
    edges = np.concatenate([[np.inf], scores, [-np.inf]])
    gain[edges[:-1] == edges[1:]] = -np.inf  # between equal scores
    best = int(gain.argmax())
    high, low = edges[best], edges[best + 1]
    return float((high + low) / 2)  # infinite where all are predicted, or none
