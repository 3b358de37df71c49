"""Entities of corpora in which an entity is what has one identifier, wherever it is mentioned: BioRED, CDR."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from finecl_hf.data.positions import squeeze
from finecl_hf.data.spans import Span


_NOT_KNOWN = {"", "-", "-1"}  # in place of an identifier
# CDR joins the identifiers of a mention of several entities with `|`, which is also part of BioRED's for variants
_JOINED = re.compile(r"(-1|[A-Z]\d+)(\|(-1|[A-Z]\d+))+")


def identifiers(known_as: str) -> list[str]:
    """The identifiers of a mention; one that is empty where it has none."""
    pieces = known_as.split("|") if _JOINED.fullmatch(known_as) else known_as.split(",")
    found = [piece.strip() for piece in pieces if piece.strip() not in _NOT_KNOWN]
    return list(dict.fromkeys(found)) or [""]


def entities_by_identifier(mentions: Iterable[tuple[Span, Sequence[str]]]) -> dict[str, list[Span]]:
    """Entities by identifier, in order of their first mentions.

    A mention with several identifiers belongs to each of them; one without to others of its name and type.

    Args:
        mentions: each with its identifiers, as [`identifiers`] tells them.
    """
    entities: dict[str, list[Span]] = {}
    for span, ids in mentions:
        for key, known in keyed(span, ids):
            entities.setdefault(key, []).append(known)
    return entities


def keyed(span: Span, ids: Sequence[str]) -> Iterator[tuple[str, Span]]:
    """What the entities of a mention are called by, and the mention of each, with its identifier."""
    for kb_id in ids:
        yield kb_id or f"{span.type}\t{squeeze(span.name or '')}", replace(span, kb_id=kb_id)
