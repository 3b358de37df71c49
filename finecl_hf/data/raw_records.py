"""Raw records of a file in any supported format, one at a time. What a record means is for `readers` to say.

A file is opened once: what it begins with tells how it holds its records, the first record what they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from io import BufferedReader
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from finecl_hf.data.foreign_formats import format_of_record, format_of_text, refusal
from finecl_hf.data.json_stream import array_elements, parse_json, raw_decode, text_chunks, text_lines
from finecl_hf.data.sentence_formats import CONVERTERS, parse_semeval
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


def raw_records(path: Path, format: str | None) -> Iterator[RawRecord]:
    """Yields the records of a file; where `format` is None, the file or its first object settles it.

    Raises:
        DocumentError: for what concerns the whole file, once the records before the place of the error are yielded.
    """
    with open(path, "rb") as file:
        if path.suffix.lower() == ".parquet" or file.peek(4)[:4] == b"PAR1":
            refuse_repeated_values(path)
            values = _parquet_rows(file)
        else:
            format, values = _text_records(file, path, format)
        for value in values:
            if format is None and isinstance(value, dict):
                refuse_foreign(format_of_record(value))
                format = _format_of(value)
            yield RawRecord(format or "docred", value)


def _text_records(file: BufferedReader, path: Path, format: str | None) -> tuple[str | None, Iterator[Any]]:
    """The format, as far as what the text begins with tells it, and the records."""
    chunks = text_chunks(file)
    head = next((chunk for chunk in chunks if not chunk.isspace()), "")
    text, start = chain([head], chunks), head.lstrip()
    if not start:
        raise DocumentError("the file is empty; check that it was written or downloaded to the end.")
    if format is None:
        refuse_foreign(format_of_text(path, start))
    is_json = start[0] in "[{"
    is_text = ".txt" in (suffix.lower() for suffix in path.suffixes) or re.match(r"\d+\t", start)
    if not is_json and (format == "semeval" or format is None and is_text):
        return "semeval", parse_semeval(text_lines(text))
    if not is_json:
        hint = "a Git LFS pointer: run `git lfs pull`" if start.startswith("version https://git-lfs") else "not JSON"
        raise DocumentError(f"the file is {hint}; it begins with `{start.splitlines()[0][:40]}`.")
    if start[0] == "[":
        return format, array_elements(text)
    if format == "fewrel" or format is None and _is_fewrel(start):
        return "fewrel", _fewrel_instances("".join(text))
    _refuse_wrapped(start)
    return format, _json_lines(text)


def refuse_foreign(name: str) -> None:
    """Raises DocumentError where the name of a format that is not read was found."""
    if name:
        raise DocumentError(refusal(name, ", ".join(("docred", *CONVERTERS))))


def _is_fewrel(start: str) -> bool:
    """Whether a text that begins with an object begins with FewRel's: {relation: [instance, ...], ...}."""
    found = _FIRST_LIST.match(start)
    if not found:
        return False
    try:
        first, _ = raw_decode(start, found.end())
    except ValueError:  # JSON Lines whose first line is bad: for the reader to report
        return False
    return _format_of(first) == "fewrel"


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


def _format_of(record: dict[str, Any]) -> str:
    if record.keys() & {"subj_start", "subj_end", "obj_start", "obj_end"}:
        return "tacred"
    if "sents" not in record and any(isinstance(record.get(key), dict) for key in "ht"):
        return "opennre"
    if "tokens" in record and (
        any(isinstance(record.get(key), list) for key in "ht") or isinstance(record.get("head"), dict)
    ):
        return "fewrel"
    return "docred"


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


def _fewrel_instances(text: str) -> Iterator[Any]:
    """Instances of `{relation: [instance, ...], ...}`, each with its relation. FewRel's files fit into memory."""
    try:
        relations = json.loads(text, strict=False)
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"the file cannot be read as JSON ({error}); correct it or download it again.") from None
    for relation, instances in relations.items():
        if not isinstance(instances, list):
            raise DocumentError(f"the value of the relation `{relation}` is no list of instances; correct it.")
        for instance in instances:
            yield {**instance, "relation": relation} if isinstance(instance, dict) else instance


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
