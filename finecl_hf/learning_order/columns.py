"""Columns of a table in Arrow and numpy, and files that are written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from finecl_hf.errors import FineCLError


_ARROW = (pa.Array, pa.ChunkedArray)
_BLOCK = 1 << 16  # values that are looked up at a time


def strings(values: Any) -> pa.Array:
    """One Arrow array of whatever holds strings."""
    try:
        if not isinstance(values, _ARROW):
            return pa.array(values if isinstance(values, np.ndarray) else list(values), pa.large_string())
        values = values.cast(pa.large_string())
        return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    except pa.ArrowException as error:
        raise FineCLError(f"instance ids, titles and relations must be strings ({error}).") from error


def in_arrow(values: Any) -> pa.Array | pa.ChunkedArray:
    """Whatever holds strings, as Arrow; Arrow's own is left as it is, so that what lies on disk stays there."""
    return values if isinstance(values, _ARROW) else strings(values)


def find(values: Any, chunks: Callable[[], Iterator[pa.Array]]) -> np.ndarray:
    """Place of each value in an array of unique ones that comes in chunks, and may lie in a file.

    The two mostly stand in the same order, as the labels of a corpus and those of its learning order do. So values are
    looked for close behind the one before, a block at a time; only for those that are not there, a hash table is made,
    and the array is gone through once more.

    Args:
        values: M strings, see [`in_arrow`].
        chunks: called for the array from its beginning on, as large strings.

    Returns:
        (M,) int64, -1 where there is no such value.
    """
    values = in_arrow(values)
    found = _find_in_order(values, chunks())
    lost = np.flatnonzero((found < 0) & np.asarray(values.is_valid()))
    if len(lost):
        rest = strings(values.take(pa.array(lost))).dictionary_encode()
        places = np.full(len(rest.dictionary), -1, np.int64)
        first = 0
        for chunk in chunks():
            at = pc.index_in(chunk, value_set=rest.dictionary)
            here = at.is_valid().to_numpy(zero_copy_only=False)
            places[at.drop_null().to_numpy()] = first + np.flatnonzero(here)
            first += len(chunk)
        found[lost] = places[rest.indices.to_numpy()]
    return found


def _find_in_order(values: pa.Array | pa.ChunkedArray, chunks: Iterator[pa.Array]) -> np.ndarray:
    found = np.full(len(values), -1, np.int64)
    window, at = pa.array([], pa.large_string()), 0  # what lies behind the value found last, and where it begins
    for first in range(0, len(values), _BLOCK):
        while len(window) < 2 * _BLOCK and (chunk := next(chunks, None)) is not None:
            window = pa.concat_arrays([window, chunk])
        places = pc.index_in(strings(values[first : first + _BLOCK]), value_set=window.slice(0, 2 * _BLOCK))
        places = pc.fill_null(places, -1).to_numpy(zero_copy_only=False).astype(np.int64)
        found[first : first + len(places)] = np.where(places < 0, -1, places + at)
        passed = int(places.max(initial=-1)) + 1
        window, at = window.slice(passed), at + passed
    return found


def blocks(values: pa.Array) -> Iterator[pa.Array]:
    """An array in chunks, for [`find`]."""
    return (values.slice(first, _BLOCK) for first in range(0, len(values), _BLOCK))


def refuse_duplicates(instance_ids: pa.Array) -> None:
    """Raises FineCLError unless all ids differ."""
    # Equal ids are of equal length, so look among an eighth of them at a time: a hash table of all takes much memory
    group = pc.fill_null(pc.binary_length(instance_ids), 0).to_numpy(zero_copy_only=False) % 8
    groups = (instance_ids.filter(pa.array(group == i)) for i in range(8))
    if any(pc.count_distinct(ids, mode="all").as_py() < len(ids) for ids in groups):
        counts = pc.value_counts(instance_ids)
        twice = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
        raise FineCLError(
            f'{len(twice):,} instance ids occur more than once, first of them "{twice[0]}". Make the titles of the '
            'corpus unique; tables that share instances merge with on_conflict="min".'
        )


def read_column(table: pa.Table, field: pa.Field, missing: Any = None) -> Any:
    """A column as numpy if it holds numbers, else as Arrow array.

    Args:
        missing: what stands for a null; None refuses nulls.
    """
    try:
        column = table[field.name].cast(field.type).combine_chunks()
    except pa.ArrowException as error:
        raise FineCLError(f"the column {field.name} is no {field.type}; repeat stage 1 ({error}).") from error
    if missing is not None:
        column = column.fill_null(missing)
    if column.null_count:
        raise FineCLError(f"the column {field.name} lacks {column.null_count:,} values; repeat stage 1.")
    return column.to_numpy() if pa.types.is_primitive(field.type) else column


def matrix(column: pa.ListArray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """N lists of E values -> (N, E) values, 0 where null, and (N, E) bool, whether they are not null."""
    lengths = pc.list_value_length(column).unique().to_pylist() or [0]
    refuse_lengths(lengths, name)
    values = column.flatten()
    known = values.is_valid().to_numpy(zero_copy_only=False)
    values = values.fill_null(pa.scalar(0).cast(values.type)).to_numpy(zero_copy_only=False)
    return values.reshape(len(column), lengths[0]), known.reshape(len(column), lengths[0])


def refuse_lengths(lengths: Collection[int], name: str) -> None:
    """Raises FineCLError unless all lists of a column are of one length."""
    if len(lengths) > 1:
        raise FineCLError(f"the lists in {name} differ in length ({sorted(lengths)}); repeat stage 1.")


def concatenate(parts: list, width: int) -> Any:
    """Arrow arrays or numpy arrays, one after the other; matrices are padded with 0 to `width` columns."""
    if isinstance(parts[0], pa.Array):
        return pa.concat_arrays(parts)
    if parts[0].ndim == 2:
        parts = [np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in parts]
    return np.concatenate(parts)


def release_memory() -> None:
    """Gives back what Arrow keeps for later of memory that was freed: hundreds of MB after millions of strings."""
    pa.default_memory_pool().release_unused()


def take(column: Any, rows: np.ndarray) -> Any:
    """The given rows of an Arrow array or numpy array."""
    return column[rows] if isinstance(column, np.ndarray) else column.take(pa.array(rows))
