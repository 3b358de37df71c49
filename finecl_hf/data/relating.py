"""Relations between the mentions of a source, or between its identifiers, as labels between entities."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, NamedTuple

from finecl_hf.data.documents import _kind, means_no_relation
from finecl_hf.data.formats import NOTES
from finecl_hf.errors import DocumentError


ITSELF = "relations of an entity with itself"


class Related(NamedTuple):
    """One relation as its source has it.

    Attributes:
        relation: its name.
        head, tail: what the source calls the two by.
        where: the field of the source that it comes from, for messages.
        more: keys that the label gets besides.
    """

    relation: Any
    head: Hashable
    tail: Hashable
    where: str = ""
    more: Mapping[str, Any] = {}


def labels_between(relations: Iterable[Related], number_of: Mapping[Any, int]) -> dict[str, Any]:
    """Keys of a document in DocRED's layout: `labels`, and `NOTES` of what is left out.

    A relation of an entity with itself has no place in a document.

    Args:
        relations: in the order of the source.
        number_of: the entity of what they call by its key.

    Raises:
        DocumentError: naming the field of a relation without a name, or of something that is no entity.
    """
    labels: list[dict[str, Any]] = []
    notes: list[tuple[str, str]] = []
    for relation, head, tail, where, more in relations:
        if not isinstance(relation, str) or not relation.strip():
            raise DocumentError(f"expected the name of a relation, found {_kind(relation)}.", where)
        if means_no_relation(relation):
            raise DocumentError(f'"{relation[:60]}" is no relation; leave it out.', where)
        for key in (head, tail):
            if key not in number_of:
                raise DocumentError(
                    f'the relation {relation[:60]} is about "{str(key)[:60]}", which no mention has.', where
                )
        if number_of[head] == number_of[tail]:
            notes.append((ITSELF, relation))
            continue
        labels.append({"h": number_of[head], "t": number_of[tail], "r": relation, "evidence": [], **more})
    return {"labels": labels, NOTES: notes}
