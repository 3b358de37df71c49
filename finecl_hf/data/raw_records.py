"""Raw records of a file in any supported format, one at a time, with the text they are written in.

What a record means is for `readers` to say; `cleaning` writes records back as they stand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from finecl_hf.data.json_stream import JsonStream, parse_json, text_chunks, text_lines
from finecl_hf.data.sentence_formats import parse_semeval
from finecl_hf.errors import DocumentError


_OPEN_LINE = re.compile(r"[{\[]$|(?<!\}),$")  # how a line ends within an object printed over several lines
_ROWS = 256  # parquet rows in memory at a time


class RawRecord(NamedTuple):
    """One record as it stands in its file.

    Attributes:
        layout: how the file holds its records: `list` (one JSON list), `lines` (JSON Lines), `relations` (FewRel's
            object of lists), `blocks` (SemEval's text) or `table` (parquet).
        format: one of `readers.FORMATS`.
        value: the record, parsed, or the `DocumentError` that says why it cannot be.
        text: what the file says, without the line end; None in a table.
    """

    layout: str
    format: str
    value: Any
    text: str | None


def raw_records(path: Path, format: str | None) -> Iterator[RawRecord]:
    """Yields the records of a file; where `format` is None, the first record that is an object settles it.

    Raises:
        DocumentError: for what concerns the whole file, once the records before the place of the error are yielded.
    """
    layout, found, records = _open(path, format)
    for value, text in records:
        if found is None and isinstance(value, dict):
            found = _format_of(value)
        yield RawRecord(layout, found or "docred", value, text)


def write_rows(rows: Iterable[dict[str, Any]], schema: Any, file: BinaryIO) -> None:
    """Writes rows as parquet, a few hundred in memory at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetWriter(file, schema) as writer:
        waiting: list[dict[str, Any]] = []
        for row in rows:
            waiting.append(row)
            if len(waiting) == _ROWS:
                writer.write_table(pa.Table.from_pylist(waiting, schema=schema))
                waiting = []
        if waiting:
            writer.write_table(pa.Table.from_pylist(waiting, schema=schema))


def _open(path: Path, format: str | None) -> tuple[str, str | None, Iterator[tuple[Any, str | None]]]:
    """The layout, the format, where the file as a whole tells it, and the file's records with their text."""
    with open(path, "rb") as file:
        if path.suffix.lower() == ".parquet" or file.read(4) == b"PAR1":
            return "table", format, _parquet_rows(path)
    stream = JsonStream(text_chunks(path))
    head, extensions = stream.excerpt(100), [extension.lower() for extension in path.suffixes]
    if not head:
        raise DocumentError("the file is empty; check that it was written or downloaded to the end.")
    if format == "semeval" and head[0] not in "[{":
        return "blocks", format, _semeval_blocks(path)
    if format is None and (re.match(r"\d+\t", head) or ".txt" in extensions and head[0] not in "[{"):
        return "blocks", "semeval", _semeval_blocks(path)
    if head[0] == "[":
        return "list", format, _array(stream)
    if head[0] != "{":
        hint = "a Git LFS pointer: run `git lfs pull`" if head.startswith("version https://git-lfs") else "not JSON"
        raise DocumentError(f"the file is {hint}; it begins with `{head.splitlines()[0][:40]}`.")
    if format == "fewrel" or format is None and _is_fewrel(path):
        return "relations", "fewrel", _fewrel_instances(stream)
    _refuse_single_object(path)
    return "lines", format, _json_lines(path)


def _format_of(raw: dict[str, Any]) -> str:
    if raw.keys() & {"subj_start", "subj_end", "obj_start", "obj_end"}:
        return "tacred"
    if "sents" not in raw and any(isinstance(raw.get(key), dict) for key in "ht"):
        return "opennre"
    if "tokens" in raw and any(isinstance(raw.get(key), list) for key in "ht"):
        return "fewrel"
    return "docred"


def _array(stream: JsonStream) -> Iterator[tuple[Any, str]]:
    for value in stream.elements():
        yield value, stream.last()
    stream.end()


def _semeval_blocks(path: Path) -> Iterator[tuple[Any, str]]:
    for record in parse_semeval(text_lines(text_chunks(path))):
        yield record, "" if isinstance(record, DocumentError) else "\n".join(record["lines"])


def _json_lines(path: Path) -> Iterator[tuple[Any, str]]:
    for number, line in enumerate(text_lines(text_chunks(path)), 1):
        if not line.strip():
            continue
        try:
            value = parse_json(line)
        except DocumentError as error:
            value = DocumentError(f"line {number} {error.message}; write one object a line.")
        yield value, line


def _fewrel_instances(stream: JsonStream) -> Iterator[tuple[Any, str]]:
    """Instances of `{relation: [instance, ...], ...}`, each with its relation."""
    stream.expect("{")
    while not stream.take("}"):
        relation = stream.value()
        stream.expect(":")
        if stream.peek() != "[":
            raise DocumentError(f"the value of the relation `{relation}` is no list of instances; correct it.")
        for raw in stream.elements():
            yield ({**raw, "relation": relation} if isinstance(raw, dict) else raw), stream.last()
        if stream.peek() != "}":
            stream.expect(",")
    stream.end()


def _first_value(path: Path) -> tuple[str, Any]:
    """The first key of the object in a file, and the first element of its value where that is a list of objects."""
    stream = JsonStream(text_chunks(path))
    stream.expect("{")
    if stream.peek() != '"':
        return "", None
    key = stream.value()
    if stream.take(":") and stream.take("[") and stream.peek() == "{":
        return key, stream.value()
    return key, None


def _is_fewrel(path: Path) -> bool:
    first = None
    with suppress(DocumentError):  # a bad first line of JSON Lines: for the reader to report
        first = _first_value(path)[1]
    return isinstance(first, dict) and ("tokens" in first or any(isinstance(first.get(key), list) for key in "ht"))


def _refuse_single_object(path: Path) -> None:
    """An object is no corpus: neither one that wraps the list, nor a document printed over several lines."""
    key, first = "", None
    with suppress(DocumentError):  # a bad first line of JSON Lines: for the reader to report
        key, first = _first_value(path)
    wraps_a_list = isinstance(first, dict) and first.keys() & {"sents", "vertexSet", "token", "text"}
    if wraps_a_list or _OPEN_LINE.search(_first_line(path)):
        raise DocumentError(
            f'expected a list of documents or one document a line, found one object (its first key is "{key}"); '
            "write its list of documents to a file of its own."
        )


def _first_line(path: Path) -> str:
    return next(line.strip() for line in text_lines(text_chunks(path)) if line.strip())


def _parquet_rows(path: Path) -> Iterator[tuple[dict[str, Any], None]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_ROWS):
                for row in batch.to_pylist():
                    yield row, None
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0][:100]
        raise DocumentError(f"the file cannot be read as parquet ({reason}); download or write it again.") from None
