"""Labels that are wrong on purpose: where they stand, and that nothing else of the corpus changes."""

import random
from dataclasses import replace

import numpy as np
import pytest

from finecl_hf.data.corpus import documents_of, load_corpus
from finecl_hf.data.held_out import HeldOutPairs
from finecl_hf.data.readers import write_documents
from finecl_hf.denoising import probe
from finecl_hf.denoising.probe import plant
from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.learning_order.verdicts import Verdicts
from tests.helpers.random_documents import random_document
from tests.helpers.small_documents import small_document
from tests.learning_order.test_verdicts import verdict_of


def many_pairs(seed):
    """A document of six entities of two types, with up to three facts."""
    rng = random.Random(seed)
    pairs = sorted(rng.sample([(0, 1), (1, 2), (3, 4), (5, 0), (2, 3), (4, 1)], rng.randint(0, 3)))
    document = small_document(f"d{seed}", "abcdef", [(*pair, rng.choice(["r", "s", "t"])) for pair in pairs])
    for number, entity in enumerate(document.entities):
        entity[0].type = "PER" if number % 2 else "LOC"
    return document


DOCUMENTS = [many_pairs(seed) for seed in range(150)]
SENTENCES = [random_document(seed, sentence=True) for seed in range(150)]


@pytest.fixture
def load(tmp_path):
    def loaded(documents, name="in"):
        write_documents(documents, tmp_path / f"{name}.json")
        return load_corpus(str(tmp_path / f"{name}.json"), cache_dir=str(tmp_path / "cache"))

    return loaded


def by_title(documents):
    return {document.title: document for document in documents}


def names(document):
    return {(fact.head, fact.tail, fact.relation) for fact in document.relations}


def test_wrong_labels_stand_beside_the_others(load):
    result = plant(load(DOCUMENTS), 0.3, seed=1)
    before, after = by_title(DOCUMENTS), by_title(documents_of(result.corpus))
    assert before.keys() == after.keys() and not len(result.replaced)
    planted = []
    for title, document in before.items():
        labelled = {(fact.head, fact.tail) for fact in document.relations}
        kinds = {(*document.types_of(fact), fact.relation) for fact in document.relations}
        assert names(document) <= names(after[title])
        for fact in after[title].relations[len(document.relations) :]:
            planted.append(document.fact_key(fact))
            assert (fact.head, fact.tail) not in labelled and (fact.tail, fact.head) not in labelled
            assert (*document.types_of(fact), fact.relation) in kinds and not fact.evidence
    assert sorted(planted) == sorted(result.planted.tolist())
    assert 20 <= len(planted) <= 0.4 * sum(len(document.relations) for document in DOCUMENTS)


def test_sentences_give_up_a_label(load):
    result = plant(load(SENTENCES), 0.4, seed=1)
    before, after = by_title(SENTENCES), by_title(documents_of(result.corpus))
    changed = [title for title, document in before.items() if document != after[title]]
    assert len(changed) == len(result.planted) == len(result.replaced) >= 20
    for title in changed:
        old, new = before[title].relations[0], after[title].relations[0]
        assert (old.head, old.tail) == (new.head, new.tail) and old.relation != new.relation
    lost = {before[title].fact_key(before[title].relations[0]) for title in changed}
    assert lost == set(result.replaced.key.tolist())
    assert {before[title].instance_id(before[title].relations[0]) for title in changed} == set(
        result.replaced.instance_id.to_pylist()
    )


@pytest.mark.parametrize("documents", [DOCUMENTS, SENTENCES], ids=["documents", "sentences"])
def test_the_order_of_the_file_changes_nothing(documents, load):
    one, other = (plant(load(part, name), 0.3, seed=2) for part, name in ((documents, "a"), (documents[::-1], "b")))
    assert sorted(one.planted.tolist()) == sorted(other.planted.tolist())
    assert one.corpus["document"][:] == other.corpus["document"][:]
    assert sorted(plant(load(documents), 0.3, seed=3).planted.tolist()) != sorted(one.planted.tolist())


def test_no_probe(load):
    corpus = load(DOCUMENTS)
    assert plant(corpus, 0.0, seed=1).corpus is corpus  # not wanted
    few = load(DOCUMENTS[:20], "few")
    assert plant(few, 0.05, seed=1).corpus is few  # would tell nothing
    one_relation = [
        replace(document, relations=[replace(fact, relation="r") for fact in document.relations])
        for document in SENTENCES
    ]
    single = plant(load(one_relation, "single"), 0.4, seed=1)
    assert not len(single.planted) and not len(single.replaced)  # no other relation to go to


def test_no_more_than_tell_something(load, monkeypatch):
    monkeypatch.setattr(probe, "MOST", 30)
    assert 20 <= len(plant(load(DOCUMENTS), 0.5, seed=1).planted) < 50


def test_what_people_have_judged_stays(load):
    free = plant(load(SENTENCES), 0.4, seed=1)
    touched = [by_title(SENTENCES)[title] for title in free.replaced.title.to_pylist()]
    verdicts = Verdicts([verdict_of(document, 0, "right") for document in touched[:5]])
    rest = plant(load(SENTENCES), 0.4, seed=1, verdicts=verdicts)
    assert set(rest.replaced.title.to_pylist()) == {document.title for document in touched[5:]}


@pytest.mark.parametrize("documents", [DOCUMENTS, SENTENCES], ids=["documents", "sentences"])
def test_the_learning_order_is_that_of_the_corpus(documents, load):
    result = plant(load(documents), 0.3, seed=1)
    order = LearningOrder.for_documents(documents_of(result.corpus))
    wrong = np.isin(order.key, result.planted)
    probability = np.where(wrong, 0.1, 0.9)
    order.record_epoch(probability, 2 * probability - 1, ~wrong)
    judged = result.judged_by(order, "probability")
    assert set(judged.key.tolist()) == set(LearningOrder.for_documents(documents).key.tolist())
    unseen = ~judged.observed.any(axis=1)
    assert set(judged.key[unseen].tolist()) == set(result.replaced.key.tolist())
    assert judged.self_test.auroc == judged.self_test.within_relation == 1.0
    assert judged.self_test.planted == len(result.planted) and judged.self_test.replaced == len(result.replaced)


def test_no_wrong_label_where_people_have_judged(load):
    planted = {
        document.fact_key(fact): (document, fact)
        for document in documents_of(plant(load(DOCUMENTS), 0.3, seed=1).corpus)
        for fact in document.relations
    }
    free = plant(load(DOCUMENTS), 0.3, seed=1).planted.tolist()
    rows = [verdict_of(planted[key][0], planted[key][0].relations.index(planted[key][1]), "wrong") for key in free]
    again = plant(load(DOCUMENTS), 0.3, seed=1, verdicts=Verdicts(rows))
    assert len(again.planted) and not set(free) & set(again.planted.tolist())  # or the verdict would go with it


def test_a_relation_that_people_named_is_not_replaced(load):
    free = plant(load(SENTENCES), 0.4, seed=1)
    touched = [by_title(SENTENCES)[title] for title in free.replaced.title.to_pylist()][:5]
    verdicts = Verdicts([verdict_of(document, 0, "other", "named") for document in touched])
    corrected = [verdicts.correct(document) for document in SENTENCES]
    rest = plant(load(corrected, "corrected"), 0.4, seed=1, verdicts=verdicts)
    assert len(rest.replaced) and not {d.title for d in touched} & set(rest.replaced.title.to_pylist())


def test_no_wrong_label_on_a_held_out_pair(load):
    held_out = HeldOutPairs(DOCUMENTS[:1])
    open_corpus = load(DOCUMENTS)
    pairs = {document.title: held_out.pairs_of(document) for document in DOCUMENTS}
    for given, expected in ((None, True), (held_out, False)):
        after = by_title(documents_of(plant(open_corpus, 0.5, seed=1, held_out=given).corpus))
        new = [(d.title, pair) for d in DOCUMENTS for *pair, _ in names(after[d.title]) - names(d)]
        assert any(tuple(pair) in pairs[title] for title, pair in new) is expected


def test_few_that_were_judged_tell_nothing(load, caplog):
    result = plant(load(DOCUMENTS), 0.3, seed=1)
    order = LearningOrder.for_documents(documents_of(result.corpus))
    seen = ~np.isin(order.key, result.planted[19:])
    order.record_epoch(np.full(len(order), 0.5), np.zeros(len(order)), seen, seen)
    judged = result.judged_by(order, "probability")
    assert judged.self_test is None and "only 19 were judged" in caplog.text
    assert not set(result.planted.tolist()) & set(judged.key.tolist())
