"""Texts that are longer than a recogniser reads, in pieces that end where sentences do."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from finecl_hf.data.text import split_sentences


def pieces_of(text: str, sizes: Callable[[list[str]], list[int]], limit: int) -> list[tuple[int, str]]:
    """Cuts a text so that no piece is larger than a limit; nothing is left out.

    Args:
        text: of any length.
        sizes: the size of each of some texts, such as its number of tokens.
        limit: the largest size of a piece. A sentence over it is cut between words, a word over it within.

    Returns:
        (where it begins, its text) of each; none of white space only.
    """
    if not text.strip():
        return []
    if len(text) <= limit and sizes([text])[0] <= limit:
        return [(0, text)]
    bounds = split_sentences(text)
    counts = sizes([text[start:end] for start, end in bounds])
    small = [part for bound, size in zip(bounds, counts, strict=True)
             for part in _halved(text, *bound, size, sizes, limit)]  # fmt: skip
    pieces: list[tuple[int, int]] = []
    total = 0
    for start, end, size in small:
        if pieces and total + size <= limit:
            pieces[-1], total = (pieces[-1][0], end), total + size
        else:
            pieces.append((start, end))
            total = size
    return [(start, text[start:end]) for start, end in pieces]


def _halved(
    text: str, start: int, end: int, size: int, sizes: Callable[[list[str]], list[int]], limit: int
) -> Iterator[tuple[int, int, int]]:
    """(start, end, size) of a stretch, or of its halves where it is too large."""
    if size <= limit or end - start < 2:
        yield start, end, size
        return
    middle = (start + end) // 2
    space = next((at for at in range(middle, end - 1) if text[at].isspace()), 0)
    space = space or next((at for at in range(middle, start, -1) if text[at].isspace()), middle)
    for first, last in ((start, space), (space, end)):
        if text[first:last].strip():
            yield from _halved(text, first, last, sizes([text[first:last]])[0], sizes, limit)
