"""BioC (Comeau et al., Database 2013), as JSON or XML: passages, annotations with places, relations.

As in BioRED, an entity is what has one identifier, wherever it is mentioned:

    {"source": "", "documents": [{"id": "17",
      "passages": [{"offset": 0, "text": "Aspirin helps.", "annotations": [
        {"id": "0", "infons": {"type": "Chemical", "identifier": "D001"}, "text": "Aspirin",
         "locations": [{"offset": 0, "length": 7}]}]}],
      "relations": [
        {"id": "R0", "infons": {"type": "Treatment", "entity1": "D001", "entity2": "D006"}, "nodes": []}]}]}
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from finecl_hf.data.documents import Document, Fact, _integer, _kind, _objects, _required
from finecl_hf.data.formats import NOTES, Format
from finecl_hf.data.formats.bioc_xml import COLLECTION, xml_records, xml_rows
from finecl_hf.data.identifiers import identifiers, keyed
from finecl_hf.data.json_stream import member_elements
from finecl_hf.data.json_writing import encoded, replacing_packed, write_json
from finecl_hf.data.relating import Related, labels_between
from finecl_hf.data.spans import Span, document_of_text, sentence_bounds, span_of, text_of
from finecl_hf.data.text import split_sentences
from finecl_hf.errors import DocumentError


_LISTS = "documents", "PubTator3"  # what an object calls its documents
_BEGINS = re.compile(rf'\{{[^\[]*"({"|".join(_LISTS)})"\s*:\s*\[(\s*\]|[^\[]*"passages"\s*:)', re.DOTALL)
# Names of infons that tell an identifier, in lower case; the first that is there
_IDENTIFIERS = (
    "identifier", "kb_id", "mesh", "omim", "ncbi gene", "ncbigene", "ncbi_gene", "geneid", "gene_id",
    "ncbi homologene", "dbsnp", "rsid", "chebi", "ncbi taxonomy", "taxonomy", "umls", "cui", "wikidata", "concept_id",
)  # fmt: skip
_SEMICOLONS = re.compile(r"[\w:.-]+(;[\w:.-]+)+")  # between identifiers, not inside those of variants
_NAMES = "type", "relation", "relation type", "relation_type"  # of infons that name a relation
_HEADS = {"head", "subject", "subj", "arg1", "argument1", "source"}
_TAILS = {"tail", "object", "obj", "arg2", "argument2", "target"}
_ENTITY = "finecl_entity"  # an infon of ours: number of the entity, where identifiers do not tell it
_EVIDENCE = "evidence_sentences"


class _Piece(NamedTuple):
    """A text of the record, and where it stands in the document's."""

    offset: int  # in the record
    start: int
    end: int


class _Text:
    """The text of a record, put together from its passages."""

    def __init__(self):
        self._parts: list[str] = []
        self._end = self._next = 0
        self.breaks: list[int] = []
        self.starts: list[int] = []  # of its sentences
        self.has_sentences = False  # which the record tells

    def add(self, part: str, offset: int) -> _Piece:
        """Appends a text; one space stands for whatever is missing before it."""
        if part and self._end and offset != self._next:
            self._parts.append(" ")
            self._end += 1
        start = self._end
        self._parts.append(part)
        self._end += len(part)
        self._next = offset + len(part)
        return _Piece(offset, start, self._end)

    def __str__(self) -> str:
        return "".join(self._parts)


def to_docred(record: dict[str, Any]) -> dict[str, Any]:
    """The id is the title. Entities and mentions come in the order of numbers, where annotations are numbered.

    Raises:
        DocumentError: naming the field that is wrong.
    """
    if "documents" in record:
        raise DocumentError("a collection stands where a document is expected; keep each in a file of its own.")
    title = _required(record, "id")
    if not isinstance(title, (str, int)) or isinstance(title, bool):
        raise DocumentError(f"expected the name of a document, found {_kind(title)}.", "id")
    text, annotations, relations = _Text(), [], _objects(record, "relations", optional=True)
    pieces: list[_Piece] = []
    for passage, where in _objects(record, "passages"):
        pieces += _read_passage(passage, where, text, annotations, relations)
        text.breaks.append(pieces[-1].end if pieces else 0)
    annotations += [(value, where, pieces) for value, where in _objects(record, "annotations", optional=True)]
    left_out: Counter[str] = Counter()
    related = _Relations(relations, left_out)
    entities, known_as = _entities(annotations, related.identifiers, left_out)
    number_of = {key: number for number, key in enumerate(entities)}
    labels = labels_between(related.between(number_of, known_as), number_of)
    labels[NOTES] += [(what, str(title)) for what in left_out.elements()]
    bounds = [(start, start) for start in text.starts] if text.has_sentences else None
    raw = document_of_text(str(title), str(text), list(entities.values()), breaks=text.breaks, sentences=bounds)
    return {**labels, **raw}


def _read_passage(passage: dict, where: str, text: _Text, annotations: list, relations: list) -> list[_Piece]:
    """Adds a passage's text, and what stands in it to the lists. Returns the places of its texts."""
    sentences = _objects(passage, "sentences", where, optional=True)
    whole = passage.get("text")
    if whole is None or whole == "" and sentences:
        parts = sentences or [({"text": ""}, where)]
    else:
        parts = [(passage, where)]
    pieces = [text.add(_string(part, "text", place), _offset(part, place)) for part, place in parts]
    if sentences:
        text.has_sentences = True
        text.starts += [_place(_offset(sentence, place), pieces) for sentence, place in sentences]
    else:
        text.starts += [pieces[0].start + start for start, _ in split_sentences(parts[0][0]["text"])]
    for part, place in [(passage, where), *sentences]:
        annotations += [(value, field, pieces) for value, field in _objects(part, "annotations", place, optional=True)]
        relations += _objects(part, "relations", place, optional=True)
    return pieces


def _offset(part: dict[str, Any], where: str) -> int:
    return _integer(part.get("offset", 0), f"{where}.offset")


def _string(part: dict[str, Any], key: str, where: str) -> str:
    value = part.get(key)
    if not isinstance(value, str):
        raise DocumentError(f"expected a string, found {_kind(value)}.", f"{where}.{key}")
    return value


def _place(offset: int, pieces: list[_Piece]) -> int:
    """An offset of the record in characters of the document's text."""
    piece = next((piece for piece in reversed(pieces) if piece.offset <= offset), pieces[0])
    return piece.start + offset - piece.offset


def _entities(
    annotations: list[tuple[dict, str, list[_Piece]]], related: set[str], left_out: Counter[str]
) -> tuple[dict[Any, list[Span]], dict[str, list[Any]]]:
    """Entities by what they are called by, and of each annotation's id what its entities are called by."""
    ids = [str(annotation.get("id")) for annotation, _, _ in annotations]
    if len({*ids}) == len(ids) and all(map(_is_number, ids)):
        annotations = [annotations[i] for i in sorted(range(len(ids)), key=lambda i: int(ids[i]))]
    entities: dict[Any, list[Span]] = {}
    known_as: dict[str, list[Any]] = {}
    for annotation, where, pieces in annotations:
        infons = _infons(annotation, where)
        span = _span(annotation, infons, where, pieces, left_out)
        if span is None:
            continue
        identifier = _identifier(infons)
        if _ENTITY in infons:
            found = [((_ENTITY, str(infons[_ENTITY])), span)]
            span.kb_id = identifier
        else:
            found = list(keyed(span, [identifier] if identifier in related else _split(identifier)))
        for key, mention in found:
            entities.setdefault(key, []).append(mention)
        if annotation.get("id") is not None:
            known_as.setdefault(str(annotation["id"]), [key for key, _ in found])
    return entities, known_as


def _span(annotation: dict, infons: dict, where: str, pieces: list[_Piece], left_out: Counter[str]) -> Span | None:
    places = _objects(annotation, "locations", where, optional=True)
    if not places:
        left_out["annotations without a place"] += 1
        return None
    if not pieces:
        raise DocumentError("the annotation stands in no text.", where)
    starts, ends = [], []
    for location, field in places:
        start, length = (_integer(_required(location, key, field), f"{field}.{key}") for key in ("offset", "length"))
        starts.append(_place(start, pieces))
        ends.append(starts[-1] + length)
    name, kind = annotation.get("text"), infons.get("type")
    for value, field in ((name, "text"), (kind, "infons.type")):
        if value is not None and not isinstance(value, str):
            raise DocumentError(f"expected a string, found {_kind(value)}.", f"{where}.{field}")
    if len(places) > 1:
        left_out["annotations in pieces, which are read from the first to the last"] += 1
        name = None
    return Span(min(starts), max(ends), kind or "", "", name or None, where)


def _infons(part: dict[str, Any], where: str) -> dict[str, Any]:
    infons = part.get("infons")
    if infons is not None and not isinstance(infons, dict):
        raise DocumentError(f"expected an object, found {_kind(infons)}.", f"{where}.infons")
    return infons or {}


def _identifier(infons: dict[str, Any]) -> str:
    lowered = {key.lower(): value for key, value in infons.items()}
    value = next((lowered[key] for key in _IDENTIFIERS if lowered.get(key) not in (None, "")), "")
    return str(value) if isinstance(value, (str, int)) else ""


def _split(identifier: str) -> list[str]:
    """The identifiers of a mention; one that is empty where it has none."""
    return identifiers(identifier.replace(";", ",") if _SEMICOLONS.fullmatch(identifier) else identifier)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 16


class _Relations:
    """Relations of a record, whose two arguments are told in one of several ways.

    Attributes:
        identifiers: by which they call entities, as a whole.
    """

    def __init__(self, relations: list[tuple[dict, str]], left_out: Counter[str]):
        self._relations = [(relation, _infons(relation, where), where) for relation, where in relations]
        self._left_out = left_out
        self.identifiers = {key for _, infons, _ in self._relations for key in _named(infons)}

    def between(self, number_of: dict[Any, int], known_as: dict[str, list[Any]]) -> Iterator[Related]:
        """Each pair of entities of each relation."""
        names = {str(relation.get("id")) for relation, _, _ in self._relations}
        for relation, infons, where in self._relations:
            name = next((infons[key] for key in _NAMES if infons.get(key)), None)
            nodes = _nodes(relation, where)
            others = [value for key, value in infons.items() if key not in _NAMES and isinstance(value, str)]
            ways = (
                [[key] for key in _named(infons)],
                [known_as.get(refid, []) for refid in nodes],
                [[value] for value in others if value in number_of],  # CDR: their keys are types
            )
            known = (keys for keys in ways if len(keys) == 2 and all(_are_known(each, number_of) for each in keys))
            arguments = next(known, None)
            if arguments is None:
                unknown = [key for key in _named(infons) if key not in number_of]
                if len(nodes) == 2 and not _named(infons):
                    unknown = [refid for refid in nodes if refid not in names and refid not in known_as]
                if unknown:
                    raise DocumentError(
                        f'the relation {str(name)[:60]} is about "{unknown[0][:60]}", which no mention has.', where
                    )
                self._left_out["relations of other than two entities"] += 1
                continue
            for head, tail in product(*arguments):
                yield Related(name, head, tail, where, _more(infons, where))


def _are_known(keys: list[Any], number_of: dict[Any, int]) -> bool:
    return bool(keys) and all(key in number_of for key in keys)


def _named(infons: dict[str, Any]) -> list[str]:
    """The two identifiers that a relation's infons name: BioRED's, or PubTator 3's."""
    for keys in (("entity1", "entity2"), ("role1", "role2")):
        values = [value.get("identifier") if isinstance(value, dict) else value for value in map(infons.get, keys)]
        if all(isinstance(value, (str, int)) and value != "" for value in values):
            return list(map(str, values))
    return []


def _nodes(relation: dict[str, Any], where: str) -> list[str]:
    """The ids of what a relation joins, head first."""
    nodes = [(node, node.get("refid"), node.get("role")) for node, _ in _objects(relation, "nodes", where, True)]
    ids = [str(refid) for _, refid, _ in nodes if refid is not None]
    roles = [str(role).lower() for _, _, role in nodes]
    return ids[::-1] if len(ids) == 2 and (roles[0] in _TAILS or roles[1] in _HEADS) else ids


def _more(infons: dict[str, Any], where: str) -> dict[str, Any]:
    """Score, source and evidence of a relation, where it has such as they are here."""
    more: dict[str, Any] = {}
    try:
        score = float(infons.get("score") or "nan")
    except (TypeError, ValueError, OverflowError):  # a word
        score = math.nan
    if math.isfinite(score):
        more["score"] = score
    if isinstance(infons.get("source"), str):
        more["source"] = infons["source"]
    if isinstance(evidence := infons.get(_EVIDENCE), str):
        more["evidence"] = [_integer(number, f"{where}.infons.{_EVIDENCE}") for number in evidence.split()]
    return more


def write(documents: Iterable[Document], path: Path) -> None:
    """Writes a collection: XML where the name says so, a document a line as JSON Lines, else one object of JSON."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    rows = map(_row_of, documents)
    with replacing_packed(path) as file:
        if ".xml" in suffixes:
            for piece in xml_rows(rows):
                file.write(piece.encode())
        elif ".jsonl" in suffixes:
            write_json(rows, file, lines=True)
        else:
            file.write(encoded({"source": "", "date": "", "key": "", "infons": {}})[:-1] + b',"documents":')
            write_json(rows, file, lines=False)
            file.write(b"}\n")


def _row_of(document: Document) -> dict[str, Any]:
    """A document as a record: with sentences only where marks would not tell them."""
    text, words = text_of(document)
    spans = [[span_of(mention, words) for mention in entity] for entity in document.entities]
    whole = [span for entity in spans for span in entity]
    annotations = list(_annotations(document, text, spans))
    passage: dict[str, Any] = {"offset": 0, "infons": {}, "text": text, "sentences": [], "annotations": []}
    bounds = sentence_bounds(words)
    if split_sentences(text, whole) == bounds:
        passage["annotations"] = [row for _, row in annotations]
    else:
        starts = [0, *(start for start, _ in bounds[1:])]
        del passage["text"]
        passage["sentences"] = [
            {
                "offset": start,
                "infons": {},
                "text": text[start:end],
                "annotations": [row for at, row in annotations if start <= at < end],
                "relations": [],
            }
            for start, end in zip(starts, [*starts[1:], len(text)], strict=True)
        ]
    return {
        "id": document.title,
        "infons": {},
        "passages": [{**passage, "relations": []}],
        "annotations": [],
        "relations": list(_relations(document)),
    }


def _annotations(
    document: Document, text: str, spans: list[list[tuple[int, int]]]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Where each begins, and each, numbered entity by entity."""
    told, number = _told(document, text, spans), 0
    for i, entity in enumerate(document.entities):
        for mention, (start, end) in zip(entity, spans[i], strict=True):
            infons = {"type": mention.type, "identifier": mention.kb_id, _ENTITY: "" if told[i] else str(i)}
            row = {
                "id": str(number),
                "infons": {key: value for key, value in infons.items() if value},
                "text": text[start:end],
                "locations": [{"offset": start, "length": end - start}],
            }
            yield start, row
            number += 1


def _told(document: Document, text: str, spans: list[list[tuple[int, int]]]) -> list[bool]:
    """Of each entity, whether a reader tells it by its identifier, or by its type and name where it has none."""
    keys: list[set[str]] = []
    same: list[bool] = []
    for entity, places in zip(document.entities, spans, strict=True):
        found = [
            pair
            for mention, (start, end) in zip(entity, places, strict=True)
            for pair in keyed(Span(start, end, mention.type, "", text[start:end]), _split(mention.kb_id))
        ]
        keys.append({key for key, _ in found})
        same.append([span.kb_id for _, span in found] == [mention.kb_id for mention in entity])
    counts = Counter(key for of_entity in keys for key in of_entity)
    return [len(of_entity) == 1 and same[i] and counts[min(of_entity)] == 1 for i, of_entity in enumerate(keys)]


def _relations(document: Document) -> Iterator[dict[str, Any]]:
    """Relations between the first mentions."""
    first = [0]
    for entity in document.entities:
        first.append(first[-1] + len(entity))
    for number, fact in enumerate(document.relations):
        nodes = [{"refid": str(first[fact.head]), "role": "head"}, {"refid": str(first[fact.tail]), "role": "tail"}]
        yield {"id": f"R{number}", "infons": _infons_of(fact), "nodes": nodes}


def _infons_of(fact: Fact) -> dict[str, str]:
    infons = {"type": fact.relation, "source": fact.source, _EVIDENCE: " ".join(map(str, fact.evidence))}
    if fact.score is not None:
        infons["score"] = repr(fact.score)
    return {key: value for key, value in infons.items() if value}


FORMATS = (
    Format(
        "bioc",
        to_docred,
        suffixes=(".xml",),
        is_record=lambda record: (
            "sents" not in record and ("passages" in record or {"documents", "source"} <= {*record})
        ),
        is_text=lambda path, start: COLLECTION.match(start) is not None,
        from_text=lambda chunks, path: xml_records(chunks),
        is_object=lambda start: _BEGINS.match(start) is not None,
        from_object=lambda chunks: member_elements(chunks, *_LISTS),
        write=write,
        holds=frozenset({"text", "sentences", "mentions", "types", "kb_ids", "evidence", "source", "score"}),
    ),
)
