"""Relations between what a source calls its entities by."""

import pytest

from finecl_hf.data.formats import NOTES
from finecl_hf.data.relating import ITSELF, Related, labels_between
from finecl_hf.errors import DocumentError


NUMBERS = {"T1": 0, "T2": 1, "T3": 0}


def test_labels_go_by_entities():
    relations = [Related("owns", "T2", "T1", "line 1"), Related("near", "T1", "T2", "line 2", {"score": 0.5})]
    found = labels_between(relations, NUMBERS)
    assert found["labels"] == [
        {"h": 1, "t": 0, "r": "owns", "evidence": []},
        {"h": 0, "t": 1, "r": "near", "evidence": [], "score": 0.5},
    ]
    assert not found[NOTES]


def test_a_relation_of_an_entity_with_itself_is_noted():
    found = labels_between([Related("is", "T1", "T3")], NUMBERS)
    assert found["labels"] == [] and found[NOTES] == [(ITSELF, "is")]


@pytest.mark.parametrize(
    "relation, told",
    [
        (Related("owns", "T1", "T9", "line 3"), 'line 3: .*"T9"'),
        (Related(None, "T1", "T2", "line 3"), "line 3: expected the name of a relation"),
        (Related(" ", "T1", "T2", "line 3"), "line 3: expected the name of a relation"),
        (Related("NA", "T1", "T2", "line 3"), 'line 3: "NA" is no relation'),
    ],
)
def test_what_is_wrong_is_said(relation, told):
    with pytest.raises(DocumentError, match=told):
        labels_between([relation], NUMBERS)
