"""Probabilities that mean what they say: of the triples with a score of 0.8, eight in ten are right.

A relation's raw score is a logit of the classifier, which training makes too sure of itself. Two numbers, fitted on
validation documents, turn it into a probability: sigmoid(score / temperature + bias). The order of scores, and with it
every threshold on them, stays as it is.
"""

from __future__ import annotations

import numpy as np

from finecl_hf.errors import FineCLError


UNCALIBRATED = (1.0, 0.0)  # temperature and bias
LEAST_PROBABILITY = 0.1  # of the candidates that the calibration error is about; nearly all others are plainly wrong
BINS = 10
MOST_STEPS = 100


def probability(scores: np.ndarray, temperature: float = 1.0, bias: float = 0.0) -> np.ndarray:
    """Of being right, for raw scores: (N,) float64."""
    return 0.5 * (1 + np.tanh((np.asarray(scores, dtype=np.float64) / temperature + bias) / 2))


def fit_calibration(scores: np.ndarray, correct: np.ndarray) -> tuple[float, float]:
    """The temperature and the bias under which the scores explain best which candidates are right (Platt, 1999).

    As there, each class's targets lie a little off 0 and 1, so that both are finite where scores separate the classes;
    found by Newton's method with halved steps (Lin, Lin and Weng, 2007).

    Args:
        scores: (N,) finite raw scores.
        correct: (N,) bool.

    Returns:
        `(temperature, bias)`; `UNCALIBRATED` where nothing can be learned: all candidates are right, or none is, or
        higher scores are not more often right.

    Raises:
        FineCLError: the two are of different shapes.
    """
    scores, correct = np.asarray(scores, dtype=np.float64), np.asarray(correct, dtype=bool)
    if scores.ndim != 1 or scores.shape != correct.shape:
        raise FineCLError(
            f"scores of shape {scores.shape} do not fit correct of shape {correct.shape}; give two (N,) arrays."
        )
    num_right = int(correct.sum())
    num_wrong = correct.size - num_right
    if not num_right or not num_wrong:
        return UNCALIBRATED
    target = np.where(correct, (num_right + 1) / (num_right + 2), 1 / (num_wrong + 2))
    inputs = np.stack([scores, np.ones_like(scores)])
    weights = np.array([0.0, np.log((num_right + 1) / (num_wrong + 1))])  # the best constant
    loss = _cross_entropy(weights @ inputs, target)
    for _ in range(MOST_STEPS):
        predicted = probability(weights @ inputs)
        gradient = inputs @ (predicted - target)
        curvature = (inputs * (predicted * (1 - predicted))) @ inputs.T + 1e-12 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        while size > 1e-10 and _cross_entropy((weights - size * step) @ inputs, target) > loss:
            size /= 2
        weights = weights - size * step
        before, loss = loss, _cross_entropy(weights @ inputs, target)
        if before - loss <= 1e-9 * before:
            break
    slope, bias = weights.tolist()
    return (1 / slope, bias) if slope > 1e-6 else UNCALIBRATED


def expected_calibration_error(
    probabilities: np.ndarray, correct: np.ndarray, bins: int = BINS, least: float = LEAST_PROBABILITY
) -> float:
    """How far probabilities lie from the shares of right candidates, on average (Naeini et al., AAAI 2015).

    The candidates of a probability of at least `least`, sorted by it, are cut into bins of equal numbers; of each bin
    counts, by its size, the difference between mean probability and share of right candidates. Without the others:
    there are so many plainly wrong candidates of a probability near 0 that they would hide every error.

    Args:
        probabilities: (N,).
        correct: (N,) bool.

    Returns:
        From 0 to 1; 0.0 where no candidate is that probable.
    """
    judged = probabilities >= least
    probabilities, correct = probabilities[judged], correct[judged].astype(np.float64)
    order = np.argsort(probabilities, kind="stable")
    parts = np.array_split(order, min(bins, max(len(order), 1)))
    errors = [abs(float((probabilities[part] - correct[part]).sum())) for part in parts]
    return sum(errors) / max(len(order), 1)


def _cross_entropy(logits: np.ndarray, target: np.ndarray) -> float:
    return float((np.logaddexp(0.0, logits) - target * logits).sum())
