"""Label Studio's exports."""

import copy
import json
from xml.etree import ElementTree

import pytest

from finecl_hf.data.formats.labelstudio import labelling_config
from finecl_hf.data.readers import read_documents
from finecl_hf.errors import DocumentError
from tests.helpers.format_examples import LABEL_STUDIO
from tests.helpers.random_documents import random_document


def read(tmp_path, *tasks):
    (tmp_path / "a.json").write_text(json.dumps(tasks))
    return read_documents(tmp_path / "a.json")


@pytest.fixture
def task():
    return copy.deepcopy(LABEL_STUDIO[0])


@pytest.mark.parametrize("direction, facts", [("right", [(0, 1)]), ("left", [(1, 0)]), ("bi", [(0, 1), (1, 0)])])
def test_arrows_point_where_they_point(direction, facts, task, tmp_path):
    task["annotations"][1]["result"][2]["direction"] = direction
    (document,) = read(tmp_path, task)
    assert [(fact.head, fact.tail) for fact in document.relations] == facts


def test_the_first_annotation_counts(task, tmp_path, caplog):
    task["annotations"].append({"id": 4, "result": []})
    (document,) = read(tmp_path, task)
    assert len(document.relations) == 1 and document.title == "6"
    assert 'annotations beside the first of a task, which is read ("6" 1)' in caplog.text


def test_predictions_count_where_there_are_no_annotations(task, tmp_path):
    predicted = {**task, "annotations": [], "predictions": task["annotations"][1:]}
    bare = {**task, "id": 7, "annotations": [task["annotations"][0]]}
    first, second = read(tmp_path, predicted, bare)
    assert len(first.relations) == 1 and first.labelled
    assert not second.labelled and not second.entities


@pytest.mark.parametrize("data", [{"body": "T"}, {"body": "T", "title": "x"}, {"text": "T", "other": "x", "id": 5}])
def test_the_key_of_the_text_and_the_title(data, task, tmp_path):
    data = {key: task["data"]["text"] if value == "T" else value for key, value in data.items()}
    task["data"] = data
    for result in task["annotations"][1]["result"]:
        result.pop("to_name", None)
    (document,) = read(tmp_path, task)
    assert document.text.startswith("Ada met") and document.title == str(data.get("title") or data.get("id") or 6)


def test_what_holds_no_relations_is_said(task, tmp_path):
    with pytest.raises(DocumentError, match="JSON-MIN, which holds no relations; export the project as JSON"):
        read(tmp_path, {"id": 1, "text": "Ada", "label": [], "annotator": 1, "annotation_id": 2})
    task["annotations"][1]["result"][0]["value"]["text"] = "Bob"
    with pytest.raises(DocumentError, match=r'annotations\[1\].result\[0\].value: .*reads "Ada", but the mention is'):
        read(tmp_path, task)


def test_the_configuration_names_types_and_relations():
    documents = [random_document(seed) for seed in range(8)]
    documents[0].relations = documents[1].relations = []
    documents[2].entities[0][0].type = 'a<"b'
    view = ElementTree.fromstring(labelling_config(documents))
    labels = [label.get("value") for label in view.iter("Label")]
    assert 'a<"b' in labels and {"T0", "T1"} <= set(labels)
    assert {relation.get("value") for relation in view.iter("Relation")} == {
        fact.relation for document in documents for fact in document.relations
    }
