"""Entities that are what has one identifier."""

import pytest

from finecl_hf.data.identifiers import entities_by_identifier, identifiers
from finecl_hf.data.spans import Span


@pytest.mark.parametrize(
    "known_as, found",
    [
        ("D001", ["D001"]),
        ("D001,D002", ["D001", "D002"]),
        (" D001 , D001", ["D001"]),
        ("D001|D002", ["D001", "D002"]),  # CDR
        ("-1|D002", ["D002"]),
        ("c|DEL|12_13|", ["c|DEL|12_13|"]),  # BioRED's variants
        ("-", [""]),
        ("-1", [""]),
        ("", [""]),
    ],
)
def test_identifiers_of_a_mention(known_as, found):
    assert identifiers(known_as) == found


def test_mentions_belong_to_each_of_their_identifiers():
    one, both = Span(0, 3, "Drug", name="Asa"), Span(5, 8, "Drug", name="Bsa")
    found = entities_by_identifier([(one, ["A"]), (both, ["B", "A"])])
    assert {key: [(span.start, span.kb_id) for span in spans] for key, spans in found.items()} == {
        "A": [(0, "A"), (5, "A")],
        "B": [(5, "B")],
    }


def test_mentions_without_one_belong_to_their_name_and_type():
    spans = [Span(0, 3, "Drug", name="Asa"), Span(5, 8, "Drug", name="ASA"), Span(9, 12, "Gene", name="Asa")]
    found = entities_by_identifier([(span, [""]) for span in spans])
    assert [[span.start for span in entity] for entity in found.values()] == [[0, 5], [9]]
