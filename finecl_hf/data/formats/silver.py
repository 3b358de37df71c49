"""Labels that language models gave to a text: triples of names, which are looked for in it.

Four layouts are read, each beside its `text`: free triples, [REBEL](https://github.com/Babelscape/rebel)'s strings,
what GLiNER and its siblings find, and LangExtract's extractions. An argument is an entity; its mentions are all
occurrences of its name, or those that the source gives.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from math import isfinite
from typing import Any

from finecl_hf.data.column_names import TRIPLE_COLUMNS
from finecl_hf.data.documents import _kind, _objects, means_no_relation
from finecl_hf.data.formats import NOTES, Format
from finecl_hf.data.formats.annotations import text_at, title_of, whole_number
from finecl_hf.data.occurrences import places_of_names
from finecl_hf.data.positions import squeeze
from finecl_hf.data.relating import ITSELF
from finecl_hf.data.spans import Span, document_of_text
from finecl_hf.errors import DocumentError
from finecl_hf.hashing import text_digest


NOT_FOUND = "labels whose argument is not in the text"
NOTHING = "labels that say there is no relation"
INCOMPLETE = "labels without a head, a relation or a tail"
_TITLES = ("title", "id", "document_id", "doc_id")
_HEADS = (*TRIPLE_COLUMNS["head"], "source", "from", "head_text")
_TAILS = (*TRIPLE_COLUMNS["tail"], "target", "to", "tail_text")
_RELATIONS = (*TRIPLE_COLUMNS["relation"], "type", "relationship", "name")
_SCORES = ("score", "confidence", "probability")


class Silver:
    """The triples of one text, as they are collected.

    Args:
        record: the record, whose `source` or `model` says who gave the labels; else the layout does.
    """

    def __init__(self, record: dict[str, Any], layout: str):
        self.record, self.layout = record, layout
        self.text = text_at(record, _text_key(record))
        self.source = next((v for key in ("source", "model") if isinstance(v := record.get(key), str) and v), layout)
        self.notes: list[tuple[str, str]] = []
        self._names: dict[str, str] = {}  # by squeezed name
        self._kinds: dict[str, str] = {}
        self._given: dict[str, list[tuple[int, int, str]]] = {}  # spans that the source gives, and their fields
        self._triples: list[tuple[str, str, str, float | None, str]] = []

    def add_name(self, name: Any, kind: Any = "", span: tuple[Any, Any] | None = None, where: str = "") -> str:
        """Adds an argument or one mention of it; "" for what is no name."""
        if isinstance(name, list) and name and all(isinstance(word, str) for word in name):
            name = " ".join(name)
        key = squeeze(name) if isinstance(name, str) else ""
        if key:
            self._names.setdefault(key, name)
            if isinstance(kind, str) and kind:
                self._kinds.setdefault(key, kind)
            if span is not None and None not in span:
                bounds = tuple(whole_number(bound, where) for bound in span)
                self._given.setdefault(key, []).append((*bounds, where))
        return key

    def add(self, head: str, relation: Any, tail: str, score: Any = None, source: Any = "", where: str = "") -> None:
        """Adds a label between two names that were added."""
        relation = relation.strip() if isinstance(relation, str) else ""
        told = " | ".join((self._names.get(head, "?"), relation or "?", self._names.get(tail, "?")))
        if not (head and tail and relation):
            self.notes.append((INCOMPLETE, told))
        elif means_no_relation(relation):
            self.notes.append((NOTHING, relation))
        elif head == tail:
            self.notes.append((ITSELF, relation))
        else:
            source = source if isinstance(source, str) and source else self.source
            self._triples.append((head, relation, tail, _score(score, where), source))

    def document(self) -> dict[str, Any]:
        """The document in DocRED's layout: only what its labels are about, and what stands in the text, is in it."""
        looked_for = [name for key, name in self._names.items() if key not in self._given]
        found = places_of_names(self.text, looked_for)
        entities, number_of = [], {}
        for key in self._names:
            kind = self._kinds.get(key, "")
            name = None if self.layout == "langextract" else self._names[key]  # which aligns loosely
            given = self._given.get(key) or [(*place, "") for place in found.get(key, ())]
            if given:
                number_of[key] = len(entities)
                spans = {(start, end): Span(start, end, kind, "", name, where) for start, end, where in given}
                entities.append([spans[place] for place in sorted(spans)])
        labels = []
        for head, relation, tail, score, source in self._triples:
            if missing := [key for key in (head, tail) if key not in number_of]:
                self.notes.append((NOT_FOUND, self._names[missing[0]]))
                continue
            labels.append({
                "h": number_of[head], "t": number_of[tail], "r": relation, "evidence": [], "source": source,
                "score": score,
            })  # fmt: skip
        title = title_of(self.record, _TITLES) or f"{self.layout}-{text_digest(self.text, 8)}"
        return {**document_of_text(title, self.text, entities, labels), NOTES: self.notes}


# Free triples -------------------------------------------------------------------------------------------------------


def from_triples(record: dict[str, Any]) -> dict[str, Any]:
    """`triples` (or `triplets`): a list of [head, relation, tail], or of objects with these keys or their aliases.

    Raises:
        DocumentError: naming the field that is wrong.
    """
    silver = Silver(record, "triples")
    key = "triples" if "triples" in record else "triplets"
    _add_triples(silver, record.get(key), key)
    return silver.document()


def _add_triples(silver: Silver, triples: Any, key: str) -> None:
    if not isinstance(triples, list):
        raise DocumentError(f"expected a list of triples, found {_kind(triples)}.", key)
    for i, triple in enumerate(triples):
        where = f"{key}[{i}]"
        if isinstance(triple, list) and len(triple) == 3:
            head, relation, tail = triple
            silver.add(silver.add_name(head), relation, silver.add_name(tail), where=where)
        elif isinstance(triple, dict):
            head = _add_argument(silver, _first(triple, _HEADS), triple.get("head_type"), where)
            tail = _add_argument(silver, _first(triple, _TAILS), triple.get("tail_type"), where)
            source = triple.get("source") if any(key in triple for key in TRIPLE_COLUMNS["head"]) else ""
            silver.add(head, _first(triple, _RELATIONS), tail, _first(triple, _SCORES), source, where)
        else:
            raise DocumentError(f"expected [head, relation, tail] or an object, found {_kind(triple)}.", where)


def _add_argument(silver: Silver, value: Any, kind: Any, where: str) -> str:
    """Adds an argument: a name, or an object with `text` and, where they are known, `start`, `end` and `type`."""
    if not isinstance(value, dict):
        return silver.add_name(value, kind)
    kind = kind or value.get("type") or value.get("label")
    return silver.add_name(_first(value, ("text", "name")), kind, (value.get("start"), value.get("end")), where)


# REBEL --------------------------------------------------------------------------------------------------------------

_GENERATED = ("generated", "generated_text", "output", "prediction", "decoded", "rebel")
_MARK = re.compile(r"<([^<>\s/]{1,40})>")


def from_rebel(record: dict[str, Any]) -> dict[str, Any]:
    """`<triplet> head <subj> tail <obj> relation`, also with types in place of `subj` and `obj` (mREBEL).

    Raises:
        DocumentError: naming the field that is wrong.
    """
    silver = Silver(record, "rebel")
    for head, head_type, tail, tail_type, relation in rebel_triples(record[_generated_key(record)]):
        silver.add(silver.add_name(head, head_type), relation, silver.add_name(tail, tail_type))
    return silver.document()


def rebel_triples(generated: str) -> Iterator[tuple[str, str, str, str, str]]:
    """(head, its type, tail, its type, relation) of each triple in a string that REBEL generated; parts may lack."""
    generated = re.sub(r"</?s>|<pad>|\btp_XX\b|__\w+__", " ", generated)
    for part in generated.split("<triplet>")[1:]:
        head, *rest = (piece.strip() for piece in _MARK.split(part))
        for at in range(0, len(rest), 4):
            first, tail, second, relation = (rest[at : at + 4] + [""] * 3)[:4]
            types = ["" if kind in ("subj", "obj") else kind for kind in (first, second)]
            yield head, types[0], tail, types[1], relation


def _generated_key(record: dict[str, Any]) -> str:
    keys = (key for key in _GENERATED if isinstance(record.get(key), str) and "<triplet>" in record[key])
    return next(keys, "")


# GLiNER -------------------------------------------------------------------------------------------------------------


def from_gliner(record: dict[str, Any]) -> dict[str, Any]:
    """`entities` as spans or by type; `relations` as GLiREL and GLiNER's relation models give them, or
    `relation_extraction` as GLiNER2 does.

    Raises:
        DocumentError: naming the field that is wrong.
    """
    silver = Silver(record, "gliner")
    entities = record.get("entities")
    if isinstance(entities, dict):
        for kind, values in entities.items():
            for i, value in enumerate(_listed(values, f"entities.{kind}")):
                _add_argument(silver, value, kind, f"entities.{kind}[{i}]")
    else:
        for entity, where in _objects(record, "entities", optional=True):
            _add_argument(silver, entity, entity.get("label"), where)
    for relation, where in _objects(record, "relations", optional=True):
        ends = [_add_argument(silver, relation.get(role) or relation.get(f"{role}_text"), "", where)
                for role in ("head", "tail")]  # fmt: skip
        silver.add(
            ends[0], _first(relation, ("label", "relation", "type")), ends[1], _first(relation, _SCORES), "", where
        )
    nested = record.get("relation_extraction")
    if nested is not None and not isinstance(nested, dict):
        raise DocumentError(f"expected an object of relations, found {_kind(nested)}.", "relation_extraction")
    for name, pairs in (nested or {}).items():
        for i, pair in enumerate(_listed(pairs, f"relation_extraction.{name}")):
            _add_pair(silver, name, pair, f"relation_extraction.{name}[{i}]")
    return silver.document()


def _add_pair(silver: Silver, relation: str, pair: Any, where: str) -> None:
    """Adds GLiNER2's [head, tail] or {"head": ..., "tail": ...}; a label is as sure as its less sure argument."""
    if isinstance(pair, dict):
        pair = [pair.get("head"), pair.get("tail")]
    if not isinstance(pair, list) or len(pair) != 2:
        raise DocumentError(f"expected [head, tail], found {_kind(pair)}.", where)
    scores = [_score(_first(end, _SCORES), where) for end in pair if isinstance(end, dict)]
    known = [score for score in scores if score is not None]
    head, tail = (_add_argument(silver, end, "", where) for end in pair)
    silver.add(head, relation, tail, min(known, default=None), "", where)


# LangExtract --------------------------------------------------------------------------------------------------------


def from_langextract(record: dict[str, Any]) -> dict[str, Any]:
    """An extraction whose attributes name a head and a tail is a label: of its attribute `relation`, else of its
    class. Any other one is an entity; an attribute of it that reads as another entity is a label, too.

    Raises:
        DocumentError: naming the field that is wrong.
    """
    silver = Silver(record, "langextract")
    extractions = [(where, part, said if isinstance(said := part.get("attributes"), dict) else {})
                   for part, where in _objects(record, "extractions", optional=True)]  # fmt: skip
    entities = []
    for where, part, attributes in extractions:
        if not (_first(attributes, _HEADS) and _first(attributes, _TAILS)):
            place = part.get("char_interval")
            place = place if isinstance(place, dict) else {}
            span = (place.get("start_pos"), place.get("end_pos"))
            key = silver.add_name(part.get("extraction_text"), part.get("extraction_class"), span, where)
            entities.append((key, attributes))
    known = {key for key, _ in entities if key}
    for where, part, attributes in extractions:
        head, tail = _first(attributes, _HEADS), _first(attributes, _TAILS)
        if head and tail:
            relation = _first(attributes, _RELATIONS) or part.get("extraction_class")
            score = _first(attributes, _SCORES)
            silver.add(silver.add_name(head), relation, silver.add_name(tail), score, "", where)
    for key, attributes in entities:
        for relation, values in attributes.items():
            for value in values if isinstance(values, list) else [values]:
                if key and isinstance(value, str) and squeeze(value) in known - {key}:
                    silver.add(key, relation, squeeze(value))
    return silver.document()


# What they share ----------------------------------------------------------------------------------------------------


def _first(record: dict[str, Any], keys: tuple[str, ...]) -> Any:
    return next((record[key] for key in keys if record.get(key) not in (None, "")), None)


def _listed(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise DocumentError(f"expected a list, found {_kind(value)}.", where)
    return value


def _score(value: Any, where: str) -> float | None:
    if value is None:
        return None
    try:
        score = float(value)
        if isfinite(score):
            return score
    except (TypeError, ValueError, OverflowError):
        pass
    raise DocumentError(f"expected a finite number as the score, found {_kind(value)}.", where)


def _text_key(record: dict[str, Any]) -> str:
    return next((key for key in ("text", "input", "sentence") if isinstance(record.get(key), str)), "text")


def _has_text(record: dict[str, Any]) -> bool:
    return "sents" not in record and isinstance(record.get(_text_key(record)), str)


def _is_triples(record: dict[str, Any]) -> bool:
    return _has_text(record) and any(isinstance(record.get(key), list) for key in ("triples", "triplets"))


def _is_rebel(record: dict[str, Any]) -> bool:
    return _has_text(record) and bool(_generated_key(record))


def _is_gliner(record: dict[str, Any]) -> bool:
    if not _has_text(record):
        return False
    if isinstance(record.get("relation_extraction"), dict):
        return True
    relations, entities = record.get("relations"), record.get("entities")
    first = next((part for part in relations if isinstance(part, dict)), {}) if isinstance(relations, list) else {}
    spans = isinstance(entities, list) and any(isinstance(part, dict) and "start" in part for part in entities)
    return isinstance(relations, list) and (spans or bool({"head_text", "tail_text"} & first.keys()))


def _is_langextract(record: dict[str, Any]) -> bool:
    return _has_text(record) and isinstance(record.get("extractions"), list)


def _has_no_title(record: dict[str, Any]) -> bool:
    return not title_of(record, _TITLES)


def _format(name: str, to_docred: Callable[..., dict], is_record: Callable[[dict], bool]) -> Format:
    return Format(name, to_docred, suffixes=(".jsonl",), is_record=is_record, hashed_titles=_has_no_title)


FORMATS = (
    _format("langextract", from_langextract, _is_langextract),
    _format("rebel", from_rebel, _is_rebel),
    _format("triples", from_triples, _is_triples),
    _format("gliner", from_gliner, _is_gliner),
)
