"""Columns of a table in Arrow and numpy."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from finecl_hf.errors import FineCLError
from finecl_hf.hashing import text_key


_ARROW = (pa.Array, pa.ChunkedArray)
_BLOCK = 1 << 16  # strings that are Python objects at a time


def strings(values: Any) -> pa.Array:
    """One Arrow array of whatever holds strings."""
    try:
        if not isinstance(values, _ARROW):
            values = pa.array(values if isinstance(values, np.ndarray) else list(values), pa.large_string())
        values = values.cast(pa.large_string())
    except pa.ArrowException as error:
        raise FineCLError(f"ids, titles and relations must be strings ({error}).") from error
    if values.null_count:
        raise FineCLError(f"ids, titles and relations must be strings ({values.null_count:,} are missing).")
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def text_keys(texts: pa.Array) -> np.ndarray:
    """(N,) int64, [`~finecl_hf.hashing.text_key`] of each string."""
    blocks = (texts.slice(start, _BLOCK).to_pylist() for start in range(0, len(texts), _BLOCK))
    return np.fromiter((text_key(text) for block in blocks for text in block), np.int64, len(texts))


def read_column(table: pa.Table, field: pa.Field) -> Any:
    """A column as numpy if it holds numbers, else as Arrow array."""
    try:
        column = table[field.name].cast(field.type).combine_chunks()
    except pa.ArrowException as error:
        raise FineCLError(f"the column {field.name} is no {field.type}; repeat stage 1 ({error}).") from error
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


def first_epochs(correct: np.ndarray, observed: np.ndarray, given: np.ndarray) -> np.ndarray:
    """(N,) int32, the first epoch with a correct prediction, -1 for never; as given in rows that no epoch observed.

    Args:
        correct, observed: (N, E) bool, E > 0; what was not observed is not correct.
    """
    derived = np.where(correct.any(axis=1), correct.argmax(axis=1), -1)
    return np.where(observed.any(axis=1), derived, given).astype(np.int32)


def concatenate(parts: list, width: int) -> Any:
    """Arrow arrays or numpy arrays, one after the other; matrices are padded with 0 to `width` columns."""
    if isinstance(parts[0], pa.Array):
        return pa.concat_arrays(parts)
    if parts[0].ndim == 2:
        parts = [np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in parts]
    return np.concatenate(parts)


def take(column: Any, rows: np.ndarray) -> Any:
    """The given rows of an Arrow array or numpy array."""
    return column[rows] if isinstance(column, np.ndarray) else column.take(pa.array(rows))
