"""The features of a corpus as a table: its columns, what truncation cost, and what is read from it as a whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, Features, List, Value, concatenate_datasets

from finecl_hf.data.arrow import arrow_column, column_batches
from finecl_hf.data.notes import counted


COLUMNS = Features(
    {
        "key": Value("int64"),
        "input_ids": List(Value("int32")),
        "num_entities": Value("int32"),
        "mention_start": List(Value("int32")),  # token span [start, end) of each mention within reach
        "mention_end": List(Value("int32")),
        "mention_entity": List(Value("int32")),
        "entity_type": List(Value("int32")),  # key of each entity's type, see [`type_key`]
        "window_index": List(Value("int32")),  # tokens of each window, of documents that need several
        "window_lengths": List(Value("int32")),
        "all_pairs": Value("bool"),  # judge every ordered pair; else those of pair_head, pair_tail
        "pair_head": List(Value("int32")),
        "pair_tail": List(Value("int32")),
        "head": List(Value("int32")),  # facts within reach
        "tail": List(Value("int32")),
        "relation": List(Value("int32")),
        "fact_key": List(Value("int64")),
        "sentence_start": List(Value("int32")),  # first token of each sentence within reach
        "evidence_fact": List(Value("int32")),  # each evidence sentence: of which of the facts, and which sentence
        "evidence_sentence": List(Value("int32")),
        "lost_mentions": Value("int32"),
        "lost_entities": Value("int32"),
        "lost_facts": Value("int32"),
    }
)


@dataclass
class Truncation:
    """What lies past the maximum length, summed over a corpus."""

    documents: int
    mentions: int
    lost_mentions: int
    lost_entities: int
    lost_facts: int
    max_length: int
    windows: int = 0  # documents that are read in several parts

    @classmethod
    def of(cls, dataset: Dataset, max_length: int) -> Truncation:
        lost = {
            name: np.asarray(dataset.data.column(name)) for name in ("lost_mentions", "lost_entities", "lost_facts")
        }
        kept = sum(len(chunk.flatten()) for chunk in dataset.data.column("mention_start").chunks)
        sums = {name: int(values.sum()) for name, values in lost.items()}
        parts = [pc.list_value_length(chunk) for chunk in dataset.data.column("window_lengths").chunks]
        windows = sum(int(np.count_nonzero(np.asarray(lengths))) for lengths in parts)
        return cls(
            int((lost["lost_mentions"] > 0).sum()),
            kept + sums["lost_mentions"],
            **sums,
            max_length=max_length,
            windows=windows,
        )

    def __str__(self) -> str:
        if self.windows:
            return (
                f"All {self.mentions:,} mentions are read; in overlapping parts: "
                f"{counted(self.windows, 'document')} over {self.max_length} tokens."
            )
        if not self.lost_mentions:
            return f"All {self.mentions:,} mentions lie within {self.max_length} tokens."
        return (
            f"Past {self.max_length} tokens lie {self.lost_mentions:,} of {self.mentions:,} mentions "
            f"({self.lost_mentions / self.mentions:.1%}, in {counted(self.documents, 'document')}); out of reach with "
            f"them: {counted(self.lost_entities, 'entity', 'entities')}, {counted(self.lost_facts, 'fact')}."
        )


def fact_keys(features: Dataset) -> np.ndarray:
    """(N,) int64 key of each fact within reach, row by row."""
    return np.asarray(arrow_column(features, "fact_key").combine_chunks().flatten())


def token_counts(features: Dataset, size: int) -> np.ndarray:
    """(V,) how often each of `size` tokens occurs."""
    batches = (np.asarray(batch.flatten()) for batch in column_batches(features, "input_ids"))
    return sum((np.bincount(batch, minlength=size) for batch in batches), start=np.zeros(size, np.int64))


def with_fact_column(features: Dataset, name: str, values: np.ndarray) -> Dataset:
    """Adds a column that holds one value for each fact within reach.

    Args:
        values: (N,) in the order of [`fact_keys`].
    """
    lengths = np.asarray(pc.list_value_length(arrow_column(features, "fact_key")), dtype=np.int64)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    column = pa.ListArray.from_arrays(offsets, pa.array(values))
    return concatenate_datasets([features, Dataset(pa.table({name: column}))], axis=1)
