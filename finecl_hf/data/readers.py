"""Reads documents from every supported file format or the Hugging Face Hub, and writes them.

Readers stream: one record is in memory at a time, and a record that breaks the schema is reported without stopping the
rest. docs/data_formats.md shows each format.
"""

from __future__ import annotations

import glob
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from finecl_hf.data.column_names import checked_columns, has_roles
from finecl_hf.data.documents import Document
from finecl_hf.data.formats import NOTES, Format, formats, parts
from finecl_hf.data.hub_datasets import hub_files, looks_like_dataset_id
from finecl_hf.data.json_writing import replacing_packed, write_json
from finecl_hf.data.label_map import LabelMap, as_label_map
from finecl_hf.data.notes import Notes
from finecl_hf.data.positions import NamePositions
from finecl_hf.data.problems import Problems, Titles
from finecl_hf.data.raw_records import PARQUET_ROWS, raw_records
from finecl_hf.errors import DocumentError


logger = logging.getLogger(__name__)

FORMATS = ("docred", *formats())
EXTENSIONS = (".json", ".jsonl", ".json.gz", ".jsonl.gz", ".parquet")  # what `write_documents` writes
# Of the files in a folder, those that can hold documents
_SHARDS = (*EXTENSIONS, *{suffix for format in formats().values() for suffix in format.suffixes})


@dataclass
class _Reading:
    """How a source is read, beside its format: see [`iter_documents`]."""

    columns: dict[str, str]
    label_map: LabelMap | None
    notes: Notes

    @classmethod
    def of(
        cls,
        columns: Mapping[str, str] | None = None,
        label_map: LabelMap | Mapping[str, Any] | str | os.PathLike | None = None,
        notes: Notes | None = None,
    ) -> _Reading:
        return cls(checked_columns(columns), as_label_map(label_map), Notes() if notes is None else notes)


class Record(NamedTuple):
    """One record of a source.

    Attributes:
        item: the document that it is, or what is wrong with it.
        format: one of `FORMATS`.
        raw: what the file says, with the keys that a document does not have.
    """

    item: Document | DocumentError
    format: str
    raw: Any


def iter_documents(
    source: str | os.PathLike,
    *,
    format: str | None = None,
    split: str | None = None,
    check_titles: bool = True,
    titles: Titles | None = None,
    columns: Mapping[str, str] | None = None,
    label_map: LabelMap | Mapping[str, Any] | str | os.PathLike | None = None,
    notes: Notes | None = None,
) -> Iterator[Document | DocumentError]:
    """Yields one item a record, in file order; a bad record does not stop the rest.

    Args:
        source: a file, shards of one corpus (see [`files_of`]), or the id of a dataset on the Hub (`user/name`) where
            no such file exists.
        format: one of `FORMATS`; None finds it out from the content.
        split: which split of a dataset on the Hub; files have none.
        check_titles: refuse a title that occurred before; False where the caller sees to it.
        titles: those of other sources that were read before; none by default.
        columns: names of a table's columns where they are not told: `{"sentence": "Satz", "head": "Kopf"}`, by the
            roles of `column_names.SENTENCE_COLUMNS`; "" for a role that no column has. Records of other files are
            read without, and noted.
        label_map: relations of free relation names: a [`LabelMap`], what it is made of, or the name of its file.
            Labels that it does not name are left out, and a document that has listed pairs and none left, too.
        notes: what is left out is counted there; by default it is said in a warning.

    Yields:
        The document, or the `DocumentError` that says what is wrong with it.

    Raises:
        DocumentError: for what concerns the whole file: missing, empty, neither JSON nor parquet, cut off. What stands
            before the place of the error is yielded first.
    """
    titles = (titles or Titles()) if check_titles else None
    reading = _Reading.of(columns, label_map, notes)
    return (record.item for record in _iter_records(source, format, split, titles, reading, notes is not None))


def valid_documents(source: str | os.PathLike, **options: Any) -> Iterator[Document]:
    """Yields the documents of [`valid_records`], with its arguments and its errors."""
    return (record.item for record in valid_records(source, **options))


def valid_records(
    source: str | os.PathLike,
    *,
    format: str | None = None,
    split: str | None = None,
    skip_invalid: bool = False,
    max_documents: int | None = None,
    quiet: bool = False,
    columns: Mapping[str, str] | None = None,
    label_map: LabelMap | Mapping[str, Any] | str | os.PathLike | None = None,
    notes: Notes | None = None,
) -> Iterator[Record]:
    """Yields the records that are valid documents, one at a time, and deals with the others as [`Problems`] says.

    Args:
        source, format, split, columns, label_map, notes: as of [`iter_documents`].
        skip_invalid: go on without invalid documents. Otherwise nothing is yielded from the first one on, but the
            rest is read, so that the error at the end can count them all.
        max_documents: stop after so many valid documents.
        quiet: warn of nothing, for a second pass over a source.

    Raises:
        DocumentError: the one problem, or a summary of all; also where no valid document is left.
    """
    problems = Problems(source, skip_invalid)
    reading = _Reading.of(columns, label_map, notes)
    num_valid = 0
    for record in _iter_records(source, format, split, Titles(), reading, quiet or notes is not None):
        if isinstance(record.item, DocumentError):
            problems.add(record.item)
            continue
        num_valid += 1
        if skip_invalid or not problems.first:
            yield record
        if num_valid == max_documents:
            break
    problems.settle(num_valid, quiet)
    if not num_valid and not problems.first:
        raise DocumentError(f"the label map leaves no document: {reading.notes}.", source=str(source))


def read_documents(
    source: str | os.PathLike,
    *,
    format: str | None = None,
    split: str | None = None,
    skip_invalid: bool = False,
    max_documents: int | None = None,
    columns: Mapping[str, str] | None = None,
    label_map: LabelMap | Mapping[str, Any] | str | os.PathLike | None = None,
) -> list[Document]:
    """Reads all documents of a source into memory.

    Args:
        source: a file, shards of one corpus (see [`files_of`]), or the id of a dataset on the Hub.
        format: one of `FORMATS`; None finds it out from the content.
        split: which split of a dataset on the Hub.
        skip_invalid: go on without invalid documents, and log one warning that counts them.
        max_documents: stop after so many valid documents.
        columns, label_map: as of [`iter_documents`].

    Returns:
        The documents, in file order.

    Raises:
        DocumentError: the one problem, or a summary of all; also where no valid document is left.
    """
    if max_documents is not None and max_documents < 1:
        raise DocumentError(f"max_documents must be at least 1, not {max_documents}.", source=str(source))
    options = {"format": format, "split": split, "skip_invalid": skip_invalid, "max_documents": max_documents}
    return list(valid_documents(source, columns=columns, label_map=label_map, **options))


def write_documents(
    documents: Iterable[Document],
    path: str | os.PathLike,
    format: str | None = None,
    leave_out: Callable[[Document, str], None] | None = None,
) -> None:
    """Writes documents so that `read_documents` gives equal ones back. The file appears whole or not at all.

    Args:
        documents: any iterable; one at a time is in memory.
        path: in DocRED's layout ends in `.json`, `.jsonl`, `.json.gz`, `.jsonl.gz` or `.parquet`. Missing folders are
            made.
        format: another one of `FORMATS`. What of the documents it has no place for is left out, with a warning that
            says what; docs/data_formats.md has a table.
        leave_out: called with each document that the format cannot hold, and the reason; the rest is written.
            Without it, such a document is an error.

    Raises:
        DocumentError: for another extension, a format that is only read, or a document that the format cannot hold.
    """
    if format in (None, "docred"):
        write_rows((document.to_dict() for document in documents), path)
        return
    chosen = formats().get(format)
    if chosen is None or chosen.write is None:
        written = ", ".join(name for name, known in formats().items() if known.write is not None)
        raise DocumentError(f'the format "{format}" is not written; choose docred, {written}.', source=str(path))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    lost: Counter[str] = Counter()
    chosen.write(_that_fit(documents, chosen, lost, str(path), leave_out), Path(path))
    if lost:
        counts = ", ".join(f"{name} (of {count:,} documents)" for name, count in sorted(lost.items()))
        logger.warning("%s: the format %s has no place for %s; the rest was written.", path, format, counts)


def _that_fit(
    documents: Iterable[Document],
    format: Format,
    lost: Counter[str],
    source: str,
    leave_out: Callable[[Document, str], None] | None,
) -> Iterator[Document]:
    """The documents, while what the format has no place for is counted."""
    check_beside = format.beside()
    for number, document in enumerate(documents):
        reason = format.refuses(document)
        try:
            if not reason:
                check_beside(document)
        except DocumentError as error:
            reason = error.message.removesuffix(".")
        if reason and leave_out is not None:
            leave_out(document, reason)
            continue
        if reason:
            raise DocumentError(f"{reason}.", source=source, index=number, title=document.title)
        lost.update(parts(document) - format.holds)
        lost.update([] if format.keeps_title(document) else ["titles"])
        yield document


def write_rows(rows: Iterable[dict[str, Any] | bytes], path: str | os.PathLike) -> None:
    """[`write_documents`] for dicts in DocRED's layout, or, into JSON, for what `json_writing.encoded` makes of them.
    JSON keeps keys that a document does not have, parquet its columns only."""
    path = Path(path)
    extension = written_extension(path)
    with replacing_packed(path) as file:
        if extension == ".parquet":
            _write_parquet(rows, file)
        else:
            write_json(rows, file, lines=".jsonl" in extension)


def written_extension(path: str | os.PathLike) -> str:
    """The one of `EXTENSIONS` that a name ends in.

    Raises:
        DocumentError: it ends in none of them.
    """
    extension = next((extension for extension in EXTENSIONS if str(path).lower().endswith(extension)), None)
    if extension is None:
        raise DocumentError(f"the name must end in one of {', '.join(EXTENSIONS)}.", source=str(path))
    return extension


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
    if path.is_dir() and any(format.is_folder(path) for format in formats().values()):
        return [(str(source), path)]
    if path.is_dir():
        return [(str(shard), shard) for shard in _shards_in(path)]
    if path.exists():
        return [(str(source), path)]
    if glob.has_magic(str(source)):
        files = sorted(filter(os.path.isfile, _matching(str(source))))
        if not files:
            raise DocumentError("no file has a name like this; check the pattern.", source=str(source))
        return [(name, Path(name)) for name in files]
    if looks_like_dataset_id(str(source)):
        return hub_files(str(source), split)
    raise DocumentError(
        "there is no such file; check the path (a dataset on the Hub is named `user/name`).", source=str(source)
    )


def _matching(pattern: str) -> set[str]:
    """What a pattern names. `**` passes over hidden folders, and over links to folders, which may lead in circles."""
    parts = Path(pattern).parts
    if "**" not in parts:
        return set(glob.glob(pattern))
    place = parts.index("**")
    rest, found = parts[place + 1 :] or ("*",), set()
    for start in glob.glob(str(Path(*parts[:place]))) if place else ["."]:
        for folder, inside, _ in os.walk(start):
            inside[:] = [name for name in inside if not name.startswith(".")]
            found |= _matching(str(Path(glob.escape(folder), *rest)))
    return found


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


def _iter_records(
    source: str | os.PathLike,
    format: str | None,
    split: str | None,
    titles: Titles | None,
    reading: _Reading,
    quiet: bool = False,
) -> Iterator[Record]:
    if format is not None and format not in FORMATS:
        raise DocumentError(
            f'the format "{format}" is unknown; choose one of {", ".join(FORMATS)}.', source=str(source)
        )
    count, positions = 0, NamePositions()
    for name, path in files_of(source, split):
        if titles is not None:
            titles.open(name)
        count += yield from _iter_file(path, name, format, titles, positions, reading)
    if positions.problem:
        yield Record(DocumentError(positions.problem, "pos", str(source)), format or "docred", None)
    elif positions.doubt:
        logger.warning("%s: %s", source, positions.doubt)
    if not quiet and (said := str(reading.notes)):
        logger.warning("%s: left out or chosen: %s.", source, said)
    if not count:
        raise DocumentError("there are no documents in it; check that this is the right file.", source=str(source))


def _iter_file(
    path: Path, name: str, format: str | None, titles: Titles | None, positions: NamePositions, reading: _Reading
) -> Generator[Record, None, int]:
    count = 0
    repeats: Counter[str] = Counter()
    records = raw_records(path, format, reading.columns)
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
            item = _document(raw.value, raw.format, repeats, reading.notes)
            if not has_roles(raw.value, reading.columns):
                named = " ".join(f"{role}={column}" for role, column in reading.columns.items())
                reading.notes.add("records without the columns that are named", named)
            if titles is not None:
                titles.see(item.title, count)
            if raw.format == "docred":  # positions of other formats are looked at where they are converted
                positions.see(item)
            item = item if reading.label_map is None else reading.label_map.apply(item, reading.notes)
        except DocumentError as error:
            item = DocumentError(error.message, error.field, name, count, _title_of(raw.value))
        if item is not None:
            # What the file says is no longer so where labels were mapped
            is_mapped = reading.label_map is not None and isinstance(item, Document)
            yield Record(item, "docred" if is_mapped else raw.format, item.to_dict() if is_mapped else raw.value)
        count += 1


def _document(raw: Any, format: str, repeats: Counter[str], notes: Notes) -> Document:
    if isinstance(raw, DocumentError):
        raise raw
    known = formats().get(format)
    if known is None or known.from_file is None and not isinstance(raw, dict):
        return Document.from_dict(raw)
    converted = known.to_docred(raw)
    if isinstance(raw, dict) and known.hashed_titles(raw):  # the title is a hash: equal sentences share it
        repeats[converted["title"]] += 1
        if (number := repeats[converted["title"]]) > 1:
            converted["title"] += f"-{number}"
    document = Document.from_dict(converted)
    for kind, text in converted.get(NOTES, ()):
        notes.add(kind, text)
    return document


def _title_of(raw: Any) -> str | None:
    title = (raw.get("title") or raw.get("id")) if isinstance(raw, dict) else None
    return str(title) if isinstance(title, (str, int)) else None


def _write_parquet(rows: Iterable[dict[str, Any]], file: BinaryIO) -> None:
    """Writes rows a few hundred in memory at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, number = pa.string(), pa.int32()
    mention = {"name": text, "sent_id": number, "pos": pa.list_(number), "type": text, "kb_id": text}
    label = {
        "h": number, "t": number, "r": text, "evidence": pa.list_(number), "source": text, "score": pa.float64(),
    }  # fmt: skip
    schema = pa.schema(
        {
            "title": text,
            "sents": pa.list_(pa.list_(text)),
            "vertexSet": pa.list_(pa.list_(pa.struct(mention))),
            "labels": pa.list_(pa.struct(label)),  # null: unlabelled
            "pairs": pa.list_(pa.list_(number)),  # null: every pair
            "text": text,  # null: unknown
        }
    )
    rows = iter(rows)
    with pq.ParquetWriter(file, schema) as writer:
        while batch := list(islice(rows, PARQUET_ROWS)):
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))
