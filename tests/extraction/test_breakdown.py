"""Tables and curves behind the figures, against loops."""

from collections import Counter

import numpy as np
import pytest

from finecl_hf import Document, FineCLConfig
from finecl_hf.data.documents import Fact, Mention
from finecl_hf.extraction.breakdown import (
    confusion_matrix,
    counts_of_facts,
    counts_of_sentences,
    precision_recall,
)
from finecl_hf.extraction.predictions import Candidates, JudgedCandidates, score_documents


LABELS = {"NA": 0, "a": 1, "b": 2, "c": 3}


@pytest.fixture
def config():
    return FineCLConfig.for_labels(LABELS, relation_names={"a": "first"}, threshold=0.5)


@pytest.fixture
def judged_documents():
    """20 documents of 4 entities with facts and candidates at random, scores on a coarse scale."""
    draw = np.random.default_rng(3)
    documents, candidates = [], []
    for i in range(20):
        entities = [[Mention(str(e), 0, e, e + 1)] for e in range(4)]
        triples = [(h, t, r) for h in range(4) for t in range(4) if h != t for r in ("a", "b")]
        gold = {triples[k] for k in draw.integers(0, len(triples), 3)}
        found = [triples[k] for k in draw.permutation(len(triples))[:7]]
        documents.append(Document(f"d{i}", [list("wxyz")], entities, [Fact(*triple) for triple in sorted(gold)]))
        score = np.sort(draw.integers(0, 10, 7) / 10).astype(np.float32)[::-1]
        head, tail, relation = (np.array(column) for column in zip(*found, strict=True))
        candidates.append(Candidates(head, tail, np.array([LABELS[r] for r in relation]), score))
    return documents, candidates


def loop_over_facts(documents, candidates, config, threshold, relation=None):
    """(gold, predicted, correct), fact by fact."""
    gold = {(d.title, f.head, f.tail, f.relation) for d in documents for f in d.relations}
    found = {
        (d.title, h, t, config.id2label[r])
        for d, part in zip(documents, candidates, strict=True)
        for h, t, r, s in zip(part.head, part.tail, part.relation, part.score, strict=True)
        if s > threshold
    }
    gold, found = ({fact for fact in facts if relation in (None, fact[3])} for facts in (gold, found))
    return len(gold), len(found), len(gold & found)


def test_each_relation_is_counted(judged_documents, config):
    counts = counts_of_facts(JudgedCandidates.of(*judged_documents, config), config)
    gold = Counter(fact.relation for document in judged_documents[0] for fact in document.relations)
    assert [row.relation for row in counts] == [relation for relation, _ in gold.most_common()]
    for row in counts:
        assert (row.gold, row.predicted, row.correct) == loop_over_facts(*judged_documents, config, 0.5, row.relation)
        assert row.f1 == pytest.approx(2 * row.precision * row.recall / (row.precision + row.recall))
    assert {row.relation: row.name for row in counts} == {"a": "first", "b": ""}


def test_the_curve_goes_through_the_figures(judged_documents, config):
    score, precision, recall = precision_recall(JudgedCandidates.of(*judged_documents, config))
    assert (np.diff(score) < 0).all() and (np.diff(recall) >= 0).all()
    for at, p, r in zip(score, precision, recall, strict=True):
        gold, found, correct = loop_over_facts(*judged_documents, config, at - 0.01)
        assert (p, r) == (pytest.approx(correct / found), pytest.approx(correct / gold))
    figures = score_documents(*judged_documents, config)
    place = np.flatnonzero(score > config.threshold)[-1]
    assert (precision[place], recall[place]) == pytest.approx((figures["precision"], figures["recall"]))


def test_nothing_predicted_and_nothing_gold(judged_documents, config):
    documents, candidates = judged_documents
    config.threshold = 2.0
    rows = counts_of_facts(JudgedCandidates.of(documents, candidates, config), config)
    assert all(row.precision == row.recall == row.f1 == 0 and row.gold for row in rows)
    assert score_documents(documents, candidates, config)["f1"] == 0
    for document in documents:
        document.relations = []
    judged = JudgedCandidates.of(documents, candidates, config)
    assert not counts_of_facts(judged, config) and not len(precision_recall(judged)[0])
    empty = [Candidates(*(np.zeros(0, int) for _ in range(3)), np.zeros(0, np.float32)) for _ in documents]
    assert not len(JudgedCandidates.of(documents, empty, config).score)


def test_confusions(config):
    gold, found = ["a", "a", "b", None, "a"], ["a", "b", "b", "a", "NA"]
    documents = [
        Document(f"s{i}", [["x", "y"]], [[Mention("x", 0, 0, 1)], [Mention("y", 0, 1, 2)]],
                 [Fact(0, 1, label)] if label else [], pairs=[(0, 1)])
        for i, label in enumerate(gold)
    ]  # fmt: skip
    labels, matrix = confusion_matrix(documents, found)
    assert labels == ["a", "b", "NA"]
    assert matrix.tolist() == [[1, 1, 1], [0, 1, 0], [1, 0, 0]]
    counts = counts_of_sentences(documents, found, config)
    rows = {row.relation: (row.gold, row.predicted, row.correct) for row in counts}
    assert rows == {"a": (3, 2, 1), "b": (1, 2, 1)}
