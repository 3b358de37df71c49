"""What people say of labels: a table of verdicts on disk, and what it makes of a learning order and of a document."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from finecl_hf.data.documents import Document, Fact, fact_id, means_no_relation
from finecl_hf.errors import FineCLError
from finecl_hf.hashing import text_key
from finecl_hf.learning_order.row_files import read_rows, write_rows


if TYPE_CHECKING:
    from finecl_hf.learning_order.table import LearningOrder

RIGHT, WRONG, OTHER, UNSURE = KINDS = ("right", "wrong", "other", "unsure")
_JUDGED = (".json", ".jsonl", ".csv", ".tsv", ".txt")  # as which tools and reports save it
NO_LABEL = "missing"  # stratum of facts that no label says
SCHEMA = pa.schema(
    {
        "instance_id": pa.string(),
        "title": pa.string(),
        "head": pa.int32(),
        "tail": pa.int32(),
        "relation": pa.string(),
        "verdict": pa.string(),
        "right_relation": pa.string(),
        "judges": pa.int32(),
        "stratum": pa.string(),
    }
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What people say of one label.

    Attributes:
        instance_id, title, head, tail, relation: the label, see [`Document.instance_id`].
        verdict: one of [`KINDS`].
        right_relation: what holds instead; "" where the verdict is not `other`, or where nobody said what.
        judges: people who have judged the label.
        stratum: the part of the corpus that the label was drawn from, see `finecl_hf.review.sampling`; "" if unknown.
    """

    instance_id: str
    title: str
    head: int
    tail: int
    relation: str
    verdict: str
    right_relation: str = ""
    judges: int = 1
    stratum: str = ""

    @property
    def sign(self) -> int:
        """1 for a right label, -1 for a wrong one, 0 where nobody is sure."""
        return {RIGHT: 1, UNSURE: 0}.get(self.verdict, -1)

    @property
    def is_possible(self) -> bool:
        """Whether a document can hold what becomes a label by this verdict."""
        new = self.new_relation
        return not new or (min(self.head, self.tail) >= 0 and self.head != self.tail and not means_no_relation(new))

    @property
    def new_relation(self) -> str:
        """What holds of a fact that no label said; "" where nothing does, or nobody is sure, and for labels."""
        if self.stratum != NO_LABEL:
            return ""
        return {RIGHT: self.relation, OTHER: self.right_relation}.get(self.verdict, "")

    @property
    def corrected_id(self) -> str:
        """Name of the fact that holds instead; "" where there is none."""
        if self.verdict != OTHER or not self.right_relation:
            return ""
        return fact_id(self.title, self.head, self.tail, self.right_relation)


class Verdicts:
    """Verdicts by the labels that they are about.

    Raises:
        FineCLError: a verdict is none of [`KINDS`], or two are about one label.
    """

    def __init__(self, rows: Iterable[Verdict]):
        self.rows = list(rows)
        self._by_key = {text_key(row.instance_id): row for row in self.rows}
        self._new: dict[str, list[Verdict]] = defaultdict(list)  # by title: what becomes a label
        self._pairs: dict[str, set[tuple[int, int]]] = defaultdict(set)  # by title
        for row in self.rows:
            self._pairs[row.title].add((row.head, row.tail))
            if row.new_relation:
                self._new[row.title].append(row)
        if strange := [row.verdict for row in self.rows if row.verdict not in KINDS]:
            raise FineCLError(f'"{strange[0]}" is no verdict; take one of {", ".join(KINDS)}.')
        if twice := len(self.rows) - len(self._by_key):
            raise FineCLError(f"{twice:,} verdicts are about labels that another one is about; keep one of each.")

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def counts(self) -> Counter[str]:
        return Counter(row.verdict for row in self.rows)

    @property
    def titles(self) -> set[str]:
        return {row.title for row in self.rows}

    def of(self, key: int) -> Verdict | None:
        """The verdict of a fact by its key."""
        return self._by_key.get(key)

    def pairs_of(self, title: str) -> set[tuple[int, int]]:
        """The entity pairs of a document that a verdict is about, whatever it says."""
        return self._pairs.get(title, set())

    def signs(self) -> dict[int, int]:
        """Key of each fact that a verdict is certain of -> 1 where it holds, -1 where it does not.

        What holds in place of a wrong label is among them.
        """
        signs = {text_key(row.corrected_id): 1 for row in self.rows if row.corrected_id}
        return signs | {key: row.sign for key, row in self._by_key.items() if row.sign}

    def correct(self, document: Document) -> Document:
        """The document without the labels judged wrong, with the right relation where somebody named it, and with the
        missing facts that were judged right.

        A fact that holds already is not added twice.
        """
        document = self.without_wrong(document)
        known = {(fact.head, fact.tail, fact.relation) for fact in document.relations}
        new = {(row.head, row.tail, row.new_relation) for row in self._new.get(document.title, ())} - known
        new = [fact for fact in sorted(new) if max(fact[:2]) < len(document.entities)]
        if not new:
            return document
        added = [Fact(*fact, source="review") for fact in new]
        return replace(document, relations=[*document.relations, *added], labelled=True)

    def without_wrong(self, document: Document) -> Document:
        """As [`correct`], of its labels alone."""
        facts: dict[tuple[int, int, str], Fact] = {}
        changed = False
        for fact in document.relations:
            row = self.of(document.fact_key(fact))
            if row is not None and row.sign < 0:
                changed = True
                if not row.corrected_id:
                    continue
                fact = replace(fact, relation=row.right_relation, source="review", score=None)
                facts.setdefault((fact.head, fact.tail, fact.relation), fact)
            else:
                facts[fact.head, fact.tail, fact.relation] = fact  # as its source says it, not as a correction does
        return replace(document, relations=list(facts.values())) if changed else document

    @classmethod
    def read(cls, path: str | os.PathLike) -> Verdicts:
        """Reads what [`write`] wrote.

        Raises:
            FineCLError: the file is missing, damaged, or holds no verdicts.
        """
        if os.path.isfile(path) and Path(path).suffix.lower() in _JUDGED:
            raise FineCLError(
                f"{path}: is what people have judged and no table of verdicts yet; run `finecl-hf review import "
                f"{path} DOCUMENTS OUTPUT --verdicts verdicts.parquet` first, and name verdicts.parquet."
            )
        rows = read_rows(path, SCHEMA, "verdicts", "what `finecl-hf review import --verdicts` wrote")
        try:
            verdicts = cls(Verdict(**row) for row in rows)
            if strange := [row for row in verdicts.rows if not row.is_possible]:
                raise FineCLError(f"{strange[0].instance_id} cannot be a fact; import the verdicts again.")
        except FineCLError as error:
            raise FineCLError(f"{path}: {error}") from error
        return verdicts

    def write(self, path: str | os.PathLike) -> None:
        """Writes parquet; whole or not at all."""
        write_rows(self.rows, SCHEMA, path)


def with_verdicts(order: LearningOrder, verdicts: Verdicts) -> LearningOrder:
    """The order with the verdicts in its column `verdict`.

    Judged labels that it lacks, and what holds in place of wrong ones, become rows that no epoch has observed. A
    verdict that nobody is sure of leaves the row as it was. Facts that no label says and that do not hold are no rows.
    """
    from finecl_hf.learning_order.table import LearningOrder  # which checks its own column with this module

    signs = verdicts.signs()
    keys = np.fromiter(signs, np.int64, len(signs))
    values, rows = np.fromiter(signs.values(), np.int8, len(signs)), order.rows_of(keys)
    verdict = order.verdict.copy()
    verdict[rows[rows >= 0]] = values[rows >= 0]
    known = replace(order, verdict=verdict)
    no_facts = {text_key(row.instance_id) for row in verdicts.rows if row.stratum == NO_LABEL and row.sign < 0}
    missing = set(keys[rows < 0].tolist()) - no_facts
    added = [place for row in verdicts.rows for place in _places(row) if text_key(place["instance_id"]) in missing]
    added = list({place["instance_id"]: place for place in added}.values())
    if not added:
        return known
    columns: dict[str, Any] = {name: [place[name] for place in added] for name in added[0]}
    columns["verdict"] = [signs[text_key(name)] for name in columns["instance_id"]]
    return LearningOrder.merge([known, LearningOrder(**columns)])


def _places(row: Verdict) -> list[dict[str, Any]]:
    """The judged label, and what holds in its place, as rows of a learning order."""
    place = {"title": row.title, "head": row.head, "tail": row.tail}
    rows = [{"instance_id": row.instance_id, **place, "relation": row.relation}]
    if row.corrected_id:
        rows.append({"instance_id": row.corrected_id, **place, "relation": row.right_relation})
    return rows


def checked_verdicts(values: Any) -> np.ndarray:
    """The column `verdict` of a learning order, as int8.

    Raises:
        FineCLError: a value is none of -1, 0 and 1.
    """
    values = np.asarray(values)
    if not np.isin(values, (-1, 0, 1)).all():
        raise FineCLError("a verdict is 1 for a right label, -1 for a wrong one and 0 for none; import them again.")
    return values.astype(np.int8)


def verdict_counts(verdict: np.ndarray) -> str:
    """How many labels people have judged, in words."""
    right, wrong = int((verdict > 0).sum()), int((verdict < 0).sum())
    return f"people have judged {right + wrong:,} labels: {right:,} right, {wrong:,} wrong"
