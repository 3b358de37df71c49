"""Documents in, triples out."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch
from transformers import Pipeline, PreTrainedTokenizerBase
from transformers.pipelines import PIPELINE_REGISTRY

from finecl_hf.data.documents import Document
from finecl_hf.encoding.batches import RelationCollator
from finecl_hf.encoding.encoders import hub_arguments, load_tokenizer
from finecl_hf.encoding.features import DocumentEncoder
from finecl_hf.encoding.words import tells_roles
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.loading import load_relation_model
from finecl_hf.extraction.modeling import FineCLForRelationExtraction
from finecl_hf.extraction.predictions import decision_threshold, document_candidates, probabilities


logger = logging.getLogger(__name__)

MODEL_ARGUMENTS = (
    "input_ids", "attention_mask", "token_index", "token_weight", "entity_offsets", "mention_offsets",
    "mention_entity", "entity_type", "pairs", "distances", "pair_counts", "entity_counts", "window_index",
    "window_lengths", "sentence",
)  # fmt: skip


class RelationExtractionPipeline(Pipeline):
    """Extracts relations from documents whose entities are marked.

    Example:
        >>> extract = RelationExtractionPipeline.from_pretrained("outputs/extractor")
        >>> extract(read_documents("documents.json"))

    The result for a document is a list of triples, most certain first: `head`, `relation` (id), `name` (readable,
    where known), `tail`, `score` in (0, 1) (the probability that the triple is right, see `calibration`), and the
    entity numbers `h_idx` and `t_idx`; models whose head is `evidence` also give `evidence`, the sentences that show
    it. Once this module is imported, `transformers.pipeline("relation-extraction", ...)` makes it, too.
    """

    _load_tokenizer = True
    _load_processor = _load_image_processor = _load_feature_extractor = False

    @classmethod
    def from_pretrained(
        cls, name_or_path: str, device: str | int | torch.device | None = None, **kwargs: Any
    ) -> RelationExtractionPipeline:
        """Loads a fine-tuned model or a LoRA adapter, and its tokenizer.

        Args:
            name_or_path: output folder of `run_finetune.py`, or a Hub id.
            device: where the model is to run, in place of a `device_map`.
            kwargs: passed on to [`load_relation_model`]: `dtype`, `base_model`, `attn_implementation`, ...; those that
                say where to look, such as `revision` and `token`, also to the tokenizer.

        Raises:
            FineCLError: see [`load_relation_model`].
        """
        model = load_relation_model(name_or_path, **kwargs)
        tokenizer = load_tokenizer(
            name_or_path, trust_remote_code=kwargs.get("trust_remote_code"), **hub_arguments(kwargs)
        )
        return cls(model=model, tokenizer=tokenizer, device=device)

    def __init__(self, model: FineCLForRelationExtraction, tokenizer: PreTrainedTokenizerBase, **kwargs: Any):
        super().__init__(model=model, tokenizer=tokenizer, **kwargs)
        self._lost: Counter[str] = Counter()  # what of the running call's documents lies past the model's length
        self.collator = RelationCollator(tokenizer.pad_token_id)
        self._encoder: tuple[FineCLConfig, DocumentEncoder] | None = None

    @property
    def encoder(self) -> DocumentEncoder:
        """What makes features as the model reads them; of several adapters, each has its own way."""
        config = self.model.config
        if self._encoder is None or self._encoder[0] is not config:
            encoder = DocumentEncoder(
                self.tokenizer, config.label2id, config.max_seq_length, config.entity_markers, config.hide_names,
                config.long_documents,
            )  # fmt: skip
            self._encoder = config, encoder
        return self._encoder[1]

    def __call__(
        self, documents: Document | dict | Iterable[Document | dict], batch_size: int = 8, **kwargs: Any
    ) -> list:
        """
        Args:
            documents: one document or several, as [`Document`] or in DocRED's layout; labels in them are ignored.
            batch_size: documents a forward pass; documents of similar length share one.
            kwargs: `threshold` (on the score of `predictions.relation_scores`) in place of the fitted ones.

        Returns:
            list of triples for one document, list of such lists for several.

        Raises:
            FineCLError: the model tells head from tail by their markers, and a document has more than one judged pair.
        """
        single = isinstance(documents, (Document, dict))
        documents = [_as_document(document) for document in ([documents] if single else documents)]
        self._check_roles(documents)
        by_length = sorted(range(len(documents)), key=lambda i: sum(map(len, documents[i].sentences)))
        groups = [by_length[start : start + batch_size] for start in range(0, len(documents), batch_size)]
        # Batches are made here: pairs of several documents lie flat in one tensor, which Pipeline's own batching
        # would take apart wrongly. It takes each list for one input.
        self._lost.clear()
        found = super().__call__([[documents[i] for i in group] for group in groups], **kwargs) if groups else []
        self._tell_losses()
        results: list[list[dict]] = [[] for _ in documents]
        for group, triples in zip(groups, found, strict=True):
            for i, of_document in zip(group, triples, strict=True):
                results[i] = of_document
        return results[0] if single else results

    def _check_roles(self, documents: list[Document]) -> None:
        config = self.model.config
        if config.task != "sentence" or not tells_roles(config.entity_markers):
            return
        for document in documents:
            if not document.is_sentence:
                raise FineCLError(
                    f'document "{document.title}": this model was trained on sentences whose head and tail are marked '
                    f"(--entity_markers {config.entity_markers}); give each document one judged pair, such as "
                    '"pairs": [[0, 1]].'
                )

    def _sanitize_parameters(self, threshold: float | None = None) -> tuple[dict, dict, dict]:
        return {}, {}, {} if threshold is None else {"threshold": threshold}

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
            if config.task == "sentence":  # one label a pair: the best
                result[-1] = result[-1][:1]
        return result

    def _tell_losses(self) -> None:
        if self._lost["mentions"]:
            logger.warning(
                "%s mentions in %s documents lie past the %s tokens that the model reads, and with them %s entities, "
                "of which no relation is found; shorter documents lose nothing.",
                *(f"{self._lost[name]:,}" for name in ("mentions", "documents")),
                self.encoder.max_length, f"{self._lost['entities']:,}",
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


def _as_document(document: Document | dict) -> Document:
    return document if isinstance(document, Document) else Document.from_dict(document)


PIPELINE_REGISTRY.register_pipeline(
    "relation-extraction", pipeline_class=RelationExtractionPipeline, pt_model=FineCLForRelationExtraction
)
