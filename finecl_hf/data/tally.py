"""What one pass over a file of documents counts for [`~finecl_hf.data.health`]: sums, and hashes of what must not
occur twice. Memory grows by a few numbers a fact and a sentence; of the documents only a sample is kept.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
from heapq import heappush, heappushpop
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from finecl_hf.data.documents import Document, Fact
from finecl_hf.data.held_out import entity_keys
from finecl_hf.data.positions import NamePositions, squeeze
from finecl_hf.data.problems import kind_of_problem
from finecl_hf.data.readers import iter_documents
from finecl_hf.errors import DocumentError
from finecl_hf.hashing import text_key


SAMPLE = 1000  # documents that are kept, for what needs an encoder
LONG_SENTENCE = 8  # words; shorter sentences ("He died in 1990 .") occur twice by themselves


class Signature(NamedTuple):
    """A relation with the types of its arguments."""

    relation: str
    head: str
    tail: str


class Tally:
    """Counts over the documents of one file.

    Args:
        role: `train`, `dev` or `test`; name: the file.

    Attributes:
        documents, unlabelled, sentences: valid documents; those without labels, and with exactly one judged pair.
        problems: kinds of invalid documents; first_problem: the first of them.
        positions: whether names stand at their positions; misplaced: some that do not.
        facts: of each relation; reversed: those of them whose reverse is labelled, too.
        loops: facts whose head and tail share a name; head_first: those whose head comes first in the text.
        judged, labelled, multi_label: pairs; those with a relation, and with several.
        without_facts: labelled documents without any fact.
        types: of entities, "" where missing.
        signatures: facts of each [`Signature`], and the title of the first document with one.
        titles: of the documents; content: a hash of each document's words (of a sentence's arguments, too); answer: a
            hash of its facts.
        long_sentences: a hash of each sentence of some length.
        pair_names: a hash of each (head name, tail name) of a fact; triple_names: with the relation; pair_fact: the
            number of the fact that both belong to.
        sample: documents drawn by the hash of their titles, the same in any order of the file.
    """

    def __init__(self, role: str, name: str):
        self.role, self.name = role, name
        self.documents = self.unlabelled = self.sentences = self.without_facts = 0
        self.problems: Counter[str] = Counter()
        self.first_problem: DocumentError | None = None
        self.positions, self.misplaced = NamePositions(), []
        self.facts: Counter[str] = Counter()
        self.reversed: Counter[str] = Counter()
        self.loops = self.head_first = self.judged = self.labelled = self.multi_label = 0
        self.types: Counter[str] = Counter()
        self.signatures: Counter[Signature] = Counter()
        self.example: dict[Signature, str] = {}
        self.titles: list[str] = []
        self.content, self.answer, self.long_sentences = array("q"), array("q"), array("q")
        self.pair_names, self.triple_names, self.pair_fact = array("q"), array("q"), array("q")
        self._sample: list[tuple[int, int, Document]] = []

    @classmethod
    def of_file(cls, role: str, path: str, **reading: Any) -> Tally:
        """Reads a file in any supported format, once; `reading` holds further arguments of [`iter_documents`].

        Raises:
            DocumentError: it cannot be read at all, or holds no valid document.
        """
        tally = cls(role, path)
        tally.see_all(iter_documents(path, **reading))
        if not tally.documents:
            raise tally.first_problem or DocumentError("no document in it is valid.", source=path)
        return tally

    def see_all(self, items: Iterable[Document | DocumentError]) -> None:
        """Counts documents, and what is wrong with the others; a file that breaks off in the middle is one problem."""
        try:
            for item in items:
                if isinstance(item, Document):
                    self.see(item)
                elif item.field != "pos":  # of the file as a whole: `positions` tells it
                    self._see_problem(item)
        except DocumentError as error:
            if not self.documents:
                raise
            self._see_problem(error)

    def _see_problem(self, problem: DocumentError) -> None:
        self.first_problem = self.first_problem or problem
        self.problems[kind_of_problem(problem)] += 1

    def see(self, document: Document) -> None:
        """Counts one document."""
        self.documents += 1
        self.unlabelled += not document.labelled
        self.sentences += document.is_sentence
        self.without_facts += document.labelled and not document.relations
        self.titles.append(document.title)
        self._see_positions(document)
        self._see_text(document)
        self.types.update(mentions[0].type for mentions in document.entities)
        if document.labelled:
            self._see_pairs(document)
        if document.relations:
            self._see_facts(document)
        entry = (-document.key, -self.documents, document)  # the largest keys leave the heap first
        if len(self._sample) < SAMPLE:
            heappush(self._sample, entry)
        elif entry > self._sample[0]:
            heappushpop(self._sample, entry)

    @property
    def sample(self) -> list[Document]:
        return [document for _, _, document in sorted(self._sample, reverse=True)]

    @property
    def all_sentences(self) -> bool:
        return self.sentences == self.documents

    def _see_positions(self, document: Document) -> None:
        before = self.positions.elsewhere
        self.positions.see(document)
        if self.positions.elsewhere > before and len(self.misplaced) < 2:
            mention = next(
                m for mentions in document.entities for m in mentions
                if squeeze(m.name) != squeeze(document.mention_text(m))
            )  # fmt: skip
            self.misplaced.append(f'"{mention.name}" stands at "{document.mention_text(mention)}" in {document.title}')

    def _see_text(self, document: Document) -> None:
        sentences = [" ".join(sentence).casefold() for sentence in document.sentences]
        text = "\n".join(sentences)
        if document.is_sentence:
            head, tail = (document.entities[i] for i in document.pairs[0])
            text += f"\n{[(m.start, m.end) for m in head]}{[(m.start, m.end) for m in tail]}"
        self.content.append(text_key(text))
        facts = sorted((fact.head, fact.tail, fact.relation) for fact in document.relations)
        self.answer.append(text_key(str(facts)))
        words = zip(document.sentences, sentences, strict=True)
        self.long_sentences.extend(text_key(text) for words, text in words if len(words) >= LONG_SENTENCE)

    def _see_pairs(self, document: Document) -> None:
        size = len(document.entities)
        self.judged += len(document.pairs) if document.pairs is not None else size * (size - 1)
        labels = Counter((fact.head, fact.tail) for fact in document.relations)
        self.labelled += len(labels)
        self.multi_label += sum(count > 1 for count in labels.values())

    def _see_facts(self, document: Document) -> None:
        names = entity_keys(document)
        place = [min((mention.sent_id, mention.start) for mention in mentions) for mentions in document.entities]
        triples = {(fact.head, fact.tail, fact.relation) for fact in document.relations}
        for fact in document.relations:
            number = self.facts.total() if not self.pair_fact else self.pair_fact[-1] + 1
            self.facts[fact.relation] += 1
            self.reversed[fact.relation] += (fact.tail, fact.head, fact.relation) in triples
            self.loops += not names[fact.head].isdisjoint(names[fact.tail])
            self.head_first += place[fact.head] < place[fact.tail]
            self._see_signature(document, fact)
            for head, tail in product(names[fact.head], names[fact.tail]):
                self.pair_names.append(text_key(f"{head}\t{tail}"))
                self.triple_names.append(text_key(f"{head}\t{tail}\t{fact.relation}"))
                self.pair_fact.append(number)

    def _see_signature(self, document: Document, fact: Fact) -> None:
        signature = Signature(fact.relation, *document.types_of(fact))
        self.signatures[signature] += 1
        self.example.setdefault(signature, document.title)


def shared(left: array, right: array) -> np.ndarray:
    """(N,) bool: which hashes of `left` are among those of `right`."""
    return np.isin(np.asarray(left), np.unique(np.asarray(right)))


def facts_in(tally: Tally, other: Tally, column: str) -> int:
    """How many facts of a file hold a name pair (`pair_names`) or triple (`triple_names`) of another file's facts."""
    found = shared(getattr(tally, column), getattr(other, column))
    return len(np.unique(np.asarray(tally.pair_fact)[found]))
