"""Documents from text whose entities are given in characters, and back."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from finecl_hf.data.documents import Document, Mention, _check_encodable, _kind
from finecl_hf.data.positions import squeeze
from finecl_hf.data.text import cut_sentences, split_sentences, tokenise, word_spans
from finecl_hf.errors import DocumentError


@dataclass(slots=True)
class Span:
    """One mention in characters of a text.

    Attributes:
        start, end: [start, end).
        type, kb_id: as of [`Mention`].
        name: what should stand there; None where the source does not say.
        where: the field of the source that it comes from, for messages.
    """

    start: int
    end: int
    type: str = ""
    kb_id: str = ""
    name: str | None = None
    where: str = ""


def document_of_text(
    title: str,
    text: str,
    entities: Sequence[Sequence[Span]],
    labels: list[dict[str, Any]] | None = None,
    pairs: list[list[int]] | None = None,
    breaks: Iterable[int] = (),
    sentences: Sequence[tuple[int, int]] | None = None,
) -> dict[str, Any]:
    """A document in DocRED's layout, for `Document.from_dict`, with the text kept.

    Words end at the borders of mentions, and no sentence ends inside one.

    Args:
        title: of the document.
        text: as it stands in the source.
        entities: mentions of each.
        labels: facts in DocRED's layout; None where the source has none at all.
        pairs: judged pairs; None means every pair.
        breaks: positions at which a sentence ends in any case.
        sentences: (start, end) of each where the source says so; else they are found by their marks.

    Raises:
        DocumentError: a mention is empty, leaves the text, or does not read as its name.
    """
    _check_encodable(text, "text")
    mentions = [_checked(span, text) for entity in entities for span in entity]
    whole = [(span.start, span.end) for span in mentions]
    if sentences is None:
        bounds = split_sentences(text, whole, breaks)
    else:  # what lies between two of them belongs to the first
        bounds = cut_sentences(text, {start for start, _ in sentences}, whole)
    words = tokenise(text, {border for span in [*whole, *bounds] for border in span})
    starts = [start for start, _ in bounds]
    of_sentence: list[list[tuple[int, int]]] = [[] for _ in bounds]
    begins, ends = {}, {}  # of each word: its sentence and number
    for start, end in words:
        number = bisect_right(starts, start) - 1
        begins[start] = ends[end] = number, len(of_sentence[number])
        of_sentence[number].append((start, end))
    spans = iter(mentions)
    vertex_set = []
    for entity in entities:
        made = []
        for span in (next(spans) for _ in entity):
            sent_id, first = begins[span.start]
            name = text[span.start : span.end]
            mention = {"name": name, "sent_id": sent_id, "pos": [first, ends[span.end][1] + 1], "type": span.type}
            made.append({**mention, "kb_id": span.kb_id} if span.kb_id else mention)
        vertex_set.append(made)
    raw: dict[str, Any] = {
        "title": title,
        "sents": [[text[start:end] for start, end in sentence] for sentence in of_sentence],
        "vertexSet": vertex_set,
    }
    if labels is not None:
        raw["labels"] = labels
    if pairs is not None:
        raw["pairs"] = pairs
    raw["text"] = text
    return raw


def text_of(document: Document) -> tuple[str, list[list[tuple[int, int]]]]:
    """The text of a document, and where each word of each sentence stands in it.

    A document that came without its text gets its words with spaces between, one sentence a line.
    """
    spans = word_spans(document.text, document.sentences) if document.text is not None else None
    if spans is not None:
        return document.text, spans
    pieces, spans, at = [], [], 0
    for sentence in document.sentences:
        of_sentence = []
        for word in sentence:
            of_sentence.append((at, at + len(word)))
            at += len(word) + 1
        spans.append(of_sentence)
        pieces.append(" ".join(sentence))
        at += 0 if sentence else 1
    return "\n".join(pieces), spans


def span_of(mention: Mention, spans: list[list[tuple[int, int]]]) -> tuple[int, int]:
    """[start, end) of a mention in characters.

    Args:
        spans: those of [`text_of`].
    """
    sentence = spans[mention.sent_id]
    return sentence[mention.start][0], sentence[mention.end - 1][1]


def sentence_bounds(spans: list[list[tuple[int, int]]]) -> list[tuple[int, int]]:
    """[start, end) of each sentence in characters, without those that have no words.

    Args:
        spans: those of [`text_of`].
    """
    return [(sentence[0][0], sentence[-1][1]) for sentence in spans if sentence]


def trimmed(span: Span, text: str) -> Span:
    """The span without white space at its borders.

    Raises:
        DocumentError: it is empty, leaves the text, or holds nothing but white space.
    """
    start, end = span.start, span.end
    if start >= end:
        raise DocumentError(
            f"the span [{start}, {end}) is {'empty' if start == end else 'reversed'}; give start and end in "
            "characters, with end one past the last.",
            span.where,
        )
    if start < 0 or end > len(text):
        raise DocumentError(
            f"the span [{start}, {end}) leaves the text, which has {len(text):,} characters.", span.where
        )
    stands = text[start:end]
    if not stands.strip():
        raise DocumentError(f"the span [{start}, {end}) holds nothing but white space; mark a word.", span.where)
    start += len(stands) - len(stands.lstrip())
    return replace(span, start=start, end=start + len(stands.strip()))


def _checked(span: Span, text: str) -> Span:
    checked, stands = trimmed(span, text), text[span.start : span.end]
    if span.name is not None and squeeze(span.name) != squeeze(stands):
        raise misread(span, span.name, stands)
    return checked


def misread(span: Span, told: str, stands: str) -> DocumentError:
    """The error that a span does not hold what it is said to."""
    return DocumentError(
        f"[{span.start}, {span.end}) reads {_kind(stands)[4:]}, but the mention is {_kind(told)[4:]}; offsets count "
        "characters of the text from 0, with end one past the last.",
        span.where,
    )
