"""Names found in a text."""

import pytest

from finecl_hf.data.occurrences import occurrences, places_of_names


@pytest.mark.parametrize(
    "text, name, found",
    [
        ("Ada met Adam.", "Ada", [(0, 3)]),  # a whole word, not a part
        ("Adam and Adamson", "Ada", [(0, 3), (9, 12)]),  # parts, where there is no whole word
        ("ada met Ada.", "Ada", [(8, 11)]),  # its own case before any
        ("ada met ADA.", "Ada", [(0, 3), (8, 11)]),
        ("New\n York", "New York", [(0, 9)]),
        ("a (b+ c", "(b+", [(2, 5)]),  # no pattern
        ("東京に住む", "東京", [(0, 2)]),
        ("Ada", "Bob", []),
        ("Ada", "  ", []),
        ("x" * 3000, "x" * 2000, []),
    ],
)
def test_occurrences(text, name, found):
    assert occurrences(text, name) == found


def test_a_part_of_a_longer_name_is_no_occurrence_where_the_name_stands_alone_too():
    text = "Ada Lovelace wrote. Ada slept."
    assert places_of_names(text, ["Ada", "Ada Lovelace"]) == {"ada": [(20, 23)], "adalovelace": [(0, 12)]}
    assert places_of_names("Ada Lovelace", ["Ada", "Ada Lovelace"])["ada"] == [(0, 3)]
    assert places_of_names(text, ["Zoe"]) == {"zoe": []}
