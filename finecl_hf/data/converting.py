"""`finecl-hf convert`: documents of one format, written in another."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from finecl_hf.data.documents import Document
from finecl_hf.data.notes import Notes
from finecl_hf.data.readers import valid_documents, write_documents
from finecl_hf.data.symmetric import both_ways
from finecl_hf.errors import DocumentError, FineCLError


@dataclass
class Conversion:
    """What became of the documents.

    Attributes:
        format: that was written.
        documents, labels: written.
        unfit: documents that the format cannot hold; reason: why it cannot hold the first of them.
        notes: what else was left out, or taken in one of several ways.
    """

    format: str = "docred"
    documents: int = 0
    labels: int = 0
    unfit: int = 0
    reason: str = ""
    notes: Notes = field(default_factory=Notes)

    def passing(self, documents: Iterable[Document]) -> Iterator[Document]:
        """Yields the documents, and counts them."""
        for document in documents:
            self.documents += 1
            self.labels += len(document.relations)
            yield document
        if self.unfit and not self.documents:
            raise FineCLError(
                f"{self.format} cannot hold any of the {self.unfit:,} documents. The first: {self.reason}."
            )

    def leave_out(self, document: Document, reason: str) -> None:
        """Counts a document that passed as one that the format cannot hold."""
        self.documents -= 1
        self.labels -= len(document.relations)
        self.unfit += 1
        self.reason = self.reason or reason
        self.notes.add(f"documents that {self.format} cannot hold", reason)

    def to_dict(self) -> dict[str, Any]:
        return {"documents": self.documents, "labels": self.labels, "left_out": self.notes.to_dict()}


def convert_file(
    source: str,
    output: str | os.PathLike,
    to: str | None = None,
    *,
    symmetric: Collection[str] = (),
    skip_invalid: bool = False,
    **reading: Any,
) -> Conversion:
    """Reads documents of any format, and writes them.

    Args:
        to: the format of the output, see [`write_documents`].
        symmetric: relations whose facts are also written from tail to head; `{"all"}` for every relation.
        skip_invalid: go on without invalid documents, and without those that the format cannot hold.
        reading: further arguments of [`valid_documents`].

    Raises:
        FineCLError: nothing can be written, or a document is invalid, or a symmetric relation does not occur.
    """
    conversion = Conversion(to or "docred")
    documents = valid_documents(source, skip_invalid=skip_invalid, notes=conversion.notes, **reading)
    if symmetric:
        documents = _with_reverses(documents, set(symmetric))
    leave_out = conversion.leave_out if skip_invalid else None
    try:
        write_documents(conversion.passing(documents), output, to, leave_out)
    except DocumentError as error:
        if error.title is None or error.source != str(output):
            raise
        raise FineCLError(f"{error} --skip_invalid goes on without such documents.") from error
    return conversion


def _with_reverses(documents: Iterable[Document], symmetric: set[str]) -> Iterator[Document]:
    is_every = "all" in symmetric
    if is_every and len(symmetric) > 1:
        raise FineCLError("--both_ways all: is every relation, so name no others with it.")
    unseen = set() if is_every else set(symmetric)
    for document in documents:
        unseen.difference_update(fact.relation for fact in document.relations)
        yield both_ways(document, None if is_every else symmetric)
    if unseen:
        raise FineCLError(f"--both_ways {min(unseen)}: no label has this relation; name it as the labels do.")
