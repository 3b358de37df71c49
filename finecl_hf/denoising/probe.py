"""The self-test of stage 1: labels that are surely wrong stand among the others while it trains, to see afterwards
whether the scores find them.

Where a document has unlabelled pairs, a relation that it states of one pair is also given to another pair of the same
types: what a knowledge base does to names that merely occur together. Nothing is lost by that. A sentence has one
pair, so there a label is replaced by another relation of the corpus, drawn as often as that occurs. What is planted
depends on the seed and the document alone: neither the order of the files nor the number of processes matters.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset, concatenate_datasets

from finecl_hf.data.arrow import arrow_column
from finecl_hf.data.corpus import in_key_order, keys_of, relation_counts, row_of
from finecl_hf.data.documents import Document, Fact
from finecl_hf.data.held_out import HeldOutPairs
from finecl_hf.hashing import mix, uniform
from finecl_hf.learning_order.self_test import self_test
from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.learning_order.verdicts import Verdicts


logger = logging.getLogger(__name__)

FEWEST = 20  # wrong labels that tell something
MOST = 2000  # more would hardly say more, and a sentence that has one loses its own label
CHOICE, PLACE = 31, 32  # keep these draws apart from each other, and from others made of the same keys


@dataclass
class Probe:
    """A corpus with labels that are surely wrong.

    Attributes:
        corpus: in the order of its keys.
        planted: (K,) int64 keys of the wrong labels, see [`Document.fact_key`].
        replaced: the corpus's own labels in whose place some of them stand, as a learning order without epochs.
    """

    corpus: Dataset
    planted: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    replaced: LearningOrder = field(default_factory=lambda: LearningOrder.for_documents([]))

    def judged_by(self, order: LearningOrder, score: str) -> LearningOrder:
        """The learning order of the corpus as it was before, with the self-test's outcome for a score.

        Labels that gave way to a wrong one become rows that no epoch has observed.

        Args:
            order: of the corpus with the wrong labels.
        """
        if not len(self.planted):
            return order
        planted = np.isin(order.key, self.planted)
        outcome = self_test(order, planted, score, replaced=len(self.replaced))
        if (judged := outcome.planted if outcome else 0) < FEWEST:
            logger.warning(
                "Self-test: of %s labels that were wrong on purpose, only %s were judged, too few to tell anything. "
                "Train a whole epoch, raise --max_seq_length, or raise --probe_share.",
                f"{len(self.planted):,}", f"{judged:,}",
            )  # fmt: skip
            outcome = None
        whole = order.select(~planted)
        whole = LearningOrder.merge([whole, self.replaced]) if len(self.replaced) else whole
        return replace(whole, self_test=outcome)


def plant(
    corpus: Dataset, share: float, seed: int, verdicts: Verdicts | None = None, held_out: HeldOutPairs | None = None
) -> Probe:
    """Puts wrong labels into a corpus on disk: about a share of its labels, but no more than tell something.

    Pairs of which people have judged a label stay as they are, and held-out ones, which might get the very label that
    a test asks for. Nothing is planted where fewer than [`FEWEST`] labels would be, as
    in small corpora, and among sentences of a single relation.
    """
    counts = relation_counts(corpus)
    document, number = _drawn(corpus, min(share, MOST / max(counts.total(), 1)), seed)
    if len(document) < FEWEST:
        return Probe(corpus)
    touched, first = np.unique(document, return_index=True)
    planted: list[int] = []
    replaced, rows = [], []
    for row, chosen in zip(corpus.select(touched), np.split(number, first[1:]), strict=True):
        before = Document.from_json(row["document"])
        closed = set() if verdicts is None else set(verdicts.pairs_of(before.title))
        facts = [before.relations[place] for place in chosen]
        facts = [fact for fact in facts if (fact.head, fact.tail) not in closed]
        closed.update(held_out.pairs_of(before) if held_out is not None else ())
        wrong, lost = _beside(before, facts, seed, closed), []
        if before.is_sentence:
            wrong = _in_place(before, facts[:1], counts, seed)
            lost = facts[: len(wrong)]
        after = replace(before, relations=[fact for fact in before.relations if fact not in lost] + wrong)
        planted += map(after.fact_key, wrong)
        replaced.append(replace(before, relations=lost))
        rows.append(row_of(after, row["source"], row["index"]))
    if len(planted) < FEWEST:
        return Probe(corpus)
    others = corpus.select(np.setdiff1d(np.arange(len(corpus)), touched))
    parts = [part for part in (others, Dataset.from_list(rows, features=corpus.features)) if len(part)]
    whole = in_key_order(concatenate_datasets(parts))
    return Probe(whole, np.array(planted, np.int64), LearningOrder.for_documents(replaced))


def _drawn(corpus: Dataset, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A share of the facts: (N,) document and (N,) number in it, by document."""
    facts = np.concatenate([[0], *map(np.asarray, pc.list_value_length(arrow_column(corpus, "head")).chunks)])
    first = np.cumsum(facts)[:-1]
    document = np.repeat(np.arange(len(corpus)), facts[1:])
    number = np.arange(len(document)) - first[document]
    drawn = uniform(CHOICE, seed, keys_of(corpus)[document], number) < share
    return document[drawn], number[drawn]


def _beside(document: Document, facts: Iterable[Fact], seed: int, closed: Container[tuple[int, int]]) -> list[Fact]:
    """For each fact, the same relation of an unlabelled pair of the same types, where there is one.

    Pairs that hold a label the other way round are left alone: many relations hold both ways. So are closed ones.
    """
    taken = {pair for fact in document.relations for pair in ((fact.head, fact.tail), (fact.tail, fact.head))}
    types = [mentions[0].type for mentions in document.entities]
    free: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for head, tail in document.judged_pairs:
        if (head, tail) not in taken and (head, tail) not in closed:
            free.setdefault((types[head], types[tail]), []).append((head, tail))
    planted = []
    for fact in facts:
        if pairs := free.get((types[fact.head], types[fact.tail])):
            place = mix(PLACE, seed, document.key, *np.array(pairs).T).argmin()
            planted.append(Fact(*pairs.pop(int(place)), fact.relation))
    return planted


def _in_place(document: Document, facts: Iterable[Fact], counts: Counter[str], seed: int) -> list[Fact]:
    """For each fact, another relation of the corpus, drawn as often as it occurs; none where there is no other."""
    planted = []
    for fact in facts:
        others = sorted(counts.keys() - {other.relation for other in document.relations})
        if others:
            cumulated = np.cumsum([counts[relation] for relation in others])
            draw = uniform(PLACE, seed, document.key) * cumulated[-1]
            chosen = others[int(np.searchsorted(cumulated, draw, side="right"))]
            planted.append(Fact(fact.head, fact.tail, chosen))
    return planted
