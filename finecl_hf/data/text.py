"""Raw text: its words, its sentences, and where the words of a document stand in it."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence


# A word is a run of characters that are neither space nor punctuation; it may hold ' ’ - _ inside ("state-of-the-art",
# "don't"). Every other punctuation character is a word of its own. Letters are not listed one script at a time: `\w`
# would break words of scripts that write vowels as combining marks.
PUNCTUATION = r"!-/:-@\[-`{-~¡«»¿‐-‧‰-⁞、-〃〈-】"
WORD = re.compile(rf"[^\s{PUNCTUATION}]+(?:['’\-_][^\s{PUNCTUATION}]+)*|[{PUNCTUATION}]")
# Where a sentence may end: behind its last mark and what closes it, before white space; an empty line always ends one.
_END = re.compile(r"(?P<mark>[.!?…]+)[\"'”’»)\]]*(?=\s)|[。！？]+[”’」』)）]*|(?=\n\s*\n)")
_NEXT = re.compile(r"\s*[\"'“‘«(\[]*")
# Words before a period that does not end a sentence, in lower case
_ABBREVIATIONS = frozenset(
    "al approx art ca capt cf co col corp dept dr e.g ed eds eq etc fig figs gen gov hon i.e inc jr lt ltd messrs mr "
    "mrs ms mt nr no nos op p.m a.m pp prof rep rev sec sen sgt sr st vol vs viz".split()
)

_LONGEST = 20  # characters that are looked at before a period


def tokenise(text: str, cuts: Iterable[int] = ()) -> list[tuple[int, int]]:
    """Splits text into words.

    Args:
        text: any text.
        cuts: character positions at which a word must end, such as the borders of an entity.

    Returns:
        (start, end) in characters of each word.
    """
    borders = sorted({0, len(text), *cuts})
    pieces = zip(borders, borders[1:], strict=False)
    return [match.span() for start, end in pieces for match in WORD.finditer(text, start, end)]


def split_sentences(
    text: str, whole: Iterable[tuple[int, int]] = (), breaks: Iterable[int] = ()
) -> list[tuple[int, int]]:
    """Cuts text into sentences by their marks, with abbreviations and initials kept together.

    Args:
        text: any text.
        whole: (start, end) of what no border may cut through, such as mentions.
        breaks: positions at which a sentence ends in any case, such as that of a title, unless it cuts through one.

    Returns:
        (start, end) in characters of each, in order, without the white space between them; none of white space only.
    """
    ends = {match.end() for match in _END.finditer(text) if _ends_sentence(text, match)}
    return cut_sentences(text, ends.union(breaks), whole)


def cut_sentences(text: str, borders: Iterable[int], whole: Iterable[tuple[int, int]] = ()) -> list[tuple[int, int]]:
    """Cuts text at given positions, but for those inside a span of `whole`; see [`split_sentences`]."""
    spans = merged(whole)
    starts = [start for start, _ in spans]
    sentences, begin = [], 0
    for border in [*sorted(borders), len(text)]:
        place = bisect_left(starts, border) - 1  # the last span that starts before the border
        if place >= 0 and border < spans[place][1]:
            continue
        piece = text[begin:border]
        if piece.strip():
            start = begin + len(piece) - len(piece.lstrip())
            sentences.append((start, start + len(piece.strip())))
        begin = border
    return sentences


def merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in order, those that overlap made one."""
    result: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if result and start < result[-1][1]:
            result[-1] = result[-1][0], max(end, result[-1][1])
        else:
            result.append((start, end))
    return result


def word_spans(text: str, sentences: Sequence[Sequence[str]]) -> list[list[tuple[int, int]]] | None:
    """Where the words of sentences stand in a text that holds them in order, with nothing but white space between.

    Returns:
        (start, end) in characters of each word of each sentence; None where the text does not read like that.
    """
    at, spans = 0, []
    for sentence in sentences:
        of_sentence = []
        for word in sentence:
            while not text.startswith(word, at) or not word:
                if at >= len(text) or not text[at].isspace():
                    return None
                at += 1
            of_sentence.append((at, at + len(word)))
            at += len(word)
        spans.append(of_sentence)
    return spans if not text[at:].strip() else None


def _ends_sentence(text: str, match: re.Match) -> bool:
    """Whether a mark ends a sentence: what follows looks like a beginning, and the word before is no abbreviation."""
    if not match["mark"]:
        return True
    begin = _NEXT.match(text, match.end()).end()
    if begin < len(text) and text[begin].islower():
        return False
    if match["mark"] != ".":
        return True
    before = text[max(0, match.start() - _LONGEST) : match.start()].rsplit(None, 1)
    word = before[-1].lstrip("\"'“‘«([").lower() if before else ""
    return not (word in _ABBREVIATIONS or len(word) == 1 and word.isalpha() and begin < len(text))
