"""Formats of other tools: how each is told by its content, read, and written.

A module says all there is to say of a format, or of a family of them, as `FORMATS`; a new module is listed in
`MODULES`. How a file holds its records, `raw_records` finds out; which document a record is, the format's `to_docred`
says; and one validator (`Document.from_dict`) sees them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from finecl_hf.data.documents import Document


NOTES = " notes"  # key of what `to_docred` leaves out; no document has such a key
# Of two formats that fit a file, the first is taken
MODULES = (
    "bioc", "brat", "pubtator", "conll04", "docbin", "dygie", "spert", "table", "labelstudio", "doccano", "prodigy",
    "silver", "sentences",
)  # fmt: skip


@dataclass(frozen=True)
class Format:
    """What there is to say of a format.

    Attributes:
        name: what users call it in `format=`, `--format` and `--to`.
        to_docred: makes of a record a dict in DocRED's layout. Raises DocumentError, naming the record's own fields.
            What it leaves out it lists as `NOTES`: (kind, text) of each, for [`~finecl_hf.data.notes.Notes`].
        suffixes: of the names of its files, beside those of JSON.
        is_record: whether a record of JSON (an element of a list, or a line) is one of its own.
        is_text: whether a file at this path is one, by the beginning of its text.
        from_text: its records, from pieces of a file's text and the path; None where the text is JSON.
        is_object: whether a text that begins like this is a JSON object that holds records in its own way.
        from_object: the records of such an object, from pieces of its text.
        from_file: its records, from a file that is no text, of one of its suffixes; or from a folder.
        is_folder: whether a folder is one corpus of this format.
        write: writes documents to a path; None where the format is only read.
        holds: which of [`parts`] it has a place for.
        refuses: why it cannot hold a document at all; "" where it can.
        beside: makes, for one output, what raises DocumentError where it cannot hold a document beside those before.
        keeps_title: whether a document gets its title back.
        hashed_titles: whether the title of a record is made of what it says, so that equal ones need numbers.
    """

    name: str
    to_docred: Callable[[Any], dict[str, Any]]
    suffixes: tuple[str, ...] = ()
    is_record: Callable[[dict[str, Any]], bool] = lambda record: False
    is_text: Callable[[Path, str], bool] = lambda path, start: False
    from_text: Callable[[Iterable[str], Path], Iterator[Any]] | None = None
    is_object: Callable[[str], bool] = lambda start: False
    from_object: Callable[[Iterable[str]], Iterator[Any]] | None = None
    from_file: Callable[[Path], Iterator[Any]] | None = None
    is_folder: Callable[[Path], bool] = lambda folder: False
    write: Callable[[Iterable[Document], Path], None] | None = None
    holds: frozenset[str] = frozenset()
    refuses: Callable[[Document], str] = lambda document: ""
    beside: Callable[[], Callable[[Document], Any]] = lambda: lambda document: None
    keeps_title: Callable[[Document], bool] = lambda document: True
    hashed_titles: Callable[[dict[str, Any]], bool] = lambda record: False


@cache
def formats() -> dict[str, Format]:
    """All formats but DocRED's own, by name."""
    modules = (import_module(f"{__name__}.{module}") for module in MODULES)
    return {format.name: format for module in modules for format in module.FORMATS}


def format_of_record(record: dict[str, Any]) -> str:
    """The name of the format of a record of JSON."""
    return next((format.name for format in formats().values() if format.is_record(record)), "docred")


def parts(document: Document) -> set[str]:
    """What of a document some formats have no place for:

    - `text`: the original text, with its spaces;
    - `sentences`: more than one;
    - `mentions`: entities with more than one, or none in a fact's reach;
    - `types`, `kb_ids`: of mentions;
    - `unlabelled`: that it has no labels, rather than no facts;
    - `pairs`: which pairs are judged;
    - `evidence`, `source`, `score`: of facts.
    """
    mentions = [mention for entity in document.entities for mention in entity]
    found = {
        "text": document.text is not None,
        "sentences": len(document.sentences) > 1,
        "mentions": any(len(entity) > 1 for entity in document.entities),
        "types": any(mention.type for mention in mentions),
        "kb_ids": any(mention.kb_id for mention in mentions),
        "unlabelled": not document.labelled,
        "pairs": document.pairs is not None,
        "evidence": any(fact.evidence for fact in document.relations),
        "source": any(fact.source for fact in document.relations),
        "score": any(fact.score is not None for fact in document.relations),
    }
    return {name for name, is_there in found.items() if is_there}
