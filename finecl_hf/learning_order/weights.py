"""Weights of labels in stage 2 by the epoch that stage 1 learned them in (FineCL, section 3.2)."""

from __future__ import annotations

from collections.abc import Callable
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
    first_epoch = _epochs(first_epoch)
    weights = np.zeros(len(first_epoch))
    learned = first_epoch >= 0
    if learned.any():
        weights[learned] = SCHEMES[scheme](first_epoch[learned])
    if cutoff is not None:
        weights[first_epoch >= cutoff] = 0.0
    return weights


def _epochs(values: Any) -> np.ndarray:
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
