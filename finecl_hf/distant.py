"""Distant supervision: a knowledge base projected on documents, leakage filtering, and label noise of a known kind.

Names are compared lower-cased and exactly. Every function returns new documents and leaves its arguments alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import product

from finecl_hf.documents import Document, Relation
from finecl_hf.errors import FineCLError


class KnowledgeBase:
    """Facts between names: (head name, tail name) -> relations. Names are lower-cased, directions kept.

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
        tails = _lowered(tail_names)
        for head in _lowered(head_names):
            by_tail = self._facts.setdefault(head, {})
            for tail in tails:
                by_tail.setdefault(tail, set()).add(relation)

    def relations(self, head_names: Iterable[str], tail_names: Iterable[str]) -> set[str]:
        """All relations known from any of the head names to any of the tail names."""
        return self._lookup(_lowered(head_names), _lowered(tail_names))

    def _lookup(self, heads: set[str], tails: set[str]) -> set[str]:
        found: set[str] = set()
        for head in heads & self._facts.keys():
            by_tail = self._facts[head]
            for tail in tails & by_tail.keys():
                found |= by_tail[tail]
        return found

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
    names = [_lowered(document.entity_names(entity)) for entity in range(len(document.entities))]
    facts = [
        Relation(head, tail, relation)
        for head, tail in sorted(document.judged_pairs)
        for relation in sorted(knowledge_base._lookup(names[head], names[tail]))
    ]
    return replace(document, relations=facts, labelled=True)


def exclude_entity_pairs(
    documents: Iterable[Document], held_out_documents: Iterable[Document]
) -> tuple[list[Document], int]:
    """Drops the facts that a model must not see before it is tested on `held_out_documents` (ERICA's filter).

    A fact goes when one of its (head name, tail name) pairs is also a pair of a held-out document: of any of its
    facts, or, where the held-out document is unlabelled, of any of its judged pairs. The direction counts, the
    relation does not.

    A document with explicit `pairs` loses the judged pair too, so that it does not come back as a false NA, and is
    left out once no judged pair remains (a sentence whose only pair is held out). Elsewhere the pair is NA from then
    on.

    Returns:
        The documents without those facts, and how many facts were dropped.
    """
    held_out = _held_out_name_pairs(held_out_documents)
    kept, num_removed = [], 0
    for document in documents:
        excluded = {
            (fact.head, fact.tail)
            for fact in document.relations
            if not held_out.isdisjoint(_name_pairs(document, fact))
        }
        facts = [fact for fact in document.relations if (fact.head, fact.tail) not in excluded]
        num_removed += len(document.relations) - len(facts)
        pairs = document.pairs
        if excluded and pairs is not None:
            pairs = [pair for pair in pairs if pair not in excluded]
            if not pairs:
                continue
        kept.append(replace(document, relations=facts, pairs=pairs))
    return kept, num_removed


def _held_out_name_pairs(documents: Iterable[Document]) -> set[tuple[str, str]]:
    names: set[tuple[str, str]] = set()
    for document in documents:
        facts = document.relations if document.labelled else [Relation(h, t, "") for h, t in document.judged_pairs]
        for fact in facts:
            names.update(_name_pairs(document, fact))
    return names


def _name_pairs(document: Document, fact: Relation) -> set[tuple[str, str]]:
    heads, tails = document.entity_names(fact.head), document.entity_names(fact.tail)
    return set(product(_lowered(heads), _lowered(tails)))


def flip_labels(
    documents: Sequence[Document], rate: float, kind: str = "uniform", seed: int = 0
) -> tuple[list[Document], dict[str, bool]]:
    """Injects label noise whose truth is known: replaces the relation of exactly `round(rate * n)` of the n facts.

    Which facts, and by what, depends on `seed` and the fact's instance id alone, through a hash: the order of the
    documents changes nothing. A new relation never equals a gold label of the same pair, nor another new one.

    Args:
        documents: correctly labelled documents with unique titles.
        rate: share of the facts to flip, 0 to 1.
        kind: `"uniform"`: to any other relation of the corpus, all equally likely (symmetric noise);
            `"pair"`: to the next relation in sorted order, the last one to the first (asymmetric noise).
        seed: another seed flips other facts.

    Returns:
        The noisy documents, their facts sorted and all without evidence (its presence would tell flipped facts from
        the rest), and for the instance id of each noisy fact whether it is still the original one.

    Raises:
        FineCLError: an impossible rate or kind, or fewer facts than asked for have another relation to go to.
    """
    if not 0 <= rate <= 1:
        raise FineCLError(f"rate is the share of labels to flip, from 0 to 1; found {rate}.")
    if kind not in ("uniform", "pair"):
        raise FineCLError(f'kind is "uniform" or "pair"; found "{kind}".')
    flipped = _choose_flips(documents, rate, kind, seed)
    noisy, is_clean = [], {}
    for document in documents:
        facts = []
        for fact in document.relations:
            relation = flipped.get(document.instance_id(fact), fact.relation)
            facts.append(Relation(fact.head, fact.tail, relation))
            is_clean[document.instance_id(facts[-1])] = relation == fact.relation
        noisy.append(replace(document, relations=sorted(facts, key=_fact_order)))
    return noisy, is_clean


def _choose_flips(documents: Sequence[Document], rate: float, kind: str, seed: int) -> dict[str, str]:
    """Instance id of each fact to flip -> its new relation."""
    facts = {document.instance_id(fact): (document, fact) for document in documents for fact in document.relations}
    relations = sorted({fact.relation for _, fact in facts.values()})
    taken: dict[tuple[str, int, int], set[str]] = defaultdict(set)  # labels of a pair, gold or already chosen
    for document, fact in facts.values():
        taken[document.title, fact.head, fact.tail].add(fact.relation)
    flipped: dict[str, str] = {}
    count = round(rate * len(facts))
    for instance in sorted(facts, key=lambda instance: (_hash(seed, "which", instance), instance)):
        if len(flipped) == count:
            break
        document, fact = facts[instance]
        labels = taken[document.title, fact.head, fact.tail]
        if candidates := _candidates(relations, fact.relation, labels):
            choice = _hash(seed, "to", instance) % len(candidates) if kind == "uniform" else 0
            flipped[instance] = candidates[choice]
            labels.add(candidates[choice])
    if len(flipped) < count:
        raise FineCLError(
            f"only {len(flipped)} of {count} labels can be flipped: the corpus has {len(relations)} relations, and a "
            "label needs one that its pair does not hold already. Lower the rate or add documents of other relations."
        )
    return flipped


def _candidates(relations: list[str], relation: str, taken: set[str]) -> list[str]:
    """Relations that may replace `relation`, starting with the one that follows it in sorted order."""
    start = relations.index(relation) + 1
    return [candidate for candidate in relations[start:] + relations[:start] if candidate not in taken]


def _hash(*parts: object) -> int:
    return int.from_bytes(blake2b("\0".join(map(str, parts)).encode(), digest_size=8).digest(), "big")


def _fact_order(fact: Relation) -> tuple[int, int, str]:
    return fact.head, fact.tail, fact.relation


def _lowered(names: Iterable[str]) -> set[str]:
    return {name.lower() for name in names}
