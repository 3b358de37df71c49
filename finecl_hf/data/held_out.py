"""Names that count as equal, and the filter that keeps facts of a test set out of the training data (ERICA's)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from unicodedata import normalize

from finecl_hf.data.documents import Document


def name_key(name: str) -> str:
    """What two names have in common where they count as equal, in every step that matches by name.

    Lower-cased, composed (Unicode NFC: an accent may be part of its letter or follow it), any run of white space one
    space and none at the ends, a final sigma a sigma, and the dotted capital I an i. Nothing else is changed:
    punctuation, accents and articles count. `finecl_hf.distant.join` computes the same in SQL.
    """
    if not name.isascii():
        name = normalize("NFC", name).replace("\u0130", "I")
    return " ".join(name.lower().replace("\u03c2", "\u03c3").split())


def entity_keys(document: Document) -> list[set[str]]:
    """The [`name_key`]s of each entity's mentions."""
    return [_keys(document.entity_names(entity)) for entity in range(len(document.entities))]


class HeldOutPairs:
    """The entity pairs, by name, that a model must not see before it is tested (ERICA's filter).

    A pair (head name, tail name) is held out when it is a pair of a held-out document: of any of its facts, or, where
    the document is unlabelled, of any of its judged pairs. The direction counts, the relation does not.

    Args:
        documents: the held-out documents; read once, one at a time.
    """

    def __init__(self, documents: Iterable[Document] = ()):
        self._pairs: set[tuple[str, str]] = set()
        for document in documents:
            self.add(document)

    def __len__(self) -> int:
        return len(self._pairs)

    def add(self, document: Document) -> None:
        """Holds out the pairs of one more document."""
        names = entity_keys(document)
        facts = [(fact.head, fact.tail) for fact in document.relations]
        for head, tail in facts if document.labelled else document.judged_pairs:
            self._pairs.update(product(names[head], names[tail]))

    def pairs_of(self, document: Document) -> list[tuple[int, int]]:
        """The judged pairs of a document that are held out."""
        names = entity_keys(document)
        return [
            (head, tail)
            for head, tail in document.judged_pairs
            if not self._pairs.isdisjoint(product(names[head], names[tail]))
        ]

    def strip(self, document: Document) -> tuple[Document | None, int]:
        """Drops the held-out facts of a document.

        A document with explicit `pairs` loses the judged pair too, so that it does not come back as a false NA, and is
        left out (None) once no judged pair remains (a sentence whose only pair is held out). Elsewhere the pair is NA
        from then on.

        Returns:
            The document without those facts, or None, and how many facts were dropped.
        """
        if not self._pairs or not document.relations:
            return document, 0
        names = entity_keys(document)
        excluded = {
            (head, tail)
            for head, tail in {(fact.head, fact.tail) for fact in document.relations}
            if not self._pairs.isdisjoint(product(names[head], names[tail]))
        }
        facts = [fact for fact in document.relations if (fact.head, fact.tail) not in excluded]
        num_removed = len(document.relations) - len(facts)
        pairs = document.pairs
        if excluded and pairs is not None:
            pairs = [pair for pair in pairs if pair not in excluded]
            if not pairs:
                return None, num_removed
        return replace(document, relations=facts, pairs=pairs), num_removed


def _keys(names: Iterable[str]) -> set[str]:
    return {name_key(name) for name in names}
