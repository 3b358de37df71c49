"""Types by the names that a model knows."""

import pytest

from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.recognition.types import as_known, known_types


@pytest.mark.parametrize(
    "found, known, name",
    [
        ("PERSON", {"PER", "LOC"}, "PER"),
        ("person", {"PER", "LOC"}, "PER"),
        ("GPE", {"PER", "LOC"}, "LOC"),
        ("GPE", {"GPE", "LOC"}, "GPE"),
        ("DATE", {"TIME"}, "TIME"),
        ("PER", {"Person"}, "Person"),
        ("work of art", {"MISC"}, "MISC"),
        ("Gene", {"PER"}, "Gene"),
        ("PERSON", set(), "PERSON"),
        ("", {"PER"}, ""),
    ],
)
def test_as_the_model_knows_it(found, known, name):
    assert as_known(found, known) == name


def test_what_a_model_knows():
    assert known_types(FineCLConfig()) == frozenset()
    config = FineCLConfig(entity_types=["PER"], type_constraints={"P19": [["PER", "LOC"]]})
    assert known_types(config) == {"PER", "LOC"}
