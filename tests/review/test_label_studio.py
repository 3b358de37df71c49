"""Tasks and configuration for Label Studio, and what its exports say."""

import json
from xml.etree import ElementTree

import pytest

from finecl_hf.review import label_studio
from finecl_hf.review.tasks import MOST_CHOICES, task_of


RELATIONS = {"P1": 'a <"relation"> & more', "born in": "born in"}


def chosen(name, *values):
    return {"from_name": name, "value": {"choices": list(values)}}


def exported(*annotations, **others):
    data = {"instance_id": "Ada#0#1#born in", "stratum": "worst", "stratum_size": 3}
    return {"data": data, "annotations": list(annotations), **others}


def told(*rows):
    return [(vote.judge, vote.verdict, vote.right_relation) for vote in label_studio.votes(list(rows))]


def test_what_is_written(ada):
    tasks = [task_of(ada, fact, RELATIONS, "worst", 3) for fact in ada.relations[:2]]
    files = label_studio.write(tasks, RELATIONS)
    assert tuple(files) == label_studio.SUFFIXES
    written = json.loads(files[".json"])
    assert [task["data"]["question"] for task in written] == [
        "Ada Lovelace — born in → London", "London — located in → England",
    ]  # fmt: skip
    *regions, arrow = written[0]["predictions"][0]["result"]
    by_id = {region["id"]: region["value"]["text"] for region in regions}
    assert (by_id[arrow["from_id"]], by_id[arrow["to_id"]], arrow["labels"]) == ("Ada Lovelace", "London", ["born in"])
    view = ElementTree.fromstring(files[".xml"])
    assert [relation.get("value") for relation in view.iter("Relation")] == ["born in", "located in"]
    listed = next(choices for choices in view.iter("Choices") if choices.get("name") == "right_relation")
    assert [choice.get("value") for choice in listed] == ['P1: a <"relation"> & more', "born in"]


def test_of_too_many_relations_the_name_is_written():
    relations = {f"r{i}": f"r{i}" for i in range(MOST_CHOICES + 1)}
    view = ElementTree.fromstring(label_studio.configuration({}, relations))
    assert [area.get("name") for area in view.iter("TextArea")] == ["right_relation"]
    assert len(list(view.iter("Choices"))) == 1


def test_the_last_word_of_each_person_counts():
    first = {"completed_by": 1, "result": [chosen("verdict", "right")]}
    last = {"completed_by": 1, "result": [chosen("verdict", "other relation"), chosen("right_relation", "P1")]}
    skipped = {"completed_by": 2, "was_cancelled": True, "result": [chosen("verdict", "wrong")]}
    other = {"completed_by": {"email": "b@c", "id": 3}, "result": [chosen("verdict", "unsure")]}
    assert told(exported(first, skipped, other, last)) == [("1", "other", "P1"), ("b@c", "unsure", "")]
    (vote, *_) = label_studio.votes([exported(first)])
    assert (vote.stratum, vote.stratum_size, vote.where) == ("worst", 3, "task 0")


def test_the_short_export():
    row = {"instance_id": "x", "annotator": 4, "verdict": "Right", "right_relation": ""}
    assert label_studio.is_export([row]) and told(row) == [("4", "right", "")]


def test_several_choices_are_no_verdict():
    """One of them would be taken at random; as no word that is known, it is named and refused."""
    ((_, verdict, _),) = told(exported({"completed_by": 1, "result": [chosen("verdict", "right", "wrong")]}))
    assert verdict not in ("", "right", "wrong") and "right" in verdict


@pytest.mark.parametrize("result", [None, [], [None], [{"from_name": "verdict", "value": None}],
                                    [chosen("verdict")], [chosen("mention", "right")]])  # fmt: skip
def test_nothing_is_said(result):
    assert told(exported({"completed_by": 1, "result": result})) == [("1", "", "")]


def test_tasks_of_others():
    assert list(label_studio.votes([None, {"data": None}, {"data": {"instance_id": 3}}])) == [None, None, None]
    assert told(exported(None, 3), {**exported(), "annotations": None}) == []
    assert not label_studio.is_export([{"fields": {}}, 3])
