"""A small file must not become a large one in memory: packed data of which no text is made are refused."""

from __future__ import annotations

import glob
import os

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


def refuse_repeated_values(path: str | os.PathLike) -> None:
    """Raises DocumentError where a parquet file holds far more values than bytes.

    DuckDB looks them up, because pyarrow aborts the process over some damaged metadata. What DuckDB cannot read is
    left to the reader that comes next.
    """
    import duckdb

    try:
        with duckdb.connect() as connection:
            query = "SELECT coalesce(sum(num_values), 0)::BIGINT FROM parquet_metadata(?)"
            (values,) = connection.execute(query, [glob.escape(str(path))]).fetchone()
    except (duckdb.Error, UnicodeError):
        return
    size = os.path.getsize(path)
    if values > max(FEW_VALUES, VALUES_A_BYTE * size):
        raise DocumentError(
            f"{values:,} values in {size:,} bytes are no text; look at where the file comes from, or write it again."
        )
