"""What was extracted from one thing that a pipeline was given."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from finecl_hf.data.documents import Document
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.triples import Places, Triple


@dataclass
class Extraction:
    """A document and its triples.

    Attributes:
        item: what the pipeline was given.
        document: what was made of it; None where it could not be read.
        triples: the most certain ones first.
        error: why there is no document.
    """

    item: Any
    document: Document | None = None
    triples: list[Triple] = field(default_factory=list)
    error: FineCLError | None = None

    @cached_property
    def places(self) -> Places:
        return Places(self.document)

    @property
    def text(self) -> str:
        """That spans count in: the text that was given, or that of [`~finecl_hf.data.spans.text_of`]."""
        return self.places.text

    @cached_property
    def entities(self) -> list[list[dict[str, Any]]]:
        """The mentions of each entity as the pipeline takes them: `start`, `end`, `text`, `type`, and `kb_id` where
        there is one."""
        found = []
        for number, entity in enumerate(self.document.entities):
            mentions = []
            for place, mention in enumerate(entity):
                start, end = self.places.span(number, place)
                told = {"start": start, "end": end, "text": self.text[start:end], "type": mention.type}
                mentions.append({**told, "kb_id": mention.kb_id} if mention.kb_id else told)
            found.append(mentions)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Title, text, entities and triples, or the error, for JSON."""
        if self.error is not None:
            title = self.item.get("title", self.item.get("id")) if isinstance(self.item, dict) else None
            told = {"title": str(title)} if isinstance(title, (str, int)) else {}
            return {**told, "error": str(self.error)}
        return {"title": self.document.title, "text": self.text, "entities": self.entities, "triples": self.triples}
