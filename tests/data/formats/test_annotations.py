"""What Label Studio, doccano and Prodigy have in common."""

import json
import re

import pytest

from finecl_hf.data.formats import formats
from finecl_hf.data.readers import iter_documents, read_documents, write_documents
from tests.helpers.format_examples import DOCCANO, LABEL_STUDIO, PRODIGY
from tests.helpers.random_documents import random_document


FILES = {
    "labelstudio": ("a.json", json.dumps(LABEL_STUDIO, indent=2)),
    "doccano": ("a.jsonl", json.dumps(DOCCANO)),
    "prodigy": ("a.jsonl", json.dumps(PRODIGY)),
}


def made(tmp_path, records):
    (tmp_path / "a.json").write_text(json.dumps(records))
    return tmp_path / "a.json"


@pytest.mark.parametrize("name", FILES)
def test_the_export_is_read(name, tmp_path):
    file, text = FILES[name]
    (tmp_path / file).write_text(text)
    (document,) = read_documents(tmp_path / file)
    assert document == read_documents(tmp_path / file, format=name)[0] and document.labelled
    assert [(entity[0].name, entity[0].type) for entity in document.entities] == [("Ada", "PER"), ("Babbage", "PER")]
    assert [(fact.head, fact.relation, fact.tail) for fact in document.relations] == [(0, "knows", 1)]
    assert document.text == "Ada met Babbage in London." and document.pairs is None


@pytest.mark.parametrize(
    "record, told",
    [
        (
            {**DOCCANO, "relations": [{"from_id": 1, "to_id": 9, "type": "x"}]},
            r"relations\[0\]: .* about \"9\", which no mention has",
        ),
        ({**DOCCANO, "relations": [{"from_id": 1, "to_id": 2, "type": None}]}, r"relations\[0\]: expected the name"),
        ({**DOCCANO, "relations": [{"from_id": [], "to_id": 2, "type": "x"}]}, r"relations\[0\]: expected an id"),
        ({**DOCCANO, "entities": [DOCCANO["entities"][0]] * 2}, r"entities\[1\]: another span has the id int 1"),
        ({**DOCCANO, "text": ""}, "text: expected text, found str"),
        ({**DOCCANO, "relations": {"from_id": 1}, "entities": DOCCANO["entities"]}, "relations: expected a list"),
        (
            {**PRODIGY, "relations": [{"head": 9, "child": 0, "label": "x"}]},
            r"relations\[0\].head: there is no token 9",
        ),
        ({**PRODIGY, "spans": [{"start": 0, "end": 99}]}, r"spans\[0\]: .*leaves the text"),
    ],
)
def test_what_is_wrong_is_said(record, told, tmp_path):
    (error,) = iter_documents(made(tmp_path, [record]))
    assert re.search(told, str(error)), error


@pytest.mark.parametrize("name", FILES)
def test_documents_without_labels_types_or_entities(name, tmp_path):
    documents = [document for document in map(random_document, range(20)) if document.entities][:3]
    documents[0].entities, documents[0].relations = [], []
    for entity in documents[1].entities:
        entity[0].type = ""
    documents[2].labelled, documents[2].relations = False, []
    write_documents(documents, tmp_path / "a", format=name)
    again = read_documents(tmp_path / "a", format=name)
    assert [document.text for document in again] == [document.text for document in documents]
    assert not again[0].entities and not any(entity[0].type for entity in again[1].entities)
    assert again[2].labelled != ("unlabelled" in formats()[name].holds)
