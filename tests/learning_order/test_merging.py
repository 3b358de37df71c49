"""Shards become one table, on request on one scale: checked against loops that follow the definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.ranking import auroc
from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.merging import on_one_scale
from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.learning_order.trust import unit_trust
from tests.helpers.small_orders import assert_same, make


SHARDS = st.lists(st.lists(st.integers(-20, 20), max_size=12), min_size=1, max_size=4)


class TestMerge:
    def test_shards(self):
        left, right = make(list("abc"), epochs=2), make(list("de"), epochs=4, seed=1)
        merged = LearningOrder.merge([left, right])
        assert merged.instance_id.to_pylist() == list("abcde") and merged.num_epochs == 4
        assert not merged.observed[:3, 2:].any()
        np.testing.assert_array_equal(merged.first_epoch, [*left.first_epoch, *right.first_epoch])
        np.testing.assert_array_equal(merged.probability[3:], right.probability)

    def test_shards_with_and_without_dynamics(self):
        shards = [make(list("ab")), LearningOrder.from_json_dict({"c": 9})]
        assert LearningOrder.merge(shards).first_epoch[2] == 9

    def test_merging_one_changes_nothing(self):
        order = make(list("abc"))
        assert_same(LearningOrder.merge([order]), order)
        assert_same(LearningOrder.merge([order, order], on_conflict="min"), order)

    def test_conflict(self):
        left = LearningOrder(list("abcd"), first_epoch=[3, -1, 2, -1])
        right = LearningOrder(list("dcbae"), first_epoch=[-1, 5, 4, 1, 0])
        with pytest.raises(FineCLError, match="4 facts occur more than once"):
            LearningOrder.merge([left, right])
        merged = LearningOrder.merge([left, right], on_conflict="min")
        assert dict(zip(merged.instance_id.to_pylist(), merged.first_epoch.tolist(), strict=True)) == {
            "a": 1,
            "b": 4,
            "c": 2,
            "d": -1,
            "e": 0,
        }

    @pytest.mark.parametrize(("tables", "on_conflict"), [([], "raise"), ([LearningOrder(["a"])], "max")])
    def test_wrong_arguments(self, tables, on_conflict):
        with pytest.raises(FineCLError, match="at least one learning order, and on_conflict"):
            LearningOrder.merge(tables, on_conflict)


def slow_quantile(values, share):
    """Hazen's: the i-th smallest of n numbers is the (i - 1/2) / n quantile, with straight lines between."""
    values = sorted(values)
    place = min(max(share * len(values) - 0.5, 0), len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (place - low) * (values[high] - values[low])


def slow_scale(shards):
    """Quantile normalisation in words: the mean of all shards' quantiles at the place that a number has in its own."""
    longest = max(map(len, shards))
    grid = [(i + 0.5) / longest for i in range(longest)]
    filled = [shard for shard in shards if shard]
    means = [sum(slow_quantile(shard, share) for shard in filled) / len(filled) for share in grid]
    result = []
    for shard in shards:
        scaled = []
        for value in shard:
            share = (sum(v < value for v in shard) + sum(v <= value for v in shard)) / (2 * len(shard))
            scaled.append(slow_quantile(means, share))
        result.append(scaled)
    return result


class TestOnOneScale:
    @settings(max_examples=100, deadline=None)
    @given(SHARDS)
    def test_equals_the_loops(self, shards):
        scaled = on_one_scale([np.array(shard, np.float64) for shard in shards])
        for found, expected in zip(scaled, slow_scale(shards), strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-9)

    @settings(max_examples=100, deadline=None)
    @given(SHARDS)
    def test_order_and_ties_within_a_shard_stay(self, shards):
        for shard, scaled in zip(shards, on_one_scale([np.array(s, np.float64) for s in shards]), strict=True):
            for i, value in enumerate(shard):
                assert all(scaled[i] <= scaled[j] + 1e-9 for j, other in enumerate(shard) if value <= other)
                assert all(scaled[i] == scaled[j] for j, other in enumerate(shard) if value == other)

    @settings(max_examples=50, deadline=None)
    @given(st.integers(1, 30), st.integers(2, 4), st.integers(0, 1000))
    def test_shards_of_one_size_become_equal_in_distribution(self, size, count, seed):
        rng = np.random.default_rng(seed)
        shards = [rng.normal(rng.normal(), 1 + rng.random(), size) for _ in range(count)]
        scaled = [np.sort(values) for values in on_one_scale(shards)]
        for values in scaled:
            np.testing.assert_allclose(values, np.mean([np.sort(shard) for shard in shards], axis=0))

    def test_shards_of_other_sizes_become_alike(self):
        rng = np.random.default_rng(0)
        shards = [rng.normal(-3, 1, 5000), rng.normal(2, 3, 800), np.zeros(0)]
        slow, fast, empty = on_one_scale(shards)
        np.testing.assert_allclose(*(np.quantile(v, [0.05, 0.3, 0.5, 0.7, 0.95]) for v in (slow, fast)), atol=0.05)
        assert abs(slow.mean() + 0.5) < 0.1 and not len(empty)

    def test_one_shard_stays_as_it_is(self):
        values = np.array([3.0, 1.0, 1.0, 2.0], np.float16)
        (scaled,) = on_one_scale([values])
        np.testing.assert_allclose(scaled, values)
        assert scaled.dtype == np.float16

    def test_nothing(self):
        assert [len(values) for values in on_one_scale([np.zeros(0), np.zeros(0)])] == [0, 0]


def shard(name, size, pace, seed):
    """A shard whose model has come `pace` logits further than another's; every third label is wrong. And the truth."""
    rng = np.random.default_rng(seed)
    right = np.arange(size) % 3 > 0
    order = LearningOrder([f"{name}{i}" for i in range(size)])
    for epoch in range(3):
        margin = np.where(right, 1.0, -1.0) + rng.normal(0, 1, size) + pace + 0.5 * epoch
        order.record_epoch(1 / (1 + np.exp(-margin)), margin, margin > 0)
    return order, right


class TestCalibration:
    def test_a_slow_and_a_fast_shard(self):
        (slow, slow_right), (fast, fast_right) = shard("a", 600, -2, 0), shard("b", 400, 2, 1)
        right = np.r_[slow_right, fast_right]
        plain, calibrated = (LearningOrder.merge([slow, fast], calibrate=flag) for flag in (False, True))
        for score in ("first_epoch", "probability", "margin", "loss"):
            before, after = (auroc(unit_trust(score, order), right) for order in (plain, calibrated))
            assert after > before + 0.03, score
        alone = auroc(unit_trust("margin", slow), slow_right)
        assert auroc(unit_trust("margin", calibrated), right) == pytest.approx(alone, abs=0.02)

    def test_first_epochs_follow_from_the_new_margins(self):
        (slow, _), (fast, _) = shard("a", 300, -2, 0), shard("b", 300, 2, 1)
        merged = LearningOrder.merge([slow, fast], calibrate=True)
        learned = merged.correct.any(axis=1)
        assert (merged.correct == ((merged.margin > 0) & merged.observed)).all()
        np.testing.assert_array_equal(merged.first_epoch, np.where(learned, merged.correct.argmax(axis=1), -1))
        predicted = merged.correct.reshape(2, 300, 3).sum(axis=1)  # (shards, epochs)
        assert abs(predicted[0] - predicted[1]).max() <= 2  # as many of each shard, up to ties in float16
        assert (slow.first_epoch < 0).mean() > (fast.first_epoch < 0).mean() + 0.2  # which was not so before

    def test_what_was_not_observed_has_no_say(self):
        left, right = make([f"a{i}" for i in range(40)], seed=0), make([f"b{i}" for i in range(30)], seed=1)
        expected = LearningOrder.merge([left, right], calibrate=True)
        for order in (left, right):
            order.margin[~order.observed] = 1000
        found = LearningOrder.merge([left, right], calibrate=True)
        assert_same(found, expected)
        assert not found.correct[~found.observed].any()

    def test_the_tables_themselves_stay(self):
        (slow, _), (fast, _) = shard("a", 30, -2, 0), shard("b", 30, 2, 1)
        before = slow.margin.copy(), slow.first_epoch.copy()
        LearningOrder.merge([slow, fast], calibrate=True)
        np.testing.assert_array_equal(slow.margin, before[0])
        np.testing.assert_array_equal(slow.first_epoch, before[1])

    def test_an_empty_shard(self):
        (order, _), empty = shard("a", 30, 0, 0), LearningOrder([])
        for _ in range(3):
            empty.record_epoch([], [], [])
        assert_same(LearningOrder.merge([order, empty], calibrate=True), LearningOrder.merge([order], calibrate=True))

    @pytest.mark.parametrize("others, found", [([LearningOrder(["x"], first_epoch=[0])], r"\[0, 3\]"), ([], r"\[0\]")])
    def test_tables_without_dynamics_are_refused(self, others, found):
        tables = [make(list("ab")), *others] if others else [LearningOrder(["x"], first_epoch=[0])]
        with pytest.raises(FineCLError, match=f"on one scale with the dynamics of equally many epochs, found {found}"):
            LearningOrder.merge(tables, calibrate=True)
