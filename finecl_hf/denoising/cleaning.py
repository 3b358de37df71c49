"""The cleaned corpus: the labels that a learning order trusts, in the format the corpus came in.

What loses nothing is written as it stands. A document in DocRED's layout keeps all of its other keys and loses the
dropped labels alone; a record of a sentence format, whose one label is dropped, goes as a whole.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa

from finecl_hf.data.documents import Document
from finecl_hf.data.files import refuse_overwriting, replacing
from finecl_hf.data.raw_records import RawRecord, write_rows
from finecl_hf.data.readers import EXTENSIONS, Record, iter_records, local_files, write_documents
from finecl_hf.errors import DocumentError, FineCLError
from finecl_hf.hashing import text_key
from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.learning_order.trust import RECOMMENDED, unit_score


# How a file of each layout may be named, besides with the input's own extension.
_SUFFIXES = {
    "list": (".json",),
    "lines": (".jsonl", ".json", ".txt"),
    "relations": (".json",),
    "blocks": (".txt",),
    "table": (".parquet",),
}
_MEANT = {suffix for suffixes in _SUFFIXES.values() for suffix in suffixes}  # others say nothing about the layout


@dataclass
class CleanCounts:
    """What became of a corpus's labels.

    Attributes:
        kept, dropped: labels, those that the learning order does not know among them.
        unknown: labels that the learning order does not know, or that stage 1 never judged.
        documents: records written.
        left_out: records that lost their only label and went with it (sentence formats).
        skipped: invalid records that were left out.
        drop_unknown: whether unknown labels were dropped.
    """

    kept: int = 0
    dropped: int = 0
    unknown: int = 0
    documents: int = 0
    left_out: int = 0
    skipped: int = 0
    drop_unknown: bool = False

    def __str__(self) -> str:
        text = f"kept {self.kept:,} of {self.kept + self.dropped:,} labels in {self.documents:,} documents"
        if self.left_out:
            text += f", left {self.left_out:,} documents out with their only label"
        if self.unknown:
            fate = "dropped" if self.drop_unknown else "kept"
            text += f"; {self.unknown:,} labels that stage 1 has not judged were {fate}"
        return text + (f"; {self.skipped:,} invalid documents were left out." if self.skipped else ".")


def choose_labels(
    trust: np.ndarray, instance_ids: Any, *, threshold: float | None = None, share: float | None = None
) -> np.ndarray:
    """Which labels to keep.

    Args:
        trust: (N,) float, higher for a more trustworthy label.
        instance_ids: N strings; among labels of equal trust a hash of the id decides, so that neither the order of
            the rows nor the alphabet does.
        threshold: keep what is trusted this far or farther.
        share: keep this share of the labels, the most trusted ones.

    Returns:
        (N,) bool.

    Raises:
        FineCLError: unless exactly one of `threshold` and `share` is given, and within [0, 1].
    """
    if (threshold is None) == (share is None):
        raise FineCLError("say which labels to keep by a threshold or by a share, one of the two.")
    name, value = ("threshold", threshold) if share is None else ("share", share)
    if not 0 <= value <= 1:
        raise FineCLError(f"the {name} {value} is out of range; it lies between 0 and 1.")
    trust = np.asarray(trust, np.float64)
    if trust.shape != (len(instance_ids),) or np.isnan(trust).any():
        raise FineCLError(f"each of the {len(instance_ids):,} labels needs one trust, found shape {trust.shape}.")
    if share is None:
        return trust >= threshold
    count = round(share * len(trust))
    keep = np.zeros(len(trust), bool)
    if count:
        border = np.partition(trust, len(trust) - count)[len(trust) - count]
        keep = trust > border
        tied = np.flatnonzero(trust == border)
        keys = [text_key(str(instance_ids[int(row)])) for row in tied]
        keep[tied[np.argsort(keys, kind="stable")[: count - keep.sum()]]] = True
    return keep


def clean_corpus(
    source: str | os.PathLike,
    output: str | os.PathLike,
    order: LearningOrder,
    trust: np.ndarray,
    *,
    threshold: float | None = None,
    share: float | None = None,
    **options: Any,
) -> CleanCounts:
    """[`choose_labels`] by the trust (N,) in the rows of a learning order, then [`write_clean`] with its options.

    Labels that stage 1 never judged, past the length it was given, count as unknown: nothing is known against them.
    """
    judged = order.judged
    ids = order.instance_id.filter(pa.array(judged))
    keep = choose_labels(np.asarray(trust)[judged], ids, threshold=threshold, share=share)
    return write_clean(source, output, dict(zip(ids.to_pylist(), keep.tolist(), strict=True)), **options)


def clean_files(
    order_file: str | os.PathLike,
    source: str | os.PathLike,
    output: str | os.PathLike,
    score: str = RECOMMENDED,
    **options: Any,
) -> CleanCounts:
    """[`clean_corpus`] by a learning order on disk and a score of `scores.SCORES`."""
    refuse_overwriting(output, [order_file, *local_files(source)])
    order = LearningOrder.read(order_file)
    return clean_corpus(source, output, order, unit_score(score, order), **options)


def write_clean(
    source: str | os.PathLike,
    output: str | os.PathLike,
    verdicts: Mapping[str, bool],
    *,
    format: str | None = None,
    split: str | None = None,
    drop_unknown: bool = False,
    skip_invalid: bool = False,
    same_corpus: bool = False,
) -> CleanCounts:
    """Writes a corpus without the labels that are not to be kept, whole or not at all; one record is in memory.

    `read_documents(output)` gives the documents of `source` without the dropped facts. Records that lose nothing are
    written as they stand, value for value in parquet.

    Args:
        source: a file in any supported format; or shards of a corpus (see [`files_of`]), or a Hub
            dataset id, which are written as one file in DocRED's layout.
        output: a file of the same kind; gzipped where the name ends in `.gz`.
        verdicts: instance id -> whether to keep the label.
        format: of the source, where its content does not tell.
        split: of a Hub dataset.
        drop_unknown: drop the labels that `verdicts` lacks, such as those past the encoder's length.
        same_corpus: the verdicts are known to be about this corpus, however few of its labels they cover.
        skip_invalid: leave invalid records out instead of stopping at the first.

    Raises:
        FineCLError: the verdicts know fewer than half of the labels (unless `drop_unknown`) or none, nothing would be
            left, the output is the source or named as another format, a record is invalid.
    """
    output = Path(output)
    files = local_files(source)
    refuse_overwriting(output, files)
    if output.is_dir():
        raise FineCLError(f"{output}: this is a folder; name a file.")
    counts = CleanCounts(drop_unknown=drop_unknown)
    records = _cleaned(iter_records(source, format=format, split=split), verdicts, counts, skip_invalid)
    first = list(
        islice(records, 1)
    )  # before anything is written: it tells the layout, or what is wrong with the source
    kept = _checked(chain(first, records), counts, source, same_corpus)
    if len(files) != 1:
        write_documents((record.document for record in kept), output)
        return counts
    layout = first[0].raw.layout if first else "lines"
    _check_name(output, files[0], layout)
    with replacing(output) as file, _compressed(file, output) as out:
        _WRITERS[layout](kept, out, files[0])
    return counts


def check_clean_output(
    source: str | os.PathLike, output: str | os.PathLike, split: str | None = None, inputs: Iterable[Any] = ()
) -> None:
    """Finds out before hours of training what would keep [`write_clean`] from writing after them.

    Args:
        inputs: other files of the run, which must not be written over; None among them is passed over.

    Raises:
        FineCLError: the output is one of the inputs, is named as another format, or its folder may not be written to.
    """
    output = Path(output)
    files = local_files(source)
    refuse_overwriting(output, [*files, *inputs])
    folder = next(parent for parent in output.absolute().parents if parent.exists())
    if output.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise FineCLError(f"{output}: cannot be written; name a file in a folder of yours.")
    if len(files) == 1:
        first = next(iter_records(source, split=split), None)
        _check_name(output, files[0], first.raw.layout if first else "lines")
    elif not output.name.lower().endswith(EXTENSIONS):
        raise FineCLError(f"{output}: the name must end in one of {', '.join(EXTENSIONS)}.")


class _Kept(NamedTuple):
    document: Document  # without the dropped facts
    raw: RawRecord
    value: Any  # the raw record without the dropped labels; None if it has all of them still


def _cleaned(
    records: Iterable[Record], verdicts: Mapping[str, bool], counts: CleanCounts, skip_invalid: bool
) -> Iterator[_Kept]:
    for document, raw in records:
        if isinstance(document, DocumentError):
            if not skip_invalid:
                raise document
            counts.skipped += 1
            continue
        dropped = [fact for fact in document.relations if not _keeps(document.instance_id(fact), verdicts, counts)]
        counts.dropped += len(dropped)
        counts.kept += len(document.relations) - len(dropped)
        if dropped and raw.format != "docred":
            counts.left_out += 1
            continue
        counts.documents += 1
        if not dropped:
            yield _Kept(document, raw, None)
            continue
        gone = {(fact.head, fact.tail, fact.relation) for fact in dropped}
        document.relations = [fact for fact in document.relations if fact not in dropped]
        yield _Kept(document, raw, {**raw.value, "labels": _labels_without(raw.value["labels"], gone)})


def _keeps(instance_id: str, verdicts: Mapping[str, bool], counts: CleanCounts) -> bool:
    verdict = verdicts.get(instance_id)
    counts.unknown += verdict is None
    return not counts.drop_unknown if verdict is None else verdict


def _labels_without(labels: Any, gone: set[tuple[int, int, str]]) -> Any:
    """Labels as DocRED writes them, a list, or as `thunlp/docred` does, a struct of lists."""
    if isinstance(labels, list):
        return [label for label in labels if (int(label["h"]), int(label["t"]), label["r"]) not in gone]
    facts = zip(labels["head"], labels["tail"], labels["relation_id"], strict=True)
    stay = [i for i, (head, tail, relation) in enumerate(facts) if (int(head), int(tail), relation) not in gone]
    return {name: column and [column[i] for i in stay] for name, column in labels.items()}  # evidence may be null


def _checked(items: Iterable[Any], counts: CleanCounts, source: str | os.PathLike, same_corpus: bool) -> Iterator[Any]:
    """The items; at their end, an error where the verdicts belong to another corpus or left nothing."""
    yield from items
    labels = counts.kept + counts.dropped
    if not labels:
        raise FineCLError(f"{source}: the documents have no labels to clean; name the labelled file.")
    if counts.unknown == labels and not same_corpus:
        raise FineCLError(
            f"{source}: the learning order knows none of the {labels:,} labels, so it belongs to another corpus; "
            "run stage 1 on this one, or name the file that the order was made from."
        )
    if 2 * counts.unknown > labels and not (counts.drop_unknown or same_corpus):
        raise FineCLError(
            f"{source}: the learning order knows only {labels - counts.unknown:,} of {labels:,} labels; run stage 1 "
            "on this corpus, or pass --drop_unknown to write the known labels alone."
        )
    if not counts.kept:
        raise FineCLError(
            f"{source}: not one of {labels:,} labels would be left; keep a larger share, or lower the threshold."
        )


def _check_name(output: Path, source: Path, layout: str) -> None:
    suffix, own = (_suffix(path) for path in (output, source))
    if suffix in _MEANT and suffix != own and suffix not in _SUFFIXES[layout]:
        raise FineCLError(
            f"{output}: the cleaned corpus is written as {source.name} is, so let its name end in "
            f"{_SUFFIXES[layout][0]}; `finecl-hf convert` changes the format."
        )
    if layout == "table" and output.suffix.lower() == ".gz":
        raise FineCLError(f"{output}: parquet is compressed by itself; let the name end in .parquet.")


def _suffix(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


@contextmanager
def _compressed(file: BinaryIO, path: Path) -> Iterator[BinaryIO]:
    if path.suffix.lower() != ".gz":
        yield file
        return
    with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as out:  # no name, no time: equal input gives equal files
        yield out


def _encoded(record: _Kept) -> bytes:
    if record.value is None:
        return record.raw.text.encode()
    dense = '": ' not in record.raw.text[:100]  # as most tools write JSON, or without spaces
    separators = (",", ":") if dense else (", ", ": ")
    try:
        return json.dumps(record.value, ensure_ascii=False, separators=separators).encode()
    except UnicodeEncodeError:  # half a character, in a key that no reader looks at
        return json.dumps(record.value).encode()


def _write_list(records: Iterable[_Kept], out: BinaryIO, source: Path) -> None:
    separator = b"[\n"
    for record in records:
        out.write(separator + _encoded(record))
        separator = b",\n"
    out.write(b"\n]\n")


def _write_lines(records: Iterable[_Kept], out: BinaryIO, source: Path) -> None:
    for record in records:
        out.write(_encoded(record) + b"\n")


def _write_relations(records: Iterable[_Kept], out: BinaryIO, source: Path) -> None:
    """FewRel's object; a relation that lost all of its instances is left out."""
    relation, separator = None, b"{\n"
    for record in records:
        if record.raw.value["relation"] != relation:
            relation = record.raw.value["relation"]
            key = json.dumps(relation, ensure_ascii=False).encode()
            separator = (b"{\n" if separator == b"{\n" else b"],\n") + key + b": ["
        out.write(separator + _encoded(record))
        separator = b",\n"
    out.write(b"]\n}\n")


def _write_table(records: Iterable[_Kept], out: BinaryIO, source: Path) -> None:
    import pyarrow.parquet as pq

    rows = (record.raw.value if record.value is None else record.value for record in records)
    write_rows(rows, pq.read_schema(source), out)


_WRITERS = {
    "list": _write_list,
    "lines": _write_lines,
    "relations": _write_relations,
    "blocks": _write_lines,
    "table": _write_table,
}
