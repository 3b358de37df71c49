"""Stage 2's batches: relation rows, entity rows and masked tokens, laid out for one forward pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from finecl_hf.encoding.batches import SharedEpoch, gather_entities, judged_pairs, pad
from finecl_hf.encoding.features import DocumentEncoder
from finecl_hf.hashing import mix, uniform
from finecl_hf.pretraining.arguments import PretrainArguments
from finecl_hf.pretraining.na_doubts import NaDoubts


# What a draw is for: keeps draws apart that are made of the same keys.
NA_PAIR, QUERY_FACT, MASKED, REPLACEMENT, RANDOM_TOKEN, INSTANCE, BLANKED = range(10, 17)
RELATION_ROW, ENTITY_ROW = 0, 1


@dataclass
class PretrainBatch:
    """Relation rows (one a document) above entity rows (documents prefixed with a query), in one padded batch.

    B rows in all, L tokens, E entities over all rows, N relation instances and NA pairs, Q queries, M masked tokens.

    Attributes:
        input_ids, attention_mask: (B, L).
        masked: (B, L) bool, the tokens to predict; masked_labels: (M,) what stood there, row by row.
        token_index, token_weight, entity_offsets: see `pooling.pool_entities`.
        pairs: (N, 2) entity rows of the head and tail of each instance.
        weights: (N,) reliability of each instance.
        relation, pair, instance_key: (N,) see `contrast.Instances`.
        queries, positives: (Q,) entity rows of head and tail; candidate_mask: (Q, E) bool.
        learned: how many of the N are labelled instances; the rest are NA pairs.
        num_relations: R, NA among them.
        keys: (B,) the key of each row's document, to name it by.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    masked: torch.Tensor
    masked_labels: torch.Tensor
    token_index: torch.Tensor
    token_weight: torch.Tensor
    entity_offsets: torch.Tensor
    pairs: torch.Tensor
    weights: torch.Tensor
    relation: torch.Tensor
    pair: torch.Tensor
    instance_key: torch.Tensor
    queries: torch.Tensor
    positives: torch.Tensor
    candidate_mask: torch.Tensor
    learned: int
    num_relations: int
    keys: torch.Tensor


@dataclass
class PretrainCollator:
    """Turns features with a `weight` for each fact (NaN: not used) into a [`PretrainBatch`].

    More documents than are encoded at a time make several such batches, under the name `chunks`.

    Args:
        pad_token_id, cls_token_id, sep_token_id, mask_token_id, special_ids: of the tokenizer.
        vocab_size: random replacements are drawn from it.
        relation_tokens: token ids of each relation's readable name, by relation id.
        max_length: longest row; a prefix pushes the document's end out.
        na_pairs: at most so many NA pairs a document (paper: 32).
        na_weight: their weight (paper: 0.5; 0 for ERICA's baseline).
        na_doubts: which of them may be facts, and weigh less.
        mask_share: of the tokens outside mentions (paper: 0.15).
        blank_share: of the entities of a relation row, whose mentions are mask tokens (paper: 0). What is left to tell
            relations apart by is the text between them (Peng et al., EMNLP 2020).
        entity_rows: whether there are any; without entity discrimination they are half of the work for nothing.
        chunk_documents: documents that are encoded at a time; None for all.
    """

    pad_token_id: int
    cls_token_id: int | None
    sep_token_id: int
    mask_token_id: int
    special_ids: list[int]
    vocab_size: int
    relation_tokens: list[list[int]]
    max_length: int
    na_pairs: int = 32
    na_weight: float = 0.5
    na_doubts: NaDoubts = field(default_factory=NaDoubts)
    mask_share: float = 0.15
    blank_share: float = 0.0
    entity_rows: bool = True
    chunk_documents: int | None = None
    seed: int = 0
    epoch: SharedEpoch = field(default_factory=SharedEpoch)

    @classmethod
    def for_tokenizer(
        cls, tokenizer: PreTrainedTokenizerBase, relation_names: list[str], **settings: Any
    ) -> PretrainCollator:
        """Takes ids from a tokenizer and spells the relations' names with it (by relation id, NA first)."""
        return cls(
            pad_token_id=tokenizer.pad_token_id,
            cls_token_id=tokenizer.cls_token_id,
            sep_token_id=tokenizer.sep_token_id,
            mask_token_id=tokenizer.mask_token_id,
            special_ids=tokenizer.all_special_ids,
            vocab_size=len(tokenizer),
            relation_tokens=tokenizer(relation_names, add_special_tokens=False)["input_ids"],
            **settings,
        )

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Returns the fields of a [`PretrainBatch`], or `{"chunks": [...]}` with several of them."""
        size = self.chunk_documents or len(rows)
        chunks = [self._collate(rows[i : i + size]) for i in range(0, len(rows), size)]
        return chunks[0] if len(chunks) == 1 else {"chunks": chunks}

    def _collate(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        rows = [_as_arrays(row) for row in rows]
        queries = [query for row in rows if (query := self._entity_row(row)) is not None] if self.entity_rows else []
        if self.blank_share:
            rows = [self._blanked(row) for row in rows]
        all_rows = rows + [query.row for query in queries]
        input_ids, attention_mask = pad([row["input_ids"] for row in all_rows], self.pad_token_id)
        entities = gather_entities(all_rows, row_length=input_ids.shape[1])
        kinds = np.repeat([RELATION_ROW, ENTITY_ROW], [len(rows), len(queries)])
        keys = np.array([row["key"] for row in all_rows], dtype=np.int64)
        prefixes = np.array([0] * len(rows) + [query.prefix_length for query in queries])
        protected = self._protected(input_ids, all_rows, prefixes)
        masked, masked_ids = self._mask_tokens(input_ids, protected, keys, kinds)
        batch = {
            "input_ids": masked_ids,
            "attention_mask": attention_mask,
            "keys": keys,
            "masked": masked,
            "masked_labels": input_ids[masked],
            "token_index": entities.token_index,
            "token_weight": entities.token_weight,
            "entity_offsets": entities.offsets,
            **self._instances(rows, entities.base[: len(rows)]),
            **_queries(queries, entities.base[len(rows) :], len(entities.offsets)),
            "num_relations": len(self.relation_tokens),
        }
        tensors = {
            name: torch.from_numpy(values) if isinstance(values, np.ndarray) else values
            for name, values in batch.items()
        }
        return vars(PretrainBatch(**tensors))

    def _instances(self, rows: list[dict], base: np.ndarray) -> dict[str, Any]:
        """Facts and NA pairs of all documents."""
        facts, na, na_weight = [], [], []
        for row, first in zip(rows, base, strict=True):
            kept = ~np.isnan(row["weight"])
            facts.append(np.stack([row["head"] + first, row["tail"] + first, row["relation"]])[:, kept])
            pairs = self._na_pairs(row)
            na.append(pairs + first)
            na_weight.append(self.na_weight + self.na_doubts.log_share(row["key"], pairs))
        num_facts = sum(part.shape[1] for part in facts)
        na = np.concatenate(na, axis=1)
        relation_na = np.zeros((1, na.shape[1]), dtype=np.int64)
        head, tail, relation = np.concatenate([*facts, np.concatenate([na, relation_na])], axis=1)
        weight = np.concatenate([row["weight"][~np.isnan(row["weight"])] for row in rows])
        # A row's key is made of its document and entities, never of its place in the batch.
        of_document = np.searchsorted(base, head, side="right") - 1
        key = np.array([row["key"] for row in rows], dtype=np.int64)[of_document]
        local = head - base[of_document], tail - base[of_document]
        key = mix(INSTANCE, self.seed, self.epoch.get(), key, *local, relation).view(np.int64)
        return {
            "pairs": np.stack([head, tail], axis=1),
            "weights": np.concatenate([weight, *na_weight]).astype(np.float32),
            "relation": relation,
            "pair": np.unique(head << 32 | tail, return_inverse=True)[1],
            "instance_key": key,
            "learned": num_facts,
        }

    def _na_pairs(self, row: dict) -> np.ndarray:
        """(2, K) unlabelled pairs of a document, drawn at random; a dropped label does not make its pair NA."""
        size = max(row["num_entities"], 1)
        na = np.setdiff1d(judged_pairs(row), row["head"] * size + row["tail"])
        if len(na) > self.na_pairs:
            draws = mix(NA_PAIR, self.seed, self.epoch.get(), row["key"], na)
            na = na[np.argpartition(draws, self.na_pairs - 1)[: self.na_pairs]]
        return np.stack([na // size, na % size])

    def _entity_row(self, row: dict) -> Query | None:
        """The document behind `relation name + head name + [SEP]`, for one fact drawn at random."""
        if not len(row["head"]):
            return None
        opening = 1 if self.cls_token_id is not None else 0
        first = first_mentions(row)
        name_length = (row["mention_end"] - row["mention_start"])[first[row["head"]]]
        relation_length = np.array([len(self.relation_tokens[relation]) for relation in row["relation"]])
        prefix = relation_length + name_length + 1
        first_end = row["mention_end"][first]
        text_end = self.max_length - prefix - 1  # in tokens of the document; one special token closes the row
        within = (first_end[row["head"]] <= text_end) & (first_end[row["tail"]] <= text_end)
        usable = np.flatnonzero(within & ~np.isnan(row["weight"]))
        if not len(usable):
            return None
        draws = mix(QUERY_FACT, self.seed, self.epoch.get(), row["key"], row["head"], row["tail"], row["relation"])
        fact = usable[np.argmin(draws[usable])]
        mention = first[row["head"][fact]]
        name = row["input_ids"][row["mention_start"][mention] : row["mention_end"][mention]]
        query = np.concatenate([self.relation_tokens[row["relation"][fact]], name, [self.sep_token_id]]).astype(
            np.int64
        )
        return Query.of(row, fact, query, opening, self.max_length)

    def _blanked(self, row: dict) -> dict:
        """The row with mask tokens in place of the mentions of some entities, drawn at random."""
        entities = np.arange(row["num_entities"])
        is_blank = uniform(BLANKED, self.seed, self.epoch.get(), row["key"], entities) < self.blank_share
        blank = is_blank[row["mention_entity"]]
        edges = np.zeros(len(row["input_ids"]) + 1, dtype=np.int64)
        np.add.at(edges, row["mention_start"][blank], 1)
        np.add.at(edges, row["mention_end"][blank], -1)
        return {**row, "input_ids": np.where(edges.cumsum()[:-1] > 0, self.mask_token_id, row["input_ids"])}

    def _protected(self, input_ids: np.ndarray, rows: list[dict], prefixes: np.ndarray) -> np.ndarray:
        """(B, L) bool: special tokens, padding, entity mentions and prefixes are never masked."""
        length = input_ids.shape[1]
        row_of_mention = np.repeat(np.arange(len(rows)), [len(row["mention_start"]) for row in rows])
        edges = np.zeros((len(rows), length + 1), dtype=np.int64)
        np.add.at(edges, (row_of_mention, np.concatenate([row["mention_start"] for row in rows])), 1)
        np.add.at(edges, (row_of_mention, np.concatenate([row["mention_end"] for row in rows])), -1)
        in_mention = edges.cumsum(axis=1)[:, :-1] > 0
        in_prefix = np.arange(length) < prefixes[:, None]
        return np.isin(input_ids, self.special_ids) | in_mention | in_prefix

    def _mask_tokens(
        self, input_ids: np.ndarray, protected: np.ndarray, keys: np.ndarray, kinds: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """BERT's masking (Devlin et al., NAACL 2019): of the chosen 80 % [MASK], 10 % random, 10 % unchanged."""
        masked = ~protected
        rows, places = masked.nonzero()
        chosen = uniform(MASKED, *self._at(keys, kinds, rows, places)) < self.mask_share
        masked[rows, places] = chosen
        rows, places = rows[chosen], places[chosen]
        at = self._at(keys, kinds, rows, places)
        replaced_by = uniform(REPLACEMENT, *at)
        random_ids = (mix(RANDOM_TOKEN, *at) % np.uint64(self.vocab_size)).astype(np.int64)
        result = input_ids.copy()
        unchanged_or_random = np.where(replaced_by >= 0.9, random_ids, input_ids[rows, places])
        result[rows, places] = np.where(replaced_by < 0.8, self.mask_token_id, unchanged_or_random)
        return masked, result

    def _at(self, keys: np.ndarray, kinds: np.ndarray, rows: np.ndarray, places: np.ndarray) -> tuple:
        """What the draws for tokens are made from, (T,) each."""
        return self.seed, self.epoch.get(), keys[rows], kinds[rows], places


def collator_for(
    args: PretrainArguments,
    encoder: DocumentEncoder,
    relation_names: dict[str, str],
    na_doubts: NaDoubts | None = None,
) -> PretrainCollator:
    """The collator that the arguments of stage 2 ask for.

    Args:
        relation_names: readable names of relation ids; one without a name is spelt as its id.
        na_doubts: what the arguments' table of missing labels says, where it was read before.
    """
    return PretrainCollator.for_tokenizer(
        encoder.tokenizer,
        relation_names=[relation_names.get(relation, relation) for relation in encoder.label2id],
        max_length=encoder.max_length,
        na_pairs=args.na_pairs,
        na_weight=args.na_weight,
        na_doubts=NaDoubts.read(args.missing_labels) if na_doubts is None else na_doubts,
        mask_share=args.mlm_probability,
        blank_share=args.blank_share,
        entity_rows=args.ed_weight > 0,
        chunk_documents=args.per_device_train_batch_size,
        seed=args.seed,
    )


@dataclass
class Query:
    """An entity row: which head asks for which tail, among which candidates (all numbered within the document)."""

    row: dict
    head: int
    tail: int
    candidates: np.ndarray
    prefix_length: int

    @classmethod
    def of(cls, row: dict, fact: int, prefix: np.ndarray, opening: int, max_length: int) -> Query:
        """Puts `prefix` behind the row's `opening` tokens and drops what no longer fits."""
        ids = np.concatenate([row["input_ids"][:opening], prefix, row["input_ids"][opening:]])
        if len(ids) > max_length:
            ids = np.concatenate([ids[: max_length - 1], row["input_ids"][-1:]])
        start, end = row["mention_start"] + len(prefix), row["mention_end"] + len(prefix)
        kept = end <= max_length - 1
        prefixed = {
            "key": row["key"],
            "input_ids": ids,
            "num_entities": row["num_entities"],
            "mention_start": start[kept],
            "mention_end": end[kept],
            "mention_entity": row["mention_entity"][kept],
        }
        head, tail, relation = row["head"][fact], row["tail"][fact], row["relation"][fact]
        answers = row["tail"][(row["head"] == head) & (row["relation"] == relation)]
        # Other right answers to the query are no negatives.
        candidates = np.setdiff1d(prefixed["mention_entity"], [head, *answers])
        return cls(prefixed, int(head), int(tail), candidates, opening + len(prefix))


def first_mentions(row: dict) -> np.ndarray:
    """(E,) index of each entity's first mention; an entity out of reach gets an arbitrary one."""
    first = np.zeros(row["num_entities"], dtype=np.int64)
    order = np.lexsort((-row["mention_start"], row["mention_entity"]))  # the last write wins: the earliest mention
    first[row["mention_entity"][order]] = order
    return first


def _queries(queries: list[Query], base: np.ndarray, num_entities: int) -> dict[str, np.ndarray]:
    mask = np.zeros((len(queries), num_entities), dtype=bool)
    for i, (query, first) in enumerate(zip(queries, base, strict=True)):
        mask[i, query.candidates + first] = True
    return {
        "queries": np.array([query.head for query in queries], dtype=np.int64) + base,
        "positives": np.array([query.tail for query in queries], dtype=np.int64) + base,
        "candidate_mask": mask,
    }


def _as_arrays(row: dict[str, Any]) -> dict[str, Any]:
    integers = (
        "input_ids",
        "mention_start",
        "mention_end",
        "mention_entity",
        "pair_head",
        "pair_tail",
        "head",
        "tail",
        "relation",
    )
    arrays = {name: np.asarray(row[name], dtype=np.int64) for name in integers}
    scalars = {"key": int(row["key"]), "num_entities": int(row["num_entities"]), "all_pairs": bool(row["all_pairs"])}
    return {**arrays, **scalars, "weight": np.asarray(row["weight"], dtype=np.float32)}
