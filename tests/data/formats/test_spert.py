"""SpERT's sentences."""

import copy
import json

import pytest

from finecl_hf.data.readers import iter_documents, read_documents, write_documents
from finecl_hf.errors import DocumentError


RECORD = {
    "tokens": ["Ada", "Byron", "left", "Graz", "."],
    "entities": [{"type": "Peop", "start": 0, "end": 2}, {"type": "Loc", "start": 3, "end": 4}],
    "relations": [{"type": "Live_In", "head": 0, "tail": 1}],
    "orig_id": 1213,
}


def write(folder, *records):
    path = folder / "a.json"
    path.write_text(json.dumps(records))
    return path


def changed(*path, to):
    record = copy.deepcopy(RECORD)
    place = record
    for key in path[:-1]:
        place = place[key]
    if to == "absent":
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return record


def test_a_sentence_is_read(tmp_path):
    without = changed("orig_id", to="absent")
    first, second, third = read_documents(write(tmp_path, RECORD, without, without))
    assert (first.title, first.sentences) == ("1213", [RECORD["tokens"]])
    assert [(entity[0].name, entity[0].type) for entity in first.entities] == [("Ada Byron", "Peop"), ("Graz", "Loc")]
    assert [(fact.head, fact.tail, fact.relation) for fact in first.relations] == [(0, 1, "Live_In")]
    assert second.title.startswith("spert-") and third.title == second.title + "-2"


@pytest.mark.parametrize(
    "path, to, told",
    [
        (["tokens"], "Ada", "tokens: expected a list of words"),
        (["entities"], {}, "entities: expected a list"),
        (["entities", 0], 1, r"entities\[0\]: expected an object"),
        (["entities", 0, "end"], 6, r"entities\[0\]: \[0, 6\) is no span of the 5 tokens"),
        (["entities", 0, "end"], "absent", r'entities\[0\]: the key "end" is missing'),
        (["entities", 0, "type"], 5, r"entities\[0\].type: expected the type"),
        (["relations", 0, "head"], 2, r'relations\[0\]: the relation Live_In is about "2"'),
        (["relations", 0, "head"], None, r"relations\[0\].head: expected an integer"),
        (["relations", 0, "type"], "None", r'relations\[0\]: "None" is no relation'),
        (["orig_id"], [1], "orig_id: expected the name"),
    ],
)
def test_what_is_wrong_is_said(path, to, told, tmp_path):
    (error,) = iter_documents(write(tmp_path, changed(*path, to=to)))
    with pytest.raises(DocumentError, match=told):
        raise error


def test_a_document_becomes_one_sentence(tmp_path, ada, caplog):
    write_documents([ada], tmp_path / "b.json", format="spert")
    (again,) = read_documents(tmp_path / "b.json")
    assert again.sentences == [ada.sentences[0] + ada.sentences[1]] and len(again.relations) == 3
    assert [entity[0].name for entity in again.entities] == [entity[0].name for entity in ada.entities]
    assert "no place for evidence (of 1 documents), mentions (of 1 documents), sentences" in caplog.text
