"""Simulated review: who is judged, what gold says, and what becomes of the labels."""

from argparse import Namespace

import pytest

from benchmarks.evidence import oracle
from benchmarks.review import Truth, judge
from finecl_hf import LearningOrder
from finecl_hf.data.documents import Document, Fact, fact_id
from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.missing_labels import MissingLabel, write_missing
from finecl_hf.learning_order.verdicts import OTHER, RIGHT, WRONG


PAIRS = [(0, 1), (1, 0), (0, 2), (2, 0)]


def document(facts):
    names = ["Ada", "London", "Byron"]
    mentions = [[{"name": name, "sent_id": 0, "pos": [i, i + 1], "type": "X"}] for i, name in enumerate(names)]
    labels = [{"h": head, "t": tail, "r": relation} for (head, tail), relation in facts]
    return Document.from_dict({"title": "d", "sents": [names], "vertexSet": mentions, "labels": labels})


GOLD = document([((0, 1), "born"), ((1, 0), "of"), ((1, 0), "in"), ((2, 0), "father")])
SILVER = document([((0, 1), "born"), ((1, 0), "died"), ((0, 2), "child"), ((2, 0), "father")])
TRUST = {"born": 0.9, "father": 0.8, "died": 0.2, "child": 0.1}


@pytest.fixture
def reviewed(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.review.unit_trust", lambda name, order: -order.first_epoch.astype(float))
    order = LearningOrder.for_documents([SILVER])
    ranks = sorted(TRUST, key=TRUST.get, reverse=True)
    order.first_epoch[:] = [ranks.index(relation) for relation in order.relation.to_pylist()]
    order.write(tmp_path / "learning_order.parquet")
    candidates = [((1, 0), "in", 3.0), ((1, 2), "knows", 2.0), ((1, 0), "of", 1.0)]
    missing = [
        MissingLabel(fact_id(title, *pair, relation), title, *pair, relation, "", "", 0.5, 0.0, 0.0, 0.0, score)
        for title in ("other", "d")
        for pair, relation, score in candidates
    ]
    write_missing(missing, tmp_path / "missing_labels.parquet")

    def of(how, labels):
        verdicts = judge(Namespace(judge=how, labels=labels, stage_1=tmp_path, seeds=[0]), [GOLD], [SILVER])
        kept = verdicts.correct(SILVER)
        return verdicts, {((fact.head, fact.tail), fact.relation) for fact in kept.relations}

    return of


LABELS = {((fact.head, fact.tail), fact.relation) for fact in SILVER.relations}


def test_nothing_is_judged(reviewed):
    assert reviewed("nothing", 3)[1] == LABELS


def test_dropping_looks_at_none(reviewed):
    assert reviewed("drop", 2)[1] == LABELS - {((0, 2), "child"), ((1, 0), "died")}
    assert reviewed("drop", 3)[1] == {((0, 1), "born")}  # "father", which was right


def test_judged_labels_are_kept_corrected_or_go(reviewed):
    verdicts, kept = reviewed("relabel", 3)
    assert kept == {((0, 1), "born"), ((2, 0), "father"), ((1, 0), "of")}
    assert [row.verdict for row in verdicts.rows] == [WRONG, OTHER, RIGHT]


def test_random_labels_are_judged_alike(reviewed):
    verdicts, kept = reviewed("random", 4)
    assert kept == reviewed("relabel", 4)[1] and len(verdicts) == 4


def test_missing_facts_become_labels_where_they_hold(reviewed):
    verdicts, kept = reviewed("missing", 2)
    assert kept == LABELS | {((1, 0), "in")}
    assert {row.title for row in verdicts.rows} == {"d"}  # nobody knows the truth of the other


def test_truth_names_what_holds():
    truth = Truth([GOLD])
    assert truth.of_label("d", Fact(1, 0, "died")).right_relation == "of"
    assert truth.of_label("d", Fact(0, 2, "child")).verdict == WRONG


def test_an_oracle_learns_right_labels_alone():
    right = {SILVER.instance_id(fact): fact in GOLD.relations for fact in SILVER.relations}
    order = oracle([SILVER], right)
    learned = dict(zip(order.relation.to_pylist(), order.first_epoch.tolist(), strict=True))
    assert learned == {"born": 0, "died": -1, "child": -1, "father": 0}


@pytest.mark.parametrize("how", ["relabel", "missing"])
def test_a_run_on_other_documents(tmp_path, how):
    LearningOrder(["x#0#1#born"], first_epoch=[0]).write(tmp_path / "learning_order.parquet")
    write_missing([], tmp_path / "missing_labels.parquet")
    with pytest.raises(FineCLError, match="--stage_1 .* their silver labels"):
        judge(Namespace(judge=how, labels=3, stage_1=tmp_path, documents="d", seeds=[0]), [GOLD], [SILVER])
