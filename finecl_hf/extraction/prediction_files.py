"""Triples of a file of texts or documents, a line of JSON each; a run goes on where an earlier one stopped."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from filelock import FileLock, Timeout

from finecl_hf.data.files import refuse_overwriting, replacing, writing
from finecl_hf.data.formats import format_of_record
from finecl_hf.data.raw_records import raw_records
from finecl_hf.data.readers import iter_documents, local_files
from finecl_hf.data.unicode_files import refuse_utf_16
from finecl_hf.errors import DocumentError, FineCLError
from finecl_hf.extraction.base_encoder import weights_digest
from finecl_hf.extraction.pipeline import WINDOW, RelationExtractionPipeline
from finecl_hf.extraction.recognition.recognisers import CHOICES


STDOUT = "-"
SECONDS = 10.0  # between two words about the progress
ENDS = 1 << 20  # bytes at either end of a file that tell it from another of its size


@dataclass(frozen=True)
class PredictOptions:
    """How a file is read and predicted.

    Attributes:
        text_key: the key of the text in lines of JSON.
        batch_size: documents a forward pass.
        threshold: in place of the model's own.
        format: of documents; None finds it out.
        whole: a `.txt` file is one text, not one a line.
        skip_invalid: write nothing of what cannot be read.
    """

    text_key: str = "text"
    batch_size: int = 8
    threshold: float | None = None
    format: str | None = None
    whole: bool = False
    skip_invalid: bool = False


class Line(NamedTuple):
    """What is written for an input.

    Attributes:
        data: JSON with its line break; nothing for what is left out.
        failed: the input could not be read.
    """

    data: bytes
    failed: bool


Lines = Callable[[str, int, PredictOptions], Iterator[Line]]  # of a file's items, from the one of this number on


def predict_file(
    extract: RelationExtractionPipeline,
    source: str,
    output: str,
    options: PredictOptions,
    recogniser: str | None = None,
    lines: Lines | None = None,
) -> tuple[int, int]:
    """Writes a line of JSON for each text or document: `index`, `title`, `text`, `entities` and `triples`, or `error`.

    Args:
        source: lines of text (`.txt`) or of JSON with a text, or documents in any format.
        output: a `.jsonl` file, which is gone on with where an earlier run of the same kind stopped; `-` for stdout.
        recogniser: the name of it, which has to be the same in a run that goes on, as its file has.
        lines: makes the lines, in order, in place of this process; see `RayPrediction`.

    Returns:
        How many lines were written, and how many of the inputs could not be read, those of earlier runs that the
        file tells of among them.

    Raises:
        FineCLError: the input cannot be read at all, or the output belongs to another run.
    """
    if output != STDOUT and not output.endswith(".jsonl"):
        raise FineCLError(f"{output}: the name must end in .jsonl, or be - for stdout.")
    if _is_plain(Path(source), options) and extract.reader.recogniser is None:
        raise FineCLError(f"{source}: nothing finds the entities of raw text; name a --recogniser: {CHOICES}.")
    lines = lines or _InProcess(extract)
    if output == STDOUT:
        return _write(lines(source, 0, options), 0, options, sys.stdout.buffer)
    refuse_overwriting(output, local_files(source))
    path = Path(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {
        "input": _identity(source),
        "recogniser": _recogniser(recogniser),
        "model": weights_digest(extract.model),
        **vars(options),
    }
    del told["batch_size"]
    with _alone(path):
        begin, failed = _resume(path, json.loads(json.dumps(told, default=str)))
        with writing(path), open(path, "ab") as file:
            written, invalid = _write(lines(source, begin, options), begin, options, file)
            return written, invalid + failed


def _write(lines: Iterator[Line], begin: int, options: PredictOptions, file: BinaryIO) -> tuple[int, int]:
    if begin:
        print(f"The first {begin:,} are there; going on behind them.", file=sys.stderr)
    started = told = time.monotonic()
    written = invalid = 0
    for done, line in enumerate(lines, 1):
        invalid += line.failed
        written += bool(line.data)
        file.write(line.data)
        if done % (WINDOW * options.batch_size) == 0:
            file.flush()
        if time.monotonic() - told > SECONDS:
            told = time.monotonic()
            print(f"{begin + done:,} done, {done / (told - started):,.1f} a second.", file=sys.stderr)
    file.flush()
    return written, invalid


class _InProcess:
    """Makes the lines of a file's items here."""

    def __init__(self, extract: RelationExtractionPipeline):
        self.extract = extract

    def __call__(self, source: str, begin: int, options: PredictOptions) -> Iterator[Line]:
        return lines_of(self.extract, islice(iter_items(source, options), begin, None), begin, options)


def lines_of(
    extract: RelationExtractionPipeline,
    items: Iterable[Any],
    begin: int,
    options: PredictOptions,
    lost: Counter[str] | None = None,
) -> Iterator[Line]:
    """Yields the line of each item.

    Args:
        items: some of a file's, see [`iter_items`].
        begin: the number of the first of them.
        lost: see [`RelationExtractionPipeline.extractions`].
    """
    titled = (_titled(item, number) for number, item in enumerate(items, begin))
    threshold = {} if options.threshold is None else {"threshold": options.threshold}
    found = extract.extractions(titled, options.batch_size, lost=lost, **threshold)
    for number, extraction in enumerate(found, begin):
        failed = extraction.error is not None
        if failed and options.skip_invalid:
            yield Line(b"", failed)
            continue
        line = json.dumps({"index": number, **extraction.to_dict()}, ensure_ascii=False, separators=(",", ":"))
        yield Line(line.encode(errors="backslashreplace") + b"\n", failed)


def iter_items(source: str, options: PredictOptions) -> Iterator[Any]:
    """Yields what a pipeline takes, in order; a `DocumentError` for what cannot be read.

    Raises:
        DocumentError: for what concerns the whole file.
    """
    path = Path(source)
    if _is_plain(path, options):
        yield from _texts(path, options.whole)
    elif options.format is None and _holds_texts(path, options.text_key):
        for record in raw_records(path, "docred"):
            yield _item(record.value, options.text_key)
    else:
        yield from iter_documents(source, format=options.format)


def _is_plain(path: Path, options: PredictOptions) -> bool:
    """Whether a file holds nothing but text."""
    return path.suffix.lower() == ".txt" and options.format is None and path.is_file()


def _texts(path: Path, whole: bool) -> Iterator[Any]:
    refuse_utf_16(path)
    if whole:
        data = path.read_bytes()
        yield _decoded(data.removeprefix(b"\xef\xbb\xbf"), path, None)
        return
    with open(path, "rb") as file:
        for number, line in enumerate(file):
            yield _decoded(line.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n"), path, number)


def _decoded(data: bytes, path: Path, number: int | None) -> str | DocumentError:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        return DocumentError(f"the text is not UTF-8 ({error.reason}); write it again.", "", str(path), number)


def _holds_texts(path: Path, key: str) -> bool:
    """Whether the first record of a file is a text, and no document of a format that is read."""
    if not path.is_file() or path.suffix.lower() == ".parquet":
        return False
    try:
        first = next((r.value for r in raw_records(path, "docred") if isinstance(r.value, dict)), None)
    except (DocumentError, OSError):
        return False
    if first is None or key not in first or "sents" in first:
        return False
    return format_of_record(first) in ("docred", "triples")  # what comes out of here goes in again


def _item(record: Any, key: str) -> Any:
    if isinstance(record, DocumentError) or not isinstance(record, dict) or "sents" in record or key == "text":
        return record
    if key not in record:
        return DocumentError(f'the key "{key}" is missing; name the one of the text with --text_key.')
    return {**record, "text": record[key]}


def _titled(item: Any, number: int) -> Any:
    """A text without a title is called by its number, which is the same in a run that goes on."""
    if isinstance(item, str):
        return {"text": item, "title": f"text-{number}"}
    if isinstance(item, dict) and "sents" not in item and not any(item.get(key) for key in ("title", "id")):
        return {**item, "title": f"text-{number}"}
    return item


def _identity(source: str) -> dict[str, Any]:
    """What tells an input from another one: the sizes and the ends of its files."""
    found = {}
    for path in local_files(source):
        if path.is_file():
            size, digest = path.stat().st_size, blake2b(digest_size=16)
            with open(path, "rb") as file:
                digest.update(file.read(ENDS))
                file.seek(max(0, size - ENDS))
                digest.update(file.read(ENDS))
            found[path.name] = [size, digest.hexdigest()]
    return {"source": os.path.abspath(source) if found else source, "files": found}


def _recogniser(name: str | None) -> Any:
    """What tells a recogniser from another one: its name; of a list of names, what is in it."""
    return _identity(name)["files"] if name and Path(name).is_file() else name


def _sidecar(path: Path) -> Path:
    return path.with_name(f"{path.name}.run.json")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Refuses two runs that write one file."""
    lock = path.with_name(f".{path.name}.lock")
    try:
        with FileLock(lock, timeout=0):
            try:
                yield
            finally:
                with suppress(PermissionError):  # Windows removes no open file
                    lock.unlink(missing_ok=True)
    except Timeout:
        raise FineCLError(f"{path}: another run writes this file; wait for its end or name another file.") from None


def _resume(path: Path, told: dict[str, Any]) -> tuple[int, int]:
    """How many inputs an earlier run has dealt with, and how many of them have an error; a line that it could not
    finish is cut off.

    Raises:
        FineCLError: the file is there, and is no output of such a run.
    """
    beside = _sidecar(path)
    if path.exists() and path.stat().st_size:
        try:
            before = json.loads(beside.read_bytes())
        except (OSError, ValueError):
            before = None
        if not isinstance(before, dict):
            raise FineCLError(
                f"{path}: there is such a file, and no {beside.name} says that it can be gone on with; name another."
            )
        if differ := sorted(name for name in {*before, *told} if before.get(name) != told.get(name)):
            raise FineCLError(
                f"{path}: was begun with another {', '.join(differ)}; name another file, or remove it to start anew."
            )
        return _whole_lines(path)
    with replacing(beside) as file:
        file.write(json.dumps(told, indent=1).encode())
    return 0, 0


def _whole_lines(path: Path) -> tuple[int, int]:
    """Cuts off what follows the last whole line. Returns the number of the input behind that line's, and how many
    lines have an error."""
    end, last, failed = 0, -1, 0
    with open(path, "rb+") as file:
        for line in file:
            try:
                record = json.loads(line) if line.endswith(b"\n") else {}
                number = record["index"]
            except (ValueError, TypeError, KeyError):
                number = None
            if not isinstance(number, int):
                break
            end, last, failed = end + len(line), number, failed + ("error" in record)
        file.truncate(end)
    return last + 1, failed
