"""Distance buckets: literal ones, and that the way back is the mirrored one."""

import math

import numpy as np

from finecl_hf.data.distances import NUM_DISTANCES, distance_bucket


def slow_bucket(distance):
    """10 is none; |d| in [2^(k-1), 2^k) is k away from it, on the side of its sign, at most 9."""
    if distance == 0:
        return 10
    k = min(1 + math.floor(math.log2(abs(distance))), 9)
    return 10 + k if distance > 0 else 10 - k


def test_buckets():
    distances = [-300, -256, -255, -4, -3, -2, -1, 0, 1, 2, 3, 4, 255, 256, 10**6]
    assert distance_bucket(np.array(distances)).tolist() == [1, 1, 2, 7, 8, 8, 9, 10, 11, 12, 12, 13, 18, 19, 19]


def test_distance_buckets():
    distances = np.arange(-1100, 1101)
    buckets = distance_bucket(distances)
    assert buckets.tolist() == [slow_bucket(int(distance)) for distance in distances]
    assert buckets.min() == 1 and buckets.max() == NUM_DISTANCES - 1
    assert (buckets + distance_bucket(-distances) == NUM_DISTANCES).all()  # the way back is the mirrored bucket
