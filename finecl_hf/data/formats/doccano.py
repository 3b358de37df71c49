"""doccano's JSON Lines of relation extraction: spans by offset, and relations between their ids.

{"id": 11, "text": "...", "entities": [{"id": 1, "label": "PER", "start_offset": 0, "end_offset": 3}, ...],
 "relations": [{"id": 1, "from_id": 1, "to_id": 2, "type": "knows"}]}
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from finecl_hf.data.documents import Document, _objects
from finecl_hf.data.formats import Format
from finecl_hf.data.formats.annotations import Annotations, refuses_untitled, text_at, title_of, written_spans
from finecl_hf.data.json_writing import replacing_packed, write_json
from finecl_hf.hashing import text_digest


def to_docred(record: dict[str, Any]) -> dict[str, Any]:
    """The title is `title`, `id` or, in a file to import, made of the text. Without `relations`, it is unlabelled.

    Raises:
        DocumentError: naming the field that is wrong.
    """
    text = text_at(record, "text")
    found = Annotations()
    for entity, where in _objects(record, "entities", optional=True):
        start, end = entity.get("start_offset"), entity.get("end_offset")
        found.add_span(entity.get("id"), start, end, entity.get("label"), where)
    for relation, where in _objects(record, "relations", optional=True):
        found.add_relation(relation.get("from_id"), relation.get("to_id"), relation.get("type"), where)
    title = title_of(record, ("title", "id")) or f"doccano-{text_digest(text, 8)}"
    return found.document(title, text, is_labelled=record.get("relations") is not None)


def write(documents: Iterable[Document], path: Path) -> None:
    """One object a line; `title` is kept among doccano's metadata when it is imported."""
    with replacing_packed(path) as file:
        write_json(map(_record, documents), file, lines=True)


def _record(document: Document) -> dict[str, Any]:
    text, spans = written_spans(document)
    record: dict[str, Any] = {"title": document.title, "text": text}
    record["entities"] = [
        {"id": number, "label": kind, "start_offset": start, "end_offset": end}
        for number, (start, end, kind) in enumerate(spans)
    ]
    if document.labelled:
        record["relations"] = [
            {"id": number, "from_id": fact.head, "to_id": fact.tail, "type": fact.relation}
            for number, fact in enumerate(document.relations)
        ]
    return record


def _is_record(record: dict[str, Any]) -> bool:
    if "sents" in record or not isinstance(record.get("text"), str):
        return False
    entities, relations = (
        [part for part in record[key] if isinstance(part, dict)] if isinstance(record.get(key), list) else None
        for key in ("entities", "relations")
    )
    if any("start_offset" in entity for entity in entities or ()):
        return True
    is_empty = entities == [] and relations == [] and not record["entities"]
    return any("from_id" in relation for relation in relations or ()) or is_empty


FORMATS = (
    Format(
        "doccano",
        to_docred,
        suffixes=(".jsonl",),
        is_record=_is_record,
        write=write,
        holds=frozenset({"text", "sentences", "types", "unlabelled"}),
        refuses=refuses_untitled,
        hashed_titles=lambda record: not title_of(record, ("title", "id")),
    ),
)
