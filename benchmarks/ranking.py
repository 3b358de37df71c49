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


def document_resamples(document: Sequence[str], rounds: int = 500, seed: int = 0) -> np.ndarray:
    """(rounds, N) how often each of N labels is drawn where whole documents are drawn with replacement.

    Labels of one document are no independent evidence, so a bootstrap has to draw documents.
    """
    names, number = np.unique(np.asarray(document), return_inverse=True)
    rng = np.random.default_rng(seed)
    return rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=rounds)[:, number]


def resampled_auroc(scores: Sequence[float], positive: Sequence[bool], times: np.ndarray) -> np.ndarray:
    """(B,) [`auroc`] of each resample: `times` (B, N) says how often each label is in it; NaN without either kind."""
    scores, positive = np.asarray(scores), np.asarray(positive, dtype=bool)
    order = np.argsort(scores, kind="stable")
    first_of_tie = np.flatnonzero(np.r_[True, scores[order][1:] != scores[order][:-1]])
    wins, losses = (
        np.add.reduceat(times[:, order] * kind[order], first_of_tie, axis=1) for kind in (positive, ~positive)
    )
    below = np.cumsum(losses, axis=1) - losses / 2
    with np.errstate(invalid="ignore"):
        return (wins * below).sum(axis=1) / (wins.sum(axis=1) * losses.sum(axis=1))


def interval(values: np.ndarray, share: float = 0.9) -> list[float]:
    """The middle share of bootstrap values."""
    low, high = np.nanquantile(values, [(1 - share) / 2, (1 + share) / 2])
    return [round(float(low), 4), round(float(high), 4)]
