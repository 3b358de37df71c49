"""Mentions are read as recognisers give them, and what does not stand in the text is said."""

import numpy as np
import pytest

from finecl_hf.data.spans import Span
from finecl_hf.errors import DocumentError
from finecl_hf.extraction.recognition.mentions import is_mention, mention_of, mentions_of


TEXT = "Marie Curie was born in Warsaw."


@pytest.mark.parametrize(
    "raw",
    [
        {"start": 0, "end": 11, "label": "PER"},
        {"start": 0, "end": 11, "type": "PER", "text": "Marie  Curie", "score": 0.9},
        {"start": np.int64(0), "end": 12, "entity_group": "PER", "word": "marie cur##ie"},
        {"start": 0, "end": 11, "entity": "B-PER", "word": "[UNK] Curie"},
        (0, 11, "PER"),
        [0, 11, "PER"],
        Span(0, 11, "PER", name="Marie Curie"),
    ],
)
def test_one_mention_in_many_ways(raw):
    found = mention_of(raw, TEXT)
    assert (found.start, found.end, found.type, found.kb_id) == (0, 11, "PER", "")
    assert is_mention(raw)


def test_identifiers_are_kept():
    assert mention_of({"start": 0, "end": 5, "id": 7}, TEXT).kb_id == "7"
    assert mention_of({"start": 0, "end": 5, "kb_id": "Q1", "id": 7}, TEXT).kb_id == "Q1"


@pytest.mark.parametrize(
    "raw, words",
    [
        (
            {"start": 1, "end": 11, "text": "Marie Curie"},
            r'\[1, 11\) reads "arie Curie", but the mention is "Marie Cur',
        ),
        ({"start": 0, "end": 5, "word": "Curie"}, 'reads "Marie", but the mention is "Curie"'),
        ({"start": 5, "end": 5}, "empty"),
        ({"start": 6, "end": 5}, "reversed"),
        ({"start": -1, "end": 5}, "leaves the text, which has 31"),
        ({"start": 0, "end": 32}, "leaves the text, which has 31"),
        ({"start": 5, "end": 6}, "white space"),
        ({"start": None, "end": 6}, "e.start: expected a number of characters, found null"),
        ({"start": True, "end": 6}, "expected a number"),
        ({"start": 0.0, "end": 6}, "expected a number"),
        ({"end": 6}, 'the key "start" is missing'),
        ({"start": 0, "end": 5, "label": ["PER"]}, "e.label: expected a string"),
        ({"start": 0, "end": 5, "text": 3}, "e.text: expected a string"),
        ({"start": 0, "end": 5, "label": "\ud800"}, "half of a character"),
        ("Marie", 'found str "Marie"'),
        (None, "found null"),
    ],
)
def test_a_mention_that_is_none_is_a_sentence(raw, words):
    with pytest.raises(DocumentError, match=words):
        mention_of(raw, TEXT, "e")


def test_a_list_of_them_is_in_order_and_once_each():
    found = mentions_of([(24, 30, "LOC"), (0, 11, "PER"), (0, 11, "PER"), (0, 5, "PER")], TEXT)
    assert [(span.start, span.end) for span in found] == [(0, 11), (0, 5), (24, 30)]
    for wrong in ("Marie", {"start": 0, "end": 3}, None, 3):
        with pytest.raises(DocumentError, match="expected a list of spans"):
            mentions_of(wrong, TEXT)
