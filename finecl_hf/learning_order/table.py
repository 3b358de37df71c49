"""The learning order: a row for each silver label, what every epoch saw of it, and how it fits a corpus."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from finecl_hf.data.documents import Document
from finecl_hf.data.notes import counted
from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.columns import first_epochs, strings, take, text_keys
from finecl_hf.learning_order.facts import chunks_of, order_columns
from finecl_hf.learning_order.files import (
    MAX_EPOCHS,
    from_arrow,
    from_json_dict,
    read_columns,
    to_arrow,
    to_json_dict,
    write_columns,
)
from finecl_hf.learning_order.merging import merge_columns
from finecl_hf.learning_order.self_test import SelfTest
from finecl_hf.learning_order.trust import RECOMMENDED, check_weight_by, choose_labels, unit_trust
from finecl_hf.learning_order.verdicts import checked_verdicts, verdict_counts
from finecl_hf.learning_order.weights import FactWeights, epochs_of, find, order_weights


@dataclass(eq=False)
class LearningOrder:
    """One row a fact, stored as columns: 8 bytes a fact and epoch, beside ids and titles.

    Attributes:
        instance_id: (N,) Arrow strings, see [`Document.instance_id`]; empty where they were left in the file, see
            [`read`].
        title, relation: (N,) Arrow strings, empty where unknown (a table that was read from JSON).
        head, tail: (N,) int32 entity numbers, -1 where unknown.
        probability: (N, E) float16, of the label.
        margin: (N, E) float16, of the label's logit over the best other one.
        loss: (N, E) float16, -log(probability), which tells small probabilities apart that float16 cannot.
        correct: (N, E) bool.
        observed: (N, E) bool. Where it is False, the four arrays above mean nothing.
        plausibility: (N,) float32, see [`~finecl_hf.learning_order.plausibility.PlausibilityCounts`]; 0 where unknown.
        first_epoch: (N,) int32, the first epoch with a correct prediction, -1 for never. Derived from `correct` in
            rows that were observed in any epoch, and carried as given in the others.
        key: (N,) int64, unique, see [`Document.fact_key`]; made from the ids where it is not given.
        verdict: (N,) int8, what people say of the label: 1 right, -1 wrong, 0 nothing. Files have the column only
            where somebody has judged a label.
        self_test: whether stage 1 found labels that were wrong on purpose; None where there were none.
    """

    instance_id: pa.Array
    title: pa.Array = None
    head: np.ndarray = None
    tail: np.ndarray = None
    relation: pa.Array = None
    probability: np.ndarray = None
    margin: np.ndarray = None
    loss: np.ndarray = None
    correct: np.ndarray = None
    observed: np.ndarray = None
    plausibility: np.ndarray = None
    first_epoch: np.ndarray = None
    key: np.ndarray = None
    verdict: np.ndarray = None
    self_test: SelfTest | None = None

    def __post_init__(self):
        if self.instance_id is not None:
            self.instance_id = strings(self.instance_id)
        self.key = text_keys(self.instance_id) if self.key is None else np.asarray(self.key, np.int64)
        rows = len(self)
        texts = ("instance_id", "title", "relation")
        empty = pa.repeat(pa.scalar("", pa.large_string()), rows if None in map(self.__dict__.get, texts) else 0)
        for name in texts:
            given = getattr(self, name)
            setattr(self, name, empty if given is None else strings(given))
        self._refuse_duplicates()
        if self.loss is None and self.probability is not None:  # a table of the first version
            self.loss = _loss_of(self.probability)
        for name, dtype in {"head": np.int32, "tail": np.int32, **_DYNAMICS}.items():
            missing = np.zeros((rows, 0), dtype) if name in _DYNAMICS else np.full(rows, -1, dtype)
            setattr(self, name, np.asarray(missing if getattr(self, name) is None else getattr(self, name), dtype))
        self.plausibility = np.asarray(np.zeros(rows) if self.plausibility is None else self.plausibility, np.float32)
        self.verdict = checked_verdicts(np.zeros(rows, np.int8) if self.verdict is None else self.verdict)
        first_epoch = np.full(rows, -1) if self.first_epoch is None else self.first_epoch
        self.first_epoch = epochs_of(first_epoch).astype(np.int32)
        if self.first_epoch.max(initial=-1) >= MAX_EPOCHS:
            last = self.first_epoch.max()
            raise FineCLError(f"a fact was learned in epoch {last:,}, which no run has; repeat stage 1.")
        lengths = {name: len(column) for name, column in self._columns().items()}
        shapes = {name: getattr(self, name).shape for name in _DYNAMICS}
        if set(lengths.values()) != {rows} or set(shapes.values()) != {(rows, self.num_epochs)}:
            raise FineCLError(f"columns differ in their rows or epochs: {lengths | shapes}.")
        if unsound := (~_sound(self.probability, self.margin, self.loss) & self.observed).any(axis=1).sum():
            raise FineCLError(
                f"{unsound:,} facts have a probability outside [0, 1], or a margin or loss that is no number; "
                "repeat stage 1."
            )
        self._derive_first_epoch()

    @classmethod
    def for_documents(cls, documents: Iterable[Document]) -> LearningOrder:
        """A table without epochs: one row for each fact, in the order of the documents."""
        return cls.from_chunks(chunks_of(documents))

    @classmethod
    def from_chunks(cls, chunks: Iterable[dict[str, Any]]) -> LearningOrder:
        """[`for_documents`] of documents that `learning_order.facts` has read before."""
        return cls(**order_columns(chunks))

    def without_epochs(self) -> LearningOrder:
        """The same rows, of which nothing has been seen yet."""
        return replace(self, first_epoch=None, **dict.fromkeys(_DYNAMICS))

    def __len__(self) -> int:
        return len(self.key)

    @property
    def num_epochs(self) -> int:
        return self.correct.shape[1]

    def record_epoch(
        self, probability: Any, margin: Any, correct: Any, observed: Any = None, loss: Any = None
    ) -> None:
        """Appends one epoch.

        Args:
            probability: (N,) float in [0, 1], of the label.
            margin: (N,) float, of the label over the best other one.
            correct: (N,) bool.
            observed: (N,) bool; None for all. The other arguments are ignored where it is False.
            loss: (N,) float from 0; None derives it from the probability.
        """
        observed = np.ones(len(self), bool) if observed is None else np.asarray(observed, bool)
        loss = _loss_of(probability) if loss is None else np.minimum(loss, _FLOAT16_MAX)
        # a margin between logits may exceed float16
        epoch = (probability, np.clip(np.asarray(margin), -_FLOAT16_MAX, _FLOAT16_MAX), loss, correct, observed)
        columns = {}
        for (name, dtype), values in zip(_DYNAMICS.items(), epoch, strict=True):
            if np.shape(values) != (len(self),):
                raise FineCLError(f"an epoch needs {name} of shape ({len(self)},), found {np.shape(values)}.")
            columns[name] = np.where(observed, values, 0).astype(dtype)
        sound = _sound(columns["probability"], columns["margin"], columns["loss"])
        if not sound.all():
            raise FineCLError(
                f"in epoch {self.num_epochs}, {(~sound).sum():,} facts have a probability outside [0, 1], or a "
                "margin or loss that is no number: training has diverged. Lower the learning rate or turn half "
                "precision off."
            )
        for name, values in columns.items():
            setattr(self, name, np.concatenate([getattr(self, name), values[:, None]], axis=1))
        self._derive_first_epoch()

    def _derive_first_epoch(self) -> None:
        if not self.num_epochs:
            return
        self.correct = self.correct & self.observed
        self.first_epoch = first_epochs(self.correct, self.observed, self.first_epoch)

    @property
    def judged(self) -> np.ndarray:
        """(N,) bool: stage 1 had a look at the row. False for what lay past its length; True without dynamics."""
        return self.observed.any(axis=1) | (self.first_epoch >= 0) | (self.num_epochs == 0)

    @property
    def unjudged(self) -> int:
        """How many rows nobody has judged, neither stage 1 nor people."""
        return int((~self.judged & (self.verdict == 0)).sum())

    @property
    def replaced(self) -> int:
        """How many of them gave way to a label that was wrong on purpose, see `denoising.probe`."""
        return min(self.self_test.replaced, self.unjudged) if self.self_test is not None else 0

    def rows_of(self, keys: np.ndarray) -> np.ndarray:
        """Row of each fact by its key, (M,) int64 -> (M,) int64, -1 for a fact that is not here."""
        place = find(self._ordered, keys)
        return np.where(place < 0, -1, self._by_key[place] if len(self) else -1)

    def select(self, rows: np.ndarray) -> LearningOrder:
        """A table of the given rows: (N,) bool, or numbers."""
        rows = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.asarray(rows)
        columns = {name: take(column, rows) for name, column in self._columns().items()}
        return LearningOrder(**columns, self_test=self.self_test)

    def weights(
        self,
        scheme: str = "linear",
        cutoff: int | None = 5,
        weight_by: str = "first_epoch",
        scale: float = 1.0,
        drop_share: float = 0.0,
    ) -> FactWeights:
        """What stage 2 needs to know of the facts.

        Facts that stage 1 never judged take no part, and neither do those that it never learned where weights are made
        of first epochs (the paper drops them). The scheme `uniform` keeps all facts, known or not, with weight 0:
        ERICA's baseline knows no learning order. What people have judged is certain: a right label has the scheme's
        highest weight, a wrong one takes no part under any scheme.

        Args:
            scheme, cutoff: see [`order_weights`]. They do not touch the trust of `weight_by`, except that `uniform` is
                always the baseline.
            weight_by: `first_epoch`, which `scheme` turns into weights, or another name of [`unit_trust`], the weight
                itself.
            scale: factor of all weights.
            drop_share: of the labels that take part; so many that `weight_by` trusts least take none, which is all
                that a score does under the scheme `uniform`. Those that people have judged stay.
        """
        check_weight_by(weight_by)
        weight, takes_part = order_weights(self.first_epoch, scheme, cutoff), self.first_epoch >= 0
        if drop_share or (scheme != "uniform" and weight_by != "first_epoch"):
            trust = unit_trust(weight_by, self)
        if scheme == "uniform":
            takes_part[:] = True
        elif weight_by != "first_epoch":
            weight, takes_part = trust, takes_part | self.observed.any(axis=1)
        weight = np.where(self.verdict > 0, 0.0 if scheme == "uniform" else 1.0, weight)
        takes_part = (takes_part | (self.verdict > 0)) & (self.verdict >= 0)
        if drop_share:
            judged = np.flatnonzero(takes_part & self.judged & (self.verdict == 0))
            takes_part[judged] = choose_labels(trust[judged], self.key[judged], share=1 - drop_share)
        return FactWeights(
            key=self._ordered,
            weight=np.where(takes_part, scale * weight, np.nan).astype(np.float32)[self._by_key],
            judged=(self.judged | (self.verdict != 0))[self._by_key],
            unknown=0.0 if scheme == "uniform" else np.nan,
        )

    def learned_by_epoch(self) -> np.ndarray:
        """(E + 1,) int: how many judged rows were first predicted in each epoch, and last, how many never."""
        epochs = max(self.num_epochs, int(self.first_epoch.max(initial=-1)) + 1)
        first = self.first_epoch[self.judged]
        return np.bincount(np.where(first < 0, epochs, first), minlength=epochs + 1)

    @property
    def learned_rows(self) -> list[tuple[str, int]]:
        """Name of each epoch and how many labels were first predicted in it; last, how many never."""
        counts = self.learned_by_epoch().tolist()
        return list(zip([*map(str, range(len(counts) - 1)), "never"], counts, strict=True))

    def summary(self) -> str:
        """When how many instances were learned, as a short table for the console."""
        rows = self.learned_rows
        total = sum(count for _, count in rows)
        lines = [f"{counted(total, 'fact')}, {counted(len(rows) - 1, 'epoch')}"]
        lines.append(f"{'epoch':>6}{'learned':>13}{'share':>8}")
        lines += [f"{epoch:>6}{count:>13,}{100 * count / max(total, 1):>7.1f}%" for epoch, count in rows]
        if replaced := self.replaced:
            lines.append(f"{replaced:,} more gave way to labels of the self-test, and were not judged")
        if lost := self.unjudged - replaced:
            why = "lie past the length that documents were cut to, or had no turn before the training ended"
            lines.append(f"{lost:,} more {why}, and were not judged")
        if self.verdict.any():
            lines.append(verdict_counts(self.verdict))
        return "\n".join(lines)

    @classmethod
    def read(cls, path: str | os.PathLike, names: bool = True) -> LearningOrder:
        """Reads what [`write`] wrote, or the original's `{"uid": epoch}` where the path ends in `.json`.

        Args:
            path: a file, or a dataset on the Hub that stage 1 has pushed: `user/name`, or `user/name@revision`.
            names: False leaves the ids, titles and entities in a parquet file: most of its memory.

        Raises:
            FineCLError: the file is missing, damaged, or no learning order.
        """
        columns = read_columns(path, names)
        try:
            return cls(**{"instance_id": None, **columns})
        except FineCLError as error:
            raise FineCLError(f"{path}: {error}") from error

    def write(self, path: str | os.PathLike) -> None:
        """Writes parquet, or the original's JSON where the path ends in `.json`; whole or not at all."""
        write_columns(self._columns(), path, self.self_test)

    def to_table(self) -> pa.Table:
        """The parquet file's Arrow table: the dynamics are lists, null where an epoch did not see the instance."""
        return to_arrow(self._columns(), self_test=self.self_test)

    @classmethod
    def from_table(cls, table: pa.Table) -> LearningOrder:
        """Inverse of [`to_table`]."""
        return cls(**from_arrow(table))

    def to_frame(self, score: str | None = None, share: float | None = None) -> pd.DataFrame:
        """The table as a pandas frame, with the columns that cleanlab's Datalab uses; see `frame.order_frame`.

        Args:
            score: a name of [`unit_trust`]; by default the recommended one, or `first_epoch` without dynamics.
            share: how many of the labels are issues; by default as many as the noise estimate calls wrong.
        """
        from finecl_hf.learning_order.frame import order_frame  # which needs the noise estimate, and that this table

        return order_frame(self, score or (RECOMMENDED if self.observed.any() else "first_epoch"), share)

    def to_json_dict(self) -> dict[str, int]:
        """The original's `{"uid": epoch}`. As there, instances that were never learned are left out."""
        return to_json_dict(self._columns())

    @classmethod
    def from_json_dict(cls, raw: Any) -> LearningOrder:
        """Inverse of [`to_json_dict`], without dynamics. Ids that the object lacks are unknown, not never learned."""
        return cls(**from_json_dict(raw))

    @classmethod
    def merge(
        cls, tables: Iterable[LearningOrder], on_conflict: str = "raise", calibrate: bool = False
    ) -> LearningOrder:
        """One table of the rows of several, such as the shards of a corpus that were denoised one by one.

        Args:
            tables: at least one. Epochs that a shard lacks count as not observed.
            on_conflict: an id in two tables is an error under `raise`; `min` keeps the row that was learned first.
            calibrate: put the shards on one scale, since each model learned at its own pace; see
                `order_merging.calibrated`.
        """
        return cls(**merge_columns([table._columns() for table in tables], on_conflict, calibrate))

    @cached_property
    def _by_key(self) -> np.ndarray:
        """(N,) rows in the order of their keys."""
        return np.argsort(self.key, kind="stable")

    @cached_property
    def _ordered(self) -> np.ndarray:
        """(N,) the keys, ascending: made once, since documents are looked up one by one."""
        return self.key[self._by_key]

    def _refuse_duplicates(self) -> None:
        ordered = self._ordered
        if len(twice := np.flatnonzero(ordered[1:] == ordered[:-1])):
            first = self.instance_id[int(self._by_key[twice].min())]
            raise FineCLError(
                f'{len(np.unique(ordered[twice])):,} facts occur more than once, first of them "{first}". Make the '
                'titles of the corpus unique; tables that share facts merge with on_conflict="min" '
                "(--on_conflict min)."
            )

    def _columns(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _COLUMNS}


_DYNAMICS = {"probability": np.float16, "margin": np.float16, "loss": np.float16, "correct": bool, "observed": bool}
_COLUMNS = tuple(column.name for column in fields(LearningOrder) if column.name != "self_test")
_FLOAT16_MAX = float(np.finfo(np.float16).max)


def _sound(probability: np.ndarray, margin: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """Whether dynamics can be: bool, of the shape of all three."""
    return (probability >= 0) & (probability <= 1) & ~np.isnan(margin) & (loss >= 0)


def _loss_of(probability: np.ndarray) -> np.ndarray:
    """-log(probability) in float16."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.minimum(-np.log(np.asarray(probability, np.float32)), _FLOAT16_MAX).astype(np.float16)
