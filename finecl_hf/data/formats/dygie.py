"""SciERC (Luan et al., EMNLP 2018) and DyGIE++ (Wadden et al., EMNLP 2019): one document a line.

Places are [first, last] in words of the whole document, from 0, and lists stand sentence by sentence:

    {"doc_key": "A1", "sentences": [["Ada", "met", "Bo", "."], ["She", "ran", "."]],
     "ner": [[[0, 0, "PER"], [2, 2, "PER"]], [[4, 4, "PER"]]], "relations": [[[0, 0, 2, 2, "met"]], []],
     "clusters": [[[0, 0], [4, 4]]]}
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import accumulate, chain, product
from pathlib import Path
from typing import Any

from finecl_hf.data.documents import Document, Mention, _integer, _is_words, _kind, _required
from finecl_hf.data.formats import Format
from finecl_hf.data.json_writing import replacing_packed, write_json
from finecl_hf.data.relating import Related, labels_between
from finecl_hf.errors import DocumentError


logger = logging.getLogger(__name__)

Place = tuple[int, int]  # first and last word, counted over the document


def to_docred(record: dict[str, Any]) -> dict[str, Any]:
    """A cluster is an entity, and so is every mention in none; what stands behind a place or a label is not looked at.

    Relations are those of the mentions' entities. Entities come in the order of the text, or in that of the clusters
    where these hold all mentions. A record without `relations` is unlabelled.

    Raises:
        DocumentError: naming the field that is wrong.
    """
    title = _required(record, "doc_key")
    if not isinstance(title, (str, int)) or isinstance(title, bool):
        raise DocumentError(f"expected the name of a document, found {_kind(title)}.", "doc_key")
    sentences = _required(record, "sentences")
    if not isinstance(sentences, list) or not all(map(_is_words, sentences)):
        raise DocumentError("expected a list of sentences, each a list of words (strings).", "sentences")
    places = _Places(sentences)
    types: dict[Place, str] = {}
    for span, where in _rows(record, "ner", len(sentences)):
        kind = span[2] if len(span) > 2 else ""
        if not isinstance(kind, str):
            raise DocumentError(f"expected the type of a mention, found {_kind(kind)}.", where)
        types.setdefault(places.read(span, where), kind)
    relations = []
    for row, where in _rows(record, "relations", len(sentences)):
        if len(row) < 5:
            raise DocumentError(f"expected [first, last, first, last, relation], found {_kind(row)}.", where)
        head, tail = places.read(row[:2], where), places.read(row[2:4], where)
        relations.append(Related(row[4], head, tail, where))
    entities = _entities(record, places, {*types, *(place for row in relations for place in (row.head, row.tail))})
    raw = {
        "title": str(title),
        "sents": sentences,
        "vertexSet": [[places.mention(place, types.get(place, "")) for place in entity] for entity in entities],
    }
    if record.get("relations") is not None:
        number_of = {place: number for number, entity in enumerate(entities) for place in entity}
        raw |= labels_between(relations, number_of)
        raw["labels"].sort(key=lambda label: (label["h"], label["t"]))  # not by sentence
    return raw


class _Places:
    """Where the words of a document stand in its sentences."""

    def __init__(self, sentences: list[list[str]]):
        self._sentences = sentences
        self._starts = list(accumulate(map(len, sentences), initial=0))
        self._sentence_of = [number for number, words in enumerate(sentences) for _ in words]

    def read(self, span: list, where: str) -> Place:
        """A place as a record has it."""
        if len(span) < 2:
            raise DocumentError(f"expected [first word, last word], found {_kind(span)}.", where)
        first, last = (_integer(bound, where) for bound in span[:2])
        if first > last:
            raise DocumentError(f"the last word, {last}, comes before the first, {first}; both are inside.", where)
        if first < 0 or last >= len(self._sentence_of):
            raise DocumentError(
                f"[{first}, {last}] leaves the document, which has {len(self._sentence_of):,} words; the last one is "
                "inside.",
                where,
            )
        if self._sentence_of[first] != self._sentence_of[last]:
            raise DocumentError(
                f"[{first}, {last}] begins in sentence {self._sentence_of[first]} and ends in another; places count "
                "words of the document, and the last one is inside.",
                where,
            )
        return first, last

    def mention(self, place: Place, kind: str) -> dict[str, Any]:
        sent_id = self._sentence_of[place[0]]
        start, end = (bound - self._starts[sent_id] for bound in (place[0], place[1] + 1))
        name = " ".join(self._sentences[sent_id][start:end])
        return {"name": name, "sent_id": sent_id, "pos": [start, end], "type": kind}


def _rows(record: dict[str, Any], key: str, num_sentences: int) -> Iterator[tuple[list, str]]:
    """What a record lists under a key sentence by sentence, each with its field."""
    lists = record.get(key)
    if lists is None:
        return
    if not isinstance(lists, list) or len(lists) != num_sentences:
        found = f"{len(lists):,} lists" if isinstance(lists, list) else _kind(lists)
        raise DocumentError(f"expected a list for each of the {num_sentences:,} sentences, found {found}.", key)
    for i, rows in enumerate(lists):
        if not isinstance(rows, list):
            raise DocumentError(f"expected the list of a sentence, found {_kind(rows)}.", f"{key}[{i}]")
        for j, row in enumerate(rows):
            if not isinstance(row, list):
                raise DocumentError(f"expected a list of places and a label, found {_kind(row)}.", f"{key}[{i}][{j}]")
            yield row, f"{key}[{i}][{j}]"


def _entities(record: dict[str, Any], places: _Places, mentions: set[Place]) -> list[list[Place]]:
    clusters = record.get("clusters") or []
    if not isinstance(clusters, list):
        raise DocumentError(f"expected a list of clusters, found {_kind(clusters)}.", "clusters")
    entities, seen = [], {}
    for i, cluster in enumerate(clusters):
        if not isinstance(cluster, list) or not all(isinstance(span, list) for span in cluster):
            raise DocumentError(f"expected a list of places, found {_kind(cluster)}.", f"clusters[{i}]")
        entity = list(dict.fromkeys(places.read(span, f"clusters[{i}][{j}]") for j, span in enumerate(cluster)))
        for place in entity:
            if seen.setdefault(place, i) != i:
                raise DocumentError(f"[{place[0]}, {place[1]}] is in cluster {seen[place]}, too.", f"clusters[{i}]")
        entities += [entity] if entity else []
    alone = sorted(mentions - seen.keys())
    return sorted([*entities, *([place] for place in alone)], key=min) if alone else entities


def write(documents: Iterable[Document], path: Path) -> None:
    """A fact is written for the two mentions that stand closest, in one sentence where there are such."""
    apart = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal apart
        for document in documents:
            row, of_document = _row_of(document)
            apart += of_document
            yield row

    with replacing_packed(path) as file:
        write_json(rows(), file, lines=".json" not in path.suffixes[-2:])
    if apart:
        logger.warning(
            "%s: %s facts join entities that are mentioned in no sentence together; DyGIE++ learns none of these.",
            path,
            f"{apart:,}",
        )


def _row_of(document: Document) -> tuple[dict[str, Any], int]:
    """A document as a record, and how many of its facts stand in no sentence."""
    starts = document.sentence_starts
    entities = [[_place(mention, starts) for mention in entity] for entity in document.entities]
    ner: list[list] = [[] for _ in document.sentences]
    for mention in sorted(chain.from_iterable(document.entities), key=lambda mention: _place(mention, starts)):
        ner[mention.sent_id].append([*_place(mention, starts), mention.type])
    row = {"doc_key": document.title, "dataset": "corpus", "sentences": document.sentences, "ner": ner}
    relations: list[list] = [[] for _ in document.sentences]
    apart = 0
    for fact in document.relations:
        head, tail = min(product(document.entities[fact.head], document.entities[fact.tail]), key=_distance)
        apart += head.sent_id != tail.sent_id
        relations[head.sent_id].append([*_place(head, starts), *_place(tail, starts), fact.relation])
    if document.labelled:
        row["relations"] = relations
    in_order = entities == sorted(entities, key=min)
    return {**row, "clusters": [entity for entity in entities if len(entity) > 1 or not in_order]}, apart


def _place(mention: Mention, starts: list[int]) -> Place:
    return starts[mention.sent_id] + mention.start, starts[mention.sent_id] + mention.end - 1


def _distance(pair: tuple[Mention, Mention]) -> tuple[int, int]:
    head, tail = pair
    return abs(head.sent_id - tail.sent_id), abs(head.start - tail.start)


def _refuses(document: Document) -> str:
    seen: dict[tuple[int, int, int], int] = {}
    for number, entity in enumerate(document.entities):
        for mention in entity:
            if seen.setdefault((mention.sent_id, mention.start, mention.end), number) != number:
                return f'"{mention.name[:60]}" is a mention of two entities, and a place has one in DyGIE++; drop one'
    return ""


FORMATS = (
    Format(
        "dygie",
        to_docred,
        is_record=lambda record: (
            "sents" not in record and "sentences" in record and bool({"ner", "doc_key"} & {*record})
        ),
        write=write,
        holds=frozenset({"sentences", "mentions", "types", "unlabelled"}),
        refuses=_refuses,
    ),
)
