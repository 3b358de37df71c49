import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from finecl_hf.data.files import remove_unfinished, replacing
from finecl_hf.errors import FineCLError
from finecl_hf.learning_order import columns
from finecl_hf.learning_order.columns import blocks, concatenate, find, matrix, refuse_duplicates, strings


def test_replacing_a_file(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with replacing(path) as file:
        file.write(b"old")
        assert not path.exists()
    with pytest.raises(KeyError), replacing(path) as file:
        file.write(b"half")
        raise KeyError
    assert path.read_bytes() == b"old" and [entry.name for entry in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("values", [["a", "ü"], np.array(["a", "ü"]), pa.chunked_array([["a"], ["ü"]])])
def test_strings(values):
    assert strings(values).equals(pa.array(["a", "ü"], pa.large_string()))


def test_what_is_no_string():
    with pytest.raises(FineCLError, match="must be strings"):
        strings([1.5])


def test_matrix_of_lists():
    values, known = matrix(pa.array([[1.0, None], [None, 2.0]], pa.list_(pa.float16())), "x")
    assert values.dtype == np.float16
    np.testing.assert_array_equal(values, [[1, 0], [0, 2]])
    np.testing.assert_array_equal(known, [[True, False], [False, True]])


def test_concatenate_pads_matrices():
    joined = concatenate([np.ones((1, 1), bool), np.ones((1, 3), bool)], 3)
    np.testing.assert_array_equal(joined, [[True, False, False], [True, True, True]])


def test_what_a_killed_process_left_is_removed(tmp_path):
    for name in (".a.txt.17.tmp", "a.txt", ".b.txt.17.tmp", "a.txt.17.tmp"):
        (tmp_path / name).touch()
    remove_unfinished(tmp_path / "a.txt")
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", ".b.txt.17.tmp", "a.txt.17.tmp"}


def test_duplicates_are_found_whatever_their_length():
    ids = ["x" * length for length in range(40)]
    refuse_duplicates(pa.array(ids, pa.large_string()))
    for length in range(40):
        with pytest.raises(FineCLError, match=f'1 instance ids occur more than once, first of them "{"x" * length}"'):
            refuse_duplicates(pa.array([*ids, "x" * length], pa.large_string()))
    with pytest.raises(FineCLError, match="more than once"):
        refuse_duplicates(pa.array([None, "a", None], pa.large_string()))


@pytest.mark.parametrize("block", [1, 2, 5, 1000])
def test_values_are_found_in_any_order(block, monkeypatch):
    monkeypatch.setattr(columns, "_BLOCK", block)
    rng = np.random.default_rng(0)
    names = [f"n{i}" for i in range(40)]
    among = strings(names[:30])
    parts = [among.slice(at, size) for at, size in ((0, 0), (0, 7), (7, 1), (8, 22))]
    cases = [names[:30], names[:30:3], names, names[::-1], names[30:], [], list(rng.permutation(names)), names[:5] * 3]
    for values in cases:
        expected = [int(name[1:]) if int(name[1:]) < 30 else -1 for name in values]
        chunked = pa.chunked_array(
            [pa.array(values[i : i + 3], pa.string()) for i in range(0, len(values), 3)], pa.string()
        )
        for kind in (values, np.array(values, dtype=object), strings(values), chunked):
            assert find(kind, lambda: blocks(among)).tolist() == expected
            assert find(kind, lambda: iter(parts)).tolist() == expected
    assert find(names, lambda: blocks(strings([]))).tolist() == [-1] * 40


def test_what_stands_in_order_needs_no_table_of_all(monkeypatch):
    sizes = []
    index_in = pc.index_in
    monkeypatch.setattr(
        columns.pc, "index_in", lambda v, value_set: (sizes.append(len(value_set)), index_in(v, value_set))[1]
    )
    monkeypatch.setattr(columns, "_BLOCK", 10)
    names = [f"n{i}" for i in range(1000)]
    assert find(names[::2], lambda: blocks(strings(names))).tolist() == list(range(0, 1000, 2))
    assert max(sizes) == 20
