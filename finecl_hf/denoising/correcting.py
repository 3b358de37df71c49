"""The corrected corpus: without the labels that people judged wrong, with the right relation where they named it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from datasets import Dataset, concatenate_datasets

from finecl_hf.data.corpus import in_key_order, keys_of, row_of
from finecl_hf.data.documents import Document
from finecl_hf.data.notes import counted
from finecl_hf.data.readers import Record
from finecl_hf.errors import FineCLError
from finecl_hf.hashing import text_key
from finecl_hf.learning_order.verdicts import Verdicts


logger = logging.getLogger(__name__)


@dataclass
class CorrectionCounts:
    """What became of a corpus's labels.

    Attributes:
        labels: before; removed: labels that are gone; relabelled: those that have another relation now; added: facts
            that no label said.
        documents: written; left_out: sentences that went with their only label.
    """

    labels: int = 0
    removed: int = 0
    relabelled: int = 0
    documents: int = 0
    left_out: int = 0
    added: int = 0

    def __str__(self) -> str:
        text = (
            f"{self.labels - self.removed:,} of {counted(self.labels, 'label')} in "
            f"{counted(self.documents, 'document')}: "
            f"{self.removed:,} removed, {self.relabelled:,} with another relation"
        ) + (f", and {self.added:,} added" if self.added else "")
        left_out = f"; {counted(self.left_out, 'sentence')} left out, whose only label went" if self.left_out else ""
        return f"{text}{left_out}."


def corrected(
    records: Iterable[Record], verdicts: Verdicts, counts: CorrectionCounts | None = None
) -> Iterator[Record]:
    """Corrects documents, one at a time.

    A sentence goes with its only label: that a relation does not hold is not to say that none does.

    Yields:
        Records in DocRED's layout; one that came in it keeps its other keys.
    """
    counts = counts or CorrectionCounts()
    for record in records:
        before, document = record.item, verdicts.correct(record.item)
        counts.labels += len(before.relations)
        kept = verdicts.without_wrong(before)
        counts.removed += len(before.relations) - len(kept.relations)
        counts.added += len(document.relations) - len(kept.relations)
        if document is not before:
            counts.relabelled += sum(_is_relabelled(before, fact, verdicts) for fact in before.relations)
        if before.is_sentence and before.relations and not document.relations:
            counts.left_out += 1
            continue
        counts.documents += 1
        yield record if document is before and record.format == "docred" else _record(record, document, verdicts)


def _is_relabelled(document: Document, fact, verdicts: Verdicts) -> bool:
    row = verdicts.of(document.fact_key(fact))
    return row is not None and bool(row.corrected_id)


def _record(record: Record, document: Document, verdicts: Verdicts) -> Record:
    """The corrected document as a record; labels that nobody touched keep the keys that a document has not."""
    raw = document.to_dict()
    if record.format != "docred":
        return Record(document, "docred", raw)
    labels = record.raw.get("labels")
    if isinstance(labels, list):
        old = {(int(label["h"]), int(label["t"]), label["r"].strip()): label for label in labels}
        raw["labels"] = [
            label if fact.source == "review" else old.get((fact.head, fact.tail, fact.relation), label)
            for fact, label in zip(document.relations, raw["labels"], strict=True)
        ]
    return Record(document, "docred", {**record.raw, "labels": raw["labels"]})


def corrected_corpus(corpus: Dataset, verdicts: Verdicts) -> Dataset:
    """The rows of a corpus on disk, corrected; in the order of their keys, as before.

    Raises:
        FineCLError: no verdict is about a document of the corpus, or nothing is left.
    """
    keys = keys_of(corpus)
    touched = np.isin(keys, [text_key(title) for title in verdicts.titles])
    if not touched.any():
        raise FineCLError(
            f"none of the {len(verdicts):,} verdicts is about a document of this corpus; name the verdicts of its "
            "labels (finecl-hf review import --verdicts)."
        )
    rows = []
    for row in corpus.select(np.flatnonzero(touched)):
        before = Document.from_json(row["document"])
        document = verdicts.correct(before)
        if not (before.is_sentence and before.relations and not document.relations):
            rows.append(row_of(document, row["source"], row["index"]))
    parts = [corpus.select(np.flatnonzero(~touched))]
    if rows:
        parts.append(Dataset.from_list(rows, features=corpus.features))
    whole = concatenate_datasets([part for part in parts if len(part)]) if any(map(len, parts)) else parts[0]
    if not len(whole):
        raise FineCLError(
            "the verdicts leave no document to train on; judge more labels, or train without --verdicts."
        )
    logger.info("Verdicts: %s labels judged, %s of them wrong, in %s documents.", f"{len(verdicts):,}",
                f"{sum(row.sign < 0 for row in verdicts.rows):,}", f"{int(touched.sum()):,}")  # fmt: skip
    return in_key_order(whole)
