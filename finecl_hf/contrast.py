"""Which relation instances of a batch attract and which repel each other: masks by array operations.

Rows are the batch's relation instances and NA pairs. All draws are hashes of the rows' own keys (see `hashing`), so
the choice does not depend on the order of the rows or on which process holds them.
"""

from __future__ import annotations

import numpy as np

from finecl_hf.hashing import mix


PARTNER, NEGATIVE = 1, 2  # keep the draws of the two kinds apart


def partner_mask(relation: np.ndarray, head: np.ndarray, tail: np.ndarray, key: np.ndarray) -> np.ndarray:
    """One partner p(a) with the same relation for each instance that has any.

    A pair that shares the anchor's head or its tail is no partner: half of its embedding would be the anchor's own.

    Args:
        relation: (N,) relation ids, 0 = NA. NA pairs are never anchors.
        head, tail: (N,) entity rows, unique over the batch.
        key: (N,) random key of each row.

    Returns:
        (N, N) bool with at most one True in each row.
    """
    mask = (relation[:, None] == relation) & (relation != 0) & ~_shares_argument(head, tail)
    return _keep_lowest(mask, key, 1, PARTNER)


def negative_mask(
    relation: np.ndarray,
    head: np.ndarray,
    tail: np.ndarray,
    key: np.ndarray,
    max_negatives: int | None = None,
) -> np.ndarray:
    """The set N(a) of each anchor: pairs of other relations and NA pairs.

    Left out: pairs that share the anchor's head or its tail (FineCL, section 3.2), and pairs that hold the anchor's
    relation beside another one.

    Args:
        max_negatives: at most so many for an anchor, drawn at random; None keeps all.

    Returns:
        (N, N) bool; rows of NA pairs are empty.
    """
    _, pair = np.unique(np.stack([head, tail]), axis=1, return_inverse=True)
    names, local = np.unique(relation, return_inverse=True)
    holds = np.zeros((pair.max(initial=-1) + 1, len(names)), dtype=bool)
    holds[pair.ravel(), local.ravel()] = True
    same_relation = holds[pair.ravel()][:, local.ravel()].T  # [a, n]: n's pair also holds a's relation
    mask = ~same_relation & ~_shares_argument(head, tail) & (relation != 0)[:, None]
    return mask if max_negatives is None else _keep_lowest(mask, key, max_negatives, NEGATIVE)


def _shares_argument(head: np.ndarray, tail: np.ndarray) -> np.ndarray:
    return (head[:, None] == head) | (tail[:, None] == tail)


def _keep_lowest(mask: np.ndarray, key: np.ndarray, count: int, purpose: int) -> np.ndarray:
    """Keeps the `count` True entries of each row whose hash of (row, column) is lowest: a uniform draw."""
    kept = np.zeros_like(mask)
    rows = np.flatnonzero(mask.any(axis=1))
    if len(rows) == 0:
        return kept
    draws = (mix(key[rows, None], key, purpose) >> np.uint64(1)).view(np.int64)
    draws[~mask[rows]] = np.iinfo(np.int64).max
    if count < mask.shape[1]:
        columns = np.argpartition(draws, count - 1, axis=1)[:, :count]
    else:
        columns = np.broadcast_to(np.arange(mask.shape[1]), draws.shape)
    kept[rows[:, None], columns] = True
    return kept & mask
