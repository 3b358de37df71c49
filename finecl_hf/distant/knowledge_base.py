"""Distant supervision: a knowledge base projected on documents, and the filter against leaks into test sets.

Names are compared by [`name_key`]. Every function returns new documents and leaves its arguments alone. Files are the
matter of `finecl_hf.distant.projection`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path

from finecl_hf.data.documents import Document, Fact
from finecl_hf.data.held_out import _keys


ROLES = ("head", "relation", "tail")  # columns of a triple table


class KnowledgeBase:
    """Facts between names: (head name, tail name) -> relations, by [`name_key`], directions kept. In memory.

    `len` counts distinct (head name, relation, tail name) triples.
    """

    def __init__(self):
        self._facts: dict[tuple[str, str], set[str]] = {}

    @classmethod
    def from_documents(cls, documents: Iterable[Document], by_id: bool = False) -> KnowledgeBase:
        """Takes each fact of labelled documents, under every combination of a head and a tail mention name.

        Args:
            by_id: take the `kb_id` of the mentions in place of their names.
        """
        knowledge_base = cls()
        for document in documents:
            for fact in document.relations:
                pair = (document.entities[fact.head], document.entities[fact.tail])
                heads, tails = (
                    {mention.kb_id for mention in mentions if mention.kb_id}
                    if by_id
                    else _keys(mention.name for mention in mentions)
                    for mentions in pair
                )
                knowledge_base._add(heads, fact.relation, tails)
        return knowledge_base

    def add(self, head_names: Iterable[str], relation: str, tail_names: Iterable[str]) -> None:
        """Adds one fact under every combination of a head name and a tail name."""
        self._add(_keys(head_names), relation, _keys(tail_names))

    def relations(self, heads: Iterable[str], tails: Iterable[str]) -> set[str]:
        """All relations known from any of the head names to any of the tail names."""
        pairs = product(_keys(heads), _keys(tails))
        return set().union(*(self._facts.get(pair, ()) for pair in pairs))

    def write(self, path: Path) -> Path:
        """Writes the triples as a parquet table, and returns its path. A mention without a name is no entity."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        triples = [
            (head, relation, tail)
            for (head, tail), relations in self._facts.items()
            for relation in sorted(relations)
            if head and tail
        ]
        columns = zip(*triples, strict=True) if triples else ([], [], [])
        table = {name: pa.array(column, pa.string()) for name, column in zip(ROLES, columns, strict=True)}
        pq.write_table(pa.table(table), path)
        return path

    def _add(self, heads: set[str], relation: str, tails: set[str]) -> None:
        for pair in product(heads, tails):
            self._facts.setdefault(pair, set()).add(relation)

    def __len__(self) -> int:
        return sum(map(len, self._facts.values()))


def project(documents: Iterable[Document], knowledge_base: KnowledgeBase) -> list[Document]:
    """Labels each document with every relation that the knowledge base holds between two of its entities.

    These are silver labels: nobody has checked that the document states them. Labels that the documents had are
    ignored, pairs that the knowledge base does not know stay NA, and a document without any label is kept.

    Returns:
        One labelled document for each input document, its facts sorted by (head, tail, relation), without evidence.
    """
    silver = []
    for document in documents:
        names = [document.entity_names(entity) for entity in range(len(document.entities))]
        facts = [
            Fact(head, tail, relation)
            for head, tail in sorted(document.judged_pairs)
            for relation in sorted(knowledge_base.relations(names[head], names[tail]))
        ]
        silver.append(replace(document, relations=facts, labelled=True))
    return silver
