"""Label Studio's JSON export: tasks with their annotations, spans by offset and relations between their ids.

[{"id": 6, "data": {"text": "..."}, "annotations": [{"id": 3, "result": [
    {"id": "a1", "type": "labels", "from_name": "label", "to_name": "text",
     "value": {"start": 0, "end": 3, "text": "Ada", "labels": ["PER"]}},
    {"type": "relation", "from_id": "a1", "to_id": "b2", "direction": "right", "labels": ["knows"]}]}]}]
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from finecl_hf.data.documents import Document, _kind, _objects
from finecl_hf.data.formats import Format
from finecl_hf.data.formats.annotations import Annotations, refuses_untitled, text_at, title_of, written_spans
from finecl_hf.data.json_writing import replacing_packed, write_json
from finecl_hf.errors import DocumentError


OTHERS = "annotations beside the first of a task, which is read"


def to_docred(task: dict[str, Any]) -> dict[str, Any]:
    """The first annotation that is not cancelled, as a document; where a task has none, its first prediction; where it
    has neither, an unlabelled document. The title is `data.title`, `data.id` or the task's id.

    Raises:
        DocumentError: naming the field that is wrong.
    """
    data = task.get("data")
    if not isinstance(data, dict):
        if "annotations" not in task and "predictions" not in task:
            raise DocumentError(
                "this looks like JSON-MIN, which holds no relations; export the project as JSON.", "data"
            )
        raise DocumentError(f"expected an object with the text, found {_kind(data)}.", "data")
    annotations = [
        (annotation, where)
        for annotation, where in _objects(task, "annotations", optional=True)
        if not annotation.get("was_cancelled")
    ] or _objects(task, "completions", optional=True)
    chosen = annotations or _objects(task, "predictions", optional=True)
    annotation, where = chosen[0] if chosen else ({}, "")
    results = _objects(annotation, "result", where, optional=True)
    key = _text_key(data, results)
    text = text_at(data, key, "data")
    found = Annotations()
    for result, place in results:
        if result.get("type") != "relation" and isinstance(result.get("value"), dict):
            _add_span(found, result, place)
    for result, place in results:
        if result.get("type") == "relation":
            _add_relation(found, result, place)
    title = title_of(data, ("title", "id")) or title_of(task, ("id", "inner_id"))
    if not title:
        raise DocumentError("the task has neither an id nor data.title; give it one.", "id")
    if len(annotations) > 1:
        found.notes.append((OTHERS, title))
    return found.document(title, text, is_labelled=bool(chosen))


def labelling_config(documents: Iterable[Document]) -> str:
    """The labelling configuration (XML) of a Label Studio project for the types and relations of documents."""
    types: dict[str, None] = {}
    relations: dict[str, None] = {}
    for document in documents:
        types.update(dict.fromkeys(entity[0].type or _NO_TYPE for entity in document.entities))
        relations.update(dict.fromkeys(fact.relation for fact in document.relations))
    labels = "".join(f"    <Label value={quoteattr(name)}/>\n" for name in sorted(types))
    arrows = "".join(f"    <Relation value={quoteattr(name)}/>\n" for name in sorted(relations))
    return (
        "<View>\n"
        f"  <Relations>\n{arrows}  </Relations>\n"
        f'  <Labels name="label" toName="text">\n{labels}  </Labels>\n'
        '  <Text name="text" value="$text"/>\n'
        "</View>\n"
    )


_NO_TYPE = "ENTITY"  # of spans without a type: Label Studio shows none without a label


def write(documents: Iterable[Document], path: Path) -> None:
    """Writes a list of tasks with annotations, to be imported; `data.title` keeps the title.

    `meta` says what to call a span without a type, which is written as one of the type `ENTITY`.
    """
    with replacing_packed(path) as file:
        write_json(map(_task, documents), file, lines=False)


def _task(document: Document) -> dict[str, Any]:
    text, spans = written_spans(document)
    task: dict[str, Any] = {"data": {"text": text, "title": document.title}}
    if not document.labelled and not spans:
        return task
    results: list[dict[str, Any]] = []
    for number, (start, end, kind) in enumerate(spans):
        value = {"start": start, "end": end, "text": text[start:end], "labels": [kind or _NO_TYPE]}
        result = {"id": f"e{number}", "from_name": "label", "to_name": "text", "type": "labels", "value": value}
        results.append(result if kind else {**result, "meta": {"untyped": True}})
    for fact in document.relations:
        results.append(
            {
                "type": "relation", "from_id": f"e{fact.head}", "to_id": f"e{fact.tail}", "direction": "right",
                "labels": [fact.relation],
            }
        )  # fmt: skip
    return {**task, "annotations": [{"result": results}]}


def _add_span(found: Annotations, result: dict[str, Any], where: str) -> None:
    value = result["value"]
    if "start" not in value or "end" not in value:
        return  # a choice, a rating or a text about the whole task
    kinds = value.get("labels") or value.get("hypertextlabels") or []
    kind = kinds[0] if isinstance(kinds, list) and kinds else ""
    meta = result.get("meta")
    if isinstance(meta, dict) and meta.get("untyped"):
        kind = ""
    found.add_span(result.get("id"), value["start"], value["end"], kind, f"{where}.value", value.get("text"))


def _add_relation(found: Annotations, result: dict[str, Any], where: str) -> None:
    """Adds what an arrow says: to the right, to the left, or both ways; without a label it is called `related`."""
    names = result.get("labels") or ["related"]
    if not isinstance(names, list):
        raise DocumentError(f"expected a list of relations, found {_kind(names)}.", f"{where}.labels")
    head, tail, direction = result.get("from_id"), result.get("to_id"), result.get("direction")
    for name in names:
        if direction != "left":
            found.add_relation(head, tail, name, where)
        if direction in ("left", "bi"):
            found.add_relation(tail, head, name, where)


def _text_key(data: dict[str, Any], results: list[tuple[dict[str, Any], str]]) -> str:
    """The key of the text: the one that results are about (`to_name`), else `text`, else the only text there is."""
    about = [result["to_name"] for result, _ in results if isinstance(result.get("to_name"), str)]
    texts = [key for key, value in data.items() if isinstance(value, str)]
    for key in [*about[:1], "text"]:
        if isinstance(data.get(key), str):
            return key
    if len(others := [key for key in texts if key not in ("title", "id")]) == 1:
        return others[0]
    raise DocumentError(
        f"which of {', '.join(texts) or 'no keys'} is the text cannot be told; call it `text`.", "data"
    )


def _is_task(record: dict[str, Any]) -> bool:
    if "sents" in record:
        return False
    if isinstance(record.get("data"), dict):
        return any(isinstance(record.get(key), list) for key in ("annotations", "completions", "predictions")) or (
            set(record) <= {"id", "data", "meta"} and any(isinstance(text, str) for text in record["data"].values())
        )
    return _is_min(record)


def _is_min(record: dict[str, Any]) -> bool:
    """Whether a record is one of JSON-MIN: labels under the name of their tag, and who annotated."""
    return {"annotation_id", "annotator"} <= record.keys() or {"annotation_id", "lead_time"} <= record.keys()


FORMATS = (
    Format(
        "labelstudio",
        to_docred,
        is_record=_is_task,
        write=write,
        holds=frozenset({"text", "sentences", "types"}),
        refuses=refuses_untitled,
    ),
)
