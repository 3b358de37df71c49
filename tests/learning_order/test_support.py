"""The signs that other labels give of a missing one, against loops that follow their definition."""

import math

import numpy as np
import pytest

from finecl_hf.data.documents import Document, Fact, Mention
from finecl_hf.learning_order import support
from finecl_hf.learning_order.support import MOST, support_counts


RELATIONS = ["r0", "r1", "r2", "unused"]


def random_documents(count, seed=0, pairs=False):
    """Documents whose entities share a few names, with labels in both directions and several to a pair."""
    rng = np.random.default_rng(seed)
    documents = []
    for number in range(count):
        size = int(rng.integers(0, 6))
        names = [f"{rng.choice(['Ada', 'ada', 'Bob', 'Rome', 'Graz'])}" for _ in range(size)]
        entities = [[Mention(name, 0, i, i + 1)] for i, name in enumerate(names)]
        every = [(h, t) for h in range(size) for t in range(size) if h != t]
        facts = {(*every[i], f"r{rng.integers(3)}") for i in rng.integers(0, len(every), 5)} if every else set()
        judged = [pair for pair in every if pair in {fact[:2] for fact in facts} or rng.random() < 0.5]
        relations = [Fact(*fact) for fact in sorted(facts)]
        documents.append(Document(f"d{number}", [names], entities, relations, pairs=judged if pairs else None))
    return documents


def labels_of(document):
    return [(fact.head, fact.tail, fact.relation) for fact in document.relations]


def open_pairs(document):
    labelled = {label[:2] for label in labels_of(document)}
    return [pair for pair in document.judged_pairs if pair not in labelled]


def seen(documents, document, head, tail, relation):
    """The values of the three signs: shares of each reverse label, other labels of the tail, other documents."""
    reverse = [r for h, t, r in labels_of(document) if (h, t) == (tail, head)]
    share = {name: reverse.count(name) / len(reverse) for name in reverse} or {"none": 1.0}
    others = [h for h, t, r in labels_of(document) if t == tail and r == relation and h != head]

    def named(other, h, t):
        return other.longest_name(h).lower(), other.longest_name(t).lower()

    own = (head, tail, relation) in labels_of(document)
    elsewhere = [
        other for other in documents
        if any(r == relation and named(other, h, t) == named(document, head, tail) for h, t, r in labels_of(other))
    ]  # fmt: skip
    return share, min(len(others), MOST), min(len(elsewhere) - own, MOST)


def slow_log_ratio(labels, na, weight, values):
    """log P(value | r) / P(value | NA) by value; `labels`: relation -> {value: count}, `na`: {value: count}."""
    total = {value: sum(counts.get(value, 0) for counts in labels.values()) + support.RARE for value in values}
    ratios = {}
    for relation, counts in labels.items():
        drawn = {v: counts.get(v, 0) + weight * total[v] / sum(total.values()) for v in values}
        rest = {v: na[relation].get(v, 0) + support.RARE for v in values}
        ratios[relation] = {
            v: math.log(drawn[v] / sum(drawn.values())) - math.log(rest[v] / sum(rest.values())) for v in values
        }
    return ratios


def slow_odds(documents):
    """{(title, head, tail): {relation: odds}} of all open pairs."""
    kinds = {"reverse": [*RELATIONS, "none"], "tail": range(MOST + 1), "names": range(MOST + 1)}
    weights = {"reverse": support.REVERSE_WEIGHT, "tail": support.OTHERS_WEIGHT, "names": support.OTHERS_WEIGHT}
    labels, na = ({kind: {relation: {} for relation in RELATIONS} for kind in kinds} for _ in range(2))

    def count(counts, kind, relation, values):
        for value, times in values.items():
            counts[kind][relation][value] = counts[kind][relation].get(value, 0) + times

    for document in documents:
        rows = [(labels, *label) for label in labels_of(document)]
        rows += [(na, *pair, relation) for pair in open_pairs(document) for relation in RELATIONS]
        for counts, head, tail, relation in rows:
            share, others, elsewhere = seen(documents, document, head, tail, relation)
            count(counts, "reverse", relation, share)
            count(counts, "tail", relation, {others: 1})
            count(counts, "names", relation, {elsewhere: 1})
    ratio = {kind: slow_log_ratio(labels[kind], na[kind], weights[kind], kinds[kind]) for kind in kinds}
    odds = {}
    for document in documents:
        for head, tail in open_pairs(document):
            for relation in RELATIONS:
                share, others, elsewhere = seen(documents, document, head, tail, relation)
                value = sum(times * ratio["reverse"][relation][name] for name, times in share.items())
                value += ratio["tail"][relation][others] + ratio["names"][relation][elsewhere]
                odds.setdefault((document.title, head, tail), {})[relation] = value
    return odds


def odds_of(documents):
    counts = support_counts(lambda: iter(documents), RELATIONS)
    odds, found = counts.odds(), {}
    for document in documents:
        labels = counts.read(document)
        pairs = labels.pairs[~labels.is_labelled(labels.pairs)]
        for (head, tail), values in zip(pairs.tolist(), odds(labels, pairs).tolist(), strict=True):
            found[document.title, head, tail] = dict(zip(RELATIONS, values, strict=True))
    return found


@pytest.mark.parametrize("pairs", [False, True])
def test_against_loops(pairs):
    documents = random_documents(25, pairs=pairs)
    expected, found = slow_odds(documents), odds_of(documents)
    assert expected.keys() == found.keys() and len(found) > 40
    for pair, values in expected.items():
        assert found[pair] == pytest.approx(values, abs=1e-9)


def test_order_of_documents_changes_nothing():
    documents = random_documents(20, seed=1)
    forward, back = odds_of(documents), odds_of(documents[::-1])
    for pair, values in forward.items():
        assert back[pair] == pytest.approx(values, abs=1e-12)


def test_no_documents_and_no_labels():
    assert odds_of([]) == odds_of([Document("empty", [], [])]) == {}
    names = [["Ada", "Bob"]]
    bare = Document("bare", names, [[Mention("Ada", 0, 0, 1)], [Mention("Bob", 0, 1, 2)]])
    assert {round(value, 9) for values in odds_of([bare]).values() for value in values.values()} != set()
