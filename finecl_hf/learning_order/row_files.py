"""Small tables of facts on disk, a dataclass a row: missing labels, and verdicts on labels."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from finecl_hf.data.files import replacing
from finecl_hf.data.unpacking import refuse_repeated_values
from finecl_hf.errors import FineCLError


def write_rows(rows: Iterable[Any], schema: pa.Schema, path: str | os.PathLike) -> None:
    """Writes parquet, a row an object with the schema's names as attributes; whole or not at all."""
    columns = [{name: getattr(row, name) for name in schema.names} for row in rows]
    with replacing(Path(path)) as file:
        pq.write_table(pa.Table.from_pylist(columns, schema=schema), file)


def read_rows(
    path: str | os.PathLike, schema: pa.Schema, what: str, wanted: str, optional: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Reads what [`write_rows`] wrote.

    Args:
        what: the rows are, and wanted: the file that holds them; for messages.
        optional: columns that the file may lack, with the value that takes their place then.

    Raises:
        FineCLError: the file is missing, damaged, or holds other columns.
    """
    if not os.path.isfile(path):
        raise FineCLError(f"{path}: there is no such file; name {wanted}.")
    try:
        refuse_repeated_values(path)
        present = set(pq.read_schema(path).names)
        absent = {name: value for name, value in (optional or {}).items() if name not in present}
        schema = pa.schema([field for field in schema if field.name not in absent])
        if lacking := [name for name in schema.names if name not in present]:
            raise KeyError(f"the column {lacking[0]} is missing")
        table = pq.read_table(path, columns=schema.names).cast(schema)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error.args[0] if isinstance(error, KeyError) else error).split())
        raise FineCLError(f"{path}: holds no {what}; name {wanted} ({reason}).") from error
    if lost := sum(column.null_count for column in table.columns):
        raise FineCLError(f"{path}: {lost:,} values are missing; name {wanted}, as it was written.")
    return [row | absent for row in table.to_pylist()]
