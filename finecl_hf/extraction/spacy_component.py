"""The relation model in a spaCy pipeline: `nlp.add_pipe("finecl", config={"model": "outputs/extractor"})`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import tee
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc

from finecl_hf.errors import FineCLError
from finecl_hf.extraction.pipeline import RelationExtractionPipeline


KEY = "finecl_relations"  # of the triples in `doc.user_data`, with offsets, so that a Doc can be stored
MODEL = "model"  # folder of the model in the component's own


class RelationComponent:
    """Sets `doc._.relations`: the triples of the entities in `doc.ents`.

    A relation has the keys of a triple; `head_span` and `tail_span` are spans of the document. The model is loaded
    when it is first needed, so that a pipeline that was saved brings its own wherever it is loaded.

    Args:
        model: output folder of `run_finetune.py`, or a Hub id.
        threshold: in place of the fitted one.
        batch_size: documents a forward pass.
        device: where the model runs.
    """

    def __init__(
        self, model: str | None = None, threshold: float | None = None, batch_size: int = 8, device: str | None = None
    ):
        self.name_or_path, self.batch_size, self.device = model, batch_size, device
        self.options = {} if threshold is None else {"threshold": threshold}
        self._extract: RelationExtractionPipeline | None = None

    @property
    def extract(self) -> RelationExtractionPipeline:
        """
        Raises:
            FineCLError: no model is named, or there is none of this name.
        """
        if self._extract is None:
            if not self.name_or_path:
                raise FineCLError(
                    'the component "finecl" has no model; name one: nlp.add_pipe("finecl", '
                    'config={"model": "outputs/extractor"}).'
                )
            self._extract = RelationExtractionPipeline.from_pretrained(self.name_or_path, device=self.device)
        return self._extract

    def __call__(self, doc: Doc) -> Doc:
        doc.user_data[KEY] = self.extract(doc, **self.options)
        return doc

    def pipe(self, stream: Iterable[Doc], batch_size: int | None = None) -> Iterator[Doc]:
        """The documents, in order; spaCy's own batch size is how many are read ahead."""
        docs, items = tee(stream)
        found = self.extract.extractions(items, self.batch_size, batch_size, **self.options)
        for doc, extraction in zip(docs, found, strict=True):
            if extraction.error is not None:
                raise extraction.error
            doc.user_data[KEY] = extraction.triples
            yield doc

    def to_disk(self, path: str | os.PathLike, exclude: Iterable[str] = ()) -> None:
        """Saves the model with the pipeline."""
        folder = Path(path) / MODEL
        self.extract.model.save_pretrained(folder)
        self.extract.tokenizer.save_pretrained(folder)

    def from_disk(self, path: str | os.PathLike, exclude: Iterable[str] = ()) -> RelationComponent:
        self.name_or_path, self._extract = os.fspath(Path(path) / MODEL), None
        return self


@Language.factory(
    "finecl",
    assigns=["doc._.relations"],
    requires=["doc.ents"],
    default_config={"model": None, "threshold": None, "batch_size": 8, "device": None},
)
def make_component(
    nlp: Language, name: str, model: str | None, threshold: float | None, batch_size: int, device: str | None
) -> RelationComponent:
    """What `nlp.add_pipe("finecl")` adds."""
    return RelationComponent(model, threshold, batch_size, device)


def relations_of(doc: Doc) -> list[dict[str, Any]]:
    """The triples of a document, their arguments as its spans; none before the component has seen it."""
    return [
        {**triple, **{name: doc.char_span(*triple[name]) for name in ("head_span", "tail_span")}}
        for triple in doc.user_data.get(KEY, [])
    ]


if not Doc.has_extension("relations"):
    Doc.set_extension("relations", getter=relations_of)
