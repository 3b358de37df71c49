"""Where names stand in a text that gives no positions for them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from finecl_hf.data.positions import squeeze


_LONGEST_NAME = 1000  # characters; whatever is longer is no name


def occurrences(text: str, name: str) -> list[tuple[int, int]]:
    """[start, end) of each occurrence of a name, in order.

    Whole words count before parts of words, and of these the same case before any; white space may differ.
    """
    pieces = [re.escape(piece) for piece in name.split()]
    if not pieces or len(name) > _LONGEST_NAME:
        return []
    pattern = r"\s+".join(pieces)
    for wanted in (rf"(?<!\w){pattern}(?!\w)", pattern):
        for flags in (0, re.IGNORECASE):
            if found := [match.span() for match in re.finditer(wanted, text, flags)]:
                return found
    return []


def places_of_names(text: str, names: Iterable[str]) -> dict[str, list[tuple[int, int]]]:
    """All occurrences of each name, by [`squeeze`]d name; none of one that is not in the text.

    What lies inside a longer name is no occurrence of a shorter one that stands elsewhere, too: "Ada" of "Ada
    Lovelace".
    """
    by_key = {squeeze(name): name for name in names}
    taken: list[tuple[int, int]] = []
    found = {}
    for key in sorted(by_key, key=lambda key: (-len(key), key)):
        places = occurrences(text, by_key[key])
        alone = [place for place in places if not any(_overlap(place, other) for other in taken)]
        found[key] = alone or places
        taken += alone
    return {key: found[key] for key in by_key}


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]
