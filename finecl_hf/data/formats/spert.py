"""SpERT (Eberts and Ulges, ECAI 2020): a list of sentences, each with the spans of its entities.

[{"tokens": ["Ada", "met", "Bo"], "entities": [{"type": "PER", "start": 0, "end": 1}, ...],
  "relations": [{"type": "met", "head": 0, "tail": 1}], "orig_id": "17"}]
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

from finecl_hf.data.documents import Document, _integer, _is_words, _kind, _objects, _required
from finecl_hf.data.formats import Format
from finecl_hf.data.json_writing import replacing_packed, write_json
from finecl_hf.data.relating import Related, labels_between
from finecl_hf.errors import DocumentError
from finecl_hf.hashing import text_key


def to_docred(record: dict[str, Any]) -> dict[str, Any]:
    """One sentence; `orig_id` is the title, else a hash of what the record says.

    Raises:
        DocumentError: naming the field that is wrong.
    """
    words = _required(record, "tokens")
    if not _is_words(words):
        raise DocumentError(f"expected a list of words (strings), found {_kind(words)}.", "tokens")
    entities = [[_mention(entity, words, where)] for entity, where in _objects(record, "entities")]
    relations = []
    for relation, where in _objects(record, "relations"):
        head, tail = (_integer(_required(relation, key, where), f"{where}.{key}") for key in ("head", "tail"))
        relations.append(Related(_required(relation, "type", where), head, tail, where))
    title = record.get("orig_id")
    if title is None or title == "":
        places = [[entity["pos"], entity["type"]] for (entity,) in entities]
        title = f"spert-{text_key(json.dumps([words, places])) % 2**64:016x}"
    if not isinstance(title, (str, int)) or isinstance(title, bool):
        raise DocumentError(f"expected the name of a sentence, found {_kind(title)}.", "orig_id")
    labels = labels_between(relations, {number: number for number in range(len(entities))})
    return {"title": str(title), "sents": [words], "vertexSet": entities, **labels}


def _mention(entity: dict[str, Any], words: list[str], where: str) -> dict[str, Any]:
    start, end = (_integer(_required(entity, key, where), f"{where}.{key}") for key in ("start", "end"))
    if not 0 <= start < end <= len(words):
        raise DocumentError(
            f"[{start}, {end}) is no span of the {len(words):,} tokens; end is one past the last.", where
        )
    kind = entity.get("type") or ""
    if not isinstance(kind, str):
        raise DocumentError(f"expected the type of an entity, found {_kind(kind)}.", f"{where}.type")
    return {"name": " ".join(words[start:end]), "sent_id": 0, "pos": [start, end], "type": kind}


def write(documents: Iterable[Document], path: Path) -> None:
    """An entity is its first mention; sentences are joined to one."""
    with replacing_packed(path) as file:
        write_json(map(_row_of, documents), file, lines=".jsonl" in path.suffixes[-2:])


def _row_of(document: Document) -> dict[str, Any]:
    starts = document.sentence_starts
    entities = [
        {
            "type": first.type,
            "start": starts[first.sent_id] + first.start,
            "end": starts[first.sent_id] + first.end,
        }
        for first, *_ in document.entities
    ]
    return {
        "tokens": list(chain.from_iterable(document.sentences)),
        "entities": entities,
        "relations": [{"type": fact.relation, "head": fact.head, "tail": fact.tail} for fact in document.relations],
        "orig_id": document.title,
    }


FORMATS = (
    Format(
        "spert",
        to_docred,
        is_record=lambda record: (
            "sents" not in record and all(map(record.__contains__, ("tokens", "entities", "relations")))
        ),
        write=write,
        holds=frozenset({"types"}),
        hashed_titles=lambda record: record.get("orig_id") is None,
    ),
)
