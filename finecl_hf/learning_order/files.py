"""Files of a learning order: parquet with every column, and the original's JSON of first epochs.

A table is a dict of columns, see [`~finecl_hf.learning_order.table.LearningOrder`].
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from finecl_hf.data.files import replacing
from finecl_hf.data.hub_datasets import file_or_download
from finecl_hf.data.json_stream import read_json
from finecl_hf.data.unpacking import refuse_repeated_values
from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.columns import matrix, read_column, refuse_lengths
from finecl_hf.learning_order.facts import instance_ids
from finecl_hf.learning_order.self_test import SelfTest


logger = logging.getLogger(__name__)

TABLE = "learning_order.parquet"  # its name in an output folder and in a dataset on the Hub
MAX_EPOCHS = 100_000  # counts of labels by epoch are held in memory
VERSION = 3  # of the parquet schema; a reader refuses what a later version wrote
VERSION_WITH_VERDICTS = 4  # of files with a verdict in them, which an older reader would pass over
_LATER = {"plausibility", "loss", "key", "verdict"}  # columns that older files have not
_NAMES = {"instance_id", "title", "head", "tail"}
_ROW_GROUP = 1 << 17
SELF_TEST = b"finecl_hf.self_test"  # in the schema's metadata
_DYNAMICS = {"probability": pa.float16(), "margin": pa.float16(), "loss": pa.float16(), "correct": pa.bool_()}
SCHEMA = pa.schema(
    {
        "instance_id": pa.large_string(),
        "title": pa.large_string(),
        "head": pa.int32(),
        "tail": pa.int32(),
        "relation": pa.large_string(),
        "first_epoch": pa.int32(),
        "plausibility": pa.float32(),
        "key": pa.int64(),
        "verdict": pa.int8(),
        **{name: pa.list_(dtype) for name, dtype in _DYNAMICS.items()},
    }
)


def read_columns(path: str | os.PathLike, names: bool = True) -> dict[str, Any]:
    """Columns of a parquet file that [`write_columns`] wrote, or of the original's JSON if the path ends in `.json`.

    Args:
        path: a file, or the dataset on the Hub that holds it: `user/name`, or `user/name@revision`.
        names: False leaves in a parquet file what weights need not: the ids, and where each fact stands.

    Raises:
        FineCLError: the file is missing, damaged, or no learning order.
    """
    file = file_or_download(path, TABLE)
    if not file.is_file():
        raise FineCLError(f"{path}: there is no such file; name the learning_order.parquet of a stage 1.")
    raw = read_json(file) if file.suffix == ".json" else None
    try:
        return from_json_dict(raw) if file.suffix == ".json" else _read_parquet(file, () if names else _NAMES)
    except FineCLError as error:
        raise FineCLError(f"{path}: {error}") from error
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise FineCLError(f"{path}: no parquet, or damaged; copy it again or repeat stage 1 ({error}).") from error


def write_columns(columns: dict[str, Any], path: str | os.PathLike, self_test: SelfTest | None = None) -> None:
    """Writes parquet, or the original's JSON where the path ends in `.json`; whole or not at all."""
    path = Path(path)
    with replacing(path) as file:
        if path.suffix == ".json":
            if columns["verdict"].any():
                logger.warning("%s: JSON has no place for the verdicts of people; write .parquet to keep them.", path)
            file.write(json.dumps(to_json_dict(columns), ensure_ascii=False).encode())
        else:
            _write_parquet(columns, file, self_test)


def _write_parquet(columns: dict[str, Any], file: BinaryIO, self_test: SelfTest | None) -> None:
    """Row group by row group: the whole as Arrow would take as much memory as the columns themselves."""
    rows, schema = len(columns["correct"]), _schema_of(columns, self_test)
    with pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=["title", "relation"]) as writer:
        for first in range(0, rows, _ROW_GROUP):
            part = {name: column[first : first + _ROW_GROUP] for name, column in columns.items()}
            writer.write_table(to_arrow(part, schema))


def _read_parquet(path: Path, without: Collection[str]) -> dict[str, Any]:
    """Part by part, each copied into its place, for the same reason."""
    refuse_repeated_values(path)
    with pq.ParquetFile(path) as file:
        _check_schema(file.schema_arrow)
        if "key" not in file.schema_arrow.names:  # an older file, whose keys are made of the ids
            without = ()
        names = [name for name in file.schema_arrow.names if name in SCHEMA.names and name not in without]
        columns = _read_parts(file, names)
        columns["self_test"] = _self_test_in(file.schema_arrow)
    if "key" not in columns:
        columns["instance_id"] = _names_of_today(columns)
    pa.default_memory_pool().release_unused()  # Arrow keeps as much as the columns themselves take
    return columns


def _names_of_today(columns: dict[str, Any]) -> pa.Array:
    """Ids of an older file: where a relation holds `#`, `%` or white space around it, they are another name by now."""
    title, relation = columns["title"], columns["relation"]
    if pc.any(pc.equal(title, "")).as_py():  # they came from JSON, which has ids only
        return columns["instance_id"]
    place = {name: pa.array(columns[name], pa.int32()) for name in ("head", "tail")}
    return instance_ids(title, {**place, "relation": pc.utf8_trim_whitespace(relation)})


def _read_parts(file: pq.ParquetFile, names: list[str]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    rows, first = file.metadata.num_rows, 0
    for batch in file.iter_batches(_ROW_GROUP // 8, columns=names, use_threads=False):
        for name, part in _columns_of(pa.Table.from_batches([batch])).items():
            if isinstance(part, pa.Array):
                columns.setdefault(name, []).append(part)
                continue
            if name not in columns:
                columns[name] = np.empty((rows, *part.shape[1:]), part.dtype)
            refuse_lengths({*columns[name].shape[1:], *part.shape[1:]}, name)
            columns[name][first : first + len(part)] = part
        first += len(batch)
    if not columns:
        return _columns_of(file.schema_arrow.empty_table().select(names))
    return {name: pa.concat_arrays(column) if isinstance(column, list) else column for name, column in columns.items()}


def to_json_dict(columns: dict[str, Any]) -> dict[str, int]:
    """The original's `{"uid": epoch}`. As there, instances that were never learned are left out.

    It has no place for verdicts: labels that people judged wrong are left out, too.
    """
    learned = columns["first_epoch"] >= 0
    if "verdict" in columns:
        learned &= columns["verdict"] >= 0
    ids = columns["instance_id"].filter(pa.array(learned)).to_pylist()
    return dict(zip(ids, columns["first_epoch"][learned].tolist(), strict=True))


def from_json_dict(raw: Any) -> dict[str, Any]:
    """Inverse of [`to_json_dict`], without dynamics. Ids that the object lacks are unknown, not never learned."""
    if not isinstance(raw, dict) or not all(type(epoch) is int and -1 <= epoch < MAX_EPOCHS for epoch in raw.values()):
        raise FineCLError(
            'expected a JSON object {"instance id": epoch} in which every epoch is an integer, -1 for never and less '
            f"than {MAX_EPOCHS:,}."
        )
    return {"instance_id": list(raw), "first_epoch": list(raw.values())}


def to_arrow(columns: dict[str, Any], schema: pa.Schema | None = None, self_test: SelfTest | None = None) -> pa.Table:
    """The parquet file's table: the dynamics are lists, null where an epoch did not observe the instance.

    Args:
        schema: that of the whole table, of which the columns may be a part.
    """
    schema = schema or _schema_of(columns, self_test)
    rows, epochs = columns["correct"].shape
    offsets = pa.array(np.arange(rows + 1) * epochs, pa.int32())
    hidden = ~columns["observed"].ravel()
    arrays = {
        name: pa.ListArray.from_arrays(offsets, pa.array(columns[name].ravel(), mask=hidden))
        if name in _DYNAMICS
        else columns[name]
        for name in schema.names
    }
    return pa.table(arrays, schema)


def from_arrow(table: pa.Table) -> dict[str, Any]:
    """Inverse of [`to_arrow`]; also of tables without the columns that older files have not.

    Raises:
        FineCLError: a column is missing or of another type, or a value is impossible.
    """
    _check_schema(table.schema)
    return {**_columns_of(table), "self_test": _self_test_in(table.schema)}


def _columns_of(table: pa.Table) -> dict[str, Any]:
    missing = {name for name in SCHEMA.names if name not in table.column_names}
    columns = {field.name: read_column(table, field) for field in SCHEMA if field.name not in missing}
    for name in set(_DYNAMICS) - missing - {"probability"}:
        columns[name], _ = matrix(columns[name], name)
    columns["probability"], columns["observed"] = matrix(columns["probability"], "probability")
    return columns


def _schema_of(columns: dict[str, Any], self_test: SelfTest | None = None) -> pa.Schema:
    """A table without a verdict is written as it was before there were any."""
    judged = "verdict" in columns and bool(columns["verdict"].any())
    schema = SCHEMA if judged else SCHEMA.remove(SCHEMA.get_field_index("verdict"))
    version, epochs = VERSION_WITH_VERDICTS if judged else VERSION, columns["correct"].shape[1]
    metadata = {b"finecl_hf.version": str(version), b"finecl_hf.epochs": str(epochs)}
    return schema.with_metadata(metadata | ({SELF_TEST: self_test.to_json()} if self_test else {}))


def _self_test_in(schema: pa.Schema) -> SelfTest | None:
    text = (schema.metadata or {}).get(SELF_TEST)
    return None if text is None else SelfTest.from_json(text)


def _check_schema(schema: pa.Schema) -> None:
    if int((schema.metadata or {}).get(b"finecl_hf.version", VERSION)) > VERSION_WITH_VERDICTS:
        raise FineCLError("a later version of finecl_hf wrote this file; upgrade finecl_hf.")
    if lost := [name for name in SCHEMA.names if name not in schema.names and name not in _LATER]:
        raise FineCLError(f"the column {lost[0]} is missing, so this is no learning order; repeat stage 1.")
