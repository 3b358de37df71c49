"""Distant supervision: a knowledge base projected on documents, and the filter against leaks into test sets.

Names are compared by [`name_key`]. Every function returns new documents and leaves its arguments alone. A knowledge
base that is larger than memory is the matter of `finecl_hf.triples` and `finecl_hf.table_join`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import product
from unicodedata import normalize

from finecl_hf.documents import Document, Relation
from finecl_hf.label_noise import flip_labels


__all__ = ["HeldOutPairs", "KnowledgeBase", "exclude_entity_pairs", "flip_labels", "name_key", "project"]


def name_key(name: str) -> str:
    """What two names have in common where they count as equal, in every step that matches by name.

    Lower-cased, composed (Unicode NFC: an accent may be part of its letter or follow it), any run of white space one
    space and none at the ends, a final sigma a sigma, and the dotted capital I an i. Nothing else is changed:
    punctuation, accents and articles count. `finecl_hf.table_join` computes the same in SQL.
    """
    if not name.isascii():
        name = normalize("NFC", name).replace("\u0130", "I")
    return " ".join(name.lower().replace("\u03c2", "\u03c3").split())


class KnowledgeBase:
    """Facts between names: (head name, tail name) -> relations, by [`name_key`], directions kept. In memory.

    `len` counts distinct (head name, relation, tail name) triples.
    """

    def __init__(self):
        self._facts: dict[str, dict[str, set[str]]] = {}  # head name -> tail name -> relations

    @classmethod
    def from_documents(cls, documents: Iterable[Document]) -> KnowledgeBase:
        """Takes each fact of labelled documents, under every combination of a head and a tail mention name."""
        knowledge_base = cls()
        for document in documents:
            for fact in document.relations:
                heads, tails = document.entity_names(fact.head), document.entity_names(fact.tail)
                knowledge_base.add(heads, fact.relation, tails)
        return knowledge_base

    def add(self, head_names: Iterable[str], relation: str, tail_names: Iterable[str]) -> None:
        """Adds one fact under every combination of a head name and a tail name."""
        tails = _keys(tail_names)
        for head in _keys(head_names):
            by_tail = self._facts.setdefault(head, {})
            for tail in tails:
                by_tail.setdefault(tail, set()).add(relation)

    def relations(self, head_names: Iterable[str], tail_names: Iterable[str]) -> set[str]:
        """All relations known from any of the head names to any of the tail names."""
        return {relation for *_, found in self.matches(_keys(head_names), _keys(tail_names)) for relation in found}

    def matches(self, heads: set[str], tails: set[str]) -> Iterator[tuple[str, str, set[str]]]:
        """(head, tail, relations) of every known pair of a head and a tail, both given by their [`name_key`]."""
        for head in heads & self._facts.keys():
            by_tail = self._facts[head]
            for tail in tails & by_tail.keys():
                if by_tail[tail]:
                    yield head, tail, by_tail[tail]

    def restricted_to(self, relations: Iterable[str]) -> KnowledgeBase:
        """A knowledge base of the facts of these relations only; it keeps all names."""
        wanted, restricted = set(relations), KnowledgeBase()
        restricted._facts = {
            head: {tail: found & wanted for tail, found in by_tail.items()} for head, by_tail in self._facts.items()
        }
        return restricted

    def names(self) -> set[str]:
        """The [`name_key`] of every head and tail."""
        return set(self._facts).union(*self._facts.values())

    def __len__(self) -> int:
        return sum(len(relations) for by_tail in self._facts.values() for relations in by_tail.values())


def project(documents: Iterable[Document], knowledge_base: KnowledgeBase) -> list[Document]:
    """Labels each document with every relation that the knowledge base holds between two of its entities.

    These are silver labels: nobody has checked that the document states them. Labels that the documents had are
    ignored, pairs that the knowledge base does not know stay NA, and a document without any label is kept.

    Returns:
        One labelled document for each input document, its facts sorted by (head, tail, relation), without evidence.
    """
    return [_project_one(document, knowledge_base) for document in documents]


def _project_one(document: Document, knowledge_base: KnowledgeBase) -> Document:
    names = entity_keys(document)
    facts = [
        Relation(head, tail, relation)
        for head, tail in sorted(document.judged_pairs)
        for relation in sorted({r for *_, found in knowledge_base.matches(names[head], names[tail]) for r in found})
    ]
    return replace(document, relations=facts, labelled=True)


def entity_keys(document: Document) -> list[set[str]]:
    """The [`name_key`]s of each entity's mentions."""
    return [_keys(document.entity_names(entity)) for entity in range(len(document.entities))]


class HeldOutPairs:
    """The entity pairs, by name, that a model must not see before it is tested (ERICA's filter).

    A pair (head name, tail name) is held out when it is a pair of a held-out document: of any of its facts, or, where
    the document is unlabelled, of any of its judged pairs. The direction counts, the relation does not.

    Args:
        documents: the held-out documents; read once, one at a time.
    """

    def __init__(self, documents: Iterable[Document] = ()):
        self._pairs: set[tuple[str, str]] = set()
        for document in documents:
            self.add(document)

    def __len__(self) -> int:
        return len(self._pairs)

    def add(self, document: Document) -> None:
        """Holds out the pairs of one more document."""
        names = entity_keys(document)
        facts = [(fact.head, fact.tail) for fact in document.relations]
        for head, tail in facts if document.labelled else document.judged_pairs:
            self._pairs.update(product(names[head], names[tail]))

    def strip(self, document: Document) -> tuple[Document | None, int]:
        """Drops the held-out facts of a document.

        A document with explicit `pairs` loses the judged pair too, so that it does not come back as a false NA, and is
        left out (None) once no judged pair remains (a sentence whose only pair is held out). Elsewhere the pair is NA
        from then on.

        Returns:
            The document without those facts, or None, and how many facts were dropped.
        """
        if not self._pairs or not document.relations:
            return document, 0
        names = entity_keys(document)
        excluded = {
            (head, tail)
            for head, tail in {(fact.head, fact.tail) for fact in document.relations}
            if not self._pairs.isdisjoint(product(names[head], names[tail]))
        }
        facts = [fact for fact in document.relations if (fact.head, fact.tail) not in excluded]
        num_removed = len(document.relations) - len(facts)
        pairs = document.pairs
        if excluded and pairs is not None:
            pairs = [pair for pair in pairs if pair not in excluded]
            if not pairs:
                return None, num_removed
        return replace(document, relations=facts, pairs=pairs), num_removed


def exclude_entity_pairs(
    documents: Iterable[Document], held_out: Iterable[Document] | HeldOutPairs
) -> tuple[list[Document], int]:
    """Drops the facts whose entity pairs are held out; [`HeldOutPairs`] says which, and what becomes of the rest.

    Args:
        documents: what a model is to learn from.
        held_out: the documents it is to be tested on, or their pairs, where several calls share them.

    Returns:
        The documents without those facts, and how many facts were dropped.
    """
    held_out = held_out if isinstance(held_out, HeldOutPairs) else HeldOutPairs(held_out)
    kept, num_removed = [], 0
    for document in documents:
        rest, removed = held_out.strip(document)
        num_removed += removed
        if rest is not None:
            kept.append(rest)
    return kept, num_removed


def _keys(names: Iterable[str]) -> set[str]:
    return {name_key(name) for name in names}
