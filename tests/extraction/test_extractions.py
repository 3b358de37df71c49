"""What was extracted from one input, as JSON."""

import json
from dataclasses import replace

from finecl_hf.errors import DocumentError
from finecl_hf.extraction.extractions import Extraction


def test_entities_stand_in_the_text(ada):
    found = Extraction("Ada", ada).to_dict()
    assert found["title"] == "Ada" and found["triples"] == []
    assert [mention["text"] for mentions in found["entities"] for mention in mentions] == [
        "Ada Lovelace", "Lovelace", "London", "England", "Charles Babbage",
    ]  # fmt: skip
    for mention in (mention for mentions in found["entities"] for mention in mentions):
        assert found["text"][mention["start"] : mention["end"]] == mention["text"] and "kb_id" not in mention
    json.dumps(found)


def test_identifiers_are_kept(ada):
    entities = [[replace(mention, kb_id="Q7259") for mention in ada.entities[0]], *ada.entities[1:]]
    first, second = Extraction(None, replace(ada, entities=entities)).entities[:2]
    assert {mention["kb_id"] for mention in first} == {"Q7259"} and "kb_id" not in second[0]


def test_errors_say_which_input():
    error = DocumentError("it is empty")
    told = [Extraction(item, error=error).to_dict() for item in ({"title": "t"}, {"id": 3}, {"title": []}, "text")]
    assert [found.get("title") for found in told] == ["t", "3", None, None]
    assert all("it is empty" in found["error"] for found in told)
