"""A learning order as a pandas frame, with the columns by which cleanlab's Datalab speaks of label issues."""

from __future__ import annotations

import numpy as np
import pandas as pd

from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.noise_estimate import noise_of
from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.learning_order.trust import unit_trust


def order_frame(order: LearningOrder, score: str, share: float | None = None) -> pd.DataFrame:
    """The columns of the table, one row a label, and these:

    - `verdict`: what people say, 0 where nobody does;
    - `given_label`: the relation;
    - `label_score`: trust in [0, 1], lower for a more suspicious label;
    - `is_label_issue`: whether the label is among the least trusted. What people have judged is as they say, and what
      stage 1 never judged is no issue;
    - `predicted_label`: the given label where the last epoch that saw it predicted it, else None: the table records
      whether a label was predicted, not what was predicted in its place.

    Args:
        score: a name of [`unit_trust`].
        share: of the judged labels that are issues, the least trusted ones; None takes the noise estimate of the
            order. Where there are too few labels for one, only what people judged wrong is an issue.

    Raises:
        FineCLError: the share is outside [0, 1], or the order has not what the score needs.
    """
    if share is not None and not 0 <= share <= 1:
        raise FineCLError(f"the share {share} is out of range; it lies between 0 and 1.")
    trust = unit_trust(score, order)
    frame = order.to_table().to_pandas()
    frame["verdict"] = order.verdict
    frame["given_label"] = frame["relation"]
    frame["label_score"] = trust
    frame["is_label_issue"] = _issues(order, trust, share)
    predicted = np.where(_last_correct(order), order.relation.to_numpy(zero_copy_only=False), None)
    frame["predicted_label"] = pd.Series(predicted, frame.index, dtype=object)
    return frame


def _issues(order: LearningOrder, trust: np.ndarray, share: float | None) -> np.ndarray:
    if share is None:
        noise = noise_of(order)
        share = noise.overall.rate if noise is not None else 0.0
    judged = np.flatnonzero(order.judged)
    ranked = judged[np.lexsort((order.key[judged], trust[judged]))]
    issues = np.zeros(len(order), bool)
    issues[ranked[: round(share * len(ranked))]] = True
    return np.where(order.verdict == 0, issues, order.verdict < 0)


def _last_correct(order: LearningOrder) -> np.ndarray:
    """(N,) bool: the last epoch that saw the label predicted it."""
    if not order.num_epochs:
        return np.zeros(len(order), bool)
    last = order.num_epochs - 1 - order.observed[:, ::-1].argmax(axis=1)
    return (order.correct & order.observed)[np.arange(len(order)), last]
