"""Scores lie in [0, 1], rank as they say, and are refused where there are no dynamics."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finecl_hf.errors import FineCLError
from finecl_hf.scores import SCORES, check_weight_by, unit_ranks, unit_score


def dynamics(observed):
    observed = np.array(observed, bool)
    values = np.linspace(0, 1, observed.size).reshape(observed.shape)
    return SimpleNamespace(probability=values, margin=100 * values - 7, observed=observed)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=1, max_size=30))
def test_unit_ranks(values):
    ranks = unit_ranks(np.array(values))
    assert ((ranks >= 0) & (ranks <= 1)).all()
    for i, j in zip(np.argsort(values), np.argsort(values)[1:], strict=False):
        assert (ranks[i] == ranks[j]) if values[i] == values[j] else (ranks[i] < ranks[j])


def test_means_are_over_observed_epochs():
    order = dynamics([[1, 1, 1], [0, 1, 0], [0, 0, 0]])
    np.testing.assert_allclose(unit_score("probability", order), [1 / 8, 4 / 8, 1 / 8])  # the last: the lowest of all
    np.testing.assert_allclose(unit_score("margin", order), [0.25, 1, 0.25])


@pytest.mark.parametrize("name", SCORES)
def test_no_dynamics(name):
    with pytest.raises(FineCLError, match="no training dynamics"):
        unit_score(name, dynamics([[0, 0]]))


def test_a_score_out_of_range(monkeypatch):
    for value in (1.5, np.nan):
        monkeypatch.setitem(SCORES, "mine", lambda order, value=value: np.array([0.5, value]))
        with pytest.raises(FineCLError, match=r'"mine" leaves \[0, 1\]'):
            unit_score("mine", None)


def test_names():
    for name in ("first_epoch", *SCORES):
        check_weight_by(name)
    with pytest.raises(FineCLError, match='no score "mood"; weight by one of first_epoch, probability, margin'):
        check_weight_by("mood")
