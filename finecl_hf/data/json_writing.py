"""Rows of JSON, written one at a time; gzipped where the name of the file says so."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from finecl_hf.data.files import replacing


@contextmanager
def replacing_packed(path: Path) -> Iterator[BinaryIO]:
    """[`replacing`], gzipped where the name ends in `.gz`."""
    with replacing(path) as file:
        if not path.name.lower().endswith(".gz"):
            yield file
            return
        # no name and no time in the gzip header: equal documents give equal files
        with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
            yield packed


def write_json(rows: Iterable[dict[str, Any] | bytes], out: BinaryIO, lines: bool) -> None:
    """Writes rows, some of them perhaps [`encoded`], as one JSON list with a row a line, or as JSON Lines."""
    if lines:
        for row in rows:
            out.write(encoded(row) + b"\n")
        return
    separator = b"[\n"
    for row in rows:
        out.write(separator + encoded(row))
        separator = b",\n"
    out.write(b"[]\n" if separator == b"[\n" else b"\n]\n")


def encoded(row: dict[str, Any] | bytes) -> bytes:
    """A row as UTF-8, which has no half characters; those may stand in keys that no reader looks at."""
    if isinstance(row, bytes):
        return row
    text = json.dumps(row, ensure_ascii=False, separators=(",", ":"), default=str)  # parquet may hold dates
    return text.encode(errors="backslashreplace")
