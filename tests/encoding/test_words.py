"""The document as the encoder reads it: names hidden behind words for their types, spans that follow."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finecl_hf.data.documents import Document, Mention
from finecl_hf.encoding.words import MARKERS, lay_out, type_word
from finecl_hf.errors import FineCLError


def text_of(words, spans):
    return [" ".join(words[start:end]) for start, end in spans]


def test_types_stand_in_place_of_names(ada):
    words, spans, _ = lay_out(ada, hide_names="type")
    assert " ".join(words) == ("person was born in place , the capital of place . person worked with person .")
    assert text_of(words, spans) == ["person", "person", "place", "place", "person"]


def test_the_mask_token_and_markers(ada):
    words, spans, _ = lay_out(ada, "asterisk", "mask", "[MASK]")
    assert " ".join(words[:6]) == "* [MASK] * was born in"
    assert text_of(words, spans) == ["* [MASK] *"] * 5


def test_no_mask_token(ada):
    with pytest.raises(FineCLError, match="no mask token; take --hide_names type"):
        lay_out(ada, hide_names="mask")


def test_words_for_types():
    words = [type_word(kind) for kind in ("PER", "ORG", "", "STATE_OR_PROVINCE", "chemical")]
    assert words == ["person", "organization", "entity", "state or province", "chemical"]


@pytest.mark.parametrize(
    "spans, words, found",
    [
        ([(0, 3), (1, 2)], "A d e f", [(0, 1), (0, 1)]),  # nested: the longer one decides
        ([(1, 2), (0, 3)], "B d e f", [(0, 1), (0, 1)]),
        ([(0, 2), (1, 3)], "A d e f", [(0, 1), (0, 1)]),  # overlapping: the first one
        ([(0, 2), (2, 4)], "A B e f", [(0, 1), (1, 2)]),  # side by side
        ([(0, 2), (0, 2)], "A c d e f", [(0, 1), (0, 1)]),  # the same words twice
        ([(3, 6), (4, 6)], "a b c A", [(3, 4), (3, 4)]),  # at the end
        ([(0, 6), (2, 3)], "A", [(0, 1), (0, 1)]),  # nothing but one mention
    ],
)
def test_mentions_that_meet(spans, words, found):
    mentions = [[Mention("x", 0, *span, type)] for span, type in zip(spans, "AB", strict=True)]
    laid_out, where, _ = lay_out(Document("d", [list("abcdef")], mentions), hide_names="type")
    expected = [word.lower() if word in "AB" else word for word in words.split()]
    assert laid_out == expected
    assert where.tolist() == [list(span) for span in found]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 11), st.integers(1, 4), st.integers(0, 1)), max_size=6))
def test_every_word_outside_of_mentions_stays(drawn):
    sentences = [[f"w{i}" for i in range(12)], [f"v{i}" for i in range(12)]]
    mentions = [[Mention("x", s, start, min(start + length, 12), "T")] for start, length, s in drawn]
    words, spans, _ = lay_out(Document("d", sentences, mentions), hide_names="type")
    covered = {(m.sent_id, i) for (m,) in mentions for i in range(m.start, m.end)}
    outside = [
        word for s, sentence in enumerate(sentences) for i, word in enumerate(sentence) if (s, i) not in covered
    ]
    assert [word for word in words if word != "t"] == outside
    assert all(words[start:end] == ["t"] for start, end in spans)
    assert spans.shape == (len(mentions), 2)


def test_nothing_is_hidden_by_default(ada):
    words, spans, _ = lay_out(ada)
    assert words == [word for sentence in ada.sentences for word in sentence]
    assert text_of(words, spans)[0] == "Ada Lovelace"
    assert lay_out(Document("empty", [[]], []), hide_names="type")[1].shape == (0, 2)
    assert np.issubdtype(spans.dtype, np.integer)


# Markers of sentences -----------------------------------------------------------------------------


def sentence(head, tail, length=6, types=("", ""), pairs=((0, 1),), others=()):
    """A sentence of the words a, b, c ...; an argument is a list of spans."""
    entities = [
        [Mention("x", 0, *span, type) for span in spans]
        for spans, type in zip((head, tail, *others), (*types, *[""] * len(others)), strict=True)
    ]
    return Document("s", [list("abcdefghijkl"[:length])], entities, pairs=pairs)


@pytest.mark.parametrize(
    "head, tail, marked, expected",
    [
        ([(0, 2)], [(3, 4)], "@ a b @ c # d # e f", [(0, 4), (5, 8)]),
        ([(3, 4)], [(0, 2)], "# a b # c @ d @ e f", [(5, 8), (0, 4)]),
        ([(0, 1)], [(1, 2)], "@ a @ # b # c d e f", [(0, 3), (3, 6)]),  # side by side
        ([(0, 3)], [(1, 2)], "@ a # b # c @ d e f", [(0, 7), (2, 5)]),  # nested
        ([(0, 2)], [(0, 1)], "@ # a # b @ c d e f", [(0, 6), (1, 4)]),  # nested, with one start
        ([(1, 2)], [(0, 2)], "# a @ b @ # c d e f", [(2, 5), (0, 6)]),  # nested, with one end
        ([(0, 2)], [(1, 3)], "@ a # b @ c # d e f", [(0, 5), (2, 7)]),  # overlapping
        ([(0, 1)], [(0, 1)], "@ # a # @ b c d e f", [(0, 5), (1, 4)]),  # the same word
        ([(0, 1), (4, 5)], [(2, 3)], "@ a @ b # c # d @ e @ f", [(0, 3), (8, 11), (4, 7)]),  # two mentions
        ([(5, 6)], [(4, 6)], "a b c d # e @ f @ #", [(6, 9), (4, 10)]),  # at the end
    ],
)
def test_head_and_tail_have_markers_of_their_own(head, tail, marked, expected):
    words, spans, _ = lay_out(sentence(head, tail), "punct")
    assert " ".join(words) == marked and list(map(tuple, spans.tolist())) == expected


def test_typed_markers_say_the_type():
    document = sentence([(0, 1)], [(2, 4)], types=("PER", "STATE_OR_PROVINCE"))
    words, spans, _ = lay_out(document, "typed")
    assert " ".join(words) == "@ * person * a @ b # ^ state or province ^ c d # e f"
    assert text_of(words, spans) == ["@ * person * a @", "# ^ state or province ^ c d #"]
    untyped = sentence([(0, 1)], [(2, 4)])
    assert lay_out(untyped, "typed")[0] == lay_out(untyped, "punct")[0]
    hidden, spans, _ = lay_out(document, "typed", "type")
    assert text_of(hidden, spans) == ["@ * person * person @", "# ^ state or province ^ state or province #"]


@pytest.mark.parametrize("pairs", [None, ((0, 1), (1, 0))])
def test_entities_that_may_be_head_and_tail_have_one_kind_of_marker(pairs):
    document = sentence([(0, 1)], [(2, 3)], types=("PER", "LOC"), pairs=pairs)
    assert lay_out(document, "punct")[0] == lay_out(document, "asterisk")[0]
    assert " ".join(lay_out(document, "typed")[0]) == "* ^ person ^ a * b * ^ place ^ c * d e f"
    with_another = sentence([(0, 1)], [(2, 3)], others=([(4, 5)],))
    assert " ".join(lay_out(with_another, "punct")[0]) == "@ a @ b # c # d * e * f"


spans_of_argument = st.lists(
    st.tuples(st.integers(0, 11), st.integers(1, 4)).map(lambda drawn: (drawn[0], min(sum(drawn), 12))),
    min_size=1, max_size=3, unique=True,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(spans_of_argument, spans_of_argument, st.sampled_from(sorted(MARKERS)), st.sampled_from(["none", "type"]))
def test_marked_mentions_hold_their_words_between_their_markers(head, tail, markers, hide_names):
    document = sentence(head, tail, 12, ("AA", "BB"))
    plain, spans, _ = lay_out(document, "none", hide_names)
    marked, marked_spans, _ = lay_out(document, markers, hide_names)
    signs = {"@", "#", "*", "@ * aa *", "# ^ bb ^"}
    assert [word for word in marked if word not in signs] == plain
    roles = ["@"] * len(head) + ["#"] * len(tail)
    for role, span, (start, end) in zip(roles, spans, marked_spans, strict=True):
        inside = marked[start:end]
        assert [word for word in inside if word not in signs] == plain[slice(*span)]
        assert inside[-1] == inside[0][0] == ("*" if markers == "asterisk" else role)
        assert (" " in inside[0]) == (markers == "typed")
    if len(spans) == 2:  # what lies within another mention stays within it, markers and all
        for outer, inner in ((0, 1), (1, 0)):
            if spans[outer][0] <= spans[inner][0] and spans[inner][1] <= spans[outer][1] and any(spans[0] != spans[1]):
                assert marked_spans[outer][0] <= marked_spans[inner][0]
                assert marked_spans[inner][1] <= marked_spans[outer][1]


@pytest.mark.parametrize("hide_names", ["none", "type"])
@pytest.mark.parametrize("markers", ["none", "asterisk", "typed"])
def test_sentences_begin_where_their_first_word_or_marker_stands(markers, hide_names):
    sentences = [["A", "b"], [], ["C", "d", "e"], ["f"], []]
    entities = [[Mention("A b", 0, 0, 2, "PER")], [Mention("C", 2, 0, 1, "LOC"), Mention("f", 3, 0, 1)]]
    laid_out = lay_out(Document("d", sentences, entities), markers, hide_names)
    by_sentence = np.split(np.array(laid_out.words), laid_out.sentences[1:])
    alone = []
    for number, sentence in enumerate(sentences):
        own = [
            [Mention(m.name, 0, m.start, m.end, m.type)] for entity in entities for m in entity if m.sent_id == number
        ]
        alone.append(lay_out(Document("d", [sentence], own), markers, hide_names).words)
    assert [part.tolist() for part in by_sentence] == alone


@pytest.mark.parametrize("markers, hide_names", [*((kind, "none") for kind in MARKERS), ("none", "type")])
def test_the_order_of_entities_changes_no_word(markers, hide_names):
    entities = [[Mention("a", 0, 0, 1, type)] for type in ("PER", "LOC", "ORG")]
    there, back = (
        lay_out(Document("t", [["a", "b"]], found), markers, hide_names) for found in (entities, entities[::-1])
    )
    assert there.words == back.words and there.spans.tolist() == back.spans[::-1].tolist()
