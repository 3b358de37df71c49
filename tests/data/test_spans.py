"""Documents from characters, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finecl_hf.data.documents import Document
from finecl_hf.data.spans import Span, document_of_text, span_of, text_of
from finecl_hf.errors import DocumentError


TEXT = "Mira Soltan left Graz. She  now lives in Velora-Town (Graz)."


def made(entities, text=TEXT, **options):
    return Document.from_dict(document_of_text("t", text, entities, **options))


def test_mentions_become_words_of_sentences():
    mira = [Span(0, 11, "PER", "Q1"), Span(23, 26, "PER")]
    document = made([mira, [Span(41, 47, "ORG", name="velora")]], labels=[{"h": 0, "t": 1, "r": "of"}])
    assert document.sentences[0] == ["Mira", "Soltan", "left", "Graz", "."]
    assert document.sentences[1][4:8] == ["Velora", "-", "Town", "("]  # the mention ends inside a word
    first, second = document.entities[0]
    assert (first.name, first.sent_id, first.start, first.end, first.type, first.kb_id) == (
        "Mira Soltan", 0, 0, 2, "PER", "Q1",
    )  # fmt: skip
    assert (second.name, second.sent_id, second.start, second.end, second.kb_id) == ("She", 1, 0, 1, "")
    assert document.labelled and document.relations[0].relation == "of" and document.text == TEXT
    assert not made([mira]).labelled
    assert Document.from_json(document.to_json()) == document == Document.from_dict(document.to_dict())


def test_no_sentence_ends_inside_a_mention():
    document = made([[Span(17, 26)], [Span(0, 4)]])
    assert len(document.sentences) == 1
    assert len(made([[Span(0, 4)]], sentences=[(0, 5), (5, len(TEXT))]).sentences) == 2
    assert len(made([[Span(0, 11)]], sentences=[(0, 5), (5, len(TEXT))]).sentences) == 1


@pytest.mark.parametrize(
    "span, told",
    [
        (Span(5, 5, where="entities[0]"), "empty"),
        (Span(5, 3), "reversed"),
        (Span(50, 99), "leaves the text"),
        (Span(-1, 3), "leaves the text"),
        (Span(22, 23), "white space"),
        (Span(0, 4, name="Graz"), r'"Mira", but the mention is "Graz"'),
    ],
)
def test_what_is_wrong_with_a_span_is_said(span, told):
    with pytest.raises(DocumentError, match=told) as error:
        made([[Span(0, 11)], [span]])
    assert error.value.field == span.where


def test_white_space_is_no_part_of_a_mention():
    (mention,) = made([[Span(26, 32)]]).entities[0]
    assert mention.name == "now"


PIECES = st.lists(st.sampled_from(["Ada", " ", "  ", ". ", ".", "-", "lives", "\n\n", "é", "(", "?"]), max_size=25)


@given(PIECES, st.data())
def test_spans_come_back(pieces, data):
    text = "".join(pieces)
    place = st.integers(0, len(text))
    spans = {tuple(sorted(data.draw(st.tuples(place, place)))) for _ in range(data.draw(st.integers(0, 4)))}
    spans = sorted((start, end) for start, end in spans if text[start:end].strip() == text[start:end] != "")
    document = made([[Span(*span)] for span in spans], text)
    same, words = text_of(document)
    assert same == text and [span_of(mention, words) for (mention,) in document.entities] == spans
    assert [document.entities[i][0].name for i in range(len(spans))] == [text[start:end] for start, end in spans]


def test_a_document_without_text_is_spelt_out():
    document = Document("t", [["Ada", "left", "."], [], ["She", "ran", "."]], [])
    text, words = text_of(document)
    assert text == "Ada left .\n\nShe ran ."
    assert [[text[start:end] for start, end in sentence] for sentence in words] == document.sentences


def test_a_text_in_which_the_words_do_not_stand_is_left_out():
    raw = {"title": "t", "sents": [["Ada", "left"]], "vertexSet": [], "text": "Ada has left"}
    assert Document.from_dict(raw).text is None
    assert Document.from_dict({**raw, "text": "Ada  left\n"}).text == "Ada  left\n"
    assert "text" not in Document.from_dict(raw).to_dict()
