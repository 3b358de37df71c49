"""Records for Argilla, and whose responses count."""

import json

import pytest

from finecl_hf.data.documents import Fact
from finecl_hf.review import argilla
from finecl_hf.review.tasks import MOST_CHOICES, task_of


RELATIONS = {"born in": "born in", "P36": "capital of"}


def answers(*given):
    """A record of which people say something: (value, user, status)."""
    found = [{"value": value, "user_id": user, "status": status} for value, user, status in given]
    return {"id": "Ada#0#1#born in", "fields": {}, "metadata": {}, "responses": {"verdict": found}}


def flat(*given):
    values, users, status = zip(*given, strict=True)
    return {"id": "Ada#0#1#born in", "verdict.responses": list(values), "verdict.responses.users": list(users),
            "verdict.responses.status": list(status)}  # fmt: skip


def test_what_is_written(ada):
    files = argilla.write([task_of(ada, ada.relations[0], RELATIONS, "worst", 7)], RELATIONS)
    assert tuple(files) == argilla.SUFFIXES
    (record,) = map(json.loads, files[".jsonl"].splitlines())
    spans = record["suggestions"]["mention"]["value"]
    found = {(span["label"], record["fields"]["text"][span["start"] : span["end"]]) for span in spans}
    assert found == {("head", "Ada Lovelace"), ("tail", "London")}
    assert record["metadata"] == {"relation": "born in", "stratum": "worst", "stratum_size": 7}
    settings = json.loads(files[".settings.json"])
    hidden = {field["name"]: field["visible_for_annotators"] for field in settings["metadata"]}
    assert hidden == {"relation": True, "stratum": False, "stratum_size": False}  # it would tell what is expected
    right = next(question for question in settings["questions"] if question["name"] == "right_relation")
    assert [option["value"] for option in right["settings"]["options"]] == ["P36", "born in"]


@pytest.mark.parametrize("count", [1, MOST_CHOICES + 1])
def test_of_one_relation_or_too_many_nobody_can_choose(ada, count):
    files = argilla.write([task_of(ada, Fact(0, 1, "r0"), {})], {f"r{i}": f"r{i}" for i in range(count)})
    settings = json.loads(files[".settings.json"])
    assert settings["questions"][1]["settings"]["type"] == "text"


@pytest.mark.parametrize("record", [answers, flat])
def test_drafts_and_discarded_answers_do_not_count(record):
    rows = [record(("right", "a", "submitted"), ("wrong", "b", "discarded"), ("wrong", "c", "draft"))]
    assert argilla.is_export(rows)
    assert [(vote.judge, vote.verdict) for vote in argilla.votes(rows)] == [("a", "right")]


def test_relations_go_with_those_who_named_them():
    row = flat(("other relation", "a", "submitted"), ("Wrong", "b", "submitted")) | {
        "right_relation.responses": ["P2", "P3"], "right_relation.responses.users": ["b", "a"],
        "stratum": "random", "stratum_size": 9,
    }  # fmt: skip
    found = [(vote.judge, vote.verdict, vote.right_relation) for vote in argilla.votes([row])]
    assert found == [("a", "other", "P3"), ("b", "wrong", "P2")]
    assert {(vote.stratum, vote.stratum_size) for vote in argilla.votes([row])} == {("random", 9)}


def test_people_without_a_name_are_several():
    row = {"id": "x", "verdict.responses": ["right", "wrong"]}
    assert [(vote.judge, vote.verdict) for vote in argilla.votes([row])] == [("0", "right"), ("1", "wrong")]


def test_records_of_others():
    assert list(argilla.votes([None, {"id": 3}, {"fields": {}}])) == [None, None, None]
    assert not argilla.is_export([{"data": {}}, 3])
    odd = [{"id": "x", "responses": responses} for responses in (None, [], {"verdict": 3}, {"verdict": [3]})]
    assert list(argilla.votes(odd)) == []
