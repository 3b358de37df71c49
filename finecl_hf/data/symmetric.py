"""Relations without a direction: their facts hold both ways."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from finecl_hf.data.documents import Document


def both_ways(document: Document, relations: Collection[str] | None = None) -> Document:
    """The document with each fact of some relations from head to tail and from tail to head.

    BioRED, for one, says that two entities are associated, and writes each pair once in either order. A model that
    judges ordered pairs would learn the other order as NA.

    Args:
        document: where its judged pairs are listed, the reverse of a pair with such a fact is judged, too.
        relations: those that hold both ways; None for all.
    """
    facts = {(fact.head, fact.tail, fact.relation): fact for fact in document.relations}
    for fact in document.relations:
        if relations is None or fact.relation in relations:
            facts.setdefault((fact.tail, fact.head, fact.relation), replace(fact, head=fact.tail, tail=fact.head))
    pairs = document.pairs
    if pairs is not None:
        pairs = list(dict.fromkeys([*pairs, *((head, tail) for head, tail, _ in facts)]))
    return replace(document, relations=list(facts.values()), pairs=pairs)
