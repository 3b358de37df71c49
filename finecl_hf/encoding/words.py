"""A document as the encoder reads it: one list of words, with or without names and entity markers."""

from __future__ import annotations

import numpy as np

from finecl_hf.data.documents import Document
from finecl_hf.errors import FineCLError


# What stands for a mention of a type that corpora abbreviate; other types stand for themselves.
TYPE_WORDS = {
    "": "entity", "GPE": "place", "LOC": "place", "MISC": "thing", "NUM": "number", "ORG": "organization",
    "PER": "person",
}  # fmt: skip


def lay_out(
    document: Document, entity_markers: str = "none", hide_names: str = "none", mask_token: str | None = None
) -> tuple[list[str], np.ndarray]:
    """The document as one list of words, and each mention's word span in it.

    Args:
        entity_markers: with `asterisk`, each mention stands between two `*`, which belong to its span (ATLOP, Zhou et
            al., AAAI 2021): words that every vocabulary has, so no embedding is added.
        hide_names: with `type` or `mask`, a word for its type, or the mask token, stands in place of each mention, so
            that a model can know a label from the text alone, not from the names that the knowledge base matched.
        mask_token: the tokenizer's; for `mask`.

    Returns:
        words, and spans (M, 2) of the mentions, entity by entity.

    Raises:
        FineCLError: `mask` without a mask token.
    """
    mentions = [mention for entity in document.entities for mention in entity]
    sentence_start = np.cumsum([0] + [len(sentence) for sentence in document.sentences])
    spans = np.array([(m.start, m.end) for m in mentions], dtype=np.int64).reshape(-1, 2)
    spans += sentence_start[[m.sent_id for m in mentions]].reshape(-1, 1)
    words = [word for sentence in document.sentences for word in sentence]
    if hide_names != "none":
        if hide_names == "mask" and mask_token is None:
            raise FineCLError("--hide_names mask: the tokenizer has no mask token; take --hide_names type.")
        substitutes = [mask_token if hide_names == "mask" else type_word(m.type) for m in mentions]
        words, spans = _substitute(words, spans, substitutes)
    return (words, spans) if entity_markers == "none" else _mark(words, spans)


def type_word(entity_type: str) -> str:
    """A word that says what an entity is: `person` for PER, `state or province` for STATE_OR_PROVINCE."""
    return TYPE_WORDS.get(entity_type) or entity_type.lower().replace("_", " ")


def _substitute(words: list[str], spans: np.ndarray, substitutes: list[str]) -> tuple[list[str], np.ndarray]:
    """Puts one word in place of each mention; of mentions that overlap, the one that begins first (the longer one,
    where they begin together) decides for all."""
    words = list(words)
    kept = np.ones(len(words), dtype=bool)
    covered = 0  # words before this one belong to a mention already
    for mention in np.lexsort((-spans[:, 1], spans[:, 0])):
        start, end = spans[mention]
        if start >= covered:
            words[start] = substitutes[mention]
            kept[start + 1 : end] = False
        else:
            kept[covered:end] = False
        covered = max(covered, end)
    place = np.cumsum(kept) - 1  # where each word went; a dropped one to the word that stands for it
    shorter = [word for word, stays in zip(words, kept, strict=True) if stays]
    return shorter, np.stack([place[spans[:, 0]], place[spans[:, 1] - 1] + 1], axis=1)


def _mark(words: list[str], spans: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Puts each mention between two asterisks; nested mentions share them where they meet."""
    opening = np.bincount(spans[:, 0], minlength=len(words) + 1)
    closing = np.bincount(spans[:, 1], minlength=len(words) + 1)
    opening, closing = np.minimum(opening, 1), np.minimum(closing, 1)
    marked = []
    for position, word in enumerate([*words, None]):
        marked += ["*"] * (closing[position] + opening[position])
        if word is not None:
            marked.append(word)
    # Behind position p stand all markers of the positions up to p: first those that close, then those that open.
    before = np.cumsum(opening + closing)
    start = spans[:, 0] + before[spans[:, 0]] - 1
    end = spans[:, 1] + before[spans[:, 1]] - opening[spans[:, 1]]
    return marked, np.stack([start, end], axis=1)
