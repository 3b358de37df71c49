"""How well numbers rank positives above negatives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from finecl_hf.errors import FineCLError


def auroc(scores: Sequence[float], positive: Sequence[bool]) -> float:
    """Chance that a random positive scores higher than a random negative, ties counting half (Mann-Whitney's U).

    Args:
        scores, positive: (N,).

    Raises:
        FineCLError: there are no positives, or no negatives.
    """
    scores, positive = np.asarray(scores), np.asarray(positive, dtype=bool)
    if positive.all() or not positive.any():
        raise FineCLError("AUROC needs positives and negatives.")
    negatives = np.sort(scores[~positive])
    below = np.searchsorted(negatives, scores[positive], "left")
    not_above = np.searchsorted(negatives, scores[positive], "right")
    return float((below + not_above).mean() / 2 / len(negatives))


def average_precision(scores: Sequence[float], positive: Sequence[bool]) -> float:
    """Area under the precision-recall curve, as a sum over its steps; of tied scores all are found together.

    Args:
        scores, positive: (N,).

    Raises:
        FineCLError: there are no positives.
    """
    scores, positive = np.asarray(scores), np.asarray(positive, dtype=bool)
    if not positive.any():
        raise FineCLError("Average precision needs positives.")
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.r_[scores[order][1:] != scores[order][:-1], True]
    found = np.cumsum(positive[order])[last_of_tie]
    precision = found / (np.flatnonzero(last_of_tie) + 1)
    return float((np.diff(found, prepend=0) * precision).sum() / positive.sum())
