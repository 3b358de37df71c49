"""Label noise of a known kind: flipped labels whose truth is recorded, for measurements."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b

from finecl_hf.data.documents import Document, Fact
from finecl_hf.errors import FineCLError


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
            facts.append(Fact(fact.head, fact.tail, relation))
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


def _fact_order(fact: Fact) -> tuple[int, int, str]:
    return fact.head, fact.tail, fact.relation
