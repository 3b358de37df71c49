"""Codes from which a judge cannot tell why a label was chosen."""

from itertools import product

import pytest

from finecl_hf.review.blinding import opened, sealed


@pytest.mark.parametrize(("stratum", "size"), [("worst", 200), ("random", 2**40), ("", 0), ("missing", 7)])
def test_sealed_strata(stratum, size):
    code = sealed(stratum, size, "Ada#0#1#P1")
    assert opened(code, "Ada#0#1#P1") == (stratum, size)
    assert opened(code, "Ada#0#1#P2") != (stratum, size) or not size  # of another label
    assert opened(code[:-1], "Ada#0#1#P1") == opened("x" + code[::-1], "Ada#0#1#P1") == opened("", "a") == ("", 0)


def test_nothing_of_a_code_tells_its_stratum():
    """No sign but the first, which is the same for all, is common to the codes of a stratum and no others."""
    strata = [("worst", 200), ("random", 4000), ("missing", 100)]
    codes = {
        stratum: [sealed(stratum, size, f"Ada#{head}#{tail}#P1") for head, tail in product(range(20), repeat=2)]
        for stratum, size in strata
    }
    signs = [[set(place) for place in zip(*found, strict=True)] for found in codes.values()]
    assert signs[0] == signs[1] == signs[2] and len(signs[0][1]) == 32


def test_codes_of_older_exports():
    assert opened("sQVPH3MWANEKQT3JS", "Ada#0#1#P1") == ("worst", 200)
