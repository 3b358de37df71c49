import json
import os
from collections import Counter
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest

from finecl_hf.distant import KnowledgeBase, exclude_entity_pairs, flip_labels, project
from finecl_hf.documents import Document, Mention, Relation
from finecl_hf.errors import FineCLError


def _document(title, names, facts, **others):
    """One sentence; an entity for each name, or for each list of names."""
    words, entities = [], []
    for entity in names:
        mentions = []
        for name in [entity] if isinstance(entity, str) else entity:
            mentions.append(Mention(name, 0, len(words), len(words) + 1, "MISC"))
            words.append(name)
        entities.append(mentions)
    return Document(title, [words], entities, [Relation(*fact) for fact in facts], **others)


def _triples(document):
    return [(fact.head, fact.tail, fact.relation) for fact in document.relations]


@pytest.fixture
def many():
    """40 documents of 4 facts over 5 relations; one pair holds two of them."""
    return [
        _document(
            f"d{i}",
            [f"a{i}", f"b{i}", f"c{i}"],
            [(0, 1, f"r{i % 5}"), (0, 1, f"r{(i + 1) % 5}"), (1, 2, f"r{(i + 2) % 5}"), (2, 0, f"r{(i + 3) % 5}")],
        )
        for i in range(40)
    ]


def test_knowledge_base_knows_every_combination_of_names_in_one_direction():
    kb = KnowledgeBase.from_documents([_document("d", [["Ada Lovelace", "Ada"], ["London", "UK"]], [(0, 1, "born")])])
    assert len(kb) == 4
    assert kb.relations(["ADA"], ["nowhere", "uk"]) == {"born"}
    assert kb.relations(["uk"], ["ada"]) == set()
    kb.add(["ada"], "lived", ["uk"])
    kb.add(["Ada"], "lived", ["UK"])
    assert len(kb) == 5
    assert kb.relations(["ada"], ["uk"]) == {"born", "lived"}


def test_project_labels_all_relations_of_any_names_sorted(ada):
    kb = KnowledgeBase.from_documents([ada])
    kb.add(["LOVELACE"], "visited", ["charles babbage"])
    kb.add(["lovelace"], "visited", ["lovelace"])  # one entity is never paired with itself
    unlabelled = replace(ada, relations=[], labelled=False)
    before = deepcopy(unlabelled)
    (silver,) = project([unlabelled], kb)
    assert _triples(silver) == [(0, 1, "born in"), (0, 3, "visited"), (1, 2, "capital of"), (1, 2, "located in")]
    assert silver.labelled and all(fact.evidence == [] for fact in silver.relations)
    assert unlabelled == before


def test_project_ignores_old_labels_and_keeps_documents_without_new_ones(ada, curie):
    before = deepcopy(ada)
    silver = project([ada, curie], KnowledgeBase())
    assert [document.title for document in silver] == ["Ada", "Curie"]
    assert all(document.relations == [] and document.labelled for document in silver)
    assert ada == before


def test_project_labels_judged_pairs_only():
    kb = KnowledgeBase.from_documents([_document("d", ["a", "b", "c"], [(0, 1, "r"), (1, 2, "r")])])
    (silver,) = project([_document("s", ["a", "b", "c"], [], pairs=[(1, 2)])], kb)
    assert _triples(silver) == [(1, 2, "r")]
    assert Document.from_dict(silver.to_dict()) == silver


def test_exclude_drops_pairs_of_held_out_facts_whatever_the_relation():
    documents = [_document("d", [["Ada", "Lovelace"], "London", "Paris"], [(0, 1, "r"), (1, 0, "q"), (0, 2, "r")])]
    held_out = [_document("h", ["LOVELACE", "london", "paris"], [(0, 1, "another")])]
    before = deepcopy(documents)
    kept, removed = exclude_entity_pairs(documents, held_out)
    assert removed == 1 and _triples(kept[0]) == [(1, 0, "q"), (0, 2, "r")]
    assert documents == before


def test_exclude_takes_all_pairs_of_unlabelled_documents():
    documents = [_document("d", ["Ada", "London", "Paris"], [(0, 1, "r"), (1, 0, "q"), (0, 2, "r")])]
    kept, removed = exclude_entity_pairs(documents, [_document("h", ["ada", "london"], [], labelled=False)])
    assert removed == 2 and _triples(kept[0]) == [(0, 2, "r")]


def test_exclude_leaves_no_false_na_where_pairs_are_explicit():
    sentence = _document("s", ["a", "b"], [(0, 1, "r")], pairs=[(0, 1)])
    other = _document("o", ["a", "b", "c"], [(0, 1, "r"), (1, 2, "q")], pairs=[(0, 1), (1, 2)])
    negative = _document("n", ["x", "y"], [], pairs=[(0, 1)])
    kept, removed = exclude_entity_pairs([sentence, other, negative], [sentence])
    assert removed == 2
    assert [(document.title, document.pairs) for document in kept] == [("o", [(1, 2)]), ("n", [(0, 1)])]


@pytest.mark.parametrize("kind", ["uniform", "pair"])
@pytest.mark.parametrize("rate", [0.0, 0.13, 0.4, 1.0])
def test_flip_count_is_exact_and_truth_is_right(many, kind, rate):
    before = deepcopy(many)
    noisy, is_clean = flip_labels(many, rate, kind)
    assert many == before
    assert list(is_clean.values()).count(False) == round(rate * 160)
    assert set(is_clean) == {document.instance_id(fact) for document in noisy for fact in document.relations}
    for original, document in zip(many, noisy, strict=True):
        gold = set(_triples(original))
        assert len(set(_triples(document))) == len(document.relations) == len(original.relations)
        for fact, triple in zip(document.relations, _triples(document), strict=True):
            assert is_clean[document.instance_id(fact)] == (triple in gold)  # a flip never lands on a gold label


@pytest.mark.parametrize("kind", ["uniform", "pair"])
def test_flip_does_not_depend_on_the_order_of_documents(many, kind):
    noisy, is_clean = flip_labels(many, 0.4, kind, seed=3)
    again, is_clean_again = flip_labels(many[::-1], 0.4, kind, seed=3)
    assert again[::-1] == noisy and is_clean_again == is_clean
    assert flip_labels(many, 0.4, kind, seed=4)[1] != is_clean


def test_pair_flip_goes_to_the_next_relation_that_its_pair_does_not_hold():
    others = _document("others", ["a", "b"], [(0, 1, "r2"), (1, 0, "r3")])
    noisy, _ = flip_labels([others, _document("d", ["a", "b"], [(0, 1, "r0"), (0, 1, "r1")])], 1.0, "pair")
    assert _triples(noisy[0]) == [(0, 1, "r3"), (1, 0, "r0")]
    assert _triples(noisy[1]) == [(0, 1, "r2"), (0, 1, "r3")]  # r0 cannot become r1, a gold label of the pair


def test_uniform_flip_reaches_every_other_relation():
    documents = [_document(f"d{i}", ["a", "b"], [(0, 1, f"r{i % 4}")]) for i in range(800)]
    noisy, _ = flip_labels(documents, 1.0)
    moves = Counter((before.label, after.label) for before, after in zip(documents, noisy, strict=True))
    assert len(moves) == 12 and min(moves.values()) > 40  # 800 / 12 = 67 expected


def test_flip_explains_what_it_cannot_do(many):
    with pytest.raises(FineCLError, match="rate"):
        flip_labels(many, 1.5)
    with pytest.raises(FineCLError, match="kind"):
        flip_labels(many, 0.5, "circular")
    with pytest.raises(FineCLError, match="only 0 of 1"):
        flip_labels([_document("d", ["a", "b"], [(0, 1, "r")])], 1.0)


@pytest.mark.real
def test_projection_of_redocred_has_the_measured_noise():
    if "FINECL_REAL_DATA" not in os.environ:
        pytest.skip("FINECL_REAL_DATA does not name the folder of the real corpora")
    folder = Path(os.environ["FINECL_REAL_DATA"])

    def read(name):
        return [Document.from_dict(raw) for raw in json.loads((folder / name).read_text())]

    kb = KnowledgeBase.from_documents(read("redocred/dev_revised.json"))
    test = read("redocred/test_revised_first250.json")
    silver = project(test, kb)
    gold = {document.instance_id(fact) for document in test for fact in document.relations}
    labels = [document.instance_id(fact) for document in silver for fact in document.relations]
    assert len(labels) == 815 and len(gold & set(labels)) == 552
    assert sum(bool(document.relations) for document in silver) == 136
    more = project(read("docred/test_unlabelled.json"), kb)
    assert sum(len(document.relations) for document in more) == 2947
    assert sum(bool(document.relations) for document in more) == 563
