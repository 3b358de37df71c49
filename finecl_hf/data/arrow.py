"""Columns of Arrow tables as they lie on the disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
from datasets import Dataset

from finecl_hf.data.files import full_disk
from finecl_hf.errors import FineCLError


def arrow_column(dataset: Dataset, name: str) -> pa.ChunkedArray:
    """One column in the order of the rows; the others are not read."""
    return dataset.select_columns(name).with_format("arrow")[:][name]


def column_batches(dataset: Dataset, name: str) -> Iterator[pa.Array]:
    """One column in the order of the rows, a thousand rows at a time; the others are not read."""
    for batch in dataset.select_columns(name).with_format("arrow").iter(1000):
        yield batch[name].combine_chunks()


@contextmanager
def writing_cache() -> Iterator[None]:
    """Turns a cache that cannot be written to into one sentence."""
    try:
        yield
    except OSError as error:
        if full_disk(error):
            raise
        raise FineCLError(
            f"the cache of `datasets` cannot be written ({error}); name another folder with --cache_dir."
        ) from error
