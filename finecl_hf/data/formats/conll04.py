"""CoNLL04 (Roth and Yih, CoNLL 2004): a sentence as lines of columns, then the relations between its lines.

Columns are the number of the sentence, the type (`O` for none), the number of the line, `O`, part of speech, words and
three times `O`. The words of an entity are one line, joined with `/`, and a comma is spelt `COMMA`:

    95<TAB>Peop<TAB>0<TAB>O<TAB>NNP/NNP<TAB>Ada/Byron<TAB>O<TAB>O<TAB>O
    95<TAB>O<TAB>1<TAB>O<TAB>VBD<TAB>left<TAB>O<TAB>O<TAB>O
    95<TAB>Loc<TAB>2<TAB>O<TAB>NNP<TAB>Graz<TAB>O<TAB>O<TAB>O

    0<TAB>2<TAB>Live_In

"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from finecl_hf.data.documents import Document
from finecl_hf.data.formats import Format
from finecl_hf.data.json_stream import text_lines
from finecl_hf.data.json_writing import replacing_packed
from finecl_hf.data.relating import Related, labels_between
from finecl_hf.errors import DocumentError


_COLUMNS = 9
_COMMA, _NO_TYPE = "COMMA", "_"  # the latter for entities without a type: `O` is no entity
_SLASH = re.compile(r"(?<!\\)/")


def records(chunks: Iterable[str], path: Path) -> Iterator[dict[str, Any] | DocumentError]:
    """Yields `{"id", "rows", "relations"}` of each sentence; lines of cells, with their numbers."""
    record, blank = None, True
    for number, line in enumerate(text_lines(chunks), 1):
        if not line.strip():
            blank = True
            continue
        cells = _cells(line)
        if len(cells) == _COLUMNS:
            name = cells[0].strip()
            if blank or record is None or record["relations"] or name != record["id"]:
                if record:
                    yield record
                record = {"id": name, "rows": [], "relations": []}
            record["rows"].append((number, cells))
        elif len(cells) == 3 and record:
            record["relations"].append((number, cells))
        else:
            yield DocumentError(
                f"line {number} (`{line.strip()[:40]}`) is neither a word ({_COLUMNS} columns) nor a relation "
                "(line, line, name) below its sentence; correct it."
            )
        blank = False
    if record:
        yield record


def _cells(line: str) -> list[str]:
    return line.rstrip("\r\n").split("\t") if "\t" in line else line.split()


def to_docred(record: dict[str, Any]) -> dict[str, Any]:
    """The number of the sentence is the title; a line that has a type, or a relation, is an entity.

    Raises:
        DocumentError: naming the line that is wrong.
    """
    relations = [
        Related(cells[2], cells[0].strip(), cells[1].strip(), f"line {number}")
        for number, cells in record["relations"]
    ]
    related = {key for relation in relations for key in (relation.head, relation.tail)}
    words: list[str] = []
    entities, number_of = [], {}
    for number, cells in record["rows"]:
        kind, key = cells[1].strip(), cells[2].strip()
        found = _words(cells[5], cells[4])
        if not all(found):
            raise DocumentError("a word is empty; write words joined with `/`.", f"line {number}")
        if key in number_of:
            raise DocumentError(f"line {key} of the sentence occurs twice; number them from 0.", f"line {number}")
        if kind != "O" or key in related:
            number_of[key] = len(entities)
            pos = [len(words), len(words) + len(found)]
            kind = "" if kind in ("O", _NO_TYPE) else kind
            entities.append([{"name": " ".join(found), "sent_id": 0, "pos": pos, "type": kind}])
        words += found
    labels = labels_between(relations, number_of)
    return {"title": record["id"], "sents": [words], "vertexSet": entities, **labels}


def _words(joined: str, parts_of_speech: str) -> list[str]:
    """The words of a line: as many as parts of speech, so that a word with a slash stays whole."""
    pieces = _SLASH.split(joined)
    if len(pieces) > 1 and len(pieces) == parts_of_speech.count("/") + 1:
        words = [piece.replace("\\/", "/") for piece in pieces]
    else:
        words = [joined]
    return ["," if word == _COMMA else word for word in words]


def write(documents: Iterable[Document], path: Path) -> None:
    """An entity is its first mention; sentences are joined to one. Parts of speech are not known: `X`."""
    with replacing_packed(path) as file:
        for document in documents:
            file.write((_text_of(document) + "\n").encode())


def _text_of(document: Document) -> str:
    words = [_COMMA if word == "," else word for sentence in document.sentences for word in sentence]
    begins = {start: (end, number) for number, (start, end) in enumerate(_places(document))}
    lines, line_of, at = [], {}, 0
    while at < len(words):
        end, kind = at + 1, "O"
        if at in begins:
            end, number = begins[at]
            kind = document.entities[number][0].type or _NO_TYPE
            line_of[number] = len(lines)
        inside = words[at:end]
        joined = "/".join(word.replace("/", "\\/") for word in inside) if len(inside) > 1 else inside[0]
        tags = "/".join("X" * len(inside))
        lines.append("\t".join([document.title, kind, str(len(lines)), "O", tags, joined, "O", "O", "O"]))
        at = end
    lines.append("")
    lines += [f"{line_of[fact.head]}\t{line_of[fact.tail]}\t{fact.relation}" for fact in document.relations]
    return "\n".join(lines) + "\n"


def _places(document: Document) -> list[tuple[int, int]]:
    """First and last word, exclusive, of each entity's first mention, counted over the document."""
    starts = document.sentence_starts
    firsts = (entity[0] for entity in document.entities)
    return [(starts[first.sent_id] + first.start, starts[first.sent_id] + first.end) for first in firsts]


def _refuses(document: Document) -> str:
    words = [word for sentence in document.sentences for word in sentence]
    types = [entity[0].type for entity in document.entities]
    relations = [fact.relation for fact in document.relations]
    places = sorted(_places(document))
    if not words:
        return "CoNLL04 has no sentence without words; leave it out"
    if document.title != document.title.strip() or re.search(
        r"[\t\r\n]", "".join([document.title, *types, *relations])
    ):
        return (
            "a title, type or relation with a tab or line break has no place in CoNLL04's columns; name it otherwise"
        )
    if any(not word.strip() or re.search(r"[\t\r\n]|\\/|\\$", word) or word == _COMMA for word in words):
        return "a word is empty, holds a tab, line break or `\\/`, or is `COMMA`, CoNLL04's comma; replace it"
    if any(kind in ("O", _NO_TYPE) or kind != kind.strip() for kind in types):
        return "the types `O` and `_` mean none in CoNLL04; name them otherwise"
    if any(start < end for (_, end), (start, _) in zip(places, places[1:], strict=False)):
        return "mentions overlap, and a word has one line in CoNLL04; drop one of them"
    return ""


def _is_conll04(path: Path, start: str) -> bool:
    cells = _cells(start.split("\n", 1)[0])
    return len(cells) == _COLUMNS and cells[2].strip().isdecimal() and {cells[3], *cells[6:]} <= {"O", "O\r"}


FORMATS = (
    Format(
        "conll04",
        to_docred,
        suffixes=(".corp", ".txt"),
        is_text=_is_conll04,
        from_text=records,
        write=write,
        holds=frozenset({"types"}),
        refuses=_refuses,
    ),
)
