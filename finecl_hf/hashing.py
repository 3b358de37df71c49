"""Random numbers without a random state: each is a hash of (seed, epoch, what it is for).

A draw depends on nothing but its key, so it is the same for any order of the documents, any number of workers or
processes, and after a resume. The mixer is SplitMix64's finaliser (Steele, Lea and Flood, OOPSLA 2014), vectorised.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np


GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MULTIPLIERS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def text_key(text: str) -> int:
    """A stable signed 64-bit key of a string (Python's own `hash` is salted per process)."""
    return int.from_bytes(
        blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little", signed=True
    )


def text_digest(text: str, size: int) -> str:
    """A hash of a string as `size` bytes in hexadecimal: for names that people see."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).hexdigest()


def type_key(entity_type: str) -> int:
    """A type of entities as a number of 31 bits; 0 where there is none."""
    return text_key(entity_type) & 0x7FFFFFFF if entity_type else 0


def mix(*parts) -> np.ndarray:
    """Folds integers or integer arrays (broadcast against each other) into uniformly mixed uint64 keys."""
    state = np.uint64(0)
    with np.errstate(over="ignore"):
        for part in parts:
            state = _finalise((state ^ np.asarray(part).astype(np.int64).view(np.uint64)) + GOLDEN)
    return state


def uniform(*parts) -> np.ndarray:
    """Uniform float64 numbers in [0, 1), one for each combination of `parts`."""
    return (mix(*parts) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _finalise(state: np.ndarray) -> np.ndarray:
    state = (state ^ (state >> np.uint64(30))) * MULTIPLIERS[0]
    state = (state ^ (state >> np.uint64(27))) * MULTIPLIERS[1]
    return state ^ (state >> np.uint64(31))
