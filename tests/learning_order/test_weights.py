"""Weights of facts by the epoch they were learned in, and how a learning order fits a corpus."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finecl_hf.errors import FineCLError
from finecl_hf.hashing import text_key
from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.learning_order.trust import SCORES, unit_trust
from finecl_hf.learning_order.weights import SCHEMES, Coverage, find, order_weights
from tests.helpers.small_orders import make


def keys_of(names):
    return [text_key(name) for name in names]


EPOCHS = st.lists(st.integers(-1, 30), max_size=40)
CUTOFFS = st.one_of(st.none(), st.integers(0, 30))


def slow_weight(k, learned, scheme, cutoff):
    """One weight as the paper words it."""
    if k == -1 or cutoff is not None and k >= cutoff or scheme == "uniform":
        return 0.0
    if scheme == "exponential":
        return math.exp(-(k - min(learned)))
    return 1.0 if max(learned) == min(learned) else 1 - (k - min(learned)) / (max(learned) - min(learned))


class TestOrderWeights:
    def test_linear_is_the_papers(self):
        weights = order_weights([1, 2, 3, 5, 11, -1, 4])
        np.testing.assert_allclose(weights, [1.0, 0.9, 0.8, 0, 0, 0, 0.7])
        assert weights.dtype == np.float64

    def test_without_cutoff(self):
        np.testing.assert_allclose(order_weights([1, 6, 11, -1], cutoff=None), [1, 0.5, 0, 0])

    def test_all_learned_together(self):
        np.testing.assert_array_equal(order_weights([3, 3, -1]), [1, 1, 0])
        np.testing.assert_array_equal(order_weights([5, 5, -1]), [0, 0, 0])

    def test_exponential(self):
        np.testing.assert_allclose(order_weights([2, 3, 7, -1], "exponential"), [1, math.exp(-1), 0, 0])

    def test_uniform_makes_the_loss_unweighted(self):
        np.testing.assert_array_equal(np.exp(order_weights([0, 3, -1], "uniform")), [1, 1, 1])

    @pytest.mark.parametrize("scheme", ["linear", "exponential", "uniform"])
    @pytest.mark.parametrize("epochs", [[], [-1, -1]])
    def test_nothing_learned(self, scheme, epochs):
        np.testing.assert_array_equal(order_weights(epochs, scheme), np.zeros(len(epochs)))

    @settings(max_examples=100, deadline=None)
    @given(EPOCHS, st.sampled_from(["linear", "exponential", "uniform"]), CUTOFFS)
    def test_equals_the_slow_version(self, epochs, scheme, cutoff):
        learned = [k for k in epochs if k >= 0]
        expected = [slow_weight(k, learned, scheme, cutoff) for k in epochs]
        np.testing.assert_allclose(order_weights(epochs, scheme, cutoff), expected, atol=1e-12)

    @settings(max_examples=100, deadline=None)
    @given(EPOCHS, st.sampled_from(["linear", "exponential", "uniform"]), CUTOFFS, st.randoms())
    def test_properties(self, epochs, scheme, cutoff, random):
        weights = order_weights(epochs, scheme, cutoff)
        assert ((weights >= 0) & (weights <= 1)).all()
        learned = sorted((k, w) for k, w in zip(epochs, weights, strict=True) if k >= 0)
        assert all(early[1] >= late[1] for early, late in zip(learned, learned[1:], strict=False))
        shuffle = random.sample(range(len(epochs)), len(epochs))
        np.testing.assert_array_equal(order_weights([epochs[i] for i in shuffle], scheme, cutoff), weights[shuffle])

    def test_input_is_not_changed(self):
        epochs = np.array([0, 9, -1], np.int32)
        order_weights(epochs)
        np.testing.assert_array_equal(epochs, [0, 9, -1])

    @pytest.mark.parametrize("epochs", [[0.5, 1.0], [[0, 1]], ["1"], [-2, 0], [True, False], [None], 3])
    def test_what_is_no_epoch(self, epochs):
        with pytest.raises(FineCLError, match="linear, exponential, uniform"):
            order_weights(epochs)

    def test_schemes_can_be_added(self, monkeypatch):
        with pytest.raises(FineCLError, match='no weighting scheme "halves"; choose one of linear, exponential'):
            order_weights([0, 1], "halves")
        monkeypatch.setitem(SCHEMES, "halves", lambda k: 0.5**k)
        np.testing.assert_array_equal(order_weights([0, -1, 2], "halves"), [1, 0, 0.25])


class TestWeights:
    def test_by_first_epoch(self):
        order = LearningOrder(list("abcd"), first_epoch=[0, 2, 10, -1])
        weights, coverage = order.weights().of(keys_of(["d", "b", "unknown", "a", "c"]))
        np.testing.assert_allclose(weights, [np.nan, 0.8, np.nan, 1, 0])  # learned late: an anchor still
        assert weights.dtype == np.float32 and coverage == Coverage(known=4, unknown=1, unused=0)

    def test_weight_does_not_depend_on_the_other_facts(self):
        order = make([str(i) for i in range(50)], epochs=8)
        for weight_by in SCORES:
            weights = order.weights(cutoff=None, weight_by=weight_by)
            assert weights.of(keys_of(["7"]))[0][0] == weights.of(order.key)[0][7]

    def test_uniform_keeps_everything(self):
        order = LearningOrder(list("ab"), first_epoch=[0, -1])
        for weight_by in ("first_epoch", "probability"):
            weights, _ = order.weights("uniform", weight_by=weight_by).of(keys_of(["a", "b", "unknown"]))
            assert weights.tolist() == [0, 0, 0]
        with pytest.raises(FineCLError, match='no score "mood"'):
            order.weights("uniform", weight_by="mood")

    def test_by_probability_over_observed_epochs(self):
        order = LearningOrder(list("abc"))
        order.record_epoch([0.5, 0.25, 0.5], np.zeros(3), [True, True, False])
        order.record_epoch([1.0, 0.75, 0.5], np.zeros(3), [True, True, False], [True, False, True])
        weights, _ = order.weights(weight_by="probability").of(order.key)
        np.testing.assert_allclose(weights, [0.75, 0.25, 0.5])
        # c was never predicted; what that means is for the score to say

    def test_labels_that_were_never_judged_take_no_part(self):
        order = LearningOrder(list("ab"))
        order.record_epoch([0.5, 0.5], np.zeros(2), [True, True], [True, False])
        for weight_by in SCORES:
            weights, coverage = order.weights(weight_by=weight_by).of(order.key)
            assert np.isnan(weights).tolist() == [False, True] and coverage.unjudged == 1

    def test_by_margin_is_a_rank(self):
        order = LearningOrder(list("abcd"))
        order.record_epoch(np.ones(4), [-3, 100, 7, 7], [True] * 4)
        np.testing.assert_allclose(order.weights(weight_by="margin").of(order.key)[0], [0, 1, 0.5, 0.5])

    def test_row_without_dynamics_scores_lowest(self):
        merged = LearningOrder.merge([make(list("ab"), hidden=0), LearningOrder(["c"], first_epoch=[1])])
        for score in (unit_trust(name, merged) for name in SCORES if name != "first_epoch"):
            assert score[2] == score.min()

    def test_scores_can_be_added(self, monkeypatch):
        order = LearningOrder(list("ab"), first_epoch=[0, 1])
        with pytest.raises(FineCLError, match="first_epoch, consistent_epoch"):
            order.weights(weight_by="mine")
        monkeypatch.setitem(SCORES, "mine", lambda order: np.full(len(order), 0.25))
        assert order.weights(weight_by="mine").of(order.key)[0].tolist() == [0.25, 0.25]
        monkeypatch.setitem(SCORES, "mine", lambda order: np.array([0.0, np.nan]))
        with pytest.raises(FineCLError, match=r'"mine" leaves \[0, 1\]'):
            order.weights(weight_by="mine")


@given(st.lists(st.integers(-50, 50), unique=True), st.lists(st.integers(-60, 60)))
def test_find_is_a_look_up(among, keys):
    place = {key: number for number, key in enumerate(sorted(among))}
    assert find(np.sort(np.array(among, np.int64)), keys).tolist() == [place.get(key, -1) for key in keys]


def test_the_digest_tells_weights_apart():
    order = LearningOrder(list("abc"), first_epoch=[0, 1, 3])
    digests = [order.weights(scheme).digest() for scheme in ("linear", "exponential", "linear", "uniform")]
    assert digests[0] == digests[2] and len(set(digests)) == 3


def test_what_a_coverage_says():
    coverage = Coverage(known=3, unknown=1, unused=2, unjudged=1)
    assert coverage.share == 0.75 and "3 of 4" in str(coverage) and "never judged" in str(coverage)
    assert "judged" not in str(Coverage(1, 0, 0))
    assert Coverage(0, 0, 5).share == 1.0  # an empty corpus is covered
