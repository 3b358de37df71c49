import subprocess
import sys

import numpy as np

from finecl_hf.hashing import mix, text_key, uniform


WORD = 2**64


def _mix_slowly(*parts):
    """SplitMix64 over Python integers."""
    state = 0
    for part in parts:
        state = ((state ^ (part % WORD)) + 0x9E3779B97F4A7C15) % WORD
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) % WORD
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) % WORD
        state ^= state >> 31
    return state


def test_mix_is_splitmix64():
    assert int(mix(0)) == 0xE220A8397B1DCDAF  # first output of the published generator for seed 0
    for parts in [(1, 2, 3), (-1,), (2**63 - 1, -(2**63)), (0, 0), (0, 0, 0)]:
        assert int(mix(*parts)) == _mix_slowly(*parts)


def test_mix_broadcasts_and_keeps_the_order_of_its_parts():
    rows, columns = np.array([3, -7, 11]), np.arange(4)
    table = mix(5, rows[:, None], columns)
    assert table.shape == (3, 4) and table.dtype == np.uint64
    assert table.tolist() == [[_mix_slowly(5, int(row), int(column)) for column in columns] for row in rows]
    assert mix(1, 2) != mix(2, 1)


def test_text_key_is_the_same_in_every_process():
    texts = ["Ada", "", "Zoë \U0001f600", "\ud800 lone surrogate"]
    keys = [text_key(text) for text in texts]
    assert len(set(keys)) == len(texts) and all(-(2**63) <= key < 2**63 for key in keys)
    code = f"from finecl_hf.hashing import text_key; print([text_key(text) for text in {texts!a}])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == str(keys)


def test_uniform_is_uniform_in_each_part():
    values = uniform(1, np.arange(200)[:, None], np.arange(500))
    assert 0 <= values.min() and values.max() < 1
    counts = np.histogram(values, bins=20, range=(0, 1))[0]
    assert np.abs(counts / values.size - 1 / 20).max() < 0.003  # about 4 standard deviations
    for axis in (0, 1):  # neither neighbouring rows nor neighbouring columns are correlated
        left, right = np.delete(values, -1, axis), np.delete(values, 0, axis)
        assert abs(np.corrcoef(left.ravel(), right.ravel())[0, 1]) < 0.015
