"""The cleaned corpus: the labels that a learning order trusts, in DocRED's layout."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from finecl_hf.data.documents import Document, Fact
from finecl_hf.data.files import refuse_overwriting
from finecl_hf.data.notes import counted
from finecl_hf.data.readers import (
    Record,
    local_files,
    valid_documents,
    valid_records,
    write_rows,
    written_extension,
)
from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.learning_order.trust import RECOMMENDED, choose_labels, unit_trust


@dataclass
class CleanCounts:
    """What became of a corpus's labels.

    Attributes:
        kept, dropped: labels, those that the learning order does not know among them.
        unknown: labels that the learning order does not know, or that stage 1 never judged.
        documents: documents written.
        left_out: sentences that lost their only label and went with it.
        drop_unknown: whether unknown labels were dropped.
    """

    kept: int = 0
    dropped: int = 0
    unknown: int = 0
    documents: int = 0
    left_out: int = 0
    drop_unknown: bool = False

    def __str__(self) -> str:
        labels, documents = counted(self.kept + self.dropped, "label"), counted(self.documents, "document")
        text = f"kept {self.kept:,} of {labels} in {documents}"
        if self.left_out:
            text += f", left out {counted(self.left_out, 'document')} whose only label went"
        if self.unknown:
            fate = "dropped" if self.drop_unknown else "kept"
            text += f"; {fate} {counted(self.unknown, 'label')} that stage 1 has not judged"
        return f"{text}."


def clean_files(
    order_file: str | os.PathLike,
    source: str | os.PathLike,
    output: str | os.PathLike,
    score: str = RECOMMENDED,
    *,
    threshold: float | None = None,
    share: float | None = None,
    drop_unknown: bool = False,
    **reading: Any,
) -> CleanCounts:
    """[`clean_corpus`] by a learning order on disk and a score of `trust.SCORES`.

    For a share, the source is read twice: the order may have been made from more documents than these.

    Args:
        source, reading: as of [`valid_records`].
    """
    check_clean_output(source, output, [order_file, reading.get("label_map")])
    order = LearningOrder.read(order_file)
    if order.self_test is not None:
        order.self_test.warn(os.fspath(order_file))
    own = None if share is None else _label_keys(valid_documents(source, **reading | {"quiet": True}))
    records = valid_records(source, **reading)
    choice = {"threshold": threshold, "share": share, "own": own}
    return clean_corpus(
        records, output, order, unit_trust(score, order), source=source, drop_unknown=drop_unknown, **choice
    )


def clean_corpus(
    records: Iterable[Record],
    output: str | os.PathLike,
    order: LearningOrder,
    trust: np.ndarray,
    *,
    threshold: float | None = None,
    share: float | None = None,
    own: np.ndarray | None = None,
    **options: Any,
) -> CleanCounts:
    """[`choose_labels`] by the trust (N,) in the rows of a learning order, then [`write_clean`] with its options.

    Labels that stage 1 never judged, past the length it was given, count as unknown: nothing is known against them.
    What people have judged is kept or dropped as they say, whatever the choice.

    Args:
        own: (M,) int64 keys of the records' labels, of which the share is taken; None where the order has no others.
    """
    judged = order.judged | (order.verdict != 0)
    if own is not None:
        judged &= np.isin(order.key, own)
    keys, verdict = order.key[judged], order.verdict[judged]
    keep = choose_labels(np.asarray(trust)[judged], keys, threshold=threshold, share=share)
    keep = np.where(verdict == 0, keep, verdict > 0)
    return write_clean(records, output, dict(zip(keys.tolist(), keep.tolist(), strict=True)), **options)


def _label_keys(documents: Iterable[Document]) -> np.ndarray:
    """(M,) int64 of all labels; nothing else of the documents stays in memory."""
    return np.fromiter((document.fact_key(fact) for document in documents for fact in document.relations), np.int64)


def write_clean(
    records: Iterable[Record],
    output: str | os.PathLike,
    verdicts: Mapping[int, bool],
    *,
    source: str | os.PathLike,
    drop_unknown: bool = False,
    same_corpus: bool = False,
) -> CleanCounts:
    """Writes what [`cleaned`] leaves of the records, whole or not at all; one record is in memory.

    Args:
        records: of [`valid_records`].
        output: a file as [`write_documents`] writes it.
        verdicts: key of a fact -> whether to keep the label.
        source: where the records come from, for messages; not to be written over.
        drop_unknown: drop the labels that `verdicts` lacks, such as those past the encoder's length.
        same_corpus: the verdicts are known to be about this corpus, however few of its labels they cover.

    Raises:
        FineCLError: the verdicts know fewer than half of the labels (unless `drop_unknown`) or none, nothing would be
            left, or the output is the source or is named as no format that is written.
    """
    is_table = written_extension(output) == ".parquet"
    refuse_overwriting(output, local_files(source))
    counts = CleanCounts(drop_unknown=drop_unknown)
    kept = _checked(cleaned(records, verdicts, counts), counts, source, same_corpus)
    write_rows((record.item.to_dict() if is_table else record.raw for record in kept), output)
    return counts


def cleaned(records: Iterable[Record], verdicts: Mapping[int, bool], counts: CleanCounts) -> Iterator[Record]:
    """Takes labels out of documents, one document at a time.

    A sentence goes with its only label: without it, its pair would pass for one that has no relation.

    Args:
        records: of [`valid_records`].
        verdicts: key of a fact -> whether to keep the label.
        counts: counts what passes; its `drop_unknown` says what becomes of labels that `verdicts` lacks.

    Yields:
        Records in DocRED's layout: the document without the dropped facts, and its dict. A record that came in this
        layout keeps the other keys of its documents, entities and labels.
    """
    for record in records:
        document = record.item
        kept = [fact for fact in document.relations if _keeps(document.fact_key(fact), verdicts, counts)]
        counts.kept += len(kept)
        counts.dropped += len(document.relations) - len(kept)
        if len(kept) < len(document.relations) and document.is_sentence:
            counts.left_out += 1
            continue
        counts.documents += 1
        yield _without_others(record, document, kept)


def check_clean_output(source: str | os.PathLike, output: str | os.PathLike, inputs: Iterable[Any] = ()) -> None:
    """Finds out before hours of training what would keep [`write_clean`] from writing after them.

    Args:
        inputs: other files of the run, which must not be written over; None among them is passed over.

    Raises:
        FineCLError: the output is one of the inputs, is named as no format that is written, or its folder may not be
            written to.
    """
    output = Path(output)
    written_extension(output)
    refuse_overwriting(output, [*local_files(source), *inputs])
    folder = next(parent for parent in output.absolute().parents if parent.exists())
    if output.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise FineCLError(f"{output}: cannot be written; name a file in a folder of yours.")


def _keeps(key: int, verdicts: Mapping[int, bool], counts: CleanCounts) -> bool:
    verdict = verdicts.get(key)
    counts.unknown += verdict is None
    return not counts.drop_unknown if verdict is None else verdict


def _without_others(record: Record, document: Document, kept: list[Fact]) -> Record:
    """A record in DocRED's layout that has only the facts `kept`."""
    rest = replace(document, relations=kept)
    if record.format != "docred":
        return Record(rest, "docred", rest.to_dict())
    if len(kept) == len(document.relations):
        return record
    labels = record.raw["labels"]
    if isinstance(labels, list):
        facts = {(fact.head, fact.tail, fact.relation) for fact in kept}
        labels = [label for label in labels if (int(label["h"]), int(label["t"]), label["r"].strip()) in facts]
    else:  # a struct of lists, as in thunlp/docred
        labels = rest.to_dict()["labels"]
    return Record(rest, "docred", {**record.raw, "labels": labels})


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
