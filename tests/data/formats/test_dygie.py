"""SciERC's lines, and those of DyGIE++."""

import copy
import json

import pytest

from finecl_hf.data.readers import iter_documents, read_documents, write_documents
from finecl_hf.errors import DocumentError


RECORD = {
    "doc_key": "X_1",
    "dataset": "scierc",
    "sentences": [["Mira", "Soltan", "lives", "in", "Graz", "."], ["She", "works", "there", "."]],
    "ner": [[[0, 1, "PER", 0.9, 0.8], [4, 4, "LOC"]], [[6, 6, "PER"]]],
    "relations": [[[0, 1, 4, 4, "LIVE-IN", 1.5]], [[6, 6, 8, 8, "WORK-IN"], [6, 6, 0, 1, "SAME"]]],
    "clusters": [[[0, 1], [6, 6]]],
}


def changed(**changes):
    return {key: value for key, value in {**copy.deepcopy(RECORD), **changes}.items() if value != "absent"}


def write(folder, *records):
    path = folder / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, records)))
    return path


def test_relations_between_mentions_become_those_of_their_entities(tmp_path, caplog):
    (document,) = read_documents(write(tmp_path, RECORD))
    mentions = [[(mention.name, mention.sent_id, mention.type) for mention in entity] for entity in document.entities]
    assert mentions == [
        [("Mira Soltan", 0, "PER"), ("She", 1, "PER")], [("Graz", 0, "LOC")], [("there", 1, "")],
    ]  # fmt: skip
    assert [(fact.head, fact.tail, fact.relation) for fact in document.relations] == [
        (0, 1, "LIVE-IN"),
        (0, 2, "WORK-IN"),
    ]
    assert '1 relations of an entity with itself ("SAME" 1)' in caplog.text
    assert document.title == "X_1" and document.text is None


def test_a_record_need_not_have_everything(tmp_path):
    bare, unnamed = changed(doc_key="a", ner="absent", relations="absent", clusters="absent"), changed(clusters=None)
    first, second = read_documents(write(tmp_path, bare, unnamed))
    assert first.entities == [] and not first.labelled
    assert len(second.entities) == 4 and second.labelled


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"doc_key": "absent"}, '"doc_key" is missing'),
        ({"doc_key": []}, "doc_key: expected the name"),
        ({"sentences": [["a"], "b"]}, "sentences: expected a list of sentences"),
        ({"ner": [[]]}, "ner: expected a list for each of the 2 sentences, found 1 lists"),
        ({"ner": [[], 1]}, r"ner\[1\]: expected the list"),
        ({"ner": [[], [1]]}, r"ner\[1\]\[0\]: expected a list"),
        ({"ner": [[], [[1]]]}, r"ner\[1\]\[0\]: expected \[first"),
        ({"ner": [[[0, 1, 2]], []]}, r"ner\[0\]\[0\]: expected the type"),
        ({"ner": [[], [[5, 6, "A"]]]}, r"ner\[1\]\[0\]: \[5, 6\] begins in sentence 0"),
        ({"ner": [[], [[6, 10, "A"]]]}, r"ner\[1\]\[0\]: \[6, 10\] leaves the document, which has 10 words"),
        ({"ner": [[[1, 0, "A"]], []]}, r"ner\[0\]\[0\]: the last word, 0, comes before"),
        ({"relations": [[[0, 1, 4, 4]], []]}, r"relations\[0\]\[0\]: expected \[first, last, first, last, relation\]"),
        ({"relations": [[[0, 1, 4, 4, None]], []]}, r"relations\[0\]\[0\]: expected the name of a relation"),
        ({"relations": [[[0, 1, 4, 4, "NA"]], []]}, r'relations\[0\]\[0\]: "NA" is no relation'),
        ({"clusters": {"a": 1}}, "clusters: expected"),
        ({"clusters": [[1]]}, r"clusters\[0\]: expected a list of places"),
        ({"clusters": [[[0, 1]], [[4, 4], [0, 1]]]}, r"clusters\[1\]: \[0, 1\] is in cluster 0, too"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(changes, told, tmp_path):
    (error,) = iter_documents(write(tmp_path, changed(**changes)), format="dygie")
    with pytest.raises(DocumentError, match=told):
        raise error


def test_unlabelled_documents_and_any_order_of_entities_come_back(tmp_path, ada, caplog):
    ada.entities = ada.entities[::-1]
    ada.relations, ada.labelled = [], False
    write_documents([ada], tmp_path / "b.jsonl", format="dygie")
    assert read_documents(tmp_path / "b.jsonl") == [ada]
    assert not caplog.text


def test_facts_across_sentences_are_written_with_a_warning(tmp_path, ada, caplog):
    ada.relations[1].head, ada.relations[1].tail = 2, 3
    write_documents([ada], tmp_path / "b.jsonl.gz", format="dygie")
    assert "1 facts join entities that are mentioned in no sentence together" in caplog.text
    (again,) = read_documents(tmp_path / "b.jsonl.gz")
    assert [(fact.head, fact.tail) for fact in again.relations] == [(0, 1), (1, 2), (2, 3)]


def test_a_place_of_two_entities_is_refused(tmp_path, ada):
    ada.entities[3] = ada.entities[2]
    with pytest.raises(DocumentError, match='"England" is a mention of two entities'):
        write_documents([ada], tmp_path / "b.jsonl", format="dygie")
