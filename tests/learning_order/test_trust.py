"""Scores against loop-written versions; they lie in [0, 1] and are refused where there are no dynamics."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.learning_order.trust import (
    _WITHOUT_DYNAMICS,
    CALIBRATION,
    FEW_LABELS,
    SCORES,
    TEXT_WEIGHT,
    WITHIN_RELATION,
    check_weight_by,
    choose_labels,
    consistent_epoch,
    error_norm,
    forgetting_events,
    log_evidence,
    mean_over_epochs,
    ranks_within,
    rival_probability,
    second_look,
    unit_logistic,
    unit_ranks,
    unit_trust,
    variability,
)


def random_order(rows=60, epochs=4, hidden=0.2, seed=0):
    """A table in which some epochs did not observe some labels, and no epoch the last one."""
    rng = np.random.default_rng(seed)
    ids = [f"d{i}#0#1#r{i % 3}" for i in range(rows)]
    order = LearningOrder(ids, relation=[f"r{i % 3}" for i in range(rows)], plausibility=rng.normal(size=rows))
    for _ in range(epochs):
        loss = rng.exponential(1.5, rows)
        margin = rng.normal(0, 2, rows)
        observed = rng.random(rows) > hidden
        observed[-1] = False
        order.record_epoch(np.exp(-loss), margin, margin > 0, observed, loss)
    return order


def rows_of(order):
    """For each label its observed (probability, margin, correct, loss), epoch by epoch."""
    for i in range(len(order)):
        yield [
            tuple(float(getattr(order, name)[i, e]) for name in ("probability", "margin", "correct", "loss"))
            for e in range(order.num_epochs)
            if order.observed[i, e]
        ]


SLOW = {
    "times_correct": lambda row: sum(c for _, _, c, _ in row) / len(row),
    "probability": lambda row: sum(p for p, *_ in row) / len(row),
    "variability": lambda row: 1 - 2 * np.std([p for p, *_ in row]),
    "loss": lambda row: math.exp(-sum(loss for *_, loss in row) / len(row)),
    "el2n": lambda row: (
        1 - sum(math.hypot(1 - p, min(p * math.exp(-m), 1 - p)) for p, m, *_ in row) / len(row) / math.sqrt(2)
    ),
}


@pytest.mark.parametrize("name", SLOW)
def test_against_loops(name):
    order = random_order()
    scores = unit_trust(name, order)
    slow = [SLOW[name](row) if row else None for row in rows_of(order)]
    lowest = min(value for value in slow if value is not None)
    np.testing.assert_allclose(scores, [lowest if value is None else value for value in slow], atol=2e-3)


@pytest.mark.parametrize("name", [*SCORES, *(f"{name}{WITHIN_RELATION}" for name in SCORES)])
def test_range_and_order_of_rows(name):
    order = random_order()
    scores = unit_trust(name, order)
    assert scores.shape == (60,) and (scores >= 0).all() and (scores <= 1).all()
    assert np.unique(scores).size > 2
    rows = np.random.default_rng(1).permutation(60)
    shuffled = LearningOrder.from_table(order.to_table().take(rows))
    np.testing.assert_allclose(unit_trust(name, shuffled), scores[rows], atol=1e-6)


@pytest.mark.parametrize("name", SCORES)
def test_a_label_that_is_always_predicted_is_trusted_more_than_one_that_never_is(name):
    ids = ["right#0#1#r", "wrong#0#1#r", "never seen#0#1#r"]
    order = LearningOrder(ids, relation=["r", "r", "r"], plausibility=[1.0, -1.0, -2.0])
    for epoch in range(3):
        p = np.array([0.9, 0.1 + 0.2 * (epoch == 1), 0.5])
        order.record_epoch(p, [2.0, -2.0, 0.0], [True, False, False], [True, True, False], -np.log(p))
    right, wrong, unseen = unit_trust(name, order)
    assert right > wrong
    assert unseen <= wrong


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=10), st.integers(1, 6))
def test_consistent_epoch_and_forgetting(correct, times):
    seen = np.ones((len(correct), 4), bool)
    found, events = consistent_epoch(np.array(correct), seen, times), forgetting_events(np.array(correct), seen)
    for row, epoch, forgotten in zip(correct, found, events, strict=True):
        wanted = min(times, 4)
        ends = [e for e in range(4) if e + 1 >= wanted and all(row[e + 1 - wanted : e + 1])]
        assert epoch == (ends[0] if ends else -1)
        assert forgotten == (sum(a and not b for a, b in zip(row, row[1:], strict=False)) if any(row) else 4)


def test_epochs_without_a_look_count_for_nothing():
    correct = np.array([[1, 0, 1, 0], [1, 0, 1, 1], [0, 0, 0, 0]], bool)
    seen = np.array([[1, 0, 1, 0], [1, 0, 0, 1], [1, 1, 0, 1]], bool)
    correct &= seen
    assert forgetting_events(correct, seen).tolist() == [0, 0, 4]
    assert consistent_epoch(correct, seen).tolist() == [2, 3, -1]


@pytest.mark.parametrize("name", [*SCORES, *(f"{name}{WITHIN_RELATION}" for name in SCORES)])
def test_labels_that_were_never_judged_do_not_move_the_others(name):
    order = random_order()
    order = order.select(order.judged)
    more = random_order(rows=300, hidden=1.0, seed=1)  # nothing of it was seen
    more.key = more.key + 1
    together = unit_trust(name, LearningOrder.merge([order, more]))
    np.testing.assert_allclose(together[: len(order)], unit_trust(name, order))
    assert (together[len(order) :] == together.min()).all()


def test_what_says_nothing_is_refused():
    order = LearningOrder(list("ab"), first_epoch=[0, 1])
    with pytest.raises(FineCLError, match="plausibility says nothing"):
        unit_trust("plausibility", order)
    with pytest.raises(FineCLError, match="cannot rank within"):
        unit_trust("first_epoch_within_relation", order)


def test_error_norm_of_two_classes_is_exact():
    probability = np.array([[0.9], [0.2]])
    margin = np.log(probability / (1 - probability))
    np.testing.assert_allclose(rival_probability(probability, margin), 1 - probability, rtol=1e-5)
    np.testing.assert_allclose(error_norm(probability, margin), math.sqrt(2) * (1 - probability), rtol=1e-5)


def test_rivals_of_impossible_margins():
    rivals = rival_probability(np.array([0.0, 0.0, 1.0, 0.5]), np.array([-60000.0, 60000.0, -60000.0, 0.0]))
    np.testing.assert_allclose(rivals, [1.0, 0.0, 0.0, 0.5], atol=1e-6)


def test_evidence_against_loops():
    order = random_order()
    means = [sum(m for _, m, *_ in row) / len(row) if row else None for row in rows_of(order)]
    relations = order.relation.to_pylist()
    overall = np.median([mean for mean in means if mean is not None])
    for i, (mean, relation) in enumerate(zip(means, relations, strict=True)):
        if mean is None:
            continue
        own = [other for other, name in zip(means, relations, strict=True) if name == relation and other is not None]
        usual = (len(own) * np.median(own) + FEW_LABELS * overall) / (len(own) + FEW_LABELS)
        slow = order.plausibility[i] + TEXT_WEIGHT * (mean - CALIBRATION * usual)
        assert log_evidence(order)[i] == pytest.approx(slow, abs=2e-3)


def test_evidence_of_a_relation_that_was_never_judged():
    order = LearningOrder(list("abc"), relation=["r", "r", "lost"], plausibility=[0.0, 1.0, 5.0])
    order.record_epoch([0.5] * 3, [1.0, 1.0, 0.0], [True] * 3, [True, True, False])
    low, high, lost = unit_trust("evidence", order)
    assert lost == low < high


def test_second_look_takes_trust_back_where_a_rival_is_sure():
    scores = second_look(np.array([1.0, 1.0, 0.5]), np.array([0.8, 0.1, 0.1]), np.array([1.5, -2.0, -2.0]))
    assert scores[0] == 1.0
    assert scores[1] == pytest.approx(1 - 0.1 * math.exp(2), abs=1e-6)
    assert scores[2] == scores[1] / 2


def test_means_are_over_observed_epochs():
    values, observed = np.arange(6.0).reshape(2, 3), np.array([[True, False, True], [False, False, False]])
    np.testing.assert_allclose(mean_over_epochs(values, observed), [1.0, 0.0])
    np.testing.assert_allclose(variability(values, observed), [1.0, 0.0])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=1, max_size=30))
def test_unit_ranks(values):
    ranks = unit_ranks(np.array(values))
    assert ((ranks >= 0) & (ranks <= 1)).all()
    for i, j in zip(np.argsort(values), np.argsort(values)[1:], strict=False):
        assert (ranks[i] == ranks[j]) if values[i] == values[j] else (ranks[i] < ranks[j])


def test_unit_logistic():
    values = np.array([-1e9, -1.0, 0.0, 0.0, 1.0, 1e9])
    scores = unit_logistic(values)
    assert (np.diff(scores) >= 0).all() and (scores > 0).all() and (scores < 1).all() and scores[2] == scores[3]
    np.testing.assert_allclose(unit_logistic(np.array([-2.0, 2.0])), [1 / (1 + math.exp(2)), 1 / (1 + math.exp(-2))])
    assert unit_logistic(np.array([3.0, 3.0])).tolist() == [0.5, 0.5]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_ranks_within(pairs):
    values, group = (np.array(column) for column in zip(*pairs, strict=True))
    ranks = ranks_within(values, group)
    for value, own, rank in zip(values, group, ranks, strict=True):
        rivals = values[group == own]
        below, ties = (rivals < value).sum(), (rivals == value).sum()
        assert rank == pytest.approx((below + ties / 2) / len(rivals))


@pytest.mark.parametrize("name", [name for name in SCORES if name not in _WITHOUT_DYNAMICS])
def test_no_dynamics(name):
    with pytest.raises(FineCLError, match="no training dynamics"):
        unit_trust(name, LearningOrder(["a#0#1#r"], first_epoch=[0]))


def test_first_epoch_needs_no_dynamics():
    order = LearningOrder(list("abc"), first_epoch=[0, 3, -1])
    np.testing.assert_allclose(unit_trust("first_epoch", order), [1.0, 0.25, 0.0])


def test_a_score_out_of_range(monkeypatch):
    order = LearningOrder(list("ab"), first_epoch=[0, 1])
    order.record_epoch([0.5, 0.5], [1, 1], [True, True])
    for value in (1.5, np.nan):
        monkeypatch.setitem(SCORES, "mine", lambda order, value=value: np.array([0.5, value]))
        with pytest.raises(FineCLError, match=r'"mine" leaves \[0, 1\]'):
            unit_trust("mine", order)


def test_names():
    for name in SCORES:
        check_weight_by(name)
        check_weight_by(name + WITHIN_RELATION)
    for name in ("mood", "mood_within_relation", WITHIN_RELATION):
        with pytest.raises(FineCLError, match=f'no score "{name}"; take one of first_epoch, consistent_epoch'):
            check_weight_by(name)


# What to keep


def test_threshold_and_share():
    trust = np.array([0.1, 0.9, 0.5, 0.5])
    ids = np.arange(4)
    assert choose_labels(trust, ids, threshold=0.5).tolist() == [False, True, True, True]
    assert choose_labels(trust, ids, share=0.25).tolist() == [False, True, False, False]
    assert choose_labels(trust, ids, share=0).sum() == 0 and choose_labels(trust, ids, share=1).all()
    assert choose_labels(np.zeros(0), [], share=0.5).shape == (0,)


def test_ties_do_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(0)
    keys, trust = rng.integers(-(2**62), 2**62, 200), rng.integers(0, 3, 200) / 2
    chosen = {*keys[choose_labels(trust, keys, share=0.6)]}
    assert len(chosen) == 120
    for _ in range(5):
        rows = rng.permutation(200)
        assert {*keys[rows][choose_labels(trust[rows], keys[rows], share=0.6)]} == chosen
    assert chosen > {*keys[trust == 1]} and not chosen & {*keys[trust == 0]}


@pytest.mark.parametrize(
    "options, words",
    [
        ({}, "one of the two"),
        ({"threshold": 0.5, "share": 0.5}, "one of the two"),
        ({"threshold": 1.5}, "threshold 1.5 is out of range"),
        ({"share": float("nan")}, "share nan is out of range"),
    ],
)
def test_choices_that_make_no_sense(options, words):
    with pytest.raises(FineCLError, match=words):
        choose_labels(np.array([0.5]), np.zeros(1, int), **options)


@pytest.mark.parametrize("trust", [[0.5], [0.5, np.nan], [[0.5, 0.5]]])
def test_each_label_needs_one_trust(trust):
    with pytest.raises(FineCLError, match="each of the 2 labels needs one trust"):
        choose_labels(np.array(trust), np.arange(2), share=0.5)
