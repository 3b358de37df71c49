"""Calibrated probabilities, against loops and against scores whose odds are known."""

import math

import numpy as np
import pytest

from finecl_hf.errors import FineCLError
from finecl_hf.extraction.calibration import UNCALIBRATED, expected_calibration_error, fit_calibration, probability


def test_probabilities_do_not_overflow():
    assert probability(np.array([-1e6, 0.0, 1e6], np.float32)).tolist() == [0.0, 0.5, 1.0]
    assert probability(np.array([3.0]), 2.0, -0.5)[0] == pytest.approx(1 / (1 + math.exp(-1.0)))


@pytest.mark.parametrize(("temperature", "bias"), [(1.0, 0.0), (2.5, -1.5), (0.4, 1.0)])
def test_odds_that_are_known_are_found(temperature, bias):
    draw = np.random.default_rng(0)
    scores = draw.normal(scale=3, size=40_000)
    correct = draw.random(len(scores)) < probability(scores, temperature, bias)
    found = fit_calibration(scores.astype(np.float32), correct)
    assert found == pytest.approx((temperature, bias), abs=0.1)
    assert expected_calibration_error(probability(scores, *found), correct) < 0.02
    assert expected_calibration_error(probability(scores * 4, *found), correct) > 0.03


def test_no_other_pair_of_numbers_explains_more():
    """Of the smoothed targets, by a grid around what is found."""
    draw = np.random.default_rng(1)
    scores = draw.normal(size=60)
    correct = draw.random(60) < probability(scores, 0.7, -0.3)
    right, wrong = correct.sum(), (~correct).sum()

    def loss(slope, bias):
        total = 0.0
        for score, is_right in zip(scores, correct, strict=True):
            target = (right + 1) / (right + 2) if is_right else 1 / (wrong + 2)
            p = 1 / (1 + math.exp(-(slope * score + bias)))
            total -= target * math.log(p) + (1 - target) * math.log(1 - p)
        return total

    temperature, bias = fit_calibration(scores, correct)
    best = loss(1 / temperature, bias)
    assert all(loss(1 / temperature + a, bias + b) >= best for a in (-0.05, 0, 0.05) for b in (-0.05, 0, 0.05))


def test_scores_that_separate_the_classes_stay_finite():
    temperature, bias = fit_calibration(np.array([-2.0, -1.0, 3.0, 1e3]), np.array([False, False, True, True]))
    assert 0 < temperature < math.inf and math.isfinite(bias)


@pytest.mark.parametrize(
    ("scores", "correct"),
    [([], []), ([1, 2], [1, 1]), ([1, 2], [0, 0]), ([1, 2, 3, 4], [1, 1, 0, 0]), ([1, 1], [1, 0])],
)
def test_where_nothing_can_be_learned_scores_stay(scores, correct):
    assert fit_calibration(np.array(scores, float), np.array(correct, bool)) == UNCALIBRATED


def test_shapes_must_agree():
    with pytest.raises(FineCLError, match="shape"):
        fit_calibration(np.zeros(2), np.zeros(3, bool))


@pytest.mark.parametrize("size", [1, 7, 10, 23, 200])
def test_calibration_error_equals_the_loop(size):
    draw = np.random.default_rng(size)
    probabilities, correct = draw.random(size), draw.random(size) < 0.4
    kept = sorted((p, c) for p, c in zip(probabilities.tolist(), correct.tolist(), strict=True) if p >= 0.1)
    bins = min(10, len(kept))
    short, longer = divmod(len(kept), bins) if bins else (0, 0)
    error, start = 0.0, 0
    for number in range(bins):
        part = kept[start : start + short + (number < longer)]
        start += len(part)
        mean = sum(p for p, _ in part) / len(part)
        error += len(part) / len(kept) * abs(mean - sum(c for _, c in part) / len(part))
    assert expected_calibration_error(probabilities, correct) == pytest.approx(error)


def test_no_probable_candidate_no_error():
    assert expected_calibration_error(np.array([0.05]), np.array([True])) == 0.0
    assert expected_calibration_error(np.array([]), np.array([], bool)) == 0.0
