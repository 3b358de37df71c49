"""The document as the encoder reads it: names hidden behind words for their types, spans that follow."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finecl_hf.data.documents import Document, Mention
from finecl_hf.encoding.words import lay_out, type_word
from finecl_hf.errors import FineCLError


def text_of(words, spans):
    return [" ".join(words[start:end]) for start, end in spans]


def test_types_stand_in_place_of_names(ada):
    words, spans = lay_out(ada, hide_names="type")
    assert " ".join(words) == ("person was born in place , the capital of place . person worked with person .")
    assert text_of(words, spans) == ["person", "person", "place", "place", "person"]


def test_the_mask_token_and_markers(ada):
    words, spans = lay_out(ada, "asterisk", "mask", "[MASK]")
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
    laid_out, where = lay_out(Document("d", [list("abcdef")], mentions), hide_names="type")
    expected = [word.lower() if word in "AB" else word for word in words.split()]
    assert laid_out == expected
    assert where.tolist() == [list(span) for span in found]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 11), st.integers(1, 4), st.integers(0, 1)), max_size=6))
def test_every_word_outside_of_mentions_stays(drawn):
    sentences = [[f"w{i}" for i in range(12)], [f"v{i}" for i in range(12)]]
    mentions = [[Mention("x", s, start, min(start + length, 12), "T")] for start, length, s in drawn]
    words, spans = lay_out(Document("d", sentences, mentions), hide_names="type")
    covered = {(m.sent_id, i) for (m,) in mentions for i in range(m.start, m.end)}
    outside = [
        word for s, sentence in enumerate(sentences) for i, word in enumerate(sentence) if (s, i) not in covered
    ]
    assert [word for word in words if word != "t"] == outside
    assert all(words[start:end] == ["t"] for start, end in spans)
    assert spans.shape == (len(mentions), 2)


def test_nothing_is_hidden_by_default(ada):
    words, spans = lay_out(ada)
    assert words == [word for sentence in ada.sentences for word in sentence]
    assert text_of(words, spans)[0] == "Ada Lovelace"
    assert lay_out(Document("empty", [[]], []), hide_names="type")[1].shape == (0, 2)
    assert np.issubdtype(spans.dtype, np.integer)
