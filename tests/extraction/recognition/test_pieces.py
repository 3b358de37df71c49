"""Long texts are cut at sentences, and nothing of them is lost."""

import random

from finecl_hf.extraction.recognition.pieces import pieces_of


def words(texts):
    return [len(text.split()) for text in texts]


def test_pieces_end_where_sentences_do():
    text = "One two three. Four five six. Seven eight."
    assert pieces_of(text, words, 6) == [(0, "One two three. Four five six."), (30, "Seven eight.")]
    assert pieces_of(text, words, 100) == [(0, text)] and pieces_of(" \n", words, 5) == []


def test_nothing_is_lost_and_nothing_too_large():
    draw = random.Random(0)
    for _ in range(200):
        text = "".join(draw.choice("ab  .\n") for _ in range(draw.randrange(1, 80)))
        for sizes, limit in (
            (words, draw.randrange(1, 5)),
            (lambda texts: list(map(len, texts)), draw.randrange(1, 9)),
        ):
            pieces = pieces_of(text, sizes, limit)
            assert all(text.startswith(piece, start) for start, piece in pieces)
            assert all(size <= limit for size in sizes([piece for _, piece in pieces])) or sizes is not words
            assert "".join("".join(piece.split()) for _, piece in pieces) == "".join(text.split())
