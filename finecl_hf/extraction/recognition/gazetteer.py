"""Entities by a list of names: the longest match of whole words."""

from __future__ import annotations

import csv
import io
import logging
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from finecl_hf.data.documents import _kind
from finecl_hf.data.json_stream import parse_json, text_chunks
from finecl_hf.data.spans import Span
from finecl_hf.data.text import PUNCTUATION
from finecl_hf.errors import DocumentError, FineCLError


logger = logging.getLogger(__name__)

SUFFIXES = (".tsv", ".txt", ".csv", ".json", ".jsonl")
# A word ends at hyphens and apostrophes too, so that "Paris" is found in "Paris-based" and "Paris's"; scripts without
# spaces are matched by the character. Letters are what is no sign, as in `data.text`: vowels may be combining marks.
_SIGN = PUNCTUATION + "。！？，：；（）"
_IDEOGRAPH = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_IDEOGRAPH}]|[^\s{_SIGN}{_IDEOGRAPH}]+|[{_SIGN}]")
_BLANK_LINE = re.compile(r"\n\s*\n")
_LINE_END = re.compile(r"\r\n?|\n")  # `splitlines` also cuts at characters that stand inside names and JSON strings
CASES = ("smart", "exact", "ignore")
SHORT = 4  # letters of a single word that is found in capitals only as it is written


class Entry(NamedTuple):
    """A name as the list has it, its type and its identifier."""

    words: tuple[str, ...]
    type: str
    kb_id: str


class Gazetteer:
    """Finds the names of a list in texts: the longest one at each place, as whole words, however they are spaced.

    Args:
        entries: (name, type, identifier or "") of each.
        case: what capitals mean. `smart`: a name is found as it is written; in capitals throughout where it has more
            than four letters or several words; and, where the list has it in lower case, with any capitals. So `WHO`
            is never found in "who". `exact`: as it is written; `ignore`: whatever its capitals.

    Raises:
        FineCLError: no such rule, or no name.
    """

    def __init__(self, entries: Iterable[tuple[str, str, str]], case: str = "smart"):
        if case not in CASES:
            raise FineCLError(f'there is no rule of case "{case}"; it is one of {", ".join(CASES)}.')
        self.case = case
        self.entries: dict[tuple[str, ...], list[Entry]] = {}
        self.longest: dict[str, int] = {}  # words of the longest name that begins with a word
        self.types: frozenset[str] | None = None
        contradicting = [name for name, *rest in entries if not self._add(name, *rest)]
        if not self.entries:
            raise FineCLError("the list of names is empty; give one name a line, such as `Marie Curie<TAB>PER`.")
        self.types = frozenset(entry.type for found in self.entries.values() for entry in found)
        if contradicting:
            logger.warning(
                '%s names have several types or identifiers, such as "%s"; the first of each counts.',
                f"{len(contradicting):,}", contradicting[0],
            )  # fmt: skip

    @classmethod
    def from_file(cls, path: str | os.PathLike, case: str = "smart") -> Gazetteer:
        """Reads a list of names.

        Args:
            path: lines of `name<TAB>type[<TAB>identifier]`; `.csv` with or without the header `name,type,id`; `.json`
                or `.jsonl`: objects with `name` (or `names`), `type` and `id`, or one object `{name: type}`.

        Raises:
            DocumentError: naming the file and the line that is wrong.
        """
        try:
            with open(path, "rb") as file:
                text = "".join(text_chunks(file))
            return cls(_read(text, os.fspath(path).lower()), case)
        except OSError as error:
            raise DocumentError(f"the list of names cannot be read ({error.strerror}).", source=str(path)) from None
        except DocumentError as error:
            raise DocumentError(error.message, error.field, str(path)) from None
        except FineCLError as error:
            raise DocumentError(str(error), source=str(path)) from None

    def _add(self, name: str, kind: str, kb_id: str) -> bool:
        """Whether the name is new, or says what it said before."""
        words = tuple(_WORD.findall(name))
        if not words:
            return True
        key = tuple(map(str.casefold, words))
        known = self.entries.setdefault(key, [])
        self.longest[key[0]] = max(len(key), self.longest.get(key[0], 0))
        same = [entry for entry in known if entry.words == words]
        if not same:
            known.append(Entry(words, kind, kb_id))
        return not same or same[0][1:] == (kind, kb_id)

    def __call__(self, texts: Iterable[str]) -> list[list[Span]]:
        """The mentions in each of some texts."""
        return [list(self._spans(text)) for text in texts]

    def _spans(self, text: str) -> Iterator[Span]:
        found = [match.span() for match in _WORD.finditer(text)]
        words = [text[start:end] for start, end in found]
        keys = [word.casefold() for word in words]
        at = 0
        while at < len(keys):
            for length in range(min(self.longest.get(keys[at], 0), len(keys) - at), 0, -1):
                entry = self._entry(tuple(keys[at : at + length]), words[at : at + length])
                start, end = found[at][0], found[at + length - 1][1]
                if entry and not _BLANK_LINE.search(text, start, end):
                    yield Span(start, end, entry.type, entry.kb_id)
                    at += length - 1
                    break
            at += 1

    def _entry(self, key: tuple[str, ...], words: list[str]) -> Entry | None:
        """What the list has for some words of a text; as it is written before anything else."""
        known = self.entries.get(key, ())
        exact = [entry for entry in known if list(entry.words) == words]
        others = [] if self.case == "exact" else [entry for entry in known if self._fits(entry, words)]
        return next(iter([*exact, *others]), None)

    def _fits(self, entry: Entry, words: list[str]) -> bool:
        if self.case == "ignore":
            return True
        name, found = " ".join(entry.words), " ".join(words)
        letters = sum(map(str.isalpha, name))
        if name == name.lower():
            return True
        return found == found.upper() and (len(words) > 1 or letters > SHORT)


def _read(text: str, path: str) -> Iterator[tuple[str, str, str]]:
    if path.endswith((".json", ".jsonl")):
        return _read_json(text, path.endswith(".jsonl"))
    return _read_csv(text) if path.endswith(".csv") else _read_tsv(text)


def _read_tsv(text: str) -> Iterator[tuple[str, str, str]]:
    for number, line in enumerate(_LINE_END.split(text), 1):
        if line.strip():
            yield _row(line.split("\t"), f"line {number}")


def _read_csv(text: str) -> Iterator[tuple[str, str, str]]:
    try:
        rows = [row for row in csv.reader(io.StringIO(text), strict=True) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise DocumentError(f"the list of names is no CSV ({error}).") from None
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    if "name" in header and "type" in header:
        order = [header.index("name"), header.index("type")]
        order += [header.index(key) for key in ("id", "kb_id") if key in header][:1]
        rows = [[row[place] if place < len(row) else "" for place in order] for row in rows[1:]]
    yield from (_row(row, f"row {number}") for number, row in enumerate(rows, 1))


def _row(cells: list[str], where: str) -> tuple[str, str, str]:
    cells = [cell.strip() for cell in cells]
    if not 2 <= len(cells) <= 3 or not cells[0] or not cells[1]:
        raise DocumentError(
            f"expected a name, a type and perhaps an identifier, found {_kind(cells)[5:]}; put a tab between them, or "
            "in a .csv a comma.",
            where,
        )
    return cells[0], cells[1], cells[2] if len(cells) == 3 else ""


def _read_json(text: str, lines: bool) -> Iterator[tuple[str, str, str]]:
    if lines:
        rows = [(f"line {number}", line) for number, line in enumerate(_LINE_END.split(text), 1) if line.strip()]
        records: Any = [(where, _parsed(line, where)) for where, line in rows]
    else:
        raw = _parsed(text, "the list of names")
        if isinstance(raw, dict):
            raw = [{"name": name, **(value if isinstance(value, dict) else {"type": value})}
                   for name, value in raw.items()]  # fmt: skip
        if not isinstance(raw, list):
            raise DocumentError(f"expected a list of {{name, type, id}}, found {_kind(raw)}.")
        records = [(f"entry {number}", record) for number, record in enumerate(raw)]
    for where, record in records:
        if not isinstance(record, dict):
            raise DocumentError(f"expected an object with name and type, found {_kind(record)}.", where)
        names = record.get("names", [record.get("name")])
        kind, kb_id = record.get("type", record.get("label")), record.get("id", record.get("kb_id"))
        kb_id = "" if kb_id is None else kb_id
        if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
            raise DocumentError(f"expected a name, found {_kind(names)}.", where)
        if not isinstance(kind, str) or not kind:
            raise DocumentError(f"expected a type, found {_kind(kind)}.", where)
        if isinstance(kb_id, bool) or not isinstance(kb_id, (str, int)):
            raise DocumentError(f"expected an identifier, found {_kind(kb_id)}.", where)
        yield from ((name, kind, str(kb_id)) for name in names)


def _parsed(text: str, where: str) -> Any:
    try:
        return parse_json(text)
    except DocumentError as error:
        raise DocumentError(f"{where} {error.message}; correct it.") from None


def looks_like_gazetteer(path: str) -> bool:
    """Whether a file's name ends as that of a list of names."""
    return path.lower().endswith(SUFFIXES)
