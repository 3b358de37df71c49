"""Columns of Arrow tables as they lie on the disk."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
from datasets import Dataset


def arrow_column(dataset: Dataset, name: str) -> pa.ChunkedArray:
    """One column in the order of the rows; the others are not read."""
    return dataset.select_columns(name).with_format("arrow")[:][name]


def column_batches(dataset: Dataset, name: str) -> Iterator[pa.Array]:
    """One column in the order of the rows, a thousand rows at a time; the others are not read."""
    for batch in dataset.select_columns(name).with_format("arrow").iter(1000):
        yield batch[name].combine_chunks()
