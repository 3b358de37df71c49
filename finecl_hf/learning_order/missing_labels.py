"""Facts that seem to be missing: pairs without a label that look like facts, best first, as a table on disk."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from math import isfinite

import pyarrow as pa

from finecl_hf.data.documents import Fact, means_no_relation
from finecl_hf.data.hub_datasets import file_or_download
from finecl_hf.errors import FineCLError
from finecl_hf.hashing import text_key
from finecl_hf.learning_order.row_files import read_rows, write_rows


MISSING = "missing_labels.parquet"
NAMES = ("head_name", "tail_name")


@dataclass(frozen=True, slots=True)
class MissingLabel:
    """A fact that the labels of a document lack.

    Attributes:
        instance_id, title, head, tail, relation: the fact, see [`Document.instance_id`].
        head_name, tail_name: the longest names of both entities; "" in a table that was published without them.
        probability: what stage 1's model gives the relation, from 0 to 1.
        margin: of its logit over the best other one, NA's among them.
        plausibility: log-odds of the types and the distance of the pair, see `learning_order.plausibility`.
        support: log-odds of what the labels of the document and of others say, see `learning_order.support`.
        score: what the table is ranked by, higher for a more likely fact.
    """

    instance_id: str
    title: str
    head: int
    tail: int
    relation: str
    head_name: str
    tail_name: str
    probability: float
    margin: float
    plausibility: float
    support: float
    score: float

    @property
    def fact(self) -> Fact:
        return Fact(self.head, self.tail, self.relation)

    @property
    def is_possible(self) -> bool:
        """Whether a document can hold the fact, and its figures are numbers."""
        figures = (self.probability, self.margin, self.plausibility, self.support, self.score)
        is_fact = min(self.head, self.tail) >= 0 and self.head != self.tail and not means_no_relation(self.relation)
        return is_fact and all(map(isfinite, figures))

    @property
    def key(self) -> int:
        """The fact's key, see [`Document.fact_key`]."""
        return text_key(self.instance_id)


_TYPES = {"str": pa.string(), "int": pa.int32(), "float": pa.float32()}
SCHEMA = pa.schema({field.name: _TYPES[str(field.type)] for field in fields(MissingLabel)})


def write_missing(rows: Iterable[MissingLabel], path: str | os.PathLike) -> None:
    """Writes parquet, a row a fact in the order given; whole or not at all."""
    write_rows(rows, SCHEMA, path)


def publish_missing(source: str | os.PathLike, target: str | os.PathLike) -> None:
    """Copies what [`write_missing`] wrote without the names of entities: they are text of the documents."""
    write_rows(read_missing(source), pa.schema([field for field in SCHEMA if field.name not in NAMES]), target)


def read_missing(path: str | os.PathLike) -> list[MissingLabel]:
    """Reads what [`write_missing`] or [`publish_missing`] wrote.

    Args:
        path: a file, or the dataset on the Hub that holds it: `user/name`, or `user/name@revision`.

    Raises:
        FineCLError: the file is missing, damaged, or holds other columns, or what can be no fact.
    """
    file = file_or_download(path, MISSING)
    rows = read_rows(file, SCHEMA, "missing labels", f"the {MISSING} of a stage 1", dict.fromkeys(NAMES, ""))
    missing = [MissingLabel(**row) for row in rows]
    if strange := [row for row in missing if not row.is_possible]:
        raise FineCLError(
            f"{path}: {strange[0].instance_id} cannot be a fact, or has no numbers; name the {MISSING} of a "
            "stage 1, as it was written."
        )
    return missing
