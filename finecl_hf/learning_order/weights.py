"""Weights of facts in stage 2 by the epoch that stage 1 learned them in (FineCL, section 3.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np

from finecl_hf.errors import FineCLError


# Weight of each learned instance by its epoch k: (L,) int, L > 0 -> (L,) in [0, 1]. Add yours as SCHEMES["name"] = f.
SCHEMES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "linear": lambda k: 1.0 - (k - k.min()) / max(np.ptp(k), 1),  # the paper's
    "exponential": lambda k: np.exp(-(k - k.min()).astype(np.float64)),
    "uniform": lambda k: np.zeros(len(k)),  # each exp(w) is 1: ERICA's unweighted loss
}


def order_weights(first_epoch: Any, scheme: str = "linear", cutoff: int | None = 5) -> np.ndarray:
    """Weight of each instance by the epoch in which it was learned.

    Args:
        first_epoch: (N,) int, -1 for an instance that was never learned.
        scheme: a name in [`SCHEMES`]. `linear` is the paper's `w(k) = 1 - (k - k_min) / (k_max - k_min)` over the
            learned instances; `exponential` is `exp(-(k - k_min))`; `uniform` is ERICA's baseline: with every
            weight 0, the loss of the paper is ERICA's unweighted one.
        cutoff: the paper's K: what was learned in epoch K or later weighs 0. None for no cutoff.

    Returns:
        (N,) float64 in [0, 1]. Never-learned instances weigh 0.

    Raises:
        FineCLError: for an unknown scheme, or epochs that are no integers from -1 upwards.
    """
    if scheme not in SCHEMES:
        raise FineCLError(f'there is no weighting scheme "{scheme}"; choose one of {", ".join(SCHEMES)}.')
    first_epoch = epochs_of(first_epoch)
    weights = np.zeros(len(first_epoch))
    learned = first_epoch >= 0
    if learned.any():
        weights[learned] = SCHEMES[scheme](first_epoch[learned])
    if cutoff is not None:
        weights[first_epoch >= cutoff] = 0.0
    return weights


def epochs_of(values: Any) -> np.ndarray:
    """Checks first epochs: (N,) integers from -1 upwards."""
    array = np.asarray(values)
    if array.ndim == 1 and not array.size:
        return array.astype(np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu" or array.min() < -1:
        raise FineCLError(
            "each instance needs the epoch in which it was learned, an integer from 0, or -1 for never, before the "
            f"weighting schemes ({', '.join(SCHEMES)}) apply; found {array.dtype} of shape {array.shape}"
            + (f" with the value {array.min()}." if array.dtype.kind in "iuf" else ".")
        )
    return array if array.dtype.kind == "i" else array.astype(np.int64)


@dataclass(frozen=True)
class Coverage:
    """How a table and a corpus fit.

    Attributes:
        known, unknown: facts of the corpus that the table has, and has not.
        unused: rows that belong to no fact of it.
        unjudged: known facts that stage 1 never judged, though it recorded dynamics: those past its length.
    """

    known: int
    unknown: int
    unused: int
    unjudged: int = 0

    @property
    def share(self) -> float:
        """Known facts as a fraction of all; 1 for an empty corpus."""
        return self.known / (self.known + self.unknown) if self.known + self.unknown else 1.0

    def __str__(self) -> str:
        return (
            f"the learning order knows {self.known:,} of {self.known + self.unknown:,} facts "
            f"({100 * self.share:.1f}%); {self.unused:,} of its rows belong to none of them"
            + (f"; {self.unjudged:,} known ones were never judged" if self.unjudged else "")
        )


@dataclass(eq=False)
class FactWeights:
    """Weight of each fact of a learning order, found by the fact's key.

    Keys are 64-bit hashes: among 100 million facts, the odds that any two share one are 1 to 3,700.

    Attributes:
        key: (N,) int64, ascending; see [`Document.fact_key`].
        weight: (N,) float32 in [0, 1], NaN for a fact that takes no part.
        judged: (N,) bool, whether stage 1 had a look at the fact.
        unknown: weight of a fact that is none of them.
    """

    key: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    weight: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    judged: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    unknown: float = 0.0

    def of(self, keys: np.ndarray) -> tuple[np.ndarray, Coverage]:
        """Weights (M,) of the facts of a corpus, (M,) int64, and how they and the learning order fit each other."""
        place = find(self.key, keys)
        known = place[place >= 0]
        unused = len(self.key) - np.count_nonzero(np.bincount(known, minlength=len(self.key)))
        weights = np.full(len(place), self.unknown, np.float32)
        weights[place >= 0] = self.weight[known]
        return weights, Coverage(len(known), len(place) - len(known), unused, int((~self.judged[known]).sum()))

    def digest(self) -> str:
        """A hash of all weights."""
        digest = blake2b(repr(self.unknown).encode(), digest_size=8)
        for array in (self.key, self.weight):
            digest.update(array.tobytes())
        return digest.hexdigest()


def find(ordered: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Place of each of M keys among N ascending ones: (M,), -1 where it is not among them."""
    keys = np.asarray(keys, np.int64)
    if not len(ordered):
        return np.full(len(keys), -1)
    by_key = np.argsort(keys)  # a search for one key after the other stays in the caches: a third of the time
    sought = keys[by_key]
    found = np.minimum(np.searchsorted(ordered, sought), len(ordered) - 1)
    found[ordered[found] != sought] = -1
    place = np.empty_like(found)
    place[by_key] = found
    return place
