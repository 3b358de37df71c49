"""Buckets of the distance between two mentions."""

from __future__ import annotations

import numpy as np


NUM_DISTANCES = 20  # buckets; also the entries of the distance embedding


def distance_bucket(distance: np.ndarray) -> np.ndarray:
    """Signed, logarithmic buckets of a token distance: 10 is none, 10 +- (1 + floor(log2 |d|)) otherwise, in 1..19.

    DocRED's baseline (Yao et al., ACL 2019) and FineCL embed the distance between the first mentions this way.
    """
    _, exponent = np.frexp(np.abs(distance))  # |d| in [2^(e-1), 2^e), 0 for d = 0
    half = NUM_DISTANCES // 2
    return half + np.sign(distance) * np.minimum(exponent, half - 1)
