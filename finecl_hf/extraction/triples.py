"""Triples of a document as users get them: once each, with the place of their arguments and the sentences that show
them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from finecl_hf.data.documents import Document
from finecl_hf.data.spans import span_of, text_of
from finecl_hf.extraction.parts import nearest, positions_of


Triple = dict[str, Any]
FORWARD, BACKWARD = "(e1,e2)", "(e2,e1)"  # how labels of SemEval and KBP37 say which argument is which


def merged_triples(triples: list[Triple]) -> list[Triple]:
    """Triples of several parts of a document, once each, the most certain ones first.

    What `Cause-Effect(e2,e1)` says of a pair, `Cause-Effect(e1,e2)` says of the reverse: the more certain one stays,
    in its own direction.
    """
    best: dict[tuple, Triple] = {}
    for triple in sorted(triples, key=lambda triple: -triple["score"]):
        head, relation, tail = triple["h_idx"], triple["relation"], triple["t_idx"]
        if relation.endswith(BACKWARD):
            head, relation, tail = tail, relation.removesuffix(BACKWARD) + FORWARD, head
        kept = best.setdefault((head, relation, tail), triple)
        if kept is not triple and (kept.get("evidence") or triple.get("evidence")):
            kept["evidence"] = sorted({*kept.get("evidence", ()), *triple.get("evidence", ())})
    return list(best.values())


class Places:
    """Where the entities and sentences of a document stand.

    Args:
        document: its text is that of [`text_of`].
    """

    def __init__(self, document: Document):
        self.document = document

    @cached_property
    def _layout(self) -> tuple[str, list[list[tuple[int, int]]]]:
        return text_of(self.document)

    @property
    def text(self) -> str:
        """What spans count in."""
        return self._layout[0]

    @cached_property
    def mentions(self) -> list[np.ndarray]:
        return [positions_of(entity) for entity in self.document.entities]

    def add_to(self, triple: Triple) -> Triple:
        """Adds where a triple stands in the text, as [start, end) in characters.

        `head_span` and `tail_span` are the mentions that stand nearest to each other, of those in the evidence where
        there are any; `evidence`, where the model does not tell it, the sentences where both stand, else the two where
        they stand nearest; `evidence_spans`, where those are.
        """
        head, tail = (self.mentions[triple[name]] for name in ("h_idx", "t_idx"))
        told = triple.get("evidence") or []
        one, other = self._chosen(head, told), self._chosen(tail, told)
        first, second = nearest(head[one], tail[other])
        first, second = int(one[first]), int(other[second])
        if not told:
            shared = sorted({*head[:, 0].tolist()} & {*tail[:, 0].tolist()})
            told = shared or sorted({int(head[first, 0]), int(tail[second, 0])})
        triple["head_span"] = self.span(triple["h_idx"], first)
        triple["tail_span"] = self.span(triple["t_idx"], second)
        triple["evidence"] = told
        triple["evidence_spans"] = [self.sentence(number) for number in told]
        return triple

    def span(self, entity: int, mention: int) -> list[int]:
        """[start, end) of one mention of an entity."""
        return list(span_of(self.document.entities[entity][mention], self._layout[1]))

    def sentence(self, number: int) -> list[int]:
        """[start, end) of a sentence; an empty one has no place and gets [0, 0)."""
        words = self._layout[1][number]
        return [words[0][0], words[-1][1]] if words else [0, 0]

    @staticmethod
    def _chosen(mentions: np.ndarray, sentences: list[int]) -> np.ndarray:
        """Numbers of the mentions in some sentences; of all, where none is in them."""
        inside = np.flatnonzero(np.isin(mentions[:, 0], sentences))
        return inside if len(inside) else np.arange(len(mentions))
