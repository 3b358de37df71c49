"""Distant supervision: a knowledge base projected on documents, and the filter against leaks into test sets.

Names are compared by [`name_key`]. Every function returns new documents and leaves its arguments alone. A knowledge
base that is larger than memory is the matter of `finecl_hf.distant.triple_tables` and `finecl_hf.distant.join`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from finecl_hf.data.documents import Document, Fact
from finecl_hf.data.held_out import _keys, entity_keys


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
        Fact(head, tail, relation)
        for head, tail in sorted(document.judged_pairs)
        for relation in sorted({r for *_, found in knowledge_base.matches(names[head], names[tail]) for r in found})
    ]
    return replace(document, relations=facts, labelled=True)
