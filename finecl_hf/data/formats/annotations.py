"""What the formats of annotation tools share: spans with names of their own, and relations between two of them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from finecl_hf.data.documents import Document, _integer, _kind
from finecl_hf.data.formats import NOTES
from finecl_hf.data.relating import Related, labels_between
from finecl_hf.data.spans import Span, document_of_text, span_of, text_of
from finecl_hf.errors import DocumentError


class Annotations:
    """The spans and relations of one text, as they are read.

    Every span is an entity with one mention: these tools have no entities beyond them.
    """

    def __init__(self):
        self.spans: list[Span] = []
        self.relations: list[Related] = []
        self.notes: list[tuple[str, str]] = []
        self._number_of: dict[Hashable, int] = {}

    def add_span(self, name: Any, start: Any, end: Any, kind: Any, where: str, text: Any = None) -> None:
        """Adds a span.

        Args:
            name: what relations call it.
            start, end: [start, end) in characters.
            text: what should stand there, where the file says so.

        Raises:
            DocumentError: a number or a name is none, or the name is another span's.
        """
        start, end = whole_number(start, f"{where}.start"), whole_number(end, f"{where}.end")
        name = key_of(name, where)
        if name in self._number_of:
            raise DocumentError(f"another span has the id {_kind(name)}; give each its own.", where)
        self._number_of[name] = len(self.spans)
        kind = kind if isinstance(kind, str) else ""
        self.spans.append(Span(start, end, kind, "", text if isinstance(text, str) else None, where))

    def add_relation(self, head: Any, tail: Any, relation: Any, where: str) -> None:
        """Adds a relation between two spans, by their names."""
        self.relations.append(Related(relation, key_of(head, where), key_of(tail, where), where))

    def document(self, title: str, text: str, is_labelled: bool = True) -> dict[str, Any]:
        """The document in DocRED's layout.

        Raises:
            DocumentError: a relation is no text, or names a span that is not there.
        """
        labels = labels_between(self.relations, self._number_of)
        entities = [[span] for span in self.spans]
        raw = document_of_text(title, text, entities, labels["labels"] if is_labelled else None)
        return {**raw, NOTES: self.notes + labels[NOTES]}


def written_spans(document: Document) -> tuple[str, list[tuple[int, int, str]]]:
    """The text of a document, and start, end and type of each entity's first mention."""
    text, words = text_of(document)
    return text, [(*span_of(entity[0], words), entity[0].type) for entity in document.entities]


def refuses_untitled(document: Document) -> str:
    """`Format.refuses` of tools that keep titles as the texts of fields, and have nothing to show without a text."""
    if not any(document.sentences):
        return "it has no text, which annotation tools do not take; leave it out"
    return "" if document.title.strip() else "the title is white space; give it another"


def text_at(record: dict[str, Any], key: str, where: str = "") -> str:
    value = record.get(key)
    if not isinstance(value, str) or not value.strip():
        raise DocumentError(f"expected text, found {_kind(value)}.", f"{where}.{key}" if where else key)
    return value


def whole_number(value: Any, where: str) -> int:
    """An integer; JSON of some programs writes 3.0 for 3."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return _integer(value, where)


def key_of(name: Any, where: str) -> Hashable:
    if isinstance(name, (dict, list)):
        raise DocumentError(f"expected an id, found {_kind(name)}.", where)
    return name


def title_of(record: dict[str, Any], keys: Sequence[str]) -> str:
    """The first of some keys that holds a title: text, or a number; "" where none does."""
    for key in keys:
        value = record.get(key)
        if isinstance(value, str) and value.strip():
            return value
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
            return str(value)
    return ""
