"""How plausible a silver label is before the text is read: by its entities' types and by how far apart they stand.

A knowledge base labels every pair of names that it knows, wherever they occur. Many wrong labels show without reading:
the mentions are of other types than the relation joins, or they stand farther apart than its pairs do. Counting shows
both, against the pairs that have no label (NA), and needs no gold label:

    log n(r, c) / n(NA, c)  -  PRIOR * log n(r) / n(NA)  +  mean over k of  log P_k(d | r) / P_k(d | NA, c)

for a label of relation r, whose pair has the types c and the distance d. The first two terms ask how often the types
hold the relation; as in logit adjustment (Menon et al., ICLR 2021), frequent relations lose part of their head start.
The last one compares distances in sentences and in words (k). In n(r, c) and P_k(d | r) a label does not count itself.
Where every judged pair is labelled there is nothing to compare with, and all labels are alike. Shapes: N labels, M
mentions, E entities, P pairs.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from finecl_hf.data.distances import NUM_DISTANCES, distance_bucket


PRIOR = 0.5  # how much of a relation's log frequency is taken off
SENTENCES = 5  # distances of 0 to 3 sentences, and farther
WORDS = NUM_DISTANCES  # signed, logarithmic distances in words, see `distances.distance_bucket`
TYPES_WEIGHT = 20.0  # observations that the overall frequency is worth beside those of a pair of types
DISTANCE_WEIGHT = 100.0  # the same for the distances of all labels beside those of one relation
NA_WEIGHT = 20.0  # and for the distances of all NA pairs beside those of one pair of types


class PlausibilityCounts:
    """What has to be counted in a corpus; grows with its labels and types, not with its pairs.

    A kind is an ordered pair of entity types. A distance is a number of `SENTENCES + WORDS` columns, one hot in each.
    """

    def __init__(self):
        self._kinds: dict[tuple[str, str], int] = {}
        self._relations: dict[str, int] = {}
        self._na = np.zeros((0, SENTENCES + WORDS), np.int64)  # (kinds, distances) of NA pairs, with room for more
        # Labels alike in relation, kind and both distances are one case: some thousands, however many labels there are
        self._cases: dict[tuple[int, int, int, int], int] = {}
        self._labels = array("i")  # case of each label

    def add(self, row: Mapping[str, Any]) -> None:
        """Counts one document's labels and NA pairs, given by its columns (see `data.corpus.fact_columns`)."""
        size = max(len(row["entity_type"]), 1)
        sentences, words = entity_distances(row)
        kind = self.kinds_of(row["entity_type"])
        if row["pairs"] is None:
            judged = np.argwhere(~np.eye(len(row["entity_type"]), dtype=bool))
        else:
            judged = np.array(row["pairs"], dtype=np.int64).reshape(-1, 2)
        head, tail = (np.array(row[name], dtype=np.int64) for name in ("head", "tail"))
        na = judged[~np.isin(judged @ [size, 1], head * size + tail)]
        for distance, first in ((sentences, 0), (words, SENTENCES)):
            np.add.at(self._na, (kind[na[:, 0], na[:, 1]], first + distance[na[:, 0], na[:, 1]]), 1)
        relation = [self._relations.setdefault(name, len(self._relations)) for name in row["relations"]]
        at = kind[head, tail].tolist(), sentences[head, tail].tolist(), words[head, tail].tolist()
        self._labels.extend(self._case(case) for case in zip(relation, *at, strict=True))

    def _case(self, case: tuple[int, int, int, int]) -> int:
        return self._cases.setdefault(case, len(self._cases))

    def to_columns(self) -> dict[str, Any]:
        """What was counted, as columns; [`add_columns`] takes them up again."""
        return {
            "kind_head": [head for head, _ in self._kinds],
            "kind_tail": [tail for _, tail in self._kinds],
            "relation_name": list(self._relations),
            "na": self._na[: len(self._kinds)].ravel(),
            "case": np.array(list(self._cases), np.int32).ravel(),
            "label": np.array(self._labels, np.int32),
        }

    def add_columns(self, columns: Mapping[str, Any]) -> None:
        """Counts what others counted, as if their documents came next: lists or arrays of [`to_columns`]."""
        heads, tails, names = (_strings(columns[name]) for name in ("kind_head", "kind_tail", "relation_name"))
        kind = np.array([self._kind(pair) for pair in zip(heads, tails, strict=True)], np.int64)
        relation = np.array([self._relations.setdefault(name, len(self._relations)) for name in names], np.int64)
        self._na[kind] += np.asarray(columns["na"], np.int64).reshape(-1, SENTENCES + WORDS)
        relation_of, kind_of, sentence, word = np.asarray(columns["case"], np.int64).reshape(-1, 4).T
        cases = zip(*(part.tolist() for part in (relation[relation_of], kind[kind_of], sentence, word)), strict=True)
        number = np.array([self._case(case) for case in cases], np.intc)
        self._labels.frombytes(number[np.asarray(columns["label"])].tobytes())

    def _kind(self, pair: tuple[str, str]) -> int:
        """The number of an ordered pair of entity types."""
        number = self._kinds.setdefault(pair, len(self._kinds))
        if number >= len(self._na):
            self._na = np.pad(self._na, ((0, max(len(self._na), 16)), (0, 0)))
        return number

    def kinds_of(self, types: Sequence[str]) -> np.ndarray:
        """(E, E) kind of each pair of entities of these types."""
        names, index = np.unique(types, return_inverse=True)
        grid = [[self._kind((str(head), str(tail))) for tail in names] for head in names]
        return np.array(grid, dtype=np.int64).reshape(len(names), len(names))[index[:, None], index]

    def pair_odds(self, relations: Sequence[str]) -> PairOdds:
        """What says how plausible R relations are for a pair that has no label: the formula without its prior.

        Which facts are missing is asked of all relations at once, so frequent ones keep their head start.

        Args:
            relations: (R,) names, those of all labels among them; one that no label has is never plausible (-inf).
        """
        kinds = max(len(self._kinds), 1)
        na = np.zeros((kinds, SENTENCES + WORDS))
        na[: len(self._kinds)] = self._na[: len(self._kinds)]
        number = {name: place for place, name in enumerate(relations)}
        column = np.array([number.get(name, -1) for name in self._relations], np.int64)
        cases = np.array(list(self._cases), np.int64).reshape(-1, 4)
        count = np.bincount(np.array(self._labels, np.int64), minlength=len(cases))
        known = column[cases[:, 0]] >= 0 if len(cases) else np.zeros(0, bool)
        relation, kind, sentence, word = column[cases[known, 0]], *cases[known, 1:].T
        labels = [np.zeros((len(relations), size)) for size in (kinds, SENTENCES, WORDS)]
        for table, place in zip(labels, (kind, sentence, word), strict=True):
            np.add.at(table, (relation, place), count[known])
        return PairOdds.of(*labels, na)

    def log_odds(self) -> np.ndarray:
        """Log-odds of each label so far, up to a constant: the module's formula, smoothed.

        Returns:
            (N,) float64 in the order of the documents and their `relations`, higher for a more plausible label; 0
            throughout where no judged pair is without a label.
        """
        na_kinds = self._na[:, :SENTENCES].sum(axis=1)  # NA pairs of each kind
        if not na_kinds.sum() or not self._labels:
            return np.zeros(len(self._labels))
        relation, kind, sentence, word = np.array(list(self._cases), np.int64).T
        case = np.array(self._labels, np.intc)
        count = np.bincount(case)
        share = _total(relation, count) / na_kinds.sum()
        together = _total(relation * len(self._kinds) + kind, count)  # labels of this relation and kind
        types = np.log(together - 1 + TYPES_WEIGHT * share) - np.log(na_kinds[kind] + TYPES_WEIGHT)
        by_sentence = self._distance_odds(relation, kind, sentence, count, slice(0, SENTENCES))
        by_word = self._distance_odds(relation, kind, word, count, slice(SENTENCES, None))
        return (types - PRIOR * np.log(share) + (by_sentence + by_word) / 2)[case]

    def _distance_odds(
        self, relation: np.ndarray, kind: np.ndarray, distance: np.ndarray, count: np.ndarray, part: slice
    ) -> np.ndarray:
        """(C,) log P(d | r) / P(d | NA, c) of C cases, each of which so many labels are."""
        na = _na_distances(self._na[:, part])
        same = _total(relation * na.shape[1] + distance, count)  # labels of this relation at this distance
        usual = _total(distance, count) / count.sum()
        own = (same - 1 + DISTANCE_WEIGHT * usual) / (_total(relation, count) - 1 + DISTANCE_WEIGHT)
        return np.log(own) - np.log(na[kind, distance])


@dataclass(frozen=True)
class PairOdds:
    """How plausible R relations are for pairs of C kinds at D distances (`SENTENCES` and then `WORDS` of them).

    Attributes:
        types: (C, R) log n(r, c) / n(NA, c), smoothed.
        labels: (D, R) log P(d | r); na: (C, D) log P(d | NA, c).
    """

    types: np.ndarray
    labels: np.ndarray
    na: np.ndarray

    @classmethod
    def of(cls, kinds: np.ndarray, sentences: np.ndarray, words: np.ndarray, na: np.ndarray) -> PairOdds:
        """Of counts.

        Args:
            kinds, sentences, words: (R, C), (R, SENTENCES) and (R, WORDS) labels.
            na: (C, SENTENCES + WORDS) pairs without a label.
        """
        parts = [na[:, :SENTENCES], na[:, SENTENCES:]]
        na_kinds, per_relation = parts[0].sum(axis=1), kinds.sum(axis=1)  # (C,), (R,)
        share = per_relation / max(na_kinds.sum(), 1)
        with np.errstate(divide="ignore"):  # relations without a label
            types = np.log(kinds + TYPES_WEIGHT * share[:, None]) - np.log(na_kinds + TYPES_WEIGHT)
            labels = [np.log(_label_distances(counts)) for counts in (sentences, words)]
        distances = [np.log(_na_distances(part)) for part in parts]
        return cls(types.T, np.concatenate(labels, axis=1).T, np.concatenate(distances, axis=1))

    def __call__(self, kind: np.ndarray, sentence: np.ndarray, word: np.ndarray) -> np.ndarray:
        """(P, R) log-odds of each relation for P pairs.

        Args:
            kind, sentence, word: (P,) see [`PlausibilityCounts.kinds_of`] and [`entity_distances`].
        """
        odds = self.types[kind]
        for column in (sentence, SENTENCES + word):
            odds = odds + (self.labels[column] - self.na[kind, column][:, None]) / 2
        return odds


def _na_distances(na: np.ndarray) -> np.ndarray:
    """(C, D) counts of NA pairs -> (C, D) P(d | NA, c), smoothed by the distances of all NA pairs."""
    na = na.astype(float)
    overall = (na.sum(axis=0) + 1) / (na.sum() + na.shape[1])
    return (na + NA_WEIGHT * overall) / (na.sum(axis=1, keepdims=True) + NA_WEIGHT)


def _label_distances(labels: np.ndarray) -> np.ndarray:
    """(R, D) counts of labels -> (R, D) P(d | r), smoothed by the distances of all labels."""
    usual = (labels.sum(axis=0) + 1) / (labels.sum() + labels.shape[1])
    return (labels + DISTANCE_WEIGHT * usual) / (labels.sum(axis=1, keepdims=True) + DISTANCE_WEIGHT)


def entity_distances(row: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Distance from each entity of a document to each other one, between their closest mentions.

    Returns:
        (E, E) int in 0 to `SENTENCES` - 1, how many sentences apart; (E, E) int, bucket of the distance in words from
        the head's mention to the tail's, see [`~finecl_hf.data.distances.distance_bucket`].
    """
    entity, sentence, position = (
        np.array(row[name], dtype=np.int64) for name in ("mention_entity", "mention_sentence", "mention_position")
    )
    first = np.flatnonzero(np.r_[True, entity[1:] != entity[:-1]]) if len(entity) else np.zeros(0, np.int64)
    apart = _closest(np.abs(sentence[:, None] - sentence), first)
    steps = position - position[:, None]  # from the row's mention to the column's
    # The signed distance whose size is smallest: sizes doubled, so that the sign fits into the last bit
    words = _closest(2 * np.abs(steps) + (steps < 0), first)
    return np.minimum(apart, SENTENCES - 1), distance_bucket(np.where(words % 2, -(words // 2), words // 2))


def _closest(values: np.ndarray, first: np.ndarray) -> np.ndarray:
    """(M, M) between mentions, which lie entity by entity -> (E, E) smallest between entities."""
    if not len(first):
        return np.zeros((0, 0), np.int64)
    return np.minimum.reduceat(np.minimum.reduceat(values, first, axis=0), first, axis=1)


def _strings(values: Any) -> list[str]:
    return values.to_pylist() if isinstance(values, pa.Array) else list(values)


def _total(group: np.ndarray, count: np.ndarray) -> np.ndarray:
    """(C,) groups and counts -> (C,) sum of the counts of each one's group."""
    _, index = np.unique(group, return_inverse=True)
    return np.bincount(index, weights=count)[index]
