"""The few words of a document that show whether a fact is stated there, with the mentions of both entities marked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

from finecl_hf.data.documents import Document, Fact, Mention


LONGEST = 45  # words of a sentence that is shown whole
CONTEXT = 14  # words around a mention, in longer ones
GAP = 6  # so few words are not worth an ellipsis
ELLIPSIS = "…"
_CLOSING = re.compile(r"[.,;:!?%)\]}’”»]+|'s|’s|n't|n’t|'")  # stands next to the word before it
_OPENING = ("(", "[", "{", "“", "«", "¿", "¡")  # next to the word after it


class Piece(NamedTuple):
    """A stretch of text, and whether it belongs to the `head`, the `tail`, `both`, or (empty) to neither."""

    text: str
    role: str


def excerpt(document: Document, fact: Fact) -> list[Piece]:
    """The sentence that mentions both entities of a fact, or the two nearest ones with an ellipsis between.

    Of several sentences it is the one in which they stand closest; long ones are cut down to the words around both.
    Every mention of either entity within what is shown is marked, also where mentions overlap.
    """
    head, tail = _closest(document.entities[fact.head], document.entities[fact.tail])
    shown = sorted({head.sent_id, tail.sent_id})
    parts = []
    for sentence in shown:
        anchors = [(mention.start, mention.end) for mention in (head, tail) if mention.sent_id == sentence]
        spans = {
            role: _spans(document.entities[entity], sentence)
            for role, entity in (("head", fact.head), ("tail", fact.tail))
        }
        parts.append(_sentence_pieces(document.sentences[sentence], spans, anchors))
    return parts[0] if len(parts) == 1 else _one_after_the_other(*parts, adjacent=shown[1] == shown[0] + 1)


def marked_stretches(pieces: Iterable[Piece]) -> list[tuple[str, bool]]:
    """The pieces as (text, whether it is part of a mention), neighbours alike joined: for one kind of highlight."""
    joined: list[tuple[str, bool]] = []
    for text, role in pieces:
        if joined and joined[-1][1] == bool(role):
            joined[-1] = (joined[-1][0] + text, bool(role))
        else:
            joined.append((text, bool(role)))
    return joined


def _closest(heads: list[Mention], tails: list[Mention]) -> tuple[Mention, Mention]:
    """The two mentions with the fewest sentences, then words between them; one inside the other tells little."""

    def distance(pair: tuple[Mention, Mention]) -> tuple[int, bool, int]:
        first, second = sorted(pair, key=lambda mention: (mention.sent_id, mention.start))
        sentences = second.sent_id - first.sent_id
        if sentences:
            return sentences, False, first.sent_id
        return 0, second.start < first.end, second.start - first.end

    return min(product(heads, tails), key=distance)


def _spans(mentions: list[Mention], sentence: int) -> list[tuple[int, int]]:
    """[start, end) of an entity's mentions in a sentence; those that overlap are one, those that touch are two."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted((m.start, m.end) for m in mentions if m.sent_id == sentence):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _sentence_pieces(
    words: list[str], spans: dict[str, list[tuple[int, int]]], anchors: list[tuple[int, int]]
) -> list[Piece]:
    # for each word, which span of each role it lies in
    inside = [
        {role: i for role, found in spans.items() for i, (start, end) in enumerate(found) if start <= at < end}
        for at in range(len(words))
    ]
    pieces: list[Piece] = []
    end = 0
    for number, (start, end) in enumerate(_windows(len(words), anchors)):
        if number or start:
            pieces.append(Piece(f" {ELLIPSIS} " if number else f"{ELLIPSIS} ", ""))
        pieces.append(Piece(words[start], _role(inside[start])))
        for at in range(start + 1, end):
            _add_word(pieces, words[at - 1 : at + 1], inside[at - 1], inside[at])
    if pieces and end < len(words):
        pieces.append(Piece(f" {ELLIPSIS}", ""))
    return pieces


def _one_after_the_other(first: list[Piece], second: list[Piece], adjacent: bool) -> list[Piece]:
    cut = [first[-1].text == f" {ELLIPSIS}", second[0].text == f"{ELLIPSIS} "]
    space = Piece(" " if adjacent or any(cut) else f" {ELLIPSIS} ", "")
    return [*first, space, *(second[1:] if all(cut) else second)]


def _add_word(pieces: list[Piece], words: list[str], before: dict[str, int], now: dict[str, int]) -> None:
    """Appends the second of two words; the space between them is marked where a mention goes across it."""
    space = "" if _joined(*words) else " "
    across = dict(before.items() & now.items())
    if across == before:
        text, role = pieces[-1]
        pieces[-1] = Piece(text + space + (words[1] if now == before else ""), role)
        if now != before:
            pieces.append(Piece(words[1], _role(now)))
    elif across == now:
        pieces.append(Piece(space + words[1], _role(now)))
    else:
        pieces += [Piece(space, _role(across))] if space else []
        pieces.append(Piece(words[1], _role(now)))


def _role(inside: dict[str, int]) -> str:
    return "both" if len(inside) == 2 else next(iter(inside), "")


def _windows(length: int, anchors: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """[start, end) of the words to show, ascending and apart."""
    if length <= LONGEST:
        return [(0, length)]
    windows: list[tuple[int, int]] = []
    for start, end in sorted(anchors):
        start, end = start - CONTEXT, end + CONTEXT
        start, end = 0 if start <= GAP else start, length if end >= length - GAP else end
        if windows and start <= windows[-1][1] + GAP:
            windows[-1] = (windows[-1][0], max(end, windows[-1][1]))
        else:
            windows.append((start, end))
    return windows


def _joined(first: str, second: str) -> bool:
    """Whether two words of a tokenised sentence stood together without a space, as far as they tell."""
    return bool(_CLOSING.fullmatch(second)) or first in _OPENING
