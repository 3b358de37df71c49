"""Raw records of a file in any supported format, one at a time. What a record means is for `readers` to say.

A file is opened once: what it begins with tells how it holds its records, the first record what they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from io import BufferedReader
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from finecl_hf.data.foreign_formats import format_of_text, refusal
from finecl_hf.data.formats import Format, format_of_record, formats
from finecl_hf.data.formats.table import begins_with_columns, with_roles
from finecl_hf.data.json_stream import array_elements, parse_json, raw_decode, text_chunks, text_lines
from finecl_hf.data.unpacking import refuse_repeated_values
from finecl_hf.errors import DocumentError


PARQUET_ROWS = 256  # in memory at a time
_FIRST_LIST = re.compile(r'\{\s*"(?:[^"\\]|\\.)*"\s*:\s*\[\s*(?=\{)')  # an object begins with a list of objects


class RawRecord(NamedTuple):
    """One record as it stands in its file.

    Attributes:
        format: one of `readers.FORMATS`.
        value: the record, parsed, or the `DocumentError` that says why it cannot be.
    """

    format: str
    value: Any


def raw_records(path: Path, format: str | None, columns: Mapping[str, str] | None = None) -> Iterator[RawRecord]:
    """Yields the records of a file; where `format` is None, the file or its first object settles it.

    Args:
        columns: names of a table's columns, by role. A file that has none of them is read as without.

    Raises:
        DocumentError: for what concerns the whole file, once the records before the place of the error are yielded.
    """
    chosen = _format_of_file(path, format)
    if chosen is not None:
        yield from (RawRecord(chosen.name, value) for value in with_roles(chosen.from_file(path), columns))
        return
    with open(path, "rb") as file:
        if path.suffix.lower() == ".parquet" or file.peek(4)[:4] == b"PAR1":
            refuse_repeated_values(path)
            values = _parquet_rows(file)
        else:
            format, values = _text_records(file, path, format, columns)
        for value in with_roles(values, columns):
            if format is None and isinstance(value, dict):
                format = format_of_record(value)
            yield RawRecord(format or "docred", value)


def _format_of_file(path: Path, format: str | None) -> Format | None:
    """The format of a folder, or of a file that is no text; None for any other."""
    for candidate in formats().values():
        if candidate.from_file is not None and format in (None, candidate.name):
            if candidate.is_folder(path) if path.is_dir() else path.suffix.lower() in candidate.suffixes:
                return candidate
    return None


def _text_records(
    file: BufferedReader, path: Path, format: str | None, columns: Mapping[str, str] | None
) -> tuple[str | None, Iterator[Any]]:
    """The format, as far as what the text begins with tells it, and the records."""
    chunks = text_chunks(file)
    head = next((chunk for chunk in chunks if not chunk.isspace()), "")
    text, start = chain([head], chunks), head.lstrip()
    if not start:
        raise DocumentError("the file is empty; check that it was written or downloaded to the end.")
    if format is None and columns and begins_with_columns(start, columns):
        format = "table"
    if format is None:
        refuse_foreign(format_of_text(start))
    known = [candidate for candidate in formats().values() if format in (None, candidate.name)]
    for candidate in known:
        named = format is not None and start[0] not in "[{"
        if candidate.from_text is not None and (named or candidate.is_text(path, start)):
            return candidate.name, candidate.from_text(text, path)
    if start[0] not in "[{":
        hint = "a Git LFS pointer: run `git lfs pull`" if start.startswith("version https://git-lfs") else "not JSON"
        raise DocumentError(f"the file is {hint}; it begins with `{start.splitlines()[0][:40]}`.")
    if start[0] == "[":
        return format, array_elements(text)
    for candidate in known:
        if candidate.from_object is not None and (format is not None or candidate.is_object(start)):
            return candidate.name, candidate.from_object(text)
    _refuse_wrapped(start)
    return format, _json_lines(text)


def refuse_foreign(name: str) -> None:
    """Raises DocumentError where the name of a format that is not read was found."""
    if name:
        raise DocumentError(refusal(name, ", ".join(("docred", *formats()))))


def _refuse_wrapped(start: str) -> None:
    """Raises DocumentError where a text begins with an object whose first value is a list of documents."""
    found = _FIRST_LIST.match(start)
    try:
        first = raw_decode(start, found.end())[0] if found else None
    except (ValueError, RecursionError):
        return
    if isinstance(first, dict) and first.keys() & {"sents", "vertexSet", "token", "text"}:
        begins = " ".join(found[0].split())[:40]
        raise DocumentError(
            f"expected a list of documents or one document a line, found one object ({begins} ...); write its list of "
            "documents to a file of its own."
        )


def _json_lines(chunks: Iterable[str]) -> Iterator[Any]:
    for number, line in enumerate(text_lines(chunks), 1):
        if not line.strip():
            continue
        if line.strip() == "{":
            raise DocumentError(
                f"an object begins in line {number} and goes on in the next; write one object a line, or a list of "
                "documents."
            )
        try:
            yield parse_json(line)
        except DocumentError as error:
            yield DocumentError(f"line {number} {error.message}; write one object a line.")


def _parquet_rows(file: BufferedReader) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    first = 0
    try:
        for batch in pq.ParquetFile(file).iter_batches(batch_size=PARQUET_ROWS):
            yield from _rows_of(batch, first)
            first += len(batch)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0][:100]
        raise DocumentError(f"the file cannot be read as parquet ({reason}); download or write it again.") from None


def _rows_of(batch: Any, first: int) -> list[dict[str, Any]]:
    """Rows of a batch; where a value is none in Python, the error says which."""
    try:
        return batch.to_pylist()
    except (ValueError, OverflowError):  # text that is not UTF-8 and times out of range among them
        for row in range(len(batch)):
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                try:
                    column[row].as_py()
                except (ValueError, OverflowError) as error:
                    raise DocumentError(
                        f"row {first + row}, column {name}: cannot be read ({error}); write the file again with text "
                        "in UTF-8 and plain integers."
                    ) from None
        raise
