"""What the labels themselves say of a pair that has none: facts stated elsewhere that make a missing one likely.

Three signs, each a log-ratio of how often it is seen on labels of a relation and on pairs without a label (NA):

- the reverse pair: which relations are labelled from tail to head, or that none is (inverse and symmetric relations);
- the tail: how many other heads of the document have the relation to it (the country of all the places in a text);
- the names: how many other documents label the relation between entities of the same names.

All are counted in the silver labels, and no gold is needed. A label is no sign of itself. Shapes: E entities, P pairs,
N labels of a document, R relations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from finecl_hf.data.documents import Document
from finecl_hf.hashing import mix, text_key


MOST = 3  # so many other labels and more are alike
OTHERS_WEIGHT = 50.0  # labels that the mean of all relations is worth beside those of one
REVERSE_WEIGHT = 20.0  # labels that the mean of all relations is worth, for the reverse pair
RARE = 0.1  # is added to each count, so that what was never seen is not impossible


@dataclass(frozen=True)
class Labels:
    """What is read of a document.

    Attributes:
        pairs: (P, 2) judged pairs; head, tail, relation: (N,) labels, by number.
        name: (E,) key of each entity's longest name.
    """

    pairs: np.ndarray
    head: np.ndarray
    tail: np.ndarray
    relation: np.ndarray
    name: np.ndarray

    @property
    def size(self) -> int:
        return len(self.name)

    def is_labelled(self, pairs: np.ndarray) -> np.ndarray:
        """(P,) bool of pairs (P, 2)."""
        return np.isin(pairs @ [self.size, 1], self.head * self.size + self.tail)

    def names_of(self, pairs: np.ndarray) -> np.ndarray:
        """(P,) int64, equal where both names of pairs (P, 2) are."""
        return mix(self.name[pairs[:, 0]], self.name[pairs[:, 1]]).view(np.int64)


class SupportCounts:
    """Counts the signs; grows with the labels of a corpus, not with its pairs.

    Every document is seen twice: [`see_names`] all of them first, then [`add`] all of them.

    Args:
        relations: (R,) names; labels of others are passed over.
    """

    def __init__(self, relations: Sequence[str]):
        self._relation = {name: number for number, name in enumerate(relations)}
        self._triples: list[np.ndarray] = []  # (n, 2) names and relation of a document's labels, each once
        size = len(self._relation)
        self._reverse = np.zeros((size + 1, size + 1))  # label (last: NA) and that of the reverse pair (last: none)
        self._tail = np.zeros((2, size, MOST + 1))  # of labels, of NA pairs
        self._names = np.zeros((2, size, MOST + 1))
        self._known = KnownNames(np.zeros((0, 2), np.int64))

    def read(self, document: Document) -> Labels:
        """What is counted of a document, or looked up for it."""
        kept = [fact for fact in document.relations if fact.relation in self._relation]
        columns = np.array([(fact.head, fact.tail, self._relation[fact.relation]) for fact in kept], np.int64)
        names = [text_key(document.longest_name(entity).lower()) for entity in range(len(document.entities))]
        pairs = np.array(document.judged_pairs, np.int64).reshape(-1, 2)
        return Labels(pairs, *columns.reshape(-1, 3).T, np.array(names, np.int64))

    def see_names(self, document: Document) -> None:
        labels = self.read(document)
        names = labels.names_of(np.stack([labels.head, labels.tail], axis=1))
        self._triples.append(np.unique(np.stack([names, labels.relation], axis=1), axis=0))

    def add(self, document: Document) -> None:
        if self._triples:
            self._known = KnownNames(np.concatenate(self._triples))
            self._triples.clear()
        labels = self.read(document)
        na = labels.pairs[~labels.is_labelled(labels.pairs)]
        own = np.stack([labels.head, labels.tail], axis=1)
        self._add_reverse(labels, na, own)
        self._add_tails(labels, na)
        self._add_names(labels, na, own)

    def _add_reverse(self, labels: Labels, na: np.ndarray, own: np.ndarray) -> None:
        pair, relation, share = reverse_labels(labels, own)
        np.add.at(self._reverse, (labels.relation[pair], relation), share)
        np.add.at(self._reverse, (labels.relation, -1), 1.0 - np.bincount(pair, share, len(own)))
        pair, relation, share = reverse_labels(labels, na)
        np.add.at(self._reverse, (-1, relation), share)
        self._reverse[-1, -1] += len(na) - share.sum()

    def _add_tails(self, labels: Labels, na: np.ndarray) -> None:
        counts = tail_labels(labels, len(self._relation))
        others = counts[labels.tail, labels.relation] - 1
        np.add.at(self._tail[0], (labels.relation, np.minimum(others, MOST)), 1)
        pairs = np.bincount(na[:, 1], minlength=labels.size)  # NA pairs of each tail
        every = np.arange(len(self._relation))
        np.add.at(self._tail[1], (every, np.minimum(counts, MOST)), pairs[:, None])

    def _add_names(self, labels: Labels, na: np.ndarray, own: np.ndarray) -> None:
        for place, pairs in enumerate((own, na)):
            pair, relation, documents = self._known.of(labels.names_of(pairs))
            if place == 0:  # this document is one of them
                same = labels.relation[pair] == relation
                seen, documents = relation[same], documents[same] - 1
                total = np.bincount(labels.relation, minlength=len(self._relation))
            else:
                seen, total = relation, np.full(len(self._relation), len(na))
            np.add.at(self._names[place], (seen, np.minimum(documents, MOST)), 1)
            self._names[place, :, 0] += total - np.bincount(seen, minlength=len(total))

    def odds(self) -> SupportOdds:
        """What the counts so far say."""
        reverse, na = self._reverse[:-1], self._reverse[-1]
        tail, names = (_log_ratio(labels, others, OTHERS_WEIGHT) for labels, others in (self._tail, self._names))
        return SupportOdds(_log_ratio(reverse, na, REVERSE_WEIGHT), tail, names, self._known)


@dataclass(frozen=True)
class SupportOdds:
    """How much the labels speak for each relation of a pair.

    Attributes:
        reverse: (R, R + 1) log-ratios by the label of the reverse pair, last: none.
        tail: (R, MOST + 1) by the other labels that the tail has.
        names: (R, MOST + 1) by the other documents that label the names so.
        known: the names of all labels.
    """

    reverse: np.ndarray
    tail: np.ndarray
    names: np.ndarray
    known: KnownNames

    def __call__(self, labels: Labels, pairs: np.ndarray) -> np.ndarray:
        """(P, R) log-odds for pairs (P, 2) of a document that have no label."""
        size = len(self.reverse)
        odds = np.tile(self.reverse[:, size], (len(pairs), 1))
        pair, relation, share = reverse_labels(labels, pairs)
        np.add.at(odds, pair, share[:, None] * (self.reverse[:, relation] - self.reverse[:, [size]]).T)
        of_tail = self.tail[np.arange(size), np.minimum(tail_labels(labels, size), MOST)]  # (E, R)
        odds += of_tail[pairs[:, 1]] + self.names[:, 0]
        pair, relation, documents = self.known.of(labels.names_of(pairs))
        odds[pair, relation] += self.names[relation, np.minimum(documents, MOST)] - self.names[relation, 0]
        return odds


class KnownNames:
    """Which relations are labelled between two names, and in how many documents.

    Args:
        triples: (n, 2) int64 key of two names, and relation; as often as there are documents that label them so.
    """

    def __init__(self, triples: np.ndarray):
        found, self._documents = np.unique(triples, axis=0, return_counts=True)
        self._names, self._relation = found.T

    def of(self, names: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The labels of P pairs of names: number of the pair, relation, and number of documents, (n,) each."""
        pair, row = _matches(names, self._names)
        return pair, self._relation[row], self._documents[row]


def reverse_labels(labels: Labels, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The labels of the reverse of each of P pairs: number of the pair, relation, and 1 / their number, (n,) each."""
    code = labels.head * labels.size + labels.tail
    order = np.argsort(code, kind="stable")
    pair, row = _matches(pairs @ [1, labels.size], code[order])
    share = 1.0 / np.bincount(pair, minlength=len(pairs))[pair]
    return pair, labels.relation[order[row]], share


def _matches(wanted: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each of P keys stands among ascending ones: number of the key and place, (n,) each."""
    first, end = (np.searchsorted(known, wanted, side) for side in ("left", "right"))
    count = end - first
    step = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return np.repeat(np.arange(len(wanted)), count), np.repeat(first, count) + step


def tail_labels(labels: Labels, relations: int) -> np.ndarray:
    """(E, R) how many labels of each relation have each entity as their tail."""
    counts = np.zeros((labels.size, relations), np.int64)
    np.add.at(counts, (labels.tail, labels.relation), 1)
    return counts


def support_counts(read: Callable[[], Iterable[Document]], relations: Sequence[str]) -> SupportCounts:
    """The counts of a corpus.

    Args:
        read: gives its documents, each time from the first.
        relations: (R,) names.
    """
    counts = SupportCounts(relations)
    for document in read():
        counts.see_names(document)
    for document in read():
        counts.add(document)
    return counts


def _log_ratio(labels: np.ndarray, na: np.ndarray, weight: float) -> np.ndarray:
    """(R, B) log P(b | r) / P(b | NA) of a sign with B values.

    Args:
        labels: (R, B) counts, drawn towards the mean of all relations, which counts as so many labels (`weight`).
        na: (R, B) or (B,) counts.
    """
    share = labels + weight * _shares(labels.sum(axis=0))
    return np.log(share / share.sum(axis=1, keepdims=True)) - np.log(_shares(na))


def _shares(counts: np.ndarray) -> np.ndarray:
    """(..., B) counts as shares, none of them 0."""
    return (counts + RARE) / (counts + RARE).sum(axis=-1, keepdims=True)
