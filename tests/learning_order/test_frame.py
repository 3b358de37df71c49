"""The frame: the table's columns, and those of cleanlab's Datalab."""

from dataclasses import replace

import numpy as np
import pytest

from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.learning_order.trust import unit_trust
from tests.helpers.small_orders import make


def test_columns():
    order = replace(make([f"d{i}" for i in range(40)], hidden=0.5), verdict=np.array([1, -1] + [0] * 38))
    frame = order.to_frame("probability", share=0.25)
    assert list(frame.columns[:5]) == ["instance_id", "title", "head", "tail", "relation"] and len(frame) == 40
    np.testing.assert_array_equal(frame["label_score"], unit_trust("probability", order))
    assert set(frame["given_label"]) == {"P17"} and frame["label_score"].between(0, 1).all()
    assert frame["is_label_issue"][:2].tolist() == [False, True]
    others = np.flatnonzero(order.judged)[2:]
    assert frame["is_label_issue"].dtype == bool and not frame["is_label_issue"][~order.judged][2:].any()
    worst = frame.loc[others].sort_values("label_score").index[:5]
    assert frame["is_label_issue"][worst].all()
    last = [order.correct[i][order.observed[i]][-1] if order.observed[i].any() else False for i in range(40)]
    assert [value is not None for value in frame["predicted_label"]] == last


def test_share_of_the_noise_estimate_and_orders_without_dynamics():
    order = make([f"d{i}" for i in range(60)], hidden=0)
    assert 0 < order.to_frame()["is_label_issue"].sum() < 60
    bare = LearningOrder(["a", "b"], first_epoch=[0, -1])
    frame = bare.to_frame()
    assert frame["label_score"].tolist() == [1, 0] and not frame["is_label_issue"].any()
    assert bare.to_frame(share=0.5)["is_label_issue"].tolist() == [False, True]
    assert frame["predicted_label"].tolist() == [None, None]
    with pytest.raises(FineCLError, match="share 2 is out of range"):
        bare.to_frame(share=2)
