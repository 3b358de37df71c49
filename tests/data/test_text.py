"""Words and sentences of raw text, and words found again in it."""

from hypothesis import given
from hypothesis import strategies as st

from finecl_hf.data.text import WORD, cut_sentences, merged, split_sentences, tokenise, word_spans


def test_words():
    text = "Don't split state-of-the-art, 'quoted' words (e.g. snake_case) – “naïve” हिन्दी!"
    assert [text[start:end] for start, end in tokenise(text)] == [
        *["Don't", "split", "state-of-the-art", ",", "'", "quoted", "'", "words", "(", "e", ".", "g", "."],
        *["snake_case", ")", "–", "“", "naïve", "”", "हिन्दी", "!"],
    ]


@given(st.text(), st.lists(st.integers(0, 20), max_size=4))
def test_words_cover_the_text_and_respect_cuts(text, cuts):
    cuts = [at for at in cuts if at <= len(text)]
    spans = tokenise(text, cuts)
    assert "".join(text[start:end] for start, end in spans) == "".join(text.split())
    assert not any(start < at < end for start, end in spans for at in cuts)
    assert all(WORD.fullmatch(text[start:end]) for start, end in spans)


def sentences(text, **options):
    return [text[start:end] for start, end in split_sentences(text, **options)]


def test_sentences_end_at_their_marks():
    text = 'She left Rome in 1901. "He stayed," she said. Why? He was ill!  It rained… Then (at last.) they met.'
    assert sentences(text) == [
        "She left Rome in 1901.", '"He stayed," she said.', "Why?", "He was ill!", "It rained…",
        "Then (at last.) they met.",
    ]  # fmt: skip


def test_abbreviations_initials_and_decimals_end_none():
    for text in (
        "Dr. A. B. Smith et al. (1999) saw 3.5 mg of it, e.g. Aspirin, in Fig. 2.",
        "He worked at Acme Inc. in St. Louis.",
        "The version 2.0 of foo.bar works.",
        "It was so ... odd.",
    ):
        assert sentences(text) == [text]


def test_other_scripts_and_paragraphs():
    assert sentences("他出生在北京。她在上海！") == ["他出生在北京。", "她在上海！"]
    assert sentences("A title\n\nA paragraph\nof two lines.") == ["A title", "A paragraph\nof two lines."]


def test_no_border_cuts_through_a_mention_and_given_ones_count():
    text = "Yahoo! Inc. Was it big? Yes"
    assert sentences(text, whole=[(0, 11)]) == ["Yahoo! Inc. Was it big?", "Yes"]
    assert sentences("A title A text", breaks=[7]) == ["A title", "A text"]
    assert sentences("A title A text", breaks=[7], whole=[(2, 9), (3, 5)]) == ["A title A text"]
    assert sentences("A title A text", breaks=[7], whole=[(2, 7), (8, 9)]) == ["A title", "A text"]
    assert sentences(" \n ") == sentences("") == []


TEXT = st.text(alphabet="aB. !?\n'\"(。é1\u00a0", max_size=60)


@given(TEXT, st.data())
def test_sentences_hold_all_words_and_whole_spans(text, data):
    place = st.integers(0, len(text))
    spans = [tuple(sorted(data.draw(st.tuples(place, place)))) for _ in range(data.draw(st.integers(0, 3)))]
    bounds = split_sentences(text, spans, data.draw(st.lists(place, max_size=3)))
    assert "".join("".join(text[start:end].split()) for start, end in bounds) == "".join(text.split())
    assert bounds == sorted(bounds) and all(text[start:end].strip() == text[start:end] != "" for start, end in bounds)
    for first, second in spans:
        inside = "".join(text[first:second].split())
        assert not any(first < start < second and text[first:start].strip() for start, _ in bounds) or not inside
    assert cut_sentences(text, [], spans) == cut_sentences(text, ())


def test_overlapping_spans_become_one():
    assert merged([(5, 7), (0, 2), (1, 4), (4, 5)]) == [(0, 4), (4, 5), (5, 7)]


@given(TEXT)
def test_words_are_found_in_their_text(text):
    words = tokenise(text)
    sentences = [[text[start:end] for start, end in words[:3]], [], [text[start:end] for start, end in words[3:]]]
    assert word_spans(text, sentences) == [words[:3], [], words[3:]]


def test_a_text_that_reads_otherwise_has_no_spans():
    assert word_spans("a b", [["a"], ["b"]]) == [[(0, 1)], [(2, 3)]]
    for text, words in (
        ("a c", ["a", "b"]),
        ("a b c", ["a", "b"]),
        ("a", ["a", "b"]),
        ("a", ["", "a"]),
        ("ab", ["a", "c"]),
    ):
        assert word_spans(text, [words]) is None
