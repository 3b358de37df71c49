"""Ranking figures against their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.ranking import auroc, average_precision, document_resamples, interval, resampled_auroc
from finecl_hf.errors import FineCLError


PAIRS = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=30)


def slow_average_precision(scores, positive):
    """Precision at each threshold times the recall that it adds."""
    total, recall_before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        found = [is_positive for score, is_positive in zip(scores, positive, strict=True) if score >= threshold]
        recall = sum(found) / sum(positive)
        total += (recall - recall_before) * sum(found) / len(found)
        recall_before = recall
    return total


@settings(max_examples=200, deadline=None)
@given(PAIRS)
def test_against_loops(pairs):
    scores, positive = zip(*pairs, strict=True)
    if not any(positive):
        with pytest.raises(FineCLError, match="needs positives"):
            average_precision(scores, positive)
        return
    assert average_precision(scores, positive) == pytest.approx(slow_average_precision(scores, positive))
    if all(positive):
        with pytest.raises(FineCLError, match="positives and negatives"):
            auroc(scores, positive)
        return
    wins = [
        (high > low) + (high == low) / 2
        for high, is_positive in pairs
        if is_positive
        for low, is_other in pairs
        if not is_other
    ]
    assert auroc(scores, positive) == pytest.approx(np.mean(wins))


def test_perfect_and_reversed():
    assert auroc([3, 2, 1, 0], [1, 1, 0, 0]) == average_precision([3, 2, 1, 0], [1, 1, 0, 0]) == 1.0
    assert auroc([0, 1, 2, 3], [1, 1, 0, 0]) == 0.0


def test_resamples_draw_whole_documents():
    documents = ["a", "a", "b", "c", "c", "c"]
    times = document_resamples(documents, rounds=200)
    assert (times[:, 0] == times[:, 1]).all() and (times[:, 3] == times[:, 5]).all()
    assert (times[:, [0, 2, 3]].sum(axis=1) == 3).all()
    assert abs(times.mean() - 1) < 0.1


@pytest.mark.parametrize("seed", range(3))
def test_resampled_auroc_is_that_of_the_repeated_labels(seed):
    rng = np.random.default_rng(seed)
    scores, positive = rng.integers(0, 6, 30) / 6, rng.random(30) < 0.4
    times = rng.integers(0, 3, (20, 30))
    expected = [auroc(np.repeat(scores, row), np.repeat(positive, row)) for row in times]
    np.testing.assert_allclose(resampled_auroc(scores, positive, times), expected)


def test_interval():
    assert interval(np.arange(101.0)) == [5.0, 95.0]
    assert interval(np.r_[np.nan, np.arange(101.0)]) == [5.0, 95.0]  # a resample without either kind says nothing
