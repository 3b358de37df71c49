import json
import os
import subprocess
import sys
import time
from random import Random

import pytest

from finecl_hf.data.documents import Document
from finecl_hf.synthetic.corpus import generate_corpus, write_corpus
from finecl_hf.synthetic.templates import COMBINED_PATTERNS, DISTRACTORS, PATTERNS, RELATION_NAMES
from finecl_hf.synthetic.world import build_region


SPLITS = ("silver", "silver_gold", "gold_train", "gold_validation", "gold_test")


@pytest.fixture(scope="module")
def corpus():
    return generate_corpus()


def _facts(documents):
    return [(document, fact) for document in documents for fact in document.relations]


def _instances(documents):
    return {document.instance_id(fact) for document, fact in _facts(documents)}


def _mention_sentences(document, entity):
    return {mention.sent_id for mention in document.entities[entity]}


def test_every_relation_has_patterns_with_the_right_slots():
    assert PATTERNS.keys() == RELATION_NAMES.keys() and len(PATTERNS) >= 12
    for patterns in PATTERNS.values():
        assert len(set(patterns)) >= 5
        assert all(pattern.split().count("{h}") == pattern.split().count("{t}") == 1 for pattern in patterns)
    for pattern, facts in COMBINED_PATTERNS:
        assert all(pattern.split().count(f"{{{slot}}}") == 1 for slot in "htu")
        assert all(fact.split()[1] in PATTERNS for fact in facts)
    for patterns in DISTRACTORS.values():
        assert all(pattern.split().count("{a}") == pattern.split().count("{b}") == 1 for pattern in patterns)


def test_same_arguments_give_the_same_corpus():
    sizes = {"num_documents": 30, "num_train": 5, "num_validation": 5, "num_test": 5}
    assert generate_corpus(**sizes) == generate_corpus(**sizes)
    assert generate_corpus(**sizes).silver != generate_corpus(**sizes, seed=1).silver


def test_another_process_gives_the_same_corpus():
    """Neither the order of sets nor Python's hashing of strings may show."""
    code = (
        "import hashlib; from finecl_hf.synthetic.corpus import generate_corpus;"
        "corpus = generate_corpus(40, 9, 9, 9);"
        "print(hashlib.sha256(repr(corpus).encode()).hexdigest())"
    )
    digests = [
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert digests[0] == digests[1]


def test_gold_does_not_depend_on_the_size_of_silver(corpus):
    assert generate_corpus(num_documents=20).gold_test == corpus.gold_test


def test_sizes_and_speed(corpus):
    assert [len(getattr(corpus, split)) for split in SPLITS] == [600, 600, 60, 60, 100]
    start = time.perf_counter()
    generate_corpus()
    assert time.perf_counter() - start < 3


@pytest.mark.parametrize("split", SPLITS)
def test_documents_follow_the_schema(corpus, split):
    for document in getattr(corpus, split):
        assert Document.from_dict(document.to_dict()) == document
        assert 4 <= len(document.sentences) <= 8
        for entity in document.entities:
            assert all(document.mention_text(mention) == mention.name for mention in entity)
            assert entity[0].type in {"PER", "LOC", "ORG", "MISC", "TIME"}
        for sentence in document.sentences:
            assert sentence[-1] == "." and sentence[0][0] == sentence[0][0].upper()
            assert not any("{" in word or " " in word for word in sentence)


def test_every_relation_occurs_in_silver_and_gold(corpus):
    for split in SPLITS:
        assert {fact.relation for _, fact in _facts(getattr(corpus, split))} == set(corpus.relation_names), split


def test_silver_is_as_wrong_as_distant_supervision(corpus):
    assert corpus.truth.keys() == _instances(corpus.silver)
    figures = corpus.statistics()
    assert figures["silver_labels"] == len(corpus.truth)
    assert 0.3 <= figures["wrong_share"] <= 0.4
    assert 0.05 <= figures["missed_share"] <= 0.15


def test_truth_is_what_the_document_states(corpus):
    stated = _instances(corpus.silver_gold)
    assert all(right == (instance in stated) for instance, right in corpus.truth.items())
    for silver, gold in zip(corpus.silver, corpus.silver_gold, strict=True):  # silver hides nothing but the labels
        assert (silver.title, silver.sentences, silver.entities) == (gold.title, gold.sentences, gold.entities)


@pytest.mark.parametrize("dial", ["unstated", "missing_facts", "wrong_facts"])
def test_each_dial_moves_its_figure(dial):
    quiet = {"unstated": 0.0, "missing_facts": 0.0, "wrong_facts": 0.0}
    sizes = {"num_documents": 200, "num_train": 0, "num_validation": 0, "num_test": 0}
    figure = "missed_share" if dial == "missing_facts" else "wrong_share"
    low = generate_corpus(**sizes, **quiet).statistics()[figure]
    high = generate_corpus(**sizes, **{**quiet, dial: 0.4}).statistics()[figure]
    assert high > low + 0.02
    assert generate_corpus(**sizes, **quiet).statistics()["missed_share"] == 0


def test_some_pairs_hold_several_relations(corpus):
    pairs = [(document.title, fact.head, fact.tail) for document, fact in _facts(corpus.silver)]
    assert len(set(pairs)) < 0.9 * len(pairs)


def test_silver_tells_nothing_but_the_labels(corpus):
    for document in corpus.silver:
        order = [(fact.head, fact.tail, fact.relation) for fact in document.relations]
        assert order == sorted(order)
        assert all(fact.evidence == [] for fact in document.relations)


def test_gold_evidence_names_both_entities(corpus):
    for document, fact in _facts(corpus.gold_train + corpus.gold_test + corpus.silver_gold):
        assert fact.evidence == sorted(set(fact.evidence)) != []
        for entity in (fact.head, fact.tail):
            assert _mention_sentences(document, entity) & set(fact.evidence)


def test_some_facts_join_entities_that_share_no_sentence(corpus):
    facts = _facts(corpus.gold_test)
    crossing = [
        fact
        for document, fact in facts
        if not _mention_sentences(document, fact.head) & _mention_sentences(document, fact.tail)
    ]
    assert 0.03 * len(facts) < len(crossing) < 0.5 * len(facts)
    assert all(len(fact.evidence) >= 2 for fact in crossing)


def test_entities_have_several_names(corpus):
    entities = [entity for document in corpus.silver for entity in document.entities]
    assert sum(len({mention.name for mention in entity}) > 1 for entity in entities) > 0.1 * len(entities)


def test_splits_share_no_titles_and_hardly_any_entities(corpus):
    splits = [corpus.silver, corpus.gold_train, corpus.gold_validation, corpus.gold_test]
    titles = [document.title for split in splits for document in split]
    assert len(set(titles)) == len(titles)

    def names(documents):
        return {entity[0].name for document in documents for entity in document.entities if entity[0].type != "TIME"}

    for i, split in enumerate(splits):
        others = set().union(*(names(other) for j, other in enumerate(splits) if j != i))
        assert len(names(split) & others) < 0.01 * len(names(split))


def test_large_worlds_do_not_run_out_of_names():
    taken, rng = set(), Random(0)
    regions = [build_region(rng, taken) for _ in range(600)]  # enough for 7,200 documents, and more than 480 countries
    names = [entity.name for region in regions for entity in region.entities if entity.kind != "year"]
    assert len(set(names)) == len(names)


def test_write_corpus(corpus, tmp_path):
    write_corpus(corpus, tmp_path / "new" / "folder")
    folder = tmp_path / "new" / "folder"
    for split in ("silver", "gold_train", "gold_validation", "gold_test"):
        raw = json.loads((folder / f"{split}.json").read_text(encoding="utf-8"))
        assert [Document.from_dict(document) for document in raw] == getattr(corpus, split)
    assert json.loads((folder / "rel_info.json").read_text()) == RELATION_NAMES
    assert json.loads((folder / "truth.json").read_text(encoding="utf-8")) == corpus.truth
    assert len(list(folder.iterdir())) == 6
