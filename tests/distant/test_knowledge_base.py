import json
import os
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest

from finecl_hf.data.documents import Document
from finecl_hf.data.readers import read_documents
from finecl_hf.distant.knowledge_base import KnowledgeBase, project
from finecl_hf.distant.projection import project_files
from tests.helpers.small_documents import small_document as _document
from tests.helpers.small_documents import triples as _triples


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


@pytest.mark.real
def test_a_table_of_the_facts_of_redocred_gives_the_same_as_its_documents(tmp_path):
    if "FINECL_REAL_DATA" not in os.environ:
        pytest.skip("FINECL_REAL_DATA does not name the folder of the real corpora")
    folder = Path(os.environ["FINECL_REAL_DATA"])
    knowledge, unlabelled = folder / "redocred/dev_revised.json", folder / "docred/test_unlabelled.json"
    with open(tmp_path / "facts.tsv", "w", encoding="utf-8") as file:
        for document in read_documents(knowledge):
            for fact in document.relations:
                for head in document.entity_names(fact.head):
                    for tail in document.entity_names(fact.tail):  # some names hold line ends
                        file.write("\t".join(" ".join(x.split()) for x in (head, fact.relation, tail)) + "\n")
    by_documents = project_files(str(unlabelled), str(knowledge), str(tmp_path / "a.json"))
    by_table = project_files(str(unlabelled), str(tmp_path / "facts.tsv"), str(tmp_path / "b.json"))
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert by_table.labels == by_documents.labels and by_table.labels.total() == 2947
    assert by_table.join.top_pairs == by_documents.join.top_pairs
    assert by_table.join.facts == by_documents.join.facts == 2665
