"""Reads documents from every supported file format or the Hugging Face Hub, and writes them.

Readers stream: one record is in memory at a time, and a record that breaks the schema is reported without stopping the
rest. docs/data_formats.md shows each format.
"""

from __future__ import annotations

import glob
import gzip
import logging
import os
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from finecl_hf.data.documents import Document
from finecl_hf.data.hub_datasets import hub_files, looks_like_dataset_id
from finecl_hf.data.raw_records import RawRecord, raw_records, write_rows
from finecl_hf.data.sentence_formats import CONVERTERS
from finecl_hf.errors import DocumentError
from finecl_hf.hashing import text_key


logger = logging.getLogger(__name__)

FORMATS = ("docred", *CONVERTERS)
EXTENSIONS = (".json", ".jsonl", ".json.gz", ".jsonl.gz", ".parquet")  # what `write_documents` writes
_SHARDS = (*EXTENSIONS, ".txt")  # of the files in a folder, those that can hold documents


class Record(NamedTuple):
    """One record: the document that it is, or what is wrong with it, and how its file writes it."""

    item: Document | DocumentError
    raw: RawRecord


def iter_documents(
    source: str | os.PathLike, *, format: str | None = None, split: str | None = None, check_titles: bool = True
) -> Iterator[Document | DocumentError]:
    """Yields one item a record, in file order; a bad record does not stop the rest.

    Args:
        source: a file, shards of one corpus (see [`files_of`]), or the id of a dataset on the Hub (`user/name`) where
            no such file exists.
        format: one of `FORMATS`; None finds it out from the content.
        split: which split of a dataset on the Hub; files have none.
        check_titles: refuse a title that occurred before; False where the caller sees to it.

    Yields:
        The document, or the `DocumentError` that says what is wrong with it.

    Raises:
        DocumentError: for what concerns the whole file: missing, empty, neither JSON nor parquet, cut off. What stands
            before the place of the error is yielded first.
    """
    records = iter_records(source, format=format, split=split, check_titles=check_titles)
    return (record.item for record in records)


def iter_records(
    source: str | os.PathLike, *, format: str | None = None, split: str | None = None, check_titles: bool = True
) -> Iterator[Record]:
    """Yields what [`iter_documents`] yields, each with the raw record; same arguments, same errors."""
    if format is not None and format not in FORMATS:
        raise DocumentError(
            f'the format "{format}" is unknown; choose one of {", ".join(FORMATS)}.', source=str(source)
        )
    titles = _Titles() if check_titles else None
    count = 0
    for name, path in files_of(source, split):
        if titles is not None:
            titles.open(name, count)
        count += yield from _iter_file(path, name, format, titles)
    if not count:
        raise DocumentError("there are no documents in it; check that this is the right file.", source=str(source))


def repeated_title(first: int, name: str) -> DocumentError:
    """What to say of a document whose title document `first` of the file `name` has, too."""
    return DocumentError(
        f"titles must be unique, and document {first} of {name} has this one; rename one of the two.", "title"
    )


def read_documents(
    source: str | os.PathLike,
    *,
    format: str | None = None,
    split: str | None = None,
    skip_invalid: bool = False,
    max_documents: int | None = None,
) -> list[Document]:
    """Reads all documents of a source.

    Args:
        source: a file, or the id of a dataset on the Hub.
        format: one of `FORMATS`; None finds it out from the content.
        split: which split of a dataset on the Hub.
        skip_invalid: go on without invalid documents, and log one warning that counts them.
        max_documents: stop after so many valid documents.

    Returns:
        The documents, in file order.

    Raises:
        DocumentError: the one problem, or a summary of all; also where no valid document is left.
    """
    if max_documents is not None and max_documents < 1:
        raise DocumentError(f"max_documents must be at least 1, not {max_documents}.", source=str(source))
    documents: list[Document] = []
    problems: list[DocumentError] = []
    for item in iter_documents(source, format=format, split=split):
        if isinstance(item, DocumentError):
            problems.append(item)
            continue
        documents.append(item)
        if len(documents) == max_documents:
            break
    total = len(documents) + len(problems)
    if problems and not (skip_invalid and documents):
        raise problems[0] if len(problems) == 1 else DocumentError(summarise_problems(problems, total, source))
    if problems:
        logger.warning(
            "%s: skipped %d of %d documents as invalid; the first: %s", source, len(problems), total, problems[0]
        )
    return documents


def summarise_problems(problems: list[DocumentError], total: int, source: str | os.PathLike) -> str:
    """Sums up invalid documents in a few lines' length, however many there are.

    Args:
        problems: at least one.
        total: documents in the source, valid or not.
        source: where they came from.

    Returns:
        How many are invalid, the first problem in full, the most frequent kinds, and what to do.
    """
    go_on = "`--skip_invalid` goes on without them, " if len(problems) < total else ""
    kinds = Counter(kind_of_problem(problem) for problem in problems).most_common()
    counts = "; ".join(f"{count} x {kind}" for kind, count in kinds[:5])
    if len(kinds) > 5:
        counts += f"; and {len(kinds) - 5} other kinds"
    path = _shorten(str(source), 150)
    return (
        f"{path}: {len(problems)} of {total} documents {'is' if len(problems) == 1 else 'are'} invalid. "
        f"The first: {_shorten(str(problems[0]), 500)} By kind: {counts}. "
        f"{go_on}`finecl-hf validate {path}` lists them."
    )


def write_documents(documents: Iterable[Document], path: str | os.PathLike) -> None:
    """Writes documents so that `read_documents` gives equal ones back. The file appears whole or not at all.

    Args:
        documents: any iterable; one at a time is in memory.
        path: ends in `.json`, `.jsonl`, `.json.gz`, `.jsonl.gz` or `.parquet`. Missing folders are made.

    Raises:
        DocumentError: for another extension.
    """
    path = Path(path)
    extension = next((extension for extension in EXTENSIONS if path.name.lower().endswith(extension)), None)
    if extension is None:
        raise DocumentError(f"the name must end in one of {', '.join(EXTENSIONS)}.", source=str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            if extension == ".parquet":
                _write_parquet(documents, file)
            else:
                _write_json(documents, file, lines=".jsonl" in extension, compress=extension.endswith(".gz"))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def files_of(source: str | os.PathLike, split: str | None = None) -> list[tuple[str, Path]]:
    """The files behind a source, in the order of their names.

    Args:
        source: a file; the shards of a corpus, as a folder that holds nothing else or as a pattern
            (`silver-*.jsonl.gz`); or the id of a dataset on the Hub.
        split: which split of a dataset on the Hub.

    Returns:
        (name for messages, path) of each.

    Raises:
        DocumentError: there is no such file, or the files of a folder are not shards of one corpus.
    """
    path = Path(source)
    if path.is_dir():
        return [(str(shard), shard) for shard in _shards_in(path)]
    if path.exists():
        return [(str(source), path)]
    if glob.has_magic(str(source)):
        files = sorted(name for name in glob.glob(str(source), recursive=True) if os.path.isfile(name))
        if not files:
            raise DocumentError("no file has a name like this; check the pattern.", source=str(source))
        return [(name, Path(name)) for name in files]
    if looks_like_dataset_id(str(source)):
        return hub_files(str(source), split)
    raise DocumentError(
        "there is no such file; check the path (a dataset on the Hub is named `user/name`).", source=str(source)
    )


def local_files(source: str | os.PathLike) -> list[Path]:
    """The files behind a source on this machine, as [`files_of`] finds them; none behind a dataset on the Hub."""
    if not os.path.exists(source) and not glob.has_magic(str(source)):
        return []
    return [path for _, path in files_of(source)]


def _shards_in(folder: Path) -> list[Path]:
    """The documents' files in a folder. Other kinds of files beside them are left alone, but two sets of documents (a
    train and a test file) are refused: to train on both must not happen by oversight."""
    names = sorted(child.name for child in folder.iterdir() if child.is_file() and not child.name.startswith("."))
    shards = [name for name in names if name.lower().endswith(_SHARDS)]
    if not shards:
        found = f" It holds: {', '.join(names[:8])}." if names else ""
        raise DocumentError(f"this folder holds no documents; name a file or another folder.{found}", source=folder)
    kinds = {re.sub(r"\d+", "", name): name for name in reversed(shards)}
    if len(kinds) > 1:
        raise DocumentError(
            f"this folder holds different files ({', '.join(sorted(kinds.values())[:8])}), not only shards of one "
            f'corpus; name one file, or several by a pattern, such as "{folder}/train-*.json".',
            source=folder,
        )
    return [folder / name for name in shards]


class _Titles:
    """Where each title was seen first; holds hashes of them, which take less memory than millions of titles."""

    def __init__(self):
        self._first: dict[int, int] = {}  # hash of a title -> number among all records of all files
        self._files: list[tuple[int, str]] = []  # number of the first record of each file, and its name

    def open(self, name: str, number: int) -> None:
        """What follows comes from this file, whose first record has this number."""
        self._files.append((number, name))

    def see(self, title: str, count: int) -> None:
        """Raises DocumentError if record `count` of the file has the title of another one."""
        number = self._files[-1][0] + count
        if (first := self._first.setdefault(text_key(title), number)) != number:
            start, name = self._files[bisect_right(self._files, first, key=lambda file: file[0]) - 1]
            raise repeated_title(first - start, name)


def _iter_file(path: Path, name: str, format: str | None, titles: _Titles | None) -> Generator[Record, None, int]:
    count = 0
    repeats: Counter[str] = Counter()
    records = raw_records(path, format)
    while True:
        try:
            raw = next(records)
        except StopIteration:
            return count
        except DocumentError as error:
            raise DocumentError(error.message, error.field, name, count or None) from None
        except OSError as error:
            raise DocumentError(f"the file cannot be read ({error.strerror or error}).", source=name) from None
        try:
            item = _document(raw.value, raw.format, repeats)
            if titles is not None:
                titles.see(item.title, count)
        except DocumentError as error:
            item = DocumentError(error.message, error.field, name, count, _title_of(raw.value))
        yield Record(item, raw)
        count += 1


def _document(raw: Any, format: str, repeats: Counter[str]) -> Document:
    if isinstance(raw, DocumentError):
        raise raw
    if format == "docred" or not isinstance(raw, dict):
        return Document.from_dict(raw)
    converted = CONVERTERS[format](raw)
    if format in ("fewrel", "opennre") and raw.get("id") is None:  # the title is a hash: equal sentences share it
        repeats[converted["title"]] += 1
        if (number := repeats[converted["title"]]) > 1:
            converted["title"] += f"-{number}"
    return Document.from_dict(converted)


def _title_of(raw: Any) -> str | None:
    title = (raw.get("title") or raw.get("id")) if isinstance(raw, dict) else None
    return str(title) if isinstance(title, (str, int)) else None


def _write_json(documents: Iterable[Document], file: BinaryIO, lines: bool, compress: bool) -> None:
    # no name and no time in the gzip header: equal documents give equal files
    with gzip.GzipFile("", "wb", fileobj=file, mtime=0) if compress else nullcontext(file) as out:
        if lines:
            for document in documents:
                out.write(f"{document.to_json()}\n".encode())
            return
        separator = "[\n"
        for document in documents:
            out.write(f"{separator}{document.to_json()}".encode())
            separator = ",\n"
        out.write(b"[]\n" if separator == "[\n" else b"\n]\n")


def _write_parquet(documents: Iterable[Document], file: BinaryIO) -> None:
    import pyarrow as pa

    text, number = pa.string(), pa.int32()
    mention = {"name": text, "sent_id": number, "pos": pa.list_(number), "type": text, "kb_id": text}
    label = {"h": number, "t": number, "r": text, "evidence": pa.list_(number)}
    columns = {
        "title": text,
        "sents": pa.list_(pa.list_(text)),
        "vertexSet": pa.list_(pa.list_(pa.struct(mention))),
        "labels": pa.list_(pa.struct(label)),  # null: unlabelled
        "pairs": pa.list_(pa.list_(number)),  # null: every pair
    }
    write_rows((document.to_dict() for document in documents), pa.schema(columns), file)


def kind_of_problem(problem: DocumentError) -> str:
    """The problem without its particulars, so that a thousand alike count as one kind."""
    field = re.sub(r"\[\d+\]", "[]", problem.field)
    message = re.sub(r"\"[^\"]*\"?|`[^`]*`?", "...", problem.message)
    message = re.sub(r"-?\d+", "#", message).removesuffix(".")
    return _shorten(f"{field}: {message}" if field else message, 90)


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."
