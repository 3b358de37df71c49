"""The learning order: when each instance was learned in stage 1, and the weights that stage 2 draws from it.

FineCL (Hogan, Li, Shang, EMNLP 2022, arXiv 2205.12491) trains a classifier on noisy labels and notes the epoch in
which each instance is first predicted correctly: labels learned early are mostly right. Beside that epoch the table
keeps the training dynamics of dataset cartography (Swayamdipta et al., EMNLP 2020): the probability of the label, its
margin over the best other one, and whether it was predicted, for each epoch.

Shapes: N instances (rows), E epochs, M ids that a caller asks about. An instance is one fact of one document.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from finecl_hf.columns import concatenate, matrix, read_column, refuse_duplicates, replacing, strings, take
from finecl_hf.documents import Document
from finecl_hf.errors import FineCLError
from finecl_hf.scores import check_weight_by, unit_score


_VERSION = 1  # of the parquet schema; a reader refuses what a later version wrote

# Weight of each learned instance by its epoch k: (L,) int, L > 0 -> (L,) in [0, 1]. Add yours as SCHEMES["name"] = f.
SCHEMES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "linear": lambda k: 1.0 - (k - k.min()) / max(np.ptp(k), 1),  # the paper's
    "exponential": lambda k: np.exp(-(k - k.min()).astype(np.float64)),
    "uniform": lambda k: np.zeros(len(k)),  # each exp(w) is 1: ERICA's unweighted loss
}


def order_weights(first_epoch: Any, scheme: str = "linear", cutoff: int | None = 5) -> np.ndarray:
    """Weight of each instance by the epoch in which it was learned.

    Args:
        first_epoch: (N,) int, -1 for an instance that was never learned.
        scheme: a name in [`SCHEMES`]. `linear` is the paper's `w(k) = 1 - (k - k_min) / (k_max - k_min)` over the
            learned instances; `exponential` is `exp(-(k - k_min))`; `uniform` is ERICA's baseline: with every
            weight 0, the loss of the paper is ERICA's unweighted one.
        cutoff: the paper's K: what was learned in epoch K or later weighs 0. None for no cutoff.

    Returns:
        (N,) float64 in [0, 1]. Never-learned instances weigh 0.

    Raises:
        FineCLError: for an unknown scheme, or epochs that are no integers from -1 upwards.
    """
    if scheme not in SCHEMES:
        raise FineCLError(f'there is no weighting scheme "{scheme}"; choose one of {", ".join(SCHEMES)}.')
    first_epoch = _epochs(first_epoch)
    weights = np.zeros(len(first_epoch))
    learned = first_epoch >= 0
    if learned.any():
        weights[learned] = SCHEMES[scheme](first_epoch[learned])
    if cutoff is not None:
        weights[first_epoch >= cutoff] = 0.0
    return weights


def _epochs(values: Any) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim == 1 and not array.size:
        return array.astype(np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu" or array.min() < -1:
        raise FineCLError(
            "each instance needs the epoch in which it was learned, an integer from 0, or -1 for never, before the "
            f"weighting schemes ({', '.join(SCHEMES)}) apply; found {array.dtype} of shape {array.shape}"
            + (f" with the value {array.min()}." if array.dtype.kind in "iuf" else ".")
        )
    return array.astype(np.int64)


@dataclass(frozen=True)
class Coverage:
    """How a table and a corpus fit: instances that it knows and does not know, rows that belong to no instance."""

    known: int
    unknown: int
    unused: int

    @property
    def share(self) -> float:
        """Known instances as a fraction of all; 1 for an empty corpus."""
        return self.known / (self.known + self.unknown) if self.known + self.unknown else 1.0

    def __str__(self) -> str:
        return (
            f"the learning order knows {self.known:,} of {self.known + self.unknown:,} instances "
            f"({100 * self.share:.1f}%); {self.unused:,} of its rows belong to none of them"
        )


@dataclass(eq=False)
class LearningOrder:
    """One row an instance, stored as columns: 6 bytes an instance and epoch, beside ids and titles.

    Attributes:
        instance_id: (N,) Arrow strings, unique; see [`Document.instance_id`].
        title, relation: (N,) Arrow strings, empty where unknown (a table that was read from JSON).
        head, tail: (N,) int32 entity numbers, -1 where unknown.
        probability: (N, E) float16, of the label.
        margin: (N, E) float16, of the label over the best other one.
        correct: (N, E) bool.
        observed: (N, E) bool. Where it is False, the three arrays above mean nothing.
        first_epoch: (N,) int32, the first epoch with a correct prediction, -1 for never. Derived from `correct` in
            rows that were observed in any epoch, and carried as given in the others.
    """

    instance_id: pa.Array
    title: pa.Array = None
    head: np.ndarray = None
    tail: np.ndarray = None
    relation: pa.Array = None
    probability: np.ndarray = None
    margin: np.ndarray = None
    correct: np.ndarray = None
    observed: np.ndarray = None
    first_epoch: np.ndarray = None

    def __post_init__(self):
        self.instance_id = strings(self.instance_id)
        refuse_duplicates(self.instance_id)
        rows = len(self)
        for name in ("title", "relation"):
            setattr(self, name, strings([""] * rows if getattr(self, name) is None else getattr(self, name)))
        for name, dtype in {"head": np.int32, "tail": np.int32, **_DYNAMICS}.items():
            missing = np.zeros((rows, 0)) if name in _DYNAMICS else np.full(rows, -1)
            setattr(self, name, np.asarray(missing if getattr(self, name) is None else getattr(self, name), dtype))
        self.first_epoch = _epochs([-1] * rows if self.first_epoch is None else self.first_epoch).astype(np.int32)
        lengths = {name: len(getattr(self, name)) for name in _COLUMNS}
        shapes = {name: getattr(self, name).shape for name in _DYNAMICS}
        if set(lengths.values()) != {rows} or set(shapes.values()) != {(rows, self.num_epochs)}:
            raise FineCLError(f"columns differ in their rows or epochs: {lengths | shapes}.")
        self._derive_first_epoch()

    @classmethod
    def for_documents(cls, documents: Iterable[Document]) -> LearningOrder:
        """A table without epochs: one row for each fact, in the order of the documents."""
        facts = [(document, fact) for document in documents for fact in document.relations]
        return cls(
            instance_id=[document.instance_id(fact) for document, fact in facts],
            title=[document.title for document, _ in facts],
            head=[fact.head for _, fact in facts],
            tail=[fact.tail for _, fact in facts],
            relation=[fact.relation for _, fact in facts],
        )

    def __len__(self) -> int:
        return len(self.instance_id)

    @property
    def num_epochs(self) -> int:
        return self.correct.shape[1]

    def record_epoch(self, probability: Any, margin: Any, correct: Any, observed: Any = None) -> None:
        """Appends one epoch.

        Args:
            probability: (N,) float in [0, 1], of the label.
            margin: (N,) float, of the label over the best other one.
            correct: (N,) bool.
            observed: (N,) bool; None for all. The other arguments are ignored where it is False.
        """
        observed = np.ones(len(self), bool) if observed is None else np.asarray(observed, bool)
        limit = float(np.finfo(np.float16).max)  # a margin between logits may exceed float16
        epoch = (probability, np.clip(np.asarray(margin), -limit, limit), correct, observed)
        columns = {}
        for (name, dtype), values in zip(_DYNAMICS.items(), epoch, strict=True):
            if np.shape(values) != (len(self),):
                raise FineCLError(f"an epoch needs {name} of shape ({len(self)},), found {np.shape(values)}.")
            columns[name] = np.where(observed, values, 0).astype(dtype)
        sound = _sound(columns["probability"], columns["margin"])
        if not sound.all():
            raise FineCLError(
                f"in epoch {self.num_epochs}, {(~sound).sum():,} instances have a probability outside [0, 1] or a "
                "margin that is no number: training has diverged. Lower the learning rate or turn half precision off."
            )
        for name, values in columns.items():
            setattr(self, name, np.concatenate([getattr(self, name), values[:, None]], axis=1))
        self._derive_first_epoch()

    def _derive_first_epoch(self) -> None:
        if not self.num_epochs:
            return
        self.correct = self.correct & self.observed
        derived = np.where(self.correct.any(axis=1), self.correct.argmax(axis=1), -1)
        self.first_epoch = np.where(self.observed.any(axis=1), derived, self.first_epoch).astype(np.int32)

    def lookup(self, instance_ids: Any) -> np.ndarray:
        """Row of each id: M strings, as a list, numpy or Arrow array -> (M,) int64, -1 for an id that is not here."""
        rows = pc.index_in(strings(instance_ids), value_set=self.instance_id)
        return pc.fill_null(rows, -1).to_numpy(zero_copy_only=False).astype(np.int64)

    def coverage(self, instance_ids: Any) -> Coverage:
        """How well this table and the M instances of a corpus fit each other."""
        rows = self.lookup(instance_ids)
        known = int((rows >= 0).sum())
        return Coverage(known, len(rows) - known, len(self) - len(np.unique(rows[rows >= 0])))

    def weights(
        self, instance_ids: Any, scheme: str = "linear", cutoff: int | None = 5, weight_by: str = "first_epoch"
    ) -> tuple[np.ndarray, np.ndarray]:
        """What stage 2 needs to know of each instance of its corpus.

        Instances that were never learned, or that this table lacks, take no part (the paper drops the former). The
        scheme `uniform` keeps all of them, with weight 0: ERICA's baseline knows no learning order.

        Args:
            instance_ids: M ids.
            scheme, cutoff: see [`order_weights`], which sees every row of the table, so that the weight of an instance
                does not depend on which others are asked for. They do not touch the scores of `weight_by`, except
                that `uniform` is always the baseline.
            weight_by: `first_epoch`, or a name in `scores.SCORES`, whose score is the weight.

        Returns:
            weights (M,) float32 in [0, 1], 0 where not kept; keep (M,) bool, whether the instance takes part.

        Raises:
            FineCLError: if the table knows none of the ids, or a name is unknown.
        """
        row_weights = self._row_weights(scheme, cutoff, weight_by)
        ids = strings(instance_ids)
        if scheme == "uniform":
            return np.zeros(len(ids), np.float32), np.ones(len(ids), bool)
        rows = self.lookup(ids)
        keep = rows >= 0
        if len(ids) and not keep.any():
            raise FineCLError(
                f"the learning order knows none of the {len(ids):,} instances, so it belongs to another corpus: "
                + (f'its first row is "{self.instance_id[0]}"' if len(self) else "it is empty")
                + f', the first instance is "{ids[0]}". Run stage 1 on this corpus, or name the file made from it.'
            )
        keep[keep] = self.first_epoch[rows[keep]] >= 0
        weights = np.zeros(len(ids), np.float32)
        weights[keep] = row_weights[rows[keep]]
        return weights, keep

    def _row_weights(self, scheme: str, cutoff: int | None, weight_by: str) -> np.ndarray:
        check_weight_by(weight_by)
        by_order = order_weights(self.first_epoch, scheme, cutoff)
        if weight_by == "first_epoch" or scheme == "uniform":
            return by_order
        return unit_score(weight_by, self)

    def learned_by_epoch(self) -> np.ndarray:
        """(E + 1,) int: how many rows were first predicted correctly in each epoch, and last, how many never."""
        epochs = max(self.num_epochs, int(self.first_epoch.max(initial=-1)) + 1)
        return np.bincount(np.where(self.first_epoch < 0, epochs, self.first_epoch), minlength=epochs + 1)

    def summary(self) -> str:
        """When how many instances were learned, as a short table for the console."""
        counts = self.learned_by_epoch()
        lines = [f"{len(self):,} instances, {len(counts) - 1} epochs", f"{'epoch':>6}{'learned':>13}{'share':>8}"]
        for epoch, count in zip([*range(len(counts) - 1), "never"], counts, strict=True):
            lines.append(f"{epoch:>6}{count:>13,}{100 * count / max(len(self), 1):>7.1f}%")
        return "\n".join(lines)

    @classmethod
    def read(cls, path: str | os.PathLike) -> LearningOrder:
        """Reads what [`write`] wrote, or the original's `{"uid": epoch}` where the path ends in `.json`."""
        path = Path(path)
        if not path.is_file():
            raise FineCLError(f"{path}: there is no such file; name the learning_order.parquet of a stage 1.")
        try:
            if path.suffix == ".json":
                return cls.from_json_dict(json.loads(path.read_bytes()))
            return cls.from_table(pq.read_table(path, partitioning=None))
        except FineCLError as error:
            raise FineCLError(f"{path}: {error}") from error
        except (pa.ArrowException, OSError, ValueError) as error:
            kind = "JSON" if path.suffix == ".json" else "parquet"
            raise FineCLError(f"{path}: no {kind}, or damaged; copy it again or repeat stage 1 ({error}).") from error

    def write(self, path: str | os.PathLike) -> None:
        """Writes parquet, or the original's JSON where the path ends in `.json`; whole or not at all."""
        path = Path(path)
        with replacing(path) as file:
            if path.suffix == ".json":
                file.write(json.dumps(self.to_json_dict(), ensure_ascii=False).encode())
            else:
                repeated = ["title", "relation"]
                pq.write_table(self.to_table(), file, 1 << 17, compression="zstd", use_dictionary=repeated)

    def to_json_dict(self) -> dict[str, int]:
        """The original's `{"uid": epoch}`. As there, instances that were never learned are left out."""
        learned = self.first_epoch >= 0
        ids = self.instance_id.filter(pa.array(learned)).to_pylist()
        return dict(zip(ids, self.first_epoch[learned].tolist(), strict=True))

    @classmethod
    def from_json_dict(cls, raw: Any) -> LearningOrder:
        """Inverse of [`to_json_dict`], without dynamics. Ids that the object lacks are unknown, not never learned."""
        if not isinstance(raw, dict) or not all(type(epoch) is int for epoch in raw.values()):
            raise FineCLError('expected a JSON object {"instance id": epoch} in which every epoch is an integer.')
        return cls(list(raw), first_epoch=list(raw.values()))

    def to_table(self) -> pa.Table:
        """The parquet file's Arrow table: the dynamics are lists, null where an epoch did not see the instance."""
        rows, epochs = self.correct.shape
        offsets = pa.array(np.arange(rows + 1) * epochs, pa.int32())
        columns = {name: getattr(self, name) for name in _SCHEMA.names}
        for name in ("probability", "margin", "correct"):
            values = pa.array(columns[name].ravel(), mask=~self.observed.ravel())
            columns[name] = pa.ListArray.from_arrays(offsets, values)
        metadata = {b"finecl_hf.version": str(_VERSION), b"finecl_hf.epochs": str(epochs)}
        return pa.table(columns, _SCHEMA.with_metadata(metadata))

    @classmethod
    def from_table(cls, table: pa.Table) -> LearningOrder:
        """Inverse of [`to_table`]."""
        if missing := [name for name in _SCHEMA.names if name not in table.column_names]:
            raise FineCLError(f"the column {missing[0]} is missing, so this is no learning order; repeat stage 1.")
        if int((table.schema.metadata or {}).get(b"finecl_hf.version", _VERSION)) > _VERSION:
            raise FineCLError("a later version of finecl_hf wrote this file; upgrade finecl_hf.")
        columns = {field.name: read_column(table, field) for field in _SCHEMA}
        for name in ("margin", "correct", "probability"):  # the last one says what was observed
            columns[name], columns["observed"] = matrix(columns[name], name)
        sound = _sound(columns["probability"], columns["margin"])
        if not sound[columns["observed"]].all():
            rows = (~sound & columns["observed"]).any(axis=1).sum()
            raise FineCLError(
                f"{rows:,} instances have a probability outside [0, 1] or a margin that is no number; repeat stage 1."
            )
        return cls(**columns)

    @classmethod
    def merge(cls, tables: Iterable[LearningOrder], on_conflict: str = "raise") -> LearningOrder:
        """One table of the rows of several, such as the shards of a corpus that were denoised one by one.

        Epochs that a shard lacks count as not observed.

        Args:
            tables: at least one.
            on_conflict: an id in two tables is an error under `raise`; `min` keeps the row that was learned first.
        """
        tables = list(tables)
        if not tables or on_conflict not in ("raise", "min"):
            raise FineCLError('merging needs at least one learning order, and on_conflict "raise" or "min".')
        epochs = max(table.num_epochs for table in tables)
        columns = {name: concatenate([getattr(table, name) for table in tables], epochs) for name in _COLUMNS}
        if on_conflict == "min":
            rows = _earliest_of_each(columns["instance_id"], columns["first_epoch"])
            columns = {name: take(column, rows) for name, column in columns.items()}
        return cls(**columns)


_DYNAMICS = {"probability": np.float16, "margin": np.float16, "correct": np.bool_, "observed": np.bool_}
_COLUMNS = tuple(column.name for column in fields(LearningOrder))
_SCHEMA = pa.schema(
    {
        "instance_id": pa.large_string(),
        "title": pa.large_string(),
        "head": pa.int32(),
        "tail": pa.int32(),
        "relation": pa.large_string(),
        "first_epoch": pa.int32(),
        "probability": pa.list_(pa.float16()),
        "margin": pa.list_(pa.float16()),
        "correct": pa.list_(pa.bool_()),
    }
)


def _sound(probability: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """Whether dynamics can be: bool, of the shape of both."""
    return (probability >= 0) & (probability <= 1) & ~np.isnan(margin)


def _earliest_of_each(instance_ids: pa.Array, first_epoch: np.ndarray) -> np.ndarray:
    """Rows to keep, ascending: for each id the one learned first, and of equals the first."""
    ids = instance_ids.dictionary_encode().indices.to_numpy()
    order = np.lexsort((first_epoch.astype(np.uint32), ids))  # as unsigned, -1 (never) comes last
    return np.sort(order[np.unique(ids[order], return_index=True)[1]])
