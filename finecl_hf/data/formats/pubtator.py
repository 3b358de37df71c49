"""PubTator (Wei et al., Nucleic Acids Research 2013): title and abstract, mentions by offset, relations by identifier.

As in BioRED and CDR (BioCreative V), an entity is what has one identifier, wherever it is mentioned:

    14510914|t|A title.
    14510914|a|An abstract.
    14510914<TAB>2<TAB>7<TAB>title<TAB>Type<TAB>ID[,ID]
    14510914<TAB>Relation<TAB>ID<TAB>ID[<TAB>Novel]
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from finecl_hf.data.documents import Document
from finecl_hf.data.files import replacing
from finecl_hf.data.formats import Format
from finecl_hf.data.identifiers import entities_by_identifier, identifiers
from finecl_hf.data.json_stream import text_lines
from finecl_hf.data.positions import squeeze
from finecl_hf.data.relating import Related, labels_between
from finecl_hf.data.spans import Span, document_of_text, span_of, text_of
from finecl_hf.errors import DocumentError


_PASSAGE = re.compile(r"\s*([^|\t\n]{1,200})\|([ta])\|(.*)", re.DOTALL)


def records(chunks: Iterable[str], path: Path) -> Iterator[dict[str, Any] | DocumentError]:
    """Yields `{"id", "title", "abstract", "lines"}` of each document; lines of tab-separated cells, with numbers."""
    record: dict[str, Any] | None = None
    for number, whole in enumerate(text_lines(chunks), 1):
        line = whole.rstrip("\r\n")
        if not line.strip():
            continue
        passage = _PASSAGE.fullmatch(line) if "\t" not in line.split("|", 1)[0] else None
        if passage and passage[2] == "t":
            if record:
                yield record
            record = {"id": passage[1].strip(), "title": passage[3], "abstract": "", "lines": []}
        elif passage and record and passage[1].strip() == record["id"]:
            record["abstract"] = passage[3]
        elif record and line.partition("\t")[0].strip() == record["id"] and "\t" in line:
            record["lines"].append((number, line.split("\t")))
        else:
            yield DocumentError(
                f"line {number} (`{line[:40]}`) belongs to no document; each begins with `ID|t|title`, and its other "
                "lines with the same ID."
            )
    if record:
        yield record


def to_docred(record: dict[str, Any]) -> dict[str, Any]:
    """The title is the identifier; mentions of several entities belong to each of them.

    A relation of an entity with itself has no place in a document and is left out.

    Raises:
        DocumentError: naming the line that is wrong.
    """
    title, abstract = record["title"], record["abstract"]
    text = f"{title} {abstract}" if abstract else title
    rows = [(f"line {number}", cells[1:]) for number, cells in record["lines"]]
    related = {cell.strip() for _, cells in rows if not _is_mention(cells) for cell in cells[1:3]}
    mentions = []
    for where, cells in rows:
        if _is_mention(cells):
            start, end = int(cells[0]), int(cells[1])
            name, kind, known_as = cells[2], cells[3], cells[4].strip() if len(cells) > 4 else ""
            # What a relation calls by a joined identifier is an entity of its own
            ids = [known_as] if known_as in related else identifiers(known_as)
            mentions.append((Span(start, end, kind, name=name, where=where), ids))
    entities = entities_by_identifier(mentions)
    relations = []
    for where, cells in rows:
        if _is_mention(cells):
            continue
        if len(cells) < 3:
            raise DocumentError("neither a mention (start, end, text, type, id) nor a relation (name, id, id).", where)
        relations.append(Related(*(cell.strip() for cell in cells[:3]), where))
    labels = labels_between(relations, {key: number for number, key in enumerate(entities)})
    return {**labels, **document_of_text(record["id"], text, list(entities.values()), breaks=[len(title)])}


def write(documents: Iterable[Document], path: Path) -> None:
    """An entity without an identifier that has several names, or a fact, is called `e` and its number.

    Line breaks become spaces: a passage is one line.
    """
    with replacing(path) as file:
        for document in documents:
            file.write((_text_of(document) + "\n").encode())


def _text_of(document: Document) -> str:
    text, words = text_of(document)
    title, abstract = _passages(text, words)
    lines = [f"{document.title}|t|{title}", f"{document.title}|a|{abstract}"]
    named = [_identifier(document, number) for number in range(len(document.entities))]
    mentions: dict[tuple[int, int, str], list[str]] = {}
    for entity, kb_id in zip(document.entities, named, strict=True):
        for mention in entity:
            mentions.setdefault((*span_of(mention, words), mention.type), []).append(kb_id)
    for (start, end, kind), ids in sorted(mentions.items()):
        name = re.sub(r"\s", " ", text[start:end])
        lines.append("\t".join([document.title, str(start), str(end), name, kind, ",".join(dict.fromkeys(ids))]))
    for fact in document.relations:
        lines.append("\t".join([document.title, fact.relation, named[fact.head], named[fact.tail]]))
    return "\n".join(lines) + "\n"


def _passages(text: str, words: list[list[tuple[int, int]]]) -> tuple[str, str]:
    """Title and abstract: the first sentence and the rest, with one space between."""
    line = re.sub(r"[\r\n\t]", " ", text)
    end = next((sentence[-1][1] for sentence in words if sentence), len(line))
    return (line[:end], line[end + 1 :]) if line[end : end + 1] == " " else (line, "")


def _identifier(document: Document, number: int) -> str:
    entity = document.entities[number]
    kb_id = next((mention.kb_id for mention in entity if mention.kb_id), "")
    names = {(mention.type, squeeze(mention.name)) for mention in entity}  # one of them: the reader joins its mentions
    is_needed = len(names) > 1 or any(number in (fact.head, fact.tail) for fact in document.relations)
    return kb_id or (f"e{number}" if is_needed else "-")


def _refuses(document: Document) -> str:
    if re.search(r"[|\t\r\n]", document.title) or len(document.title) > 200:
        return "PubTator's identifiers are short and hold no `|`, tab or line break; give it another title"
    return ""


def _is_mention(cells: list[str]) -> bool:
    return len(cells) >= 4 and cells[0].strip().isdecimal() and cells[1].strip().isdecimal()


FORMATS = (
    Format(
        "pubtator",
        to_docred,
        suffixes=(".pubtator", ".txt"),
        is_text=lambda path, start: _PASSAGE.match(start.split("\n", 1)[0]) is not None,
        from_text=records,
        write=write,
        holds=frozenset({"text", "sentences", "mentions", "types", "kb_ids"}),
        refuses=_refuses,
    ),
)
