"""Free relation names, as language models give them, mapped to the relations of a task."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from finecl_hf.data.documents import Document, Fact, means_no_relation
from finecl_hf.data.json_stream import parse_json, text_chunks
from finecl_hf.data.notes import Notes
from finecl_hf.errors import DocumentError, FineCLError


DROP = "drop"  # in place of a relation: labels of this name are left out
UNMAPPED = "labels whose relation the label map does not name"
DROPPED = "labels that the label map drops"
EMPTIED = "documents without a judged pair that the label map leaves"


class LabelMap:
    """Free relation name -> relation.

    Names are compared without case, and with `_`, `-` and spaces alike. A relation that others are mapped to stays as
    it is; what is not named is left out, and so is what is mapped to "drop", null or "". A name mapped to `NA` says
    that a pair has no relation.

    Args:
        names: the relation of each name; under "drop", a list of names to leave out.
        source: where they come from, for messages.

    Raises:
        FineCLError: a relation is no text, nothing is mapped, or names that count as one have several relations.
    """

    def __init__(self, names: Mapping[str, Any], source: str = "label_map"):
        self._relations: dict[str, str] = {}
        named = {name: value for name, value in names.items() if name != DROP or not isinstance(value, list)}
        for name in names[DROP] if len(named) < len(names) else ():
            named.setdefault(name if isinstance(name, str) else repr(name), DROP)
        for name, relation in named.items():
            relation = DROP if relation is None else relation
            if not isinstance(relation, str):
                raise FineCLError(f'{source}: the relation of "{name[:60]}" is no text; write an id, or "drop".')
            relation = relation.strip() or DROP
            other = self._relations.setdefault(_plain(name), relation)
            if other != relation:
                raise FineCLError(
                    f'{source}: "{name[:60]}" is mapped to {relation} and to {other} (case and `_` aside); leave one.'
                )
        self.relations = sorted({name for name in self._relations.values() if name != DROP})
        if not self.relations:
            raise FineCLError(f"{source}: maps no name to a relation; give an object of name: relation.")

    @classmethod
    def read(cls, path: str | Path) -> LabelMap:
        """The map in a file: a JSON object, or lines of name and relation with a tab, a comma or a semicolon between.

        Raises:
            FineCLError: the file cannot be read, or is no such map.
        """
        source = f"label map {path}"
        try:
            with open(path, "rb") as file:
                text = "".join(text_chunks(file))
            names = parse_json(text) if text.lstrip().startswith(("{", "[")) else _table(text)
        except DocumentError as error:
            raise FineCLError(f"{source}: {error.message.rstrip('.')}; correct it or write it again.") from None
        except OSError as error:
            raise FineCLError(f"{source}: cannot be read ({error.strerror or error}).") from None
        if not isinstance(names, dict):
            raise FineCLError(f"{source}: expected an object of name: relation.")
        return cls(names, source)

    def to_dict(self) -> dict[str, str]:
        """What the map says; equal maps say the same."""
        return dict(sorted(self._relations.items()))

    def __call__(self, relation: str) -> str | None:
        """The relation of a name: "drop" for one to leave out, None for one that is not known."""
        if relation in self.relations:
            return relation
        return self._relations.get(_plain(relation))

    def apply(self, document: Document, notes: Notes) -> Document | None:
        """The document with the relations of its labels mapped, and without the labels that are left out.

        Where pairs are listed, one whose labels were all left out is no longer judged: it would be a false NA.

        Args:
            notes: where what is left out is counted.

        Returns:
            The document; None where no judged pair is left of those listed.
        """
        facts, lost = {}, set()
        for fact in document.relations:
            relation = self(fact.relation)
            if relation is None or relation == DROP:
                notes.add(UNMAPPED if relation is None else DROPPED, fact.relation)
                lost.add((fact.head, fact.tail))
            elif means_no_relation(relation):
                lost.discard((fact.head, fact.tail))
            else:
                _keep(facts, replace(fact, relation=relation))
        lost -= {(head, tail) for head, tail, _ in facts}
        pairs = document.pairs
        if lost and pairs is not None:
            pairs = [pair for pair in pairs if pair not in lost]
            if not pairs:
                notes.add(EMPTIED, document.title)
                return None
        return replace(document, relations=list(facts.values()), pairs=pairs)


def as_label_map(value: LabelMap | Mapping[str, Any] | str | Path | None) -> LabelMap | None:
    """A map from what users give for one: the name of a file, or what it says."""
    if value is None or isinstance(value, LabelMap):
        return value
    return LabelMap(value) if isinstance(value, Mapping) else LabelMap.read(value)


def _keep(facts: dict[tuple[int, int, str], Fact], fact: Fact) -> None:
    """Of labels that the map makes one, the surest is kept, else the first."""
    key = fact.head, fact.tail, fact.relation
    known = facts.setdefault(key, fact)
    if fact.score is not None and (known.score is None or fact.score > known.score):
        facts[key] = fact


def _table(text: str) -> dict[str, str]:
    first = text.lstrip().partition("\n")[0]
    delimiter = next((sign for sign in "\t;," if sign in first), "\t")
    names: dict[str, str] = {}
    try:
        for number, cells in enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), 1):
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) < 2:
                raise DocumentError(f"line {number} has no two cells, name and relation")
            if names.setdefault(cells[0].strip(), cells[1].strip()) != cells[1].strip():
                raise DocumentError(f'line {number} maps "{cells[0][:60]}" a second time')
    except csv.Error as error:
        raise DocumentError(f"cannot be read as a table ({error})") from None
    return names


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-]+", " ", name).strip().casefold()
