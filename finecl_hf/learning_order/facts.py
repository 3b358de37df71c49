"""The facts of a thousand documents as columns: what a learning order and its plausibility are made of.

A chunk is a dict of columns, made of those of the corpus without parsing a document, and kept on disk for the next
start.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, Features, List, Value

from finecl_hf.data.corpus import FACT_COLUMNS, fact_columns
from finecl_hf.data.documents import Document, escaped_relation, gc_paused
from finecl_hf.data.files import writing_cache
from finecl_hf.learning_order.plausibility import PlausibilityCounts


DOCUMENTS = 1000  # a chunk: so many are Python objects at a time
# Columns of a chunk of D documents with N facts in all, beside those of `PlausibilityCounts.to_columns`.
FACTS = {
    "title": pa.large_string(),  # (D,)
    "facts": pa.int32(),  # (D,) how many each document has
    "head": pa.int32(),  # (N,)
    "tail": pa.int32(),
    "relation": pa.large_string(),
}

CHUNKS = Features(  # a row holds the facts of a thousand documents
    {name: List(Value("string")) for name in ("title", "relation", "kind_head", "kind_tail", "relation_name")}
    | {name: List(Value("int32")) for name in ("facts", "head", "tail", "case", "label")}
    | {"na": List(Value("int64"))}
)


def chunk_of(documents: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """The chunk of some documents, given by the columns [`FACT_COLUMNS`], one entry a document.

    Its facts are in the order of the documents and their `relations`.
    """
    counts = PlausibilityCounts()
    for row in zip(*(documents[name] for name in FACT_COLUMNS), strict=True):
        counts.add(dict(zip(FACT_COLUMNS, row, strict=True)))
    columns = {
        "title": documents["title"],
        "facts": [len(heads) for heads in documents["head"]],
        "head": list(chain.from_iterable(documents["head"])),
        "tail": list(chain.from_iterable(documents["tail"])),
        "relation": list(chain.from_iterable(documents["relations"])),
    }
    return {**columns, **counts.to_columns()}


def chunks_of(documents: Iterable[Document]) -> Iterator[dict[str, Any]]:
    """Documents chunk by chunk: a corpus of millions never lies in memory as Python objects."""
    documents = iter(documents)
    while some := [fact_columns(document) for document in islice(documents, DOCUMENTS)]:
        yield chunk_of({name: [row[name] for row in some] for name in FACT_COLUMNS})


def order_columns(chunks: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The columns that a learning order without epochs has, one row a fact; of the ids alone where there is none."""
    counts = PlausibilityCounts()
    parts: dict[str, list[pa.Array]] = {name: [] for name in ("instance_id", "title", "head", "tail", "relation")}
    for chunk in chunks:
        counts.add_columns(chunk)
        facts = {name: _array(chunk[name], dtype) for name, dtype in FACTS.items()}
        document = np.repeat(np.arange(len(facts["title"])), np.asarray(facts.pop("facts")))
        title = facts["title"].take(pa.array(document))
        facts |= {"title": title, "instance_id": instance_ids(title, facts)}
        for name, column in facts.items():
            parts[name].append(column)
    if not parts["head"]:
        return {"instance_id": []}
    return {**{name: pa.concat_arrays(parts.pop(name)) for name in list(parts)}, "plausibility": counts.log_odds()}


def _array(values: Any, dtype: pa.DataType) -> pa.Array:
    return values.cast(dtype) if isinstance(values, pa.Array) else pa.array(values, dtype)


def instance_ids(title: pa.Array, facts: dict[str, pa.Array]) -> pa.Array:
    """[`~finecl_hf.data.documents.Document.instance_id`] of many facts at once."""
    head, tail = (facts[name].cast(pa.large_string()) for name in ("head", "tail"))
    names = facts["relation"].dictionary_encode()
    escaped = pa.array([escaped_relation(name) for name in names.dictionary.to_pylist()], pa.large_string())
    relation = escaped.take(names.indices)
    return pc.binary_join_element_wise(title, head, tail, relation, pa.scalar("#", pa.large_string()))


def fact_ids(corpus: Dataset) -> tuple[pa.Array, pa.Array]:
    """Id and title of each fact of a corpus, (N,) each, row by row; no document is parsed."""
    columns = corpus.select_columns(["title", "head", "tail", "relations"]).with_format("arrow")[:]
    heads, tails, relations = (columns[name].combine_chunks() for name in ("head", "tail", "relations"))
    title = columns["title"].combine_chunks().cast(pa.large_string()).take(pc.list_parent_indices(heads))
    facts = {"head": heads.flatten(), "tail": tails.flatten(), "relation": relations.flatten()}
    return instance_ids(title, facts | {"relation": facts["relation"].cast(pa.large_string())}), title


def collect_facts(corpus: Dataset, num_proc: int | None = None) -> Dataset:
    """What a learning order is made of, from the corpus's columns, counted once; see [`chunks_in`]."""
    num_proc = min(num_proc or 1, len(corpus))
    with writing_cache():
        return corpus.map(
            _collect,
            input_columns=list(FACT_COLUMNS),
            batched=True,
            batch_size=DOCUMENTS,
            remove_columns=corpus.column_names,
            features=CHUNKS,
            num_proc=num_proc if num_proc > 1 else None,
            desc="Collecting facts",
        )


def chunks_in(facts: Dataset) -> Iterator[dict[str, pa.Array]]:
    """The chunks of [`collect_facts`], for `LearningOrder.from_chunks`."""
    for row in facts.with_format("arrow").iter(1):
        yield {name: row[name].combine_chunks().flatten() for name in facts.column_names}


def _collect(*columns: list) -> dict[str, list]:
    with gc_paused():
        chunk = chunk_of(dict(zip(FACT_COLUMNS, columns, strict=True)))
    return {name: [column] for name, column in chunk.items()}
