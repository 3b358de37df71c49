"""Pair embeddings of an encoder as it is: for search, clustering, and prototypes."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from finecl_hf.data.documents import Document
from finecl_hf.encoding.batches import RelationCollator
from finecl_hf.encoding.encoders import hub_arguments, load_tokenizer, loading_from, max_length_for, running_on
from finecl_hf.encoding.features import DocumentEncoder
from finecl_hf.encoding.packing import Windows, enable_packing, encode
from finecl_hf.encoding.pooling import pool_entities
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.adapters import is_adapter
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.loading import load_encoder


logger = logging.getLogger(__name__)


@dataclass
class PairEmbeddings:
    """Entity pairs of several documents, in the order of the documents, and in each by head, then tail.

    Kept are E entity vectors; the P pair embeddings, several times as much, are made of them when they are asked for.

    Attributes:
        entities: (E, D) float32 entity vectors of all documents, one after another.
        pairs: (P, 2) rows of head and tail in `entities`.
        document: (P,) number of each pair's document.
        head, tail: (P,) entities, as their document numbers them.
        label_pair: (N,) pair of each label; a pair may have several, one of no relation has none.
        label_relation: (N,) the labels' relations.
        normalized: whether `embeddings` have length 1.
    """

    entities: torch.Tensor
    pairs: torch.Tensor
    document: np.ndarray
    head: np.ndarray
    tail: np.ndarray
    label_pair: np.ndarray
    label_relation: np.ndarray
    normalized: bool = True

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def embeddings(self) -> torch.Tensor:
        """(P, 2D) float32 `[e_head; e_tail]`."""
        return pair_embeddings(self.entities, self.pairs, self.normalized)

    @property
    def labels(self) -> list[tuple[str, ...]]:
        """The relations of each pair; none for NA, and where the document has no labels."""
        found: list[tuple[str, ...]] = [()] * len(self)
        for pair, relation in zip(self.label_pair.tolist(), self.label_relation.tolist(), strict=True):
            found[pair] += (relation,)
        return found


def pair_embeddings(entities: torch.Tensor, pairs: torch.Tensor, normalized: bool = True) -> torch.Tensor:
    """`[e_head; e_tail]` in float32, of length 1 if asked for (FineCL, section 3).

    Args:
        entities: (E, D).
        pairs: (P, 2) rows of head and tail.

    Returns:
        (P, 2D).
    """
    embeddings = entities.float()[pairs].flatten(1)
    return F.normalize(embeddings, dim=1) if normalized else embeddings


class RelationEmbedder:
    """Pair embeddings `[e_head; e_tail]` by any encoder: each entity is the mean over its mentions of the mean over
    their tokens, as in all stages.

    Example:
        >>> embedder = RelationEmbedder("outputs/encoder")
        >>> found = embedder.encode(read_documents("documents.json"))
        >>> found.embeddings @ found.embeddings[0]  # which pairs stand in a similar relation as the first

    Args:
        encoder: folder or Hub id of an encoder, a relation model or an adapter; or a model and its tokenizer.
        normalized: give embeddings length 1, so that their products are cosines.
        entity_markers, hide_names, max_seq_length, long_documents: see [`FineCLConfig`]; by default those of a
            relation model, else the configuration's defaults and the encoder's own length.
        num_layers: take the hidden states of an earlier layer; those above it are not computed. Encoders that were
            trained for something else, such as whole sentences, tell relations apart better below their last layers.
        batch_size: documents a forward pass, of similar length.
        device: where the encoder runs; where it is, if None.
        kwargs: see [`~finecl_hf.extraction.loading.load_encoder`], such as `revision` and `base_model`.

    Raises:
        FineCLError: nothing that could encode lies there.
    """

    def __init__(
        self,
        encoder: str | tuple[PreTrainedModel, PreTrainedTokenizerBase],
        *,
        normalized: bool = True,
        entity_markers: str | None = None,
        hide_names: str | None = None,
        max_seq_length: int | None = None,
        long_documents: str | None = None,
        num_layers: int | None = None,
        batch_size: int = 32,
        device: str | torch.device | None = None,
        **kwargs: Any,
    ):
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise FineCLError(f"batch_size is {batch_size!r}; give a number of documents, at least 1.")
        if isinstance(encoder, tuple):
            if len(encoder) != 2 or not isinstance(encoder[0], PreTrainedModel):
                raise FineCLError("encoder: expected a model and its tokenizer, (model, tokenizer).")
            model, self.tokenizer = encoder
            before = model.config if isinstance(model.config, FineCLConfig) else None
            model = model.base_model  # of a model with a head, the encoder
        elif not isinstance(encoder, (str, os.PathLike)):
            raise FineCLError(
                f"encoder: found {type(encoder).__name__}; give a folder, a Hub id, or a model and its tokenizer."
            )
        else:
            model, self.tokenizer, before = load_parts(encoder, **kwargs)
        if num_layers is not None:
            model = first_layers(deepcopy(model) if isinstance(encoder, tuple) else model, num_layers)
        with running_on(device):
            self.model: PreTrainedModel = (model if device is None else model.to(device)).eval()
        enable_packing(self.model)
        self.normalized, self.batch_size = normalized, batch_size
        longest = max_length_for(self.tokenizer, model.config.get_text_config(), max_seq_length)
        self.max_seq_length = longest if max_seq_length or before is None else min(longest, before.max_seq_length)
        before = before or FineCLConfig()
        self.long_documents = long_documents or before.long_documents
        self.entity_markers = entity_markers or before.entity_markers
        self.hide_names = hide_names or before.hide_names
        FineCLConfig(
            long_documents=self.long_documents, entity_markers=self.entity_markers, hide_names=self.hide_names
        ).check()

    def encode(self, documents: Iterable[Document], only_labelled: bool = False) -> PairEmbeddings:
        """Embeds the pairs of documents; beside the entity vectors, no more than a batch is in memory.

        Args:
            documents: in any order; those of similar length are encoded together.
            only_labelled: only pairs that have a label, in place of all that are judged. Pairs of an entity whose
                mentions all lie past the encoder's length are never among them; how many mentions do is said.
        """
        documents = listed_documents(documents)
        relations = sorted({fact.relation for document in documents for fact in document.relations})
        features = DocumentEncoder(
            self.tokenizer, {relation: i for i, relation in enumerate(relations)}, self.max_seq_length,
            self.entity_markers, self.hide_names, self.long_documents,
        )  # fmt: skip
        counts = np.array([len(document.entities) for document in documents], dtype=np.int64)
        first = np.cumsum(counts) - counts  # row of each document's entity 0
        entities = torch.zeros(int(counts.sum()), self.model.config.get_text_config().hidden_size)
        parts, num_pairs = [_no_pairs()], 0
        for group, batch in self._batches(documents, features, only_labelled):
            rows = np.concatenate([first[i] + np.arange(counts[i]) for i in group])
            entities[torch.from_numpy(rows)] = self._entity_vectors(batch)
            parts.append(_pairs_of(batch, group, num_pairs))
            num_pairs += len(batch["pairs"])
        columns = _in_order({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
        columns["label_relation"] = np.array(relations, dtype=object)[columns["label_relation"]]
        rows = torch.from_numpy(
            np.stack([columns["head"], columns["tail"]], axis=1) + first[columns["document"], None]
        )
        return PairEmbeddings(entities, rows, normalized=self.normalized, **columns)

    def _batches(
        self, documents: list[Document], features: DocumentEncoder, only_labelled: bool
    ) -> Iterator[tuple[list[int], dict[str, Any]]]:
        """Numbers of documents of similar length, and their batch."""
        collate = RelationCollator(self.tokenizer.pad_token_id, na_ratio=0.0 if only_labelled else None)
        by_length = sorted(range(len(documents)), key=lambda i: sum(map(len, documents[i].sentences)))
        lost = 0
        for start in range(0, len(documents), self.batch_size):
            group = by_length[start : start + self.batch_size]
            rows = features.rows([documents[i] for i in group])
            lost += sum(row["lost_mentions"] for row in rows)
            yield group, collate(rows)
        if lost:
            logger.warning(
                "%s mentions lie past the %s tokens that the encoder reads.", f"{lost:,}", features.max_length
            )

    @torch.inference_mode()
    def _entity_vectors(self, batch: dict[str, Any]) -> torch.Tensor:
        """(E, D) float32 of a batch."""
        device = self.model.device
        inputs = [batch[name].to(device) for name in ("input_ids", "attention_mask")]
        index, lengths = batch["window_index"], batch["window_lengths"]
        windows = Windows(index.to(device), lengths) if index is not None else None
        hidden, _ = encode(self.model, self.model.config.get_text_config(), *inputs, windows)
        pooling = [batch[name].to(device) for name in ("token_index", "token_weight", "entity_offsets")]
        return pool_entities(hidden, *pooling).float().cpu()


def listed_documents(documents: Any) -> list[Document]:
    """Documents that somebody gave, as a list.

    Raises:
        FineCLError: they are something else, such as the path of a file.
    """
    is_one = isinstance(documents, (str, dict)) or not isinstance(documents, Iterable)
    found = [documents] if is_one else list(documents)
    for other in (item for item in found if not isinstance(item, Document)):
        raise FineCLError(
            f"expected documents, found {type(other).__name__}; read a file with read_documents(path), and make a "
            "document of a dict with Document.from_dict."
        )
    return found


def load_parts(
    name_or_path: str, **kwargs: Any
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, FineCLConfig | None]:
    """The encoder in float32 that a name stands for, its tokenizer, and the configuration of the relation model or
    adapter that lies there, if it is one.

    Raises:
        FineCLError: see [`~finecl_hf.extraction.loading.load_encoder`].
    """
    if kwargs.pop("dtype", None) is not None:
        raise FineCLError("dtype: embeddings are made in float32; leave it away.")
    name_or_path = os.fspath(name_or_path)
    options = hub_arguments(kwargs)
    with loading_from(name_or_path):
        raw, _ = PreTrainedConfig.get_config_dict(name_or_path, **options)
        is_ours = is_adapter(name_or_path, **options) or raw.get("model_type") == FineCLConfig.model_type
        before = FineCLConfig.of_relation_model(name_or_path, **options) if is_ours else None
        tokenizer = load_tokenizer(name_or_path, **options)
    return load_encoder(name_or_path, torch.float32, **kwargs), tokenizer, before


def first_layers(encoder: PreTrainedModel, num_layers: int) -> PreTrainedModel:
    """Drops the layers of an encoder behind the first so many.

    Raises:
        FineCLError: it has fewer, or keeps them in an unusual way.
    """
    config = encoder.config.get_text_config()
    total = config.num_hidden_layers
    if not 1 <= num_layers <= total:
        raise FineCLError(f"num_layers {num_layers} is out of range; the encoder has {total} layers.")
    stacks = [m for m in encoder.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == total]
    if len(stacks) != 1:
        raise FineCLError(f"num_layers: cannot tell where {config.model_type} keeps its layers; leave it away.")
    del stacks[0][num_layers:]
    config.num_hidden_layers = num_layers
    if getattr(config, "layer_types", None):  # of encoders whose layers differ
        config.layer_types = config.layer_types[:num_layers]
    return encoder


def _no_pairs() -> dict[str, np.ndarray]:
    return {name: np.zeros(0, np.int64) for name in ("document", "head", "tail", "label_pair", "label_relation")}


def _pairs_of(batch: dict[str, Any], group: list[int], num_before: int) -> dict[str, np.ndarray]:
    """Pairs of a batch, and their labels.

    Args:
        group: number of each of the batch's documents.
        num_before: pairs of earlier batches.
    """
    counts, entity_counts = np.array(batch["pair_counts"]), np.array(batch["entity_counts"])
    pairs = batch["pairs"].numpy() - np.repeat(np.cumsum(entity_counts) - entity_counts, counts)[:, None]
    return {
        "document": np.repeat(group, counts),
        "head": pairs[:, 0],
        "tail": pairs[:, 1],
        "label_pair": batch["label_pair"].numpy() + num_before,
        "label_relation": batch["label_relation"].numpy(),
    }


def _in_order(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The pairs in the order of their documents; in a document they stand in order already."""
    order = np.argsort(columns["document"], kind="stable")
    place = np.argsort(order)
    label_pair = place[columns["label_pair"]]
    of_label = np.argsort(label_pair, kind="stable")
    return {
        **{name: columns[name][order] for name in ("document", "head", "tail")},
        "label_pair": label_pair[of_label],
        "label_relation": columns["label_relation"][of_label],
    }
