"""A small file must not become a large one in memory: packed data of which no text is made are refused."""

from __future__ import annotations

from typing import Any

from finecl_hf.errors import DocumentError


TIGHTEST, LARGE = 200, 1 << 26  # times that gzip makes text smaller at the most; bytes that are never too many
VALUES_A_BYTE, FEW_VALUES = 50, 10_000_000  # of parquet, where a value that is repeated weighs nothing


def most_bytes(size: int) -> int:
    """How much gzipped text of a size in bytes may unpack to."""
    return max(LARGE, TIGHTEST * size)


def unpacks_too_far() -> DocumentError:
    return DocumentError(
        f"the gzip data hold more than {TIGHTEST} times what they weigh, which no text does; unpack the file and look "
        "at it."
    )


def refuse_repeated_values(metadata: Any, size: int) -> None:
    """Raises DocumentError where a parquet file holds far more values than bytes.

    Args:
        metadata: a `pyarrow.parquet.FileMetaData`.
        size: of the file, in bytes.
    """
    groups = (metadata.row_group(group) for group in range(metadata.num_row_groups))
    values = sum(group.column(column).num_values for group in groups for column in range(group.num_columns))
    if values > max(FEW_VALUES, VALUES_A_BYTE * size):
        raise DocumentError(
            f"{values:,} values in {size:,} bytes are no text; look at where the file comes from, or write it again."
        )
