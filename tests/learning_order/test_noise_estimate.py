"""The estimated noise of mixtures whose noise is known."""

from dataclasses import replace

import numpy as np
import pytest

from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.noise_estimate import CLEAR, NoiseEstimate, RelationNoise, estimate_noise, noise_of
from finecl_hf.learning_order.self_test import SelfTest
from finecl_hf.learning_order.table import LearningOrder


def mixture(rates, count=2000, apart=4.0, seed=0):
    """Evidence (N,), relation (N,) and whether each label is wrong, with a share of wrong labels for each relation."""
    rng = np.random.default_rng(seed)
    relation = np.repeat([f"r{i}" for i in range(len(rates))], count)
    wrong = rng.random(len(relation)) < np.repeat(rates, count)
    return rng.normal(0, 1, len(relation)) + apart * ~wrong, relation, wrong


def test_rates_of_relations_are_found():
    rates = [0.1, 0.3, 0.5, 0.8]
    evidence, relation, wrong = mixture(rates)
    estimate = estimate_noise(evidence, relation)
    assert estimate.overall.rate == pytest.approx(wrong.mean(), abs=0.01)
    assert estimate.gap > 0.5
    for row in estimate.relations:
        true = wrong[relation == row.relation].mean()
        assert row.rate == pytest.approx(true, abs=0.02) and row.labels == 2000
        assert row.low <= row.rate <= row.high and row.high - row.low < 0.06


def test_intervals_hold_the_true_rate_about_as_often_as_they_say():
    """Of all labels of a relation, not of the sample: 90 % of the intervals."""
    inside = []
    for seed in range(10):
        rates = np.linspace(0.1, 0.9, 9)
        estimate = estimate_noise(*mixture(rates, count=300, seed=seed)[:2], seed=seed)
        by_name = {row.relation: row for row in estimate.relations}
        inside += [by_name[f"r{i}"].low <= rate <= by_name[f"r{i}"].high for i, rate in enumerate(rates)]
    assert 0.75 < np.mean(inside) <= 1


def test_few_labels_follow_the_rest_and_are_less_sure():
    evidence, relation, _ = mixture([0.2], count=3000)
    evidence, relation = np.append(evidence, 0.0), np.append(relation, "rare")  # one label that looks wrong
    common, rare = estimate_noise(evidence, relation).relations
    assert rare.relation == "rare" and common.rate < rare.rate < 0.6
    assert rare.high - rare.low > 2 * (common.high - common.low)


def test_order_and_scale_change_nothing():
    evidence, relation, _ = mixture([0.1, 0.6], count=500)
    first = estimate_noise(evidence, relation)
    shuffle = np.random.default_rng(1).permutation(len(evidence))
    assert estimate_noise(evidence[shuffle], relation[shuffle]) == first
    scaled = estimate_noise(100 * evidence - 7, relation)
    assert scaled.overall.rate == pytest.approx(first.overall.rate, abs=0.01)


PASSED = SelfTest(100, 0, "evidence", 0.95, 0.9, 1.0, 0.95, evidence=(-1.0, 1.0))


def test_a_number_is_told_where_wrong_labels_stand_out():
    apart = replace(estimate_noise(*mixture([0.4])[:2]), self_test=PASSED)
    assert not apart.doubt and str(apart).startswith("About 40% of the 2,000 labels look wrong (")


@pytest.mark.parametrize(
    "apart, others, word",
    [
        (1.0, {"self_test": PASSED}, "do not lie apart"),
        (4.0, {"self_test": None}, "--probe_share"),
        (4.0, {"self_test": replace(PASSED, within_relation=0.6)}, "0.60"),
        (4.0, {"self_test": replace(PASSED, within_relation=0.7)}, "0.70"),
        (4.0, {"self_test": PASSED, "learned": 0.05}, "5%"),
    ],
)
def test_no_number_is_told_where_nothing_says_that_it_is_right(apart, others, word):
    estimate = replace(estimate_noise(*mixture([0.4], apart=apart)[:2]), **others)
    assert word in estimate.doubt and estimate.doubt in str(estimate)
    assert "cannot tell" in str(estimate) and "40%" not in str(estimate)


def test_wrong_labels_of_the_corpus_count_against_the_self_test():
    """Where 40 % are wrong, an AUROC of 0.77 among labels of one relation is 0.95 against right ones."""
    estimate = replace(estimate_noise(*mixture([0.4])[:2]), self_test=replace(PASSED, within_relation=0.77))
    assert not estimate.doubt
    clean = replace(estimate_noise(*mixture([0.1], apart=8.0)[:2]), self_test=replace(PASSED, within_relation=0.77))
    assert "0.77" in clean.doubt
    noisy = replace(estimate_noise(*mixture([0.9], apart=8.0)[:2]), self_test=replace(PASSED, within_relation=0.55))
    assert "0.55" in noisy.doubt  # as good as chance, whatever the rates say


def test_the_boundary_divides_best():
    evidence, relation, wrong = mixture([0.2], count=20_000)
    boundary = estimate_noise(evidence, relation).boundary
    errors = {shift: ((evidence < boundary + shift) != wrong).mean() for shift in (-0.3, 0.0, 0.3)}
    assert min(errors, key=errors.get) == 0.0


def test_intervals_reach_as_far_as_what_the_self_test_missed():
    """A quarter of the labels that were wrong on purpose lies above the boundary."""
    evidence, relation, _ = mixture([0.3])
    order = LearningOrder([str(i) for i in range(2000)], relation=relation)
    order.record_epoch(1 / (1 + np.exp(-evidence)), evidence - 2, evidence > 2)
    without = noise_of(order)
    passed = replace(PASSED, evidence=(without.boundary - 3, without.boundary + 1))
    estimate = noise_of(replace(order, self_test=passed))
    assert estimate.overall.rate == without.overall.rate and estimate.overall.low == without.overall.low
    assert estimate.overall.high == pytest.approx(without.overall.rate / 0.75)
    assert estimate.relations[0].high == pytest.approx(without.relations[0].rate / 0.75)


@pytest.mark.parametrize("shape", ["normal", "uniform"])
@pytest.mark.parametrize(
    "count", [40, pytest.param(200, marks=pytest.mark.slow), pytest.param(1000, marks=pytest.mark.slow)]
)
def test_one_hump_is_not_taken_for_two(shape, count):
    gaps = []
    for seed in range(10):
        evidence = getattr(np.random.default_rng(seed), shape)(size=count)
        estimate = estimate_noise(evidence, ["r"] * count)
        gaps.append(estimate.gap)
        assert all(row.low <= row.rate <= row.high for row in [estimate.overall, *estimate.relations])
    assert np.median(gaps) < CLEAR


def test_table():
    rows = [RelationNoise(f"r{i}", 100 - i, 0.25, 0.1, 0.4) for i in range(30)]
    lines = NoiseEstimate(rows[0], rows, 0.9).table({"r0": "born in"}, most=2).splitlines()
    assert lines[1].split() == ["100", "25%", "10%", "-", "40%", "r0", "born", "in"]
    assert lines[2].endswith("  r1")
    assert len(lines) == 4 and lines[-1] == "... and 28 relations with fewer labels"


@pytest.mark.parametrize("evidence", [[], [1.0] * 9, [2.0] * 50])
def test_too_little_to_tell(evidence):
    with pytest.raises(FineCLError, match="it takes 10 that differ"):
        estimate_noise(np.array(evidence), ["r"] * len(evidence))


def test_extreme_values_do_no_harm():
    evidence, relation, wrong = mixture([0.3])
    evidence[:2] = -1e6, 1e6
    assert estimate_noise(evidence, relation).overall.rate == pytest.approx(wrong.mean(), abs=0.05)


def test_of_a_learning_order():
    evidence, relation, wrong = mixture([0.2, 0.5], count=400)
    order = LearningOrder([str(i) for i in range(800)], relation=relation)
    assert noise_of(order) is None  # nothing was judged
    for _ in range(3):
        observed = np.arange(800) > 0
        order.record_epoch(1 / (1 + np.exp(-evidence)), evidence - 2, evidence > 2, observed)
    estimate = noise_of(order)
    assert estimate.overall.labels == 799
    assert estimate.overall.rate == pytest.approx(wrong.mean(), abs=0.05)


def test_of_labels_that_were_hardly_learned_little_is_said():
    overall = RelationNoise("", 130, 0.09, 0.05, 0.12)
    assert "9%" in str(NoiseEstimate(overall, [], 0.82, self_test=PASSED))
    told = str(NoiseEstimate(overall, [], 0.82, learned=0.054, self_test=PASSED))
    assert "9%" not in told and "5%" in told
