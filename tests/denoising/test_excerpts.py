"""The words that show a fact: the right sentences, the right marks."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finecl_hf.data.documents import Document, Fact, Mention
from finecl_hf.denoising.excerpts import CONTEXT, GAP, LONGEST, excerpt, marked_stretches


def document(sentences, head, tail):
    """Mentions as (sentence, start, end)."""
    entities = [[Mention("name", *place) for place in places] for places in (head, tail)]
    return Document("d", [sentence.split() for sentence in sentences], entities, [Fact(0, 1, "r")])


def shown(*arguments):
    """The excerpt as one string: [head], <tail>, {both}."""
    made = document(*arguments)
    fences = {"": ("", ""), "head": "[]", "tail": "<>", "both": "{}"}
    return "".join(fences[role][0] + text + fences[role][1] for text, role in excerpt(made, made.relations[0]))


LONG = " ".join(f"w{i}" for i in range(100))


@pytest.mark.parametrize(
    "sentences, head, tail, expected",
    [
        (["Ada Lovelace was born in London ."], [(0, 0, 2)], [(0, 5, 6)], "[Ada Lovelace] was born in <London>."),
        (["In London Ada lived ( 1815 )"], [(0, 2, 3)], [(0, 1, 2)], "In <London> [Ada] lived (1815)"),
        # nested, either way round, and overlapping
        (["The University of London ."], [(0, 1, 4)], [(0, 3, 4)], "The [University of ]{London}."),
        (["London School of Economics is"], [(0, 0, 1)], [(0, 0, 4)], "{London}< School of Economics> is"),
        (["a b c d e f"], [(0, 1, 4)], [(0, 2, 5)], "a [b ]{c d}< e> f"),
        (["a b c d e f"], [(0, 1, 5)], [(0, 2, 3)], "a [b ]{c}[ d e] f"),
        (["a b c"], [(0, 1, 2)], [(0, 1, 2)], "a {b} c"),
        # mentions of one entity: touching ones are two, overlapping ones are one
        (["Ada Ada Lovelace saw London"], [(0, 0, 1), (0, 1, 3)], [(0, 4, 5)], "[Ada] [Ada Lovelace] saw <London>"),
        (["Ada Lovelace saw London"], [(0, 0, 2), (0, 1, 2)], [(0, 3, 4)], "[Ada Lovelace] saw <London>"),
        # a mention from bracket to bracket, without spaces between words
        (["see Apple ( US ) now"], [(0, 1, 5)], [(0, 3, 4)], "see [Apple (]{US}[)] now"),
        # other sentences: the one with both, then the nearest two
        (["x Ada y", "Ada z London", "London"], [(0, 1, 2), (1, 0, 1)], [(1, 2, 3), (2, 0, 1)], "[Ada] z <London>"),
        (["Ada came .", "To London ."], [(0, 0, 1)], [(1, 1, 2)], "[Ada] came. To <London>."),
        (["Ada came .", "x", "To London ."], [(0, 0, 1)], [(2, 1, 2)], "[Ada] came. … To <London>."),
        (["London", "x", "y", "Ada", "z London"], [(3, 0, 1)], [(0, 0, 1), (4, 1, 2)], "[Ada] z <London>"),
        (["Tail then", "x", "Head Tail"], [(2, 0, 1)], [(0, 0, 1), (2, 1, 2)], "[Head] <Tail>"),
        # of several sentences with both, the one where they are closest; one inside the other counts least
        (["A x x B", "A x B"], [(0, 0, 1), (1, 0, 1)], [(0, 3, 4), (1, 2, 3)], "[A] x <B>"),
        (["The A of B", "A x x B"], [(0, 1, 4), (1, 0, 1)], [(0, 3, 4), (1, 3, 4)], "[A] x x <B>"),
        # right-to-left and combining words stay whole
        (["وُلد نذير في لاهور ।"], [(0, 1, 2)], [(0, 3, 4)], "وُلد [نذير] في <لاهور> ।"),
    ],
)
def test_what_is_shown(sentences, head, tail, expected):
    assert shown(sentences, head, tail) == expected


def test_long_sentences_are_cut_around_the_mentions():
    text = shown([LONG], [(0, 40, 41)], [(0, 44, 45)])
    words = text.split()
    assert words[0] == words[-1] == "…"
    assert words[1] == f"w{40 - CONTEXT}" and words[-2] == f"w{44 + CONTEXT}" and "[w40] w41 w42 w43 <w44>" in text


def test_two_windows_of_one_sentence():
    text = shown([LONG], [(0, 3, 4)], [(0, 90, 91)])
    assert text.startswith("w0 w1 w2 [w3]") and f"w{3 + CONTEXT} … w{90 - CONTEXT}" in text
    assert text.endswith("w99")  # nine words from the end: two past the context, not worth an ellipsis
    other = shown([LONG], [(0, 40, 41)], [(0, 41 + 2 * CONTEXT + GAP, 42 + 2 * CONTEXT + GAP)])
    assert " … " not in other.strip("… ")


def test_a_sentence_of_the_limit_is_whole():
    text = shown([" ".join(f"w{i}" for i in range(LONGEST))], [(0, 0, 1)], [(0, 2, 3)])
    assert "…" not in text


def test_one_ellipsis_where_both_sentences_are_cut():
    text = shown([LONG, LONG], [(0, 40, 41)], [(1, 50, 51)])
    assert text.count("…") == 3 and "… …" not in text and f"w{40 + CONTEXT} … w{50 - CONTEXT}" in text
    assert shown([LONG, "x Ada"], [(1, 1, 2)], [(0, 40, 41)]).endswith(" … x [Ada]")
    assert "y <Ada> … w" in shown(["y Ada", "", LONG], [(2, 40, 41)], [(0, 1, 2)])


def test_all_mentions_in_view_are_marked():
    assert shown(["A B A"], [(0, 0, 1), (0, 2, 3)], [(0, 1, 2)]) == "[A] <B> [A]"


def test_stretches_join_what_one_highlight_joins():
    made = document(["The University of London ."], [(0, 1, 4)], [(0, 3, 4)])
    assert marked_stretches(excerpt(made, made.relations[0])) == [
        ("The ", False),
        ("University of London", True),
        (".", False),
    ]


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_marks_cover_exactly_the_mentions(data):
    length = data.draw(st.integers(2, 30))
    words = [f"w{i}" for i in range(length)]
    spans = st.tuples(st.integers(0, length - 1), st.integers(1, 6)).map(lambda s: (0, s[0], min(s[0] + s[1], length)))
    head, tail = (data.draw(st.lists(spans, min_size=1, max_size=4)) for _ in range(2))
    made = document([" ".join(words)], head, tail)
    pieces = excerpt(made, made.relations[0])
    assert "".join(piece.text for piece in pieces) == " ".join(words)
    for role, places in (("head", head), ("tail", tail)):
        marked = {word for text, roles in pieces if roles in (role, "both") for word in re.findall(r"w\d+", text)}
        assert marked == {words[at] for _, start, end in places for at in range(start, end)}
