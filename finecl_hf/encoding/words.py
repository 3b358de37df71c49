"""A document as the encoder reads it: one list of words, with or without names and entity markers."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import numpy as np

from finecl_hf.data.documents import Document
from finecl_hf.errors import FineCLError


# What stands around the head and the tail of a sentence: a sign, and one around the type's word. Every other mention,
# and those of documents, where any entity may be head or tail of a pair, have `*` and `^`.
MARKERS: dict[str, dict[str, tuple[str, str]]] = {
    "asterisk": {},  # `* Bill *`: ATLOP (Zhou et al., AAAI 2021)
    "punct": {"head": ("@", "*"), "tail": ("#", "^")},  # `@ Bill @`, `# Seattle #`: Zhou and Chen (AACL 2022)
    "typed": {"head": ("@", "*"), "tail": ("#", "^")},  # `@ * person * Bill @`, `# ^ city ^ Seattle #`: theirs, too
}
# What stands for a mention of a type that corpora abbreviate; other types stand for themselves.
TYPE_WORDS = {
    "": "entity", "GPE": "place", "LOC": "place", "MISC": "thing", "NUM": "number", "ORG": "organization",
    "PER": "person",
}  # fmt: skip


class LaidOut(NamedTuple):
    """A document as one list of words.

    Attributes:
        words: with markers and substitutes.
        spans: (M, 2) words of each mention, entity by entity.
        sentences: (S,) first word of each sentence.
    """

    words: list[str]
    spans: np.ndarray
    sentences: np.ndarray


def lay_out(
    document: Document, entity_markers: str = "none", hide_names: str = "none", mask_token: str | None = None
) -> LaidOut:
    """The document as one list of words, and where its mentions and sentences are in it.

    Args:
        entity_markers: what each mention stands between, see [`MARKERS`]: words that every vocabulary has, so no
            embedding is added. Markers belong to the mention's span.
        hide_names: with `type` or `mask`, a word for its type, or the mask token, stands in place of each mention, so
            that a model can know a label from the text alone, not from the names that the knowledge base matched.
        mask_token: the tokenizer's; for `mask`.

    Raises:
        FineCLError: `mask` without a mask token.
    """
    mentions = [mention for entity in document.entities for mention in entity]
    sentence_start = np.cumsum([0] + [len(sentence) for sentence in document.sentences])
    spans = np.array([(m.start, m.end) for m in mentions], dtype=np.int64).reshape(-1, 2)
    spans += sentence_start[[m.sent_id for m in mentions]].reshape(-1, 1)
    sentences = sentence_start[:-1]
    words = [word for sentence in document.sentences for word in sentence]
    if hide_names != "none":
        if hide_names == "mask" and mask_token is None:
            raise FineCLError("--hide_names mask: the tokenizer has no mask token; take --hide_names type.")
        substitutes = [mask_token if hide_names == "mask" else type_word(m.type) for m in mentions]
        words, spans, place = _substitute(words, spans, substitutes)
        sentences = place[sentences]
    if entity_markers != "none":
        words, spans, place = _mark(words, spans, *_markers_of(document, entity_markers))
        sentences = place[sentences]
    return LaidOut(words, spans, sentences)


def tells_roles(entity_markers: str) -> bool:
    """Whether these markers tell the head of a sentence from its tail."""
    return bool(MARKERS.get(entity_markers))


def type_word(entity_type: str) -> str:
    """A word that says what an entity is: `person` for PER, `state or province` for STATE_OR_PROVINCE."""
    return TYPE_WORDS.get(entity_type) or entity_type.lower().replace("_", " ")


def _substitute(
    words: list[str], spans: np.ndarray, substitutes: list[str]
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Puts one word in place of each mention; of mentions that overlap, the one that begins first (the longer one,
    where they begin together) decides for all; of the very same words, the first substitute in alphabetical order,
    whatever that of entities.

    Returns:
        words, spans, and where each word, and the end, went.
    """
    words = list(words)
    kept = np.ones(len(words), dtype=bool)
    covered = 0  # words before this one belong to a mention already
    for mention in np.lexsort((substitutes, -spans[:, 1], spans[:, 0])):
        start, end = spans[mention]
        if start >= covered:
            words[start] = substitutes[mention]
            kept[start + 1 : end] = False
        else:
            kept[covered:end] = False
        covered = max(covered, end)
    place = np.cumsum(kept) - 1  # where each word went; a dropped one to the word that stands for it
    shorter = [word for word, stays in zip(words, kept, strict=True) if stays]
    spans = np.stack([place[spans[:, 0]], place[spans[:, 1] - 1] + 1], axis=1)
    return shorter, spans, np.append(place, len(shorter))


def _markers_of(document: Document, kind: str) -> tuple[list[str], list[str]]:
    """The marker before each mention and that behind it, entity by entity. A marker is one word, spaces or not."""
    roles = dict(zip(document.pairs[0], ("head", "tail"), strict=True)) if document.is_sentence else {}
    opening, closing = [], []
    for number, entity in enumerate(document.entities):
        outer, inner = MARKERS[kind].get(roles.get(number), ("*", "^"))
        for mention in entity:
            typed = kind == "typed" and mention.type
            opening.append(f"{outer} {inner} {type_word(mention.type)} {inner}" if typed else outer)
            closing.append(outer)
    return opening, closing


def _mark(
    words: list[str], spans: np.ndarray, opening: list[str], closing: list[str]
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Puts each mention between its two markers, an inner mention's inside of an outer one's.

    Mentions that begin, or end, at the same word with the same marker share it.

    Args:
        spans: (M, 2) words of each mention.
        opening, closing: (M,) its markers.

    Returns:
        words, spans, and where each word, and the end, begins: behind the markers that close before it.
    """
    starts, ends = spans.T.tolist()
    # Around the very same words, markers have an order of their own, the head's outside, whatever that of entities
    rank = {marker: place for place, marker in enumerate(sorted(set(opening), reverse=True))}
    outer_first = np.lexsort(([rank[marker] for marker in opening], -spans[:, 1], spans[:, 0])).tolist()
    opens, closes = defaultdict(dict), defaultdict(dict)  # word: its markers, in order
    for mention in outer_first:
        opens[starts[mention]].setdefault(opening[mention])
    for mention in reversed(outer_first):
        closes[ends[mention]].pop(closing[mention], None)  # the outermost of those that share it decides
        closes[ends[mention]][closing[mention]] = None
    marked, place, start_of, end_of = [], [], {}, {}
    for position, word in enumerate([*words, None]):
        for marker in closes.get(position, ()):
            marked.append(marker)
            end_of[position, marker] = len(marked)
        place.append(len(marked))
        for marker in opens.get(position, ()):
            start_of[position, marker] = len(marked)
            marked.append(marker)
        if word is not None:
            marked.append(word)
    where = [
        (start_of[first, before], end_of[last, behind])
        for first, last, before, behind in zip(starts, ends, opening, closing, strict=True)
    ]
    return marked, np.array(where, dtype=np.int64).reshape(-1, 2), np.array(place)
