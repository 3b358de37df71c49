"""Prodigy's JSON Lines (`db-out` of `rel.manual`): spans by offset, relations between tokens of spans.

{"text": "...", "tokens": [{"text": "Ada", "start": 0, "end": 3, "id": 0}, ...],
 "spans": [{"start": 0, "end": 3, "token_start": 0, "token_end": 0, "label": "PER"}, ...],
 "relations": [{"head": 0, "child": 2, "label": "knows", "head_span": {...}, "child_span": {...}}],
 "answer": "accept"}
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

from finecl_hf.data.documents import Document, _objects
from finecl_hf.data.formats import Format
from finecl_hf.data.formats.annotations import Annotations, refuses_untitled, text_at, title_of, whole_number
from finecl_hf.data.json_writing import replacing_packed, write_json
from finecl_hf.data.spans import text_of
from finecl_hf.errors import DocumentError
from finecl_hf.hashing import text_digest


NOT_ACCEPTED = "answers other than accept, whose relations are not read"


def to_docred(record: dict[str, Any]) -> dict[str, Any]:
    """The title is `meta.title`, `meta.id` or `id`, else made of the text. What was rejected or ignored is unlabelled,
    and so is what has no `relations`.

    Raises:
        DocumentError: naming the field that is wrong.
    """
    text = text_at(record, "text")
    title = _title(record) or f"prodigy-{text_digest(text, 8)}"
    kinds = {_bounds(span, where): span.get("label") for span, where in _objects(record, "spans", optional=True)}
    places = list(kinds)
    tokens = [_bounds(token, where) for token, where in _objects(record, "tokens", optional=True)]
    accepted = (answer := record.get("answer", "accept")) == "accept"
    joined = []
    for relation, where in _objects(record, "relations", optional=True) if accepted else ():
        ends = [_argument(relation, role, places, tokens, where) for role in ("head", "child")]
        for bounds, role in zip(ends, ("head", "child"), strict=True):
            own = relation.get(f"{role}_span")
            kinds.setdefault(bounds, own.get("label") if isinstance(own, dict) else None)
        joined.append((*ends, relation.get("label"), where))
    found = Annotations()
    for number, (bounds, kind) in enumerate(kinds.items()):
        found.add_span(bounds, *bounds, kind, f"spans[{number}]")
    for head, tail, name, where in joined:
        found.add_relation(head, tail, name, where)
    if not accepted:
        found.notes.append((NOT_ACCEPTED, str(answer)))
    return found.document(title, text, is_labelled=accepted and record.get("relations") is not None)


def write(documents: Iterable[Document], path: Path) -> None:
    """One task a line, with the words for tokens and the title in `meta`, which Prodigy shows."""
    with replacing_packed(path) as file:
        write_json(map(_record, documents), file, lines=True)


def _record(document: Document) -> dict[str, Any]:
    text, words = text_of(document)
    flat = list(chain.from_iterable(words))
    first = document.sentence_starts
    tokens = [
        {"text": text[start:end], "start": start, "end": end, "id": number, "ws": text[end : end + 1] == " "}
        for number, (start, end) in enumerate(flat)
    ]
    spans = []
    for entity in document.entities:
        place = first[entity[0].sent_id]
        begin, last = place + entity[0].start, place + entity[0].end - 1
        span = {"start": flat[begin][0], "end": flat[last][1], "token_start": begin, "token_end": last}
        spans.append({**span, "label": entity[0].type})
    record: dict[str, Any] = {"text": text, "meta": {"title": document.title}, "tokens": tokens, "spans": spans}
    if document.labelled:
        record["relations"] = [_relation(fact, spans) for fact in document.relations]
    return {**record, "answer": "accept"}


def _relation(fact: Any, spans: list[dict[str, Any]]) -> dict[str, Any]:
    head, tail = spans[fact.head], spans[fact.tail]
    return {
        "head": head["token_end"], "child": tail["token_end"], "label": fact.relation, "head_span": head,
        "child_span": tail,
    }  # fmt: skip


def _bounds(span: dict[str, Any], where: str) -> tuple[int, int]:
    return whole_number(span.get("start"), f"{where}.start"), whole_number(span.get("end"), f"{where}.end")


def _argument(
    relation: dict[str, Any], role: str, spans: list[tuple[int, int]], tokens: list[tuple[int, int]], where: str
) -> tuple[int, int]:
    """Where an argument stands: its own span, else the span of its token, else the token."""
    own = relation.get(f"{role}_span")
    if isinstance(own, dict):
        return _bounds(own, f"{where}.{role}_span")
    number = whole_number(relation.get(role), f"{where}.{role}")
    if not 0 <= number < len(tokens):
        raise DocumentError(f"there is no token {number}; the text has {len(tokens)}.", f"{where}.{role}")
    start, end = tokens[number]
    return next(((first, last) for first, last in spans if first <= start and end <= last), (start, end))


def _is_record(record: dict[str, Any]) -> bool:
    if "sents" in record or not isinstance(record.get("text"), str) or not isinstance(record.get("spans"), list):
        return False
    return isinstance(record.get("relations"), list) or "_task_hash" in record or "answer" in record


def _refuses(document: Document) -> str:
    if reason := refuses_untitled(document):
        return reason
    places = [(entity[0].sent_id, entity[0].start, entity[0].end) for entity in document.entities]
    if len(set(places)) < len(places):
        return "two entities stand in one place, which Prodigy's spans cannot; leave one of them"
    return ""


def _title(record: dict[str, Any]) -> str:
    meta = record.get("meta") if isinstance(record.get("meta"), dict) else {}
    return title_of(meta, ("title", "id")) or title_of(record, ("id",))


FORMATS = (
    Format(
        "prodigy",
        to_docred,
        suffixes=(".jsonl",),
        is_record=_is_record,
        write=write,
        holds=frozenset({"text", "sentences", "types", "unlabelled"}),
        refuses=_refuses,
        hashed_titles=lambda record: not _title(record),
    ),
)
