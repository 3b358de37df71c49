"""From features to batches, by array operations only: no loop over pairs, mentions or tokens.

All draws (NA pairs, masked tokens) are hashes of (seed, epoch, document, what is drawn): the same for any number of
workers and after a resume. See `hashing`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from finecl_hf.data.distances import distance_bucket
from finecl_hf.data.documents import Document
from finecl_hf.encoding.pooling import mention_weights
from finecl_hf.hashing import mix, type_key


HARD_SHARE = 2 / 3  # of the NA pairs drawn, where hard ones go first; the others keep the model from forgetting them
NEAR = 1  # sentences that the mentions of a hard pair lie apart at most
NA_PAIRS = 1  # keeps this draw apart from others made of the same keys


class SharedEpoch:
    """The current epoch, visible to worker processes that were started before it began."""

    def __init__(self):
        self._value = torch.zeros(1, dtype=torch.long).share_memory_()

    def set(self, epoch: int) -> None:
        self._value.fill_(epoch)

    def get(self) -> int:
        return int(self._value)


@dataclass
class RelationBatch:
    """Documents of a batch, with everything about entities and pairs flattened over them.

    B rows, L tokens, E entities, M mentions, P pairs, N labels. Entities are numbered over the batch.

    Attributes:
        input_ids, attention_mask: (B, L).
        token_index, token_weight, entity_offsets: (T,), (T,), (E,) see `pooling.pool_entities`.
        mention_offsets, mention_entity: (M,) where each mention's tokens start in `token_index`, and its entity.
        entity_type: (E,) see `hashing.type_key`.
        pairs: (P, 2) entity rows of head and tail, document by document.
        distances: (P,) bucket of the token distance from head to tail, see [`distance_bucket`].
        label_pair, label_relation: (N,) pair and relation id of each label; pairs without one are NA.
        sentence: (B, L) the sentence of each token, -1 before the first.
        evidence_pair, evidence_sentence: (K,) evidence sentences of labels: the pair, and the sentence.
        fact_key: (N,) key of each label's fact, by which the learning order knows it.
        pair_counts, entity_counts: pairs and entities of each document, to take the outputs apart again.
        keys: (B,) the key of each document, to name it by.
        pair_weight: (P,) float32, how many pairs each one stands for, of NA pairs that were drawn; None where all were
            taken.
        window_index, window_lengths: see `packing.Windows`; None where each document is encoded as a whole.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    token_index: torch.Tensor
    token_weight: torch.Tensor
    entity_offsets: torch.Tensor
    mention_offsets: torch.Tensor
    mention_entity: torch.Tensor
    entity_type: torch.Tensor
    pairs: torch.Tensor
    distances: torch.Tensor
    label_pair: torch.Tensor
    label_relation: torch.Tensor
    sentence: torch.Tensor
    evidence_pair: torch.Tensor
    evidence_sentence: torch.Tensor
    fact_key: torch.Tensor
    pair_counts: list[int]
    entity_counts: list[int]
    keys: torch.Tensor
    pair_weight: torch.Tensor | None
    window_index: torch.Tensor | None
    window_lengths: list[int] | None


@dataclass
class Entities:
    """Entities of several rows, numbered through; the arrays that pooling needs."""

    token_index: np.ndarray
    token_weight: np.ndarray
    offsets: np.ndarray
    mention_offsets: np.ndarray  # (M,) as `offsets`, of mentions; mention_entity: (M,) their entities, ascending
    mention_entity: np.ndarray
    first_token: np.ndarray  # (E,) position of each entity's first mention in its row
    base: np.ndarray  # (B,) number of each row's entity 0


@dataclass
class RelationCollator:
    """Batches for classification: stages 1 and 3, and inference.

    Args:
        pad_token_id: of the tokenizer.
        na_ratio: NA pairs drawn for each labelled pair (paper: 3), at least one a document; None judges all pairs.
        type_pairs: (K,) the types that facts of training have, see [`type_pairs`]; with them, two thirds of the NA
            pairs are drawn among those that could be mistaken for facts, see [`hard_pairs`].
        seed: of the draws.
        epoch: the current epoch, set by a callback of the trainer.
    """

    pad_token_id: int
    na_ratio: float | None = None
    seed: int = 0
    epoch: SharedEpoch = field(default_factory=SharedEpoch)
    type_pairs: np.ndarray | None = None

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Returns the fields of a [`RelationBatch`]."""
        input_ids, attention_mask = pad([row["input_ids"] for row in rows], self.pad_token_id)
        entities = gather_entities(rows, row_length=input_ids.shape[1])
        judged = [self._pairs(row) for row in rows]  # one small array operation a document
        base = np.repeat(entities.base, [len(pairs) for pairs, _ in judged])
        pairs = np.concatenate([pairs for pairs, _ in judged]) + base[:, None]
        pair_counts = [len(pairs) for pairs, _ in judged]
        first_pair = np.cumsum([0, *pair_counts[:-1]])
        label_pair = [local + first for (_, local), first in zip(judged, first_pair, strict=True)]
        evidence_pair = [pair[_integers(row["evidence_fact"])] for row, pair in zip(rows, label_pair, strict=True)]
        distance = entities.first_token[pairs[:, 1]] - entities.first_token[pairs[:, 0]]
        window_index, window_lengths = gather_windows(rows, row_length=input_ids.shape[1])
        batch = RelationBatch(
            input_ids=torch.from_numpy(input_ids),
            attention_mask=torch.from_numpy(attention_mask),
            token_index=torch.from_numpy(entities.token_index),
            token_weight=torch.from_numpy(entities.token_weight),
            entity_offsets=torch.from_numpy(entities.offsets),
            mention_offsets=torch.from_numpy(entities.mention_offsets),
            mention_entity=torch.from_numpy(entities.mention_entity),
            entity_type=torch.from_numpy(_concatenate(rows, "entity_type")),
            pairs=torch.from_numpy(pairs),
            distances=torch.from_numpy(distance_bucket(distance)),
            label_pair=torch.from_numpy(np.concatenate(label_pair)),
            label_relation=torch.from_numpy(_concatenate(rows, "relation")),
            sentence=torch.from_numpy(sentences_of_tokens(rows, input_ids.shape[1])),
            evidence_pair=torch.from_numpy(np.concatenate(evidence_pair)),
            evidence_sentence=torch.from_numpy(_concatenate(rows, "evidence_sentence")),
            fact_key=torch.from_numpy(_concatenate(rows, "fact_key")),
            pair_counts=pair_counts,
            entity_counts=[int(row["num_entities"]) for row in rows],
            keys=torch.tensor([int(row["key"]) for row in rows]),
            pair_weight=self._pair_weight(rows, pair_counts, np.concatenate(label_pair)),
            window_index=torch.from_numpy(window_index) if window_index is not None else None,
            window_lengths=window_lengths,
        )
        return vars(batch)

    def _pairs(self, row: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """Judged pairs (P, 2) of a document, and the pair of each label (N,)."""
        size = max(int(row["num_entities"]), 1)
        labels = _integers(row["head"]) * size + _integers(row["tail"])  # a pair as one number
        candidates = judged_pairs(row)
        if self.na_ratio is not None:
            candidates = self._sample(candidates, labels, row)
        local = np.searchsorted(candidates, labels)
        return np.stack([candidates // size, candidates % size], axis=1), local

    def _pair_weight(
        self, rows: list[dict[str, Any]], pair_counts: list[int], label_pair: np.ndarray
    ) -> torch.Tensor | None:
        """(P,) 1 for labelled pairs; for the others of each document, how many there are for each that was drawn."""
        if self.na_ratio is None:
            return None
        drawn = np.repeat(np.arange(len(rows)), pair_counts)  # (P,) document of each pair
        labelled = np.zeros(len(drawn), bool)
        labelled[label_pair] = True
        taken = np.bincount(drawn[~labelled], minlength=len(rows))
        all_pairs = np.array([len(judged_pairs(row)) for row in rows])
        unlabelled = all_pairs - np.bincount(drawn[labelled], minlength=len(rows))
        weight = np.where(labelled, 1, (unlabelled / np.maximum(taken, 1))[drawn])
        return torch.from_numpy(weight.astype(np.float32))

    def _sample(self, candidates: np.ndarray, labels: np.ndarray, row: dict[str, Any]) -> np.ndarray:
        labels = np.unique(labels)
        na = np.setdiff1d(candidates, labels, assume_unique=True)
        wanted = max(1, round(self.na_ratio * len(labels))) if self.na_ratio else 0
        count = min(len(na), wanted)
        if count < len(na):
            draws = mix(NA_PAIRS, self.seed, self.epoch.get(), int(row["key"]), na)
            if self.type_pairs is not None:
                na, draws = _hard_first(na, draws, hard_pairs(row, na, self.type_pairs), count)
            na = na[np.argpartition(draws, count)[:count]]
        return np.union1d(labels, na)


def to_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """The same batch with its tensors on a device."""
    return {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in batch.items()}


def judged_pairs(row: dict[str, Any]) -> np.ndarray:
    """The pairs of a document that are judged, as sorted numbers head * num_entities + tail.

    Pairs of an entity that truncation left without a mention are not among them.
    """
    size = max(int(row["num_entities"]), 1)
    if not row["all_pairs"]:
        return np.sort(_integers(row["pair_head"]) * size + _integers(row["pair_tail"]))
    visible = np.unique(_integers(row["mention_entity"]))
    pairs = visible[:, None] * size + visible
    return pairs[~np.eye(len(visible), dtype=bool)]


def type_pairs(documents: Iterable[Document]) -> np.ndarray:
    """The types of head and tail of all facts, each pair as one number: (K,) sorted int64."""
    found = {document.types_of(fact) for document in documents for fact in document.relations}
    return np.unique(np.array([_pair_of_keys(type_key(head), type_key(tail)) for head, tail in found], dtype=np.int64))


def hard_pairs(row: dict[str, Any], pairs: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which pairs could be mistaken for facts: their types are those of facts, and they stand close together.

    Args:
        row: features of a document.
        pairs: (P,) as of [`judged_pairs`].
        known: (K,) see [`type_pairs`].

    Returns:
        (P,) bool.
    """
    size = max(int(row["num_entities"]), 1)
    head, tail = pairs // size, pairs % size
    sentence = np.searchsorted(_integers(row["sentence_start"]), _integers(row["mention_start"]), side="right")
    stands_in = np.zeros((size, sentence.max(initial=0) + 1 + 2 * NEAR), dtype=np.float32)
    stands_in[_integers(row["mention_entity"]), sentence + NEAR] = 1
    about = sum(np.roll(stands_in, shift, axis=1) for shift in range(-NEAR, NEAR + 1))
    near = stands_in @ about.T > 0
    types = _integers(row["entity_type"])
    return near[head, tail] & np.isin(_pair_of_keys(types[head], types[tail]), known)


def _pair_of_keys(head: Any, tail: Any) -> Any:
    return head * 2**31 + tail  # keys of types have 31 bits


def _hard_first(na: np.ndarray, draws: np.ndarray, hard: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Takes draws so that of `count` pairs with the lowest ones a share is hard, where there are as many."""
    order = np.argsort(draws)
    na, hard = na[order], hard[order]
    rank = np.arange(len(na), 2 * len(na))
    first = np.flatnonzero(hard)[: round(HARD_SHARE * count)]
    rank[first] -= len(na)
    return na, rank


def gather_entities(rows: list[dict[str, Any]], row_length: int) -> Entities:
    """Numbers the entities of several rows through and lays out their pooling.

    Args:
        rows: features; mentions may be shifted or dropped before.
        row_length: L, tokens of a padded row.
    """
    counts = np.array([int(row["num_entities"]) for row in rows])
    base = np.cumsum(counts) - counts
    mentions = [len(row["mention_entity"]) for row in rows]
    row_of_mention = np.repeat(np.arange(len(rows)), mentions)
    start, end = _concatenate(rows, "mention_start"), _concatenate(rows, "mention_end")
    entity = _concatenate(rows, "mention_entity") + base[row_of_mention]
    first_token = np.full(counts.sum(), np.iinfo(np.int64).max)
    np.minimum.at(first_token, entity, start)
    shift = row_of_mention * row_length
    token_index, token_weight, offsets = mention_weights(start + shift, end + shift, entity, int(counts.sum()))
    order = np.argsort(entity, kind="stable")  # as mention_weights has it
    lengths = (end - start)[order]
    mention_offsets = np.cumsum(lengths) - lengths
    return Entities(token_index, token_weight, offsets, mention_offsets, entity[order], first_token, base)


def sentences_of_tokens(rows: list[dict[str, Any]], row_length: int) -> np.ndarray:
    """(B, L) int64 number of the sentence that each token belongs to, -1 before the first; padding to the last."""
    place = np.arange(row_length)
    return np.stack([np.searchsorted(_integers(row["sentence_start"]), place, side="right") - 1 for row in rows])


def gather_windows(rows: list[dict[str, Any]], row_length: int) -> tuple[np.ndarray | None, list[int] | None]:
    """The parts that the documents of a batch are encoded in, see `packing.Windows`; None where all are whole.

    Args:
        row_length: L, tokens of a padded row.
    """
    if not any(len(row["window_lengths"]) for row in rows):
        return None, None
    index, lengths = [], []
    for number, row in enumerate(rows):
        parts = _integers(row["window_lengths"]).tolist()
        own = _integers(row["window_index"]) if parts else np.arange(len(row["input_ids"]))
        index.append(own + number * row_length)
        lengths += parts or [len(own)]
    return np.concatenate(index), lengths


def pad(sequences: list[np.ndarray], value: int) -> tuple[np.ndarray, np.ndarray]:
    """Pads to the longest sequence. Returns ids and attention mask, (B, L) int64."""
    lengths = np.array([len(sequence) for sequence in sequences])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.full(mask.shape, value, dtype=np.int64)
    ids[mask] = np.concatenate(sequences)
    return ids, mask.astype(np.int64)


def _concatenate(rows: list[dict[str, Any]], column: str) -> np.ndarray:
    return np.concatenate([_integers(row[column]) for row in rows])


def _integers(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=np.int64)
