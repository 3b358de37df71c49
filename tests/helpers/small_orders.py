"""Small learning orders for tests, and what it means that two are the same."""

import numpy as np

from finecl_hf.learning_order.table import LearningOrder


def make(ids, epochs=3, seed=0, hidden=0.3):
    """A table whose rows some epochs did not observe."""
    rng = np.random.default_rng(seed)
    order = LearningOrder(
        ids,
        relation=["P17"] * len(ids),
        head=np.arange(len(ids)),
        plausibility=rng.random(len(ids)),
    )
    for _ in range(epochs):
        probability, observed = rng.random(len(ids)), rng.random(len(ids)) > hidden
        order.record_epoch(probability, 2 * probability - 1, probability > 0.6, observed)
    return order


def assert_same(left, right):
    for name in ("instance_id", "title", "relation"):
        assert getattr(left, name).equals(getattr(right, name)), name
    for name in ("key", "head", "tail", "first_epoch", "observed", "correct", "plausibility"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)
        assert getattr(left, name).dtype == getattr(right, name).dtype
    for name in ("probability", "margin"):
        assert getattr(left, name).dtype == getattr(right, name).dtype == np.float16
        np.testing.assert_array_equal(getattr(left, name)[left.observed], getattr(right, name)[right.observed])
