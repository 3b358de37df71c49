"""What a person sees of a label, whatever the tool."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from finecl_hf.data.documents import Document, Fact
from finecl_hf.denoising.excerpts import Piece, excerpt


ROLES = ("head", "tail")
QUESTION = "Does the text say that the relation holds from head to tail?"
VERDICTS = ("right", "wrong", "other relation", "unsure")  # what tools let people choose from
MOST_CHOICES = 100  # relations in a list; of more, the judge writes the name
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff\u2028\u2029]")  # tools count or drop these in ways of their own


@dataclass
class Task:
    """A label to be judged.

    Attributes:
        instance_id, title, relation: of the label; relation_name: readable.
        head, tail, head_type, tail_type: names and types of both entities.
        pieces: the sentences that matter.
        stratum, stratum_size: the part of the corpus that the label stands for, and how many labels that has.
    """

    instance_id: str
    title: str
    relation: str
    relation_name: str
    head: str
    head_type: str
    tail: str
    tail_type: str
    pieces: list[Piece]
    stratum: str
    stratum_size: int

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)

    @property
    def spans(self) -> dict[str, list[tuple[int, int]]]:
        """[start, end) in characters of the text of each role's mentions."""
        return {role: _spans(self.pieces, role) for role in ROLES}

    @property
    def marked(self) -> str:
        """The text with tags around the mentions."""
        return "".join(_tagged(piece) for piece in self.pieces)


def task_of(
    document: Document, fact: Fact, names: Mapping[str, str], stratum: str = "", stratum_size: int = 0
) -> Task:
    """The task of one label.

    Args:
        names: readable names of relations.
    """
    head, tail = (document.longest_name(entity) for entity in (fact.head, fact.tail))
    pieces = [Piece(_CONTROL.sub(" ", piece.text), piece.role) for piece in excerpt(document, fact)]
    return Task(
        document.instance_id(fact), document.title, fact.relation, names.get(fact.relation, fact.relation),
        head, document.types_of(fact)[0], tail, document.types_of(fact)[1], pieces, stratum, stratum_size,
    )  # fmt: skip


def choices(relations: Mapping[str, str]) -> list[str]:
    """Names with their ids, so that two relations of one name differ."""
    return [relation if name == relation else f"{relation}: {name}" for relation, name in sorted(relations.items())]


def _spans(pieces: list[Piece], role: str) -> list[tuple[int, int]]:
    """Pieces that touch are one mention only where one of them belongs to both entities."""
    spans: list[tuple[int, int]] = []
    at, before = 0, ""
    for text, found in pieces:
        if found in (role, "both") and text.strip():
            start, end = at + len(text) - len(text.lstrip()), at + len(text.rstrip())
            if before in (role, "both") and "both" in (before, found) and spans:
                spans[-1] = spans[-1][0], end
            else:
                spans.append((start, end))
        at, before = at + len(text), found
    return spans


def _tagged(piece: Piece) -> str:
    return f"<{piece.role}>{piece.text}</{piece.role}>" if piece.role else piece.text
