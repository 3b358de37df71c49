"""Facts that seem to be missing: pairs without a label that look like facts, best first, as a table on disk."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from finecl_hf.data.documents import Fact
from finecl_hf.data.files import replacing
from finecl_hf.data.unpacking import refuse_repeated_values
from finecl_hf.errors import FineCLError
from finecl_hf.hashing import text_key


MISSING = "missing_labels.parquet"


@dataclass(frozen=True, slots=True)
class MissingLabel:
    """A fact that the labels of a document lack.

    Attributes:
        instance_id, title, head, tail, relation: the fact, see [`Document.instance_id`].
        head_name, tail_name: the longest names of both entities.
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
    def key(self) -> int:
        """The fact's key, see [`Document.fact_key`]."""
        return text_key(self.instance_id)


_TYPES = {"str": pa.string(), "int": pa.int32(), "float": pa.float32()}
SCHEMA = pa.schema({field.name: _TYPES[str(field.type)] for field in fields(MissingLabel)})


def write_missing(rows: Iterable[MissingLabel], path: str | os.PathLike) -> None:
    """Writes parquet, a row a fact in the order given; whole or not at all."""
    columns = [{name: getattr(row, name) for name in SCHEMA.names} for row in rows]
    with replacing(Path(path)) as file:
        pq.write_table(pa.Table.from_pylist(columns, schema=SCHEMA), file)


def read_missing(path: str | os.PathLike) -> list[MissingLabel]:
    """Reads what [`write_missing`] wrote.

    Raises:
        FineCLError: the file is missing, damaged, or holds other columns.
    """
    if not os.path.isfile(path):
        raise FineCLError(f"{path}: there is no such file; name the missing_labels.parquet of a stage 1.")
    try:
        refuse_repeated_values(path)
        table = pq.read_table(path, columns=SCHEMA.names).cast(SCHEMA)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise FineCLError(
            f"{path}: holds no missing labels; name what a stage 1 with --missing_labels wrote ({reason})."
        ) from error
    if lost := sum(column.null_count for column in table.columns):
        raise FineCLError(f"{path}: {lost:,} values are missing; repeat stage 1 with --missing_labels.")
    return [MissingLabel(**row) for row in table.to_pylist()]
