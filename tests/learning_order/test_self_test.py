"""The self-test: ranking labels that were wrong on purpose among the others."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.self_test import SelfTest, placements, self_test
from finecl_hf.learning_order.table import LearningOrder


def order_with(trust, relation, observed=None):
    order = LearningOrder([f"d{i}" for i in range(len(trust))], relation=list(relation))
    order.record_epoch(trust, 2 * np.asarray(trust) - 1, np.asarray(trust) > 0.5, observed)
    return order


def wins(wrong, right):
    return np.mean([(one < other) + (one == other) / 2 for one in wrong for other in right])


def random_case(seed, count=60):
    rng = np.random.default_rng(seed)
    trust = rng.integers(0, 12, count) / 16  # with ties
    return trust, rng.integers(0, 4, count).astype(str), rng.random(count) < 0.3, rng.random(count) < 0.9


@pytest.mark.parametrize("seed", range(5))
def test_as_counted_by_loops(seed):
    trust, relation, planted, observed = random_case(seed)
    outcome = self_test(order_with(trust, relation, observed), planted, "probability", replaced=3)
    wrong, right = trust[planted & observed], trust[~planted & observed]
    assert outcome.auroc == pytest.approx(wins(wrong, right))
    assert outcome.planted == len(wrong) and outcome.replaced == 3 and outcome.score == "probability"
    parts = []
    for name in set(relation):
        one, other = (trust[kind & observed & (relation == name)] for kind in (planted, ~planted))
        if len(one) and len(other):
            parts += [wins([value], other) for value in one]
    assert outcome.within_relation == pytest.approx(np.mean(parts))
    assert outcome.low < outcome.auroc < outcome.high


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """Normal scores one standard deviation apart: the AUROC is 0.7602."""
    held = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        planted = np.arange(400) < 40
        trust = 1 / (1 + np.exp(-(rng.normal(size=400) - planted)))
        outcome = self_test(order_with(trust, ["r"] * 400), planted, "probability")
        held.append(outcome.low <= 0.7602 <= outcome.high)
    assert 0.84 <= np.mean(held) <= 0.96


def test_placements():
    np.testing.assert_allclose(placements(np.array([0.0, 0.5, 2.0]), np.array([0.5, 1.0])), [1.0, 0.75, 0.0])


def test_nothing_to_compare():
    order = order_with([0.2, 0.4, 0.6], "aab")
    assert self_test(order, np.zeros(3, bool), "probability") is None
    assert self_test(order, np.ones(3, bool), "probability") is None
    alone = self_test(order_with([0.2, 0.4], "ab"), np.array([True, False]), "probability")
    assert alone.auroc == 1.0 and alone.within_relation == 0.5


@pytest.mark.parametrize("auroc, word", [(0.5, "next to nothing"), (0.7, "weak"), (0.9, "errors at random are found")])
def test_what_it_means(auroc, word):
    assert word in str(SelfTest(100, 0, "evidence", auroc, auroc - 0.05, auroc + 0.05, auroc, (0.0, 1.0)))


def test_files_keep_it(tmp_path):
    outcome = SelfTest(40, 0, "evidence", 0.81, 0.75, 0.87, 0.7, (-1.5, 0.25, 2.0))
    order = replace(order_with([0.2, 0.4, 0.6], "aab"), self_test=outcome)
    order.write(tmp_path / "order.parquet")
    assert LearningOrder.read(tmp_path / "order.parquet").self_test == outcome
    assert LearningOrder.from_table(order.to_table()).self_test == outcome
    assert order.select([0, 1]).self_test == outcome
    assert LearningOrder.merge([order]).self_test is None  # of several models, none of which it speaks of alone
    assert LearningOrder.from_table(order_with([0.2], "a").to_table()).self_test is None


def test_quantiles():
    outcome = SelfTest(40, 0, "evidence", 0.81, 0.75, 0.87, 0.7, (-2.0, 0.0, 4.0))
    assert [outcome.share_below(value) for value in (-3, -2, -1, 0, 2, 9)] == [0, 0, 0.25, 0.5, 0.75, 1]


@pytest.mark.parametrize("text", ["", "[]", "3", json.dumps({"planted": 1}), '{"planted": "many"}'])
def test_a_damaged_one_is_a_sentence(text):
    order = order_with([0.2, 0.4], "ab")
    schema = order.to_table().schema
    table = order.to_table().cast(schema.with_metadata({**schema.metadata, b"finecl_hf.self_test": text.encode()}))
    assert isinstance(table, pa.Table)
    with pytest.raises(FineCLError, match="damaged"):
        LearningOrder.from_table(table)


@pytest.mark.parametrize("low, words", [(0.52, ["order.parquet", "do not clean"]), (0.7, [])])
def test_scores_that_are_worth_nothing_are_warned_of(low, words, caplog):
    SelfTest(20, 18, "evidence", 0.75, low, 0.8, 0.75, (0.0, 1.0)).warn("order.parquet")
    assert all(word in caplog.text for word in words) and bool(caplog.text) == bool(words)
