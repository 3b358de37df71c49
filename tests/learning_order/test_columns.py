"""Columns of a table in Arrow and numpy."""

import numpy as np
import pyarrow as pa
import pytest

from finecl_hf.errors import FineCLError
from finecl_hf.hashing import text_key
from finecl_hf.learning_order import columns
from finecl_hf.learning_order.columns import concatenate, matrix, strings, text_keys


@pytest.mark.parametrize("values", [["a", "ü"], np.array(["a", "ü"]), pa.chunked_array([["a"], ["ü"]])])
def test_strings(values):
    assert strings(values).equals(pa.array(["a", "ü"], pa.large_string()))


def test_what_is_no_string():
    with pytest.raises(FineCLError, match="must be strings"):
        strings([1.5])


def test_missing_strings():
    with pytest.raises(FineCLError, match="must be strings"):
        strings(["a", None])


def test_text_keys_are_made_a_block_at_a_time(monkeypatch):
    monkeypatch.setattr(columns, "_BLOCK", 2)
    names = ["a", "ü", "b", "c", "d"]
    assert text_keys(strings(names)).tolist() == [text_key(name) for name in names]
    assert text_keys(strings([])).dtype == np.int64


def test_matrix_of_lists():
    values, known = matrix(pa.array([[1.0, None], [None, 2.0]], pa.list_(pa.float16())), "x")
    assert values.dtype == np.float16
    np.testing.assert_array_equal(values, [[1, 0], [0, 2]])
    np.testing.assert_array_equal(known, [[True, False], [False, True]])


def test_concatenate_pads_matrices():
    joined = concatenate([np.ones((1, 1), bool), np.ones((1, 3), bool)], 3)
    np.testing.assert_array_equal(joined, [[True, False, False], [True, True, True]])
