"""Sentences as their corpora have them: SemEval-2010 Task 8 and KBP37, TACRED, OpenNRE, FewRel."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from finecl_hf.data.documents import Document
from finecl_hf.data.files import replacing
from finecl_hf.data.json_writing import encoded, replacing_packed, write_json
from finecl_hf.data.spans import span_of, text_of
from finecl_hf.errors import DocumentError


SEMEVAL_TITLE = "semeval-"
_NUMBERED = re.compile(rf"{SEMEVAL_TITLE}([1-9]\d*)")
_NO_RELATION = re.compile(r"comment|\d+\t", re.IGNORECASE)  # a remark, or the next sentence
_TAG = re.compile(r"</?e[12]>")


def judged_pair(document: Document) -> tuple[int, int]:
    """Head and tail of a sentence that [`refuses_all_but_sentences`] lets pass."""
    return document.judged_pairs[0]


def refuses_all_but_sentences(document: Document) -> str:
    """Why a document is no sentence of two arguments with at most one label; "" where it is one."""
    if not document.is_sentence or len(document.entities) != 2:
        return "this format holds sentences of two arguments and one judged pair, and this document is none"
    if len(document.relations) > 1:
        return "this format holds one label a sentence, and this one has several"
    return ""


def refuses_in_tags(document: Document) -> str:
    """Why a document has no place between SemEval's tags and lines; "" where it has."""
    if reason := refuses_all_but_sentences(document):
        return reason
    if _TAG.search(text_of(document)[0]):
        return "the sentence itself holds a tag such as <e1>, which would be read as the mark of an argument"
    if len(document.label.splitlines()) > 1 or _NO_RELATION.match(document.label):
        return "the relation is no line of its own, or would be read as another line; give it another name"
    return ""


def has_number(document: Document) -> bool:
    """Whether a title is one of SemEval's, which are numbers."""
    return bool(_NUMBERED.fullmatch(document.title))


class SemevalNumbers:
    """Numbers of sentences: those of their titles, where they are SemEval's, else the next ones."""

    def __init__(self):
        self._given: set[int] = set()
        self._last = 0

    def of(self, document: Document) -> int:
        """
        Raises:
            DocumentError: the number would be given twice.
        """
        found = _NUMBERED.fullmatch(document.title)
        number = int(found[1]) if found else self._last + 1
        if number in self._given:
            raise DocumentError(
                f"another sentence got the number {number}; give all sentences titles such as {SEMEVAL_TITLE}1, or "
                "none."
            )
        self._given.add(number)
        self._last = max(self._last, number)
        return number


def write_semeval(documents: Iterable[Document], path: Path) -> None:
    """Four lines a sentence, as in SemEval's files; one line where there is no label, as in its test file.

    Sentences with other titles than SemEval's are numbered.
    """
    numbers = SemevalNumbers()
    with replacing(path) as file:
        for document in documents:
            line = f'{numbers.of(document)}\t"{_marked(document)}"\n'
            rest = f"{_label(document, 'Other')}\nComment:\n\n" if document.labelled else ""
            file.write((line + rest).encode())


def _marked(document: Document) -> str:
    """The sentence in one line, with tags around the first mention of head (e1) and tail (e2)."""
    text, words = text_of(document)
    tags = []
    for tag, entity in zip(("e1", "e2"), judged_pair(document), strict=True):
        start, end = span_of(document.entities[entity][0], words)
        tags += [(start, f"<{tag}>"), (end, f"</{tag}>")]
    for at, tag in sorted(tags, key=lambda tag: (tag[0], tag[1].startswith("<e")), reverse=True):
        text = text[:at] + tag + text[at:]
    return " ".join(text.splitlines())


def write_tacred(documents: Iterable[Document], path: Path) -> None:
    """A list of records, or a record a line; the first mention of head and tail, with its last word."""
    _write_records(map(_tacred, documents), path)


def _tacred(document: Document) -> dict[str, Any]:
    record = {"id": document.title, **_relation(document, "no_relation"), "token": document.sentences[0]}
    for role, number in zip(("subj", "obj"), judged_pair(document), strict=True):
        mention = document.entities[number][0]
        record |= {f"{role}_start": mention.start, f"{role}_end": mention.end - 1, f"{role}_type": mention.type}
    return record


def write_opennre(documents: Iterable[Document], path: Path) -> None:
    """A record a line unless the name ends in `.json`, by words: the first mention of head and tail."""
    _write_records(map(_opennre, documents), path, lines=".json" not in path.suffixes[-2:])


def _opennre(document: Document) -> dict[str, Any]:
    record: dict[str, Any] = {"id": document.title, "token": document.sentences[0]}
    for key, number in zip("ht", judged_pair(document), strict=True):
        mention = document.entities[number][0]
        argument = {"name": document.mention_text(mention), "id": mention.kb_id, "pos": [mention.start, mention.end]}
        record[key] = {**argument, "type": mention.type}
    return {**record, **_relation(document, "NA")}


def write_fewrel(documents: Iterable[Document], path: Path) -> None:
    """The sentences of each relation, with all mentions; they are in memory until the last one is known."""
    relations: dict[str, list[dict[str, Any]]] = {}
    for document in documents:
        relations.setdefault(_label(document, "NA"), []).append(_fewrel(document))
    with replacing_packed(path) as file:
        file.write(encoded(relations) + b"\n")


def _fewrel(document: Document) -> dict[str, Any]:
    record: dict[str, Any] = {"tokens": document.sentences[0]}
    for key, number in zip("ht", judged_pair(document), strict=True):
        entity = document.entities[number]
        places = [list(range(mention.start, mention.end)) for mention in entity]
        record[key] = [document.mention_text(entity[0]).lower(), entity[0].kb_id, places]
    return record


def _label(document: Document, none: str) -> str:
    return document.label if document.relations else none


def _relation(document: Document, none: str) -> dict[str, str]:
    """The relation of a labelled sentence; `none` says that there is none."""
    return {"relation": _label(document, none)} if document.labelled else {}


def _write_records(records: Iterator[dict[str, Any]], path: Path, lines: bool | None = None) -> None:
    with replacing_packed(path) as file:
        write_json(records, file, ".jsonl" in path.suffixes[-2:] if lines is None else lines)
