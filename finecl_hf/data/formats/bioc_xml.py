"""BioC's XML as the records that its JSON has, one document in memory at a time, and back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from finecl_hf.data.json_stream import LONGEST_RECORD
from finecl_hf.errors import DocumentError


# How such a text begins: with its root, or with what may stand before it
COLLECTION = re.compile(r"\s*<(collection[\s>]|[?!](?=.{0,5000}<collection[\s>]))", re.DOTALL)
_DEEPEST = 20
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Parts of records that are lists of objects: by the names of their elements
_LISTS = {
    "passage": "passages", "sentence": "sentences", "annotation": "annotations", "relation": "relations",
    "location": "locations", "node": "nodes",
}  # fmt: skip
_ATTRIBUTES = {
    "annotation": ("id",), "relation": ("id",), "location": ("offset", "length"), "node": ("refid", "role"),
}  # fmt: skip
# What follows infons, in the order that BioC's document type asks for, with the name of an element of each list
_CONTENT = {"offset": "", "locations": "location", "text": ""} | {
    plural: name for name, plural in _LISTS.items() if name != "location"
}


@dataclass(slots=True)
class _Element:
    tag: str
    attributes: dict[str, str]
    children: list[_Element] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def xml_records(chunks: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yields the documents of a collection in the layout of BioC's JSON.

    A document type is passed over where it names a file, as BioC's own do, which is never opened. One that declares
    anything inside is refused: entities can be made to fill the memory.

    Raises:
        DocumentError: after the last good document, naming the line.
    """
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler = reader.characters
    parser.StartDoctypeDeclHandler = _refuse_declarations
    parser.EntityDeclHandler = parser.SkippedEntityHandler = _refuse_entities
    failed = None
    for chunk in _and_end(chunks):
        try:
            parser.Parse(chunk or "", chunk is None)
        except expat.ExpatError as error:
            reason = expat.errors.messages.get(error.code, "an error")
            failed = DocumentError(f"line {error.lineno}: this is no XML ({reason}); correct it or write it again.")
        except DocumentError as error:
            failed = DocumentError(f"line {parser.CurrentLineNumber}: {error.message}")
        yield from reader.taken()
        if failed:
            raise failed


def _and_end(chunks: Iterable[str]) -> Iterator[str | None]:
    yield from chunks
    yield None


def _refuse_declarations(name: str, system: str | None, public: str | None, inside: bool) -> None:
    if inside:
        raise DocumentError("the document type declares something itself; remove `<!DOCTYPE ...>`, BioC needs none.")


def _refuse_entities(name: str, *declared: Any) -> None:
    raise DocumentError(f"the entity &{name}; is none of XML's own; write the character.")


class _Reader:
    """Makes records of what a parser finds."""

    def __init__(self):
        self._open: list[_Element] = []
        self._size = 0
        self._records: list[dict[str, Any]] = []

    def taken(self) -> list[dict[str, Any]]:
        """Records that are whole, each given once."""
        records, self._records = self._records, []
        return records

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self._open and tag != "collection":
            raise DocumentError(f"XML of BioC begins with <collection>, this with <{tag[:40]}>.")
        if len(self._open) > _DEEPEST:
            raise DocumentError("elements lie too deep for BioC.")
        element = _Element(tag, attributes)
        if len(self._open) > 1:  # documents are not kept in their collection
            self._open[-1].children.append(element)
        self._open.append(element)
        self._grow(len(tag) + sum(map(len, attributes.values())))

    def characters(self, text: str) -> None:
        self._grow(len(text))
        if len(self._open) > 1:
            self._open[-1].pieces.append(text)

    def end(self, tag: str) -> None:
        element = self._open.pop()
        if len(self._open) == 1:
            self._size = 0
            if tag == "document":
                self._records.append(_object(element))

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > LONGEST_RECORD:
            raise DocumentError(f"a document has more than {LONGEST_RECORD:,} characters; split it.")


def _object(element: _Element) -> dict[str, Any]:
    """An element as JSON has it."""
    row: dict[str, Any] = dict(element.attributes)
    for child in element.children:
        if child.tag == "infon":
            row.setdefault("infons", {})[child.attributes.get("key", "")] = child.text
        elif child.tag in _LISTS:
            row.setdefault(_LISTS[child.tag], []).append(_object(child))
        else:  # id, offset, text
            row[child.tag] = child.text
    if element.tag == "document":
        row.setdefault("passages", [])
    return row


def xml_rows(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The text of a collection, piece by piece.

    Raises:
        DocumentError: a document has a character that XML does not know.
    """
    yield '<?xml version="1.0" encoding="UTF-8"?>\n<collection><source></source><date></date><key></key>\n'
    for row in rows:
        text = "".join(_written("document", row))
        if found := _NOT_XML.search(text):
            raise DocumentError(
                f"the character U+{ord(found[0]):04X} has no place in XML; write JSON, or remove it.", title=row["id"]
            )
        yield text + "\n"
    yield "</collection>\n"


def _written(tag: str, row: dict[str, Any]) -> Iterator[str]:
    attributes = _ATTRIBUTES.get(tag, ())
    yield "<" + tag + "".join(f" {key}={quoteattr(str(row[key]))}" for key in attributes) + ">"
    if tag == "document":
        yield _leaf("id", row["id"])
    for key, value in row.get("infons", {}).items():
        yield f"<infon key={quoteattr(key)}>{_escaped(value)}</infon>"
    for key, name in _CONTENT.items():
        if key in attributes or key not in row:
            continue
        if name:
            yield from (piece for value in row[key] for piece in _written(name, value))
        else:
            yield _leaf(key, row[key])
    yield f"</{tag}>"


def _leaf(tag: str, value: Any) -> str:
    return f"<{tag}>{_escaped(str(value))}</{tag}>"


def _escaped(text: str) -> str:
    return escape(text, {"\r": "&#13;"})  # readers make a line feed of it
