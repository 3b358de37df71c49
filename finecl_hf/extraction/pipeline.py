"""Documents or raw text in, triples out."""

from __future__ import annotations

import logging
import math
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from numbers import Integral, Real
from typing import Any

import torch
from transformers import Pipeline, PreTrainedTokenizerBase
from transformers.pipelines import PIPELINE_REGISTRY

from finecl_hf.data.documents import MOST_ENTITIES, Document
from finecl_hf.encoding.batches import RelationCollator
from finecl_hf.encoding.encoders import hub_arguments, load_tokenizer, max_length_for, running_on
from finecl_hf.encoding.features import DocumentEncoder
from finecl_hf.errors import DocumentError, FineCLError
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.extractions import Extraction
from finecl_hf.extraction.modeling import FineCLForRelationExtraction
from finecl_hf.extraction.parts import MOST_WORDS, Part, parts_of
from finecl_hf.extraction.predictions import decision_threshold, document_candidates, probabilities
from finecl_hf.extraction.recognition.raw_text import Item, Source, TextReader, is_single
from finecl_hf.extraction.recognition.types import known_types
from finecl_hf.extraction.triples import Triple, merged_triples


logger = logging.getLogger(__name__)

MODEL_ARGUMENTS = (
    "input_ids", "attention_mask", "token_index", "token_weight", "entity_offsets", "mention_offsets",
    "mention_entity", "entity_type", "pairs", "distances", "pair_counts", "entity_counts", "window_index",
    "window_lengths", "sentence",
)  # fmt: skip
READING = (
    "recogniser",
    "join_mentions",
    "dates",
    "numbers",
    "coreference",
    "type_names",
)  # arguments of a `TextReader`
MOST_DOCUMENTS = 1_000_000  # a forward pass
WINDOW = 16  # batches that a stream reads ahead, to put documents of similar length together


class RelationExtractionPipeline(Pipeline):
    """Extracts relations from documents, from text whose entities are given, and from raw text.

    Example:
        >>> extract = RelationExtractionPipeline.from_pretrained("outputs/extractor", recogniser="names.tsv")
        >>> extract("Marie Curie was born in Warsaw.")
        >>> entities = [{"start": 0, "end": 11, "label": "PER"}, {"start": 24, "end": 30, "label": "LOC"}]
        >>> extract({"text": "Marie Curie was born in Warsaw.", "entities": entities})
        >>> extract(read_documents("documents.json"))

    The result is a list of triples, most certain first:

    - `head`, `relation` (id), `name` (readable, where known), `tail`;
    - `score` in (0, 1), the probability that the triple is right, see `calibration`;
    - `h_idx` and `t_idx`, the numbers of the entities, see [`extractions`];
    - `head_span` and `tail_span`, [start, end) of both arguments in the text, in characters;
    - `evidence`, the sentences that show it, by number, and `evidence_spans`, where they are. They are told by models
      whose head is `evidence`; else they are those where both arguments stand, or stand nearest.

    Models for sentences judge each pair of a text in the sentence that holds it. Texts of more than 1,000 entities or
    20,000 words are judged in parts, which is said. Once this module is imported,
    `transformers.pipeline("relation-extraction", ...)` makes it, too.
    """

    _load_tokenizer = True
    _load_processor = _load_image_processor = _load_feature_extractor = False

    @classmethod
    def from_pretrained(
        cls, name_or_path: str, device: str | int | torch.device | None = None, **kwargs: Any
    ) -> RelationExtractionPipeline:
        """Loads a fine-tuned model, a LoRA adapter or an ONNX export, and its tokenizer.

        Args:
            name_or_path: output folder of `run_finetune.py` or of `finecl-hf export`, or a Hub id.
            device: where the model is to run, in place of a `device_map`.
            kwargs: `recogniser`, `join_mentions`, `dates`, `numbers`, `coreference`, `type_names`, `reach`: see the
                constructor. Others are passed on to [`load_relation_model`]: `dtype`, `base_model`, `backend`,
                `attn_implementation`, ...; those that say where to look, such as `revision` and `token`, also to the
                tokenizer.

        Raises:
            FineCLError: see [`load_relation_model`], and [`TextReader`].
        """
        reading = {name: kwargs.pop(name) for name in (*READING, "reach") if name in kwargs}
        model, tokenizer = _load(name_or_path, **kwargs)
        return cls(model=model, tokenizer=tokenizer, device=device, **reading)

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Saves the model, with the code that makes this pipeline where the package is missing, and its tokenizer."""
        self.model.save_pretrained(save_directory, **kwargs)
        self.tokenizer.save_pretrained(save_directory, **kwargs)

    def __init__(
        self,
        model: FineCLForRelationExtraction | str | os.PathLike,
        tokenizer: PreTrainedTokenizerBase | None = None,
        reach: int | None = None,
        backend: str | None = None,
        **kwargs: Any,
    ):
        """
        Args:
            model: a model, with its tokenizer; or the folder or Hub id of both.
            backend: what a folder is to hold: `torch`, or `onnx` for an export; either by default.
            reach: of models for sentences: judge only pairs that stand in so many sentences or fewer.
            kwargs: how raw text is read: `recogniser`, `join_mentions`, `dates`, `numbers`, `coreference`,
                `type_names`, see [`TextReader`]; of the name of a model `dtype` and `base_model`. Others are those of
                `transformers.Pipeline`, such as `device`.
        """
        reading = {name: kwargs.pop(name) for name in READING if name in kwargs}
        loading = {name: kwargs.pop(name, None) for name in ("dtype", "base_model")}
        if isinstance(model, (str, os.PathLike)):
            given = {name: value for name, value in loading.items() if value is not None}
            model, own = _load(model, backend=backend, **given)
            tokenizer = own if tokenizer is None else tokenizer
        elif backend is not None or loading["base_model"] is not None:
            raise FineCLError("backend and base_model go with the name of a model; a model runs as it was loaded.")
        elif tokenizer is None:
            raise FineCLError("a model needs its tokenizer; give both, or the name of the folder that holds them.")
        with running_on(kwargs.get("device")):
            super().__init__(model=model, tokenizer=tokenizer, **kwargs)
        if reach is not None and (isinstance(reach, bool) or not isinstance(reach, int) or reach < 1):
            raise FineCLError(f"reach is {reach!r}; give a number of sentences, at least 1.")
        self.reach = reach
        self.reader = TextReader(**reading, device=self.device)
        self._lost: Counter[str] = Counter()  # what of the running call's documents lies past the model's length
        self.collator = RelationCollator(self.tokenizer.pad_token_id)
        self._encoder: tuple[FineCLConfig, DocumentEncoder] | None = None

    @property
    def encoder(self) -> DocumentEncoder:
        """What makes features as the model reads them; of several adapters, each has its own way."""
        config = self.model.config
        if self._encoder is None or self._encoder[0] is not config:
            longest = max_length_for(self.tokenizer, config.get_text_config())  # a configuration may say more
            encoder = DocumentEncoder(
                self.tokenizer, config.label2id, min(longest, config.max_seq_length), config.entity_markers,
                config.hide_names, config.long_documents,
            )  # fmt: skip
            self._encoder = config, encoder
        return self._encoder[1]

    def __call__(self, documents: Item | Iterable[Item], batch_size: int = 8, **kwargs: Any) -> list:
        """
        Args:
            documents: one or several of
                - a [`Document`], or a dict in DocRED's layout; labels in them are ignored;
                - a text, as a string or `{"text": ..., "title": ...}`: its entities are found by the recogniser;
                - `{"text": ..., "entities": [...]}`, in characters, see `recognition.mentions.mention_of`. An entity
                  is a mention or a list of its mentions; where all are single mentions, those of one are merged;
                - a `Doc` of spaCy, with the entities and sentences that are set.
            batch_size: documents a forward pass; documents of similar length share one.
            kwargs: `threshold` (on the score of `predictions.relation_scores`) in place of the fitted ones.

        Returns:
            list of triples for one document, list of such lists for several.

        Raises:
            FineCLError: what cannot be read, in a sentence that says where and why.
        """
        single = is_single(documents)
        if not single and not isinstance(documents, Iterable):
            raise FineCLError(f"expected documents or texts, found {type(documents).__name__}.")
        found = self._extract([documents] if single else list(documents), batch_size, **kwargs)
        self._tell_losses()
        for number, extraction in enumerate(found):
            if extraction.error is not None:
                raise extraction.error if single else _located(extraction.error, number)
        results = [extraction.triples for extraction in found]
        return results[0] if single else results

    def stream(self, items: Iterable[Item], batch_size: int = 8, **kwargs: Any) -> Iterator[list[Triple]]:
        """Yields the triples of each item, in order, from an iterator that may have no end.

        Args:
            items, batch_size, kwargs: as of [`extractions`].

        Raises:
            FineCLError: at the first item that cannot be read, once the results of those before it are given.
        """
        for number, extraction in enumerate(self.extractions(items, batch_size, **kwargs)):
            if extraction.error is not None:
                raise _located(extraction.error, number)
            yield extraction.triples

    def extractions(
        self,
        items: Iterable[Item],
        batch_size: int = 8,
        window: int | None = None,
        lost: Counter[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[Extraction]:
        """As [`stream`], with the document that was made of each item; what cannot be read has an error and stops
        nothing.

        Args:
            items: as `documents` of [`__call__`].
            batch_size: documents a forward pass.
            window: items that are read ahead, and all that is in memory: those of similar length share a pass.
            lost: is told what could not be judged, for [`tell_losses`], in place of a warning at the end.
            kwargs: `threshold`.
        """
        _check_batch_size(batch_size)
        window = WINDOW * batch_size if window is None else window
        if isinstance(window, bool) or not isinstance(window, int) or not 1 <= window <= sys.maxsize:
            raise FineCLError(f"window {window} is out of range; read at least 1 item ahead.")
        if is_single(items) or not isinstance(items, Iterable):
            raise FineCLError("a stream is of several items; give a list or an iterator of them.")
        return self._windows(iter(items), batch_size, window, lost, kwargs)

    def _windows(
        self, items: Iterator[Item], batch_size: int, window: int, lost: Counter[str] | None, options: dict
    ) -> Iterator[Extraction]:
        try:
            while chosen := list(islice(items, window)):
                # transformers warns of calls one after another; the windows of a stream are no such calls
                self.call_count = 0
                yield from self._extract(chosen, batch_size, **options)
        finally:
            if lost is None:
                self._tell_losses()
            else:
                lost.update(self._lost)
                self._lost.clear()

    def _extract(self, items: list[Item], batch_size: int, **kwargs: Any) -> list[Extraction]:
        _check_batch_size(batch_size)
        config = self.model.config
        sources = self.reader.read(items, known_types(config))
        numbered = [
            (number, part) for number, source in enumerate(sources) for part in self._parts(source)
        ]  # fmt: skip
        by_length = sorted(numbered, key=lambda pair: sum(map(len, pair[1].document.sentences)))
        groups = [by_length[start : start + batch_size] for start in range(0, len(numbered), batch_size)]
        # Batches are made here: pairs of several documents lie flat in one tensor, which Pipeline's own batching
        # would take apart wrongly. It takes each list for one input.
        inputs = [[part.document for _, part in group] for group in groups]
        found = super().__call__(inputs, **kwargs) if groups else []
        results: list[list[Triple]] = [[] for _ in items]
        for group, triples in zip(groups, found, strict=True):
            for (number, part), of_part in zip(group, triples, strict=True):
                results[number] += map(part.in_whole, of_part)
        return [self._extraction(*pair) for pair in zip(sources, results, strict=True)]

    def _parts(self, source: Source) -> list[Part]:
        if source.document is None:
            return []
        one_pair = self.model.config.task == "sentence"
        parts = list(parts_of(source.document, one_pair, self.reach))
        if not one_pair and len(parts) > 1:
            self._lost.update(cut=1, parts=len(parts))
        return parts

    def _extraction(self, source: Source, triples: list[Triple]) -> Extraction:
        extraction = Extraction(source.item, source.document, error=source.error)
        extraction.triples += (extraction.places.add_to(triple) for triple in merged_triples(triples))
        return extraction

    def _sanitize_parameters(self, threshold: float | None = None) -> tuple[dict, dict, dict]:
        if threshold is None:
            return {}, {}, {}
        if isinstance(threshold, bool) or not isinstance(threshold, Real) or math.isnan(threshold):
            raise FineCLError(f"threshold is {threshold!r}; give a number, or None for the fitted one.")
        return {}, {}, {"threshold": float(threshold)}

    def preprocess(self, documents: list[Document]) -> dict[str, Any]:
        unlabelled = [
            Document(document.title, document.sentences, document.entities, pairs=document.pairs)
            for document in documents
        ]
        rows = self.encoder.rows(unlabelled)
        self._lost.update(
            documents=sum(row["lost_mentions"] > 0 for row in rows),
            mentions=sum(row["lost_mentions"] for row in rows),
            entities=sum(row["lost_entities"] for row in rows),
        )
        return {**self.collator(rows), "documents": documents}

    def _forward(self, inputs: dict[str, Any]) -> dict[str, Any]:
        outputs = self.model(**{name: inputs[name] for name in MODEL_ARGUMENTS})
        return {**inputs, "logits": outputs.logits, "shares": outputs.evidence}

    def postprocess(self, outputs: dict[str, Any], threshold: float | None = None) -> list[list[dict[str, Any]]]:
        config = self.model.config
        threshold = decision_threshold(config) if threshold is None else threshold
        candidates = document_candidates(outputs["logits"], outputs, config, outputs["shares"], threshold)
        result = []
        for document, found in zip(outputs["documents"], candidates, strict=True):
            chosen = found.above(threshold)
            triples = zip(chosen.head, chosen.relation, chosen.tail, chosen.score, strict=True)
            result.append([self._triple(document, *triple) for triple in triples])
            if found.evidence is not None:
                for triple, sentences in zip(result[-1], chosen.evidence_sentences(), strict=True):
                    triple["evidence"] = sentences
        return result

    def _tell_losses(self) -> None:
        """Says what of the documents since the last time could not be judged, once."""
        self.tell_losses(self._lost)
        self._lost.clear()

    def tell_losses(self, lost: Counter[str]) -> None:
        """Warns of what could not be judged, as [`extractions`] has counted it."""
        if lost["cut"]:
            logger.warning(
                "%s texts of more than %s entities or %s words are judged in %s parts, cut between sentences; "
                "relations from one part to another are not found.",
                *(f"{number:,}" for number in (lost["cut"], MOST_ENTITIES, MOST_WORDS, lost["parts"])),
            )
        if lost["mentions"]:
            logger.warning(
                "%s mentions in %s documents lie past the %s tokens that the model reads, and with them %s entities, "
                "of which no relation is found; shorter documents lose nothing.",
                *(f"{lost[name]:,}" for name in ("mentions", "documents")),
                self.encoder.max_length, f"{lost['entities']:,}",
            )  # fmt: skip

    def _triple(self, document: Document, head: int, relation: int, tail: int, score: float) -> dict[str, Any]:
        config = self.model.config
        name = config.id2label[int(relation)]
        return {
            "head": document.entities[head][0].name,
            "relation": name,
            "name": (config.relation_names or {}).get(name, name),
            "tail": document.entities[tail][0].name,
            "score": float(probabilities(score, config)),
            "h_idx": int(head),
            "t_idx": int(tail),
        }


def _load(
    name_or_path: str | os.PathLike, **kwargs: Any
) -> tuple[FineCLForRelationExtraction, PreTrainedTokenizerBase]:
    from finecl_hf.extraction.loading import load_relation_model

    model = load_relation_model(name_or_path, **kwargs)
    options = hub_arguments(kwargs)
    return model, load_tokenizer(name_or_path, trust_remote_code=kwargs.get("trust_remote_code"), **options)


def _check_batch_size(batch_size: Any) -> None:
    if isinstance(batch_size, bool) or not isinstance(batch_size, Integral) or not 1 <= batch_size <= MOST_DOCUMENTS:
        raise FineCLError(
            f"batch_size is {batch_size!r}; give a number of documents, at least 1 and at most {MOST_DOCUMENTS:,}."
        )


def _located(error: FineCLError, number: int) -> FineCLError:
    """The error, with the number of the item that it is about."""
    if isinstance(error, DocumentError) and error.index is None:
        return DocumentError(error.message, error.field, error.source, number, error.title)
    return error if isinstance(error, DocumentError) else FineCLError(f"document {number}: {error}")


PIPELINE_REGISTRY.register_pipeline(
    "relation-extraction", pipeline_class=RelationExtractionPipeline, pt_model=FineCLForRelationExtraction
)
