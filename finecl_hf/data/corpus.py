"""A corpus on disk: validated documents as memory-mapped Arrow rows, whatever format they came in.

A row holds a document as JSON, and beside it what is needed of all documents at once: their keys, their facts, and
where their entities stand. What reads those columns parses no document.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset, Features, List, Value

from finecl_hf import __version__
from finecl_hf.data.arrow import arrow_column, column_batches
from finecl_hf.data.column_names import checked_columns
from finecl_hf.data.documents import Document
from finecl_hf.data.files import writing_cache
from finecl_hf.data.held_out import HeldOutPairs
from finecl_hf.data.hub_datasets import commit_of, looks_like_dataset_id
from finecl_hf.data.label_map import LabelMap
from finecl_hf.data.problems import Problems, repeated_title
from finecl_hf.data.readers import iter_documents, local_files
from finecl_hf.errors import DocumentError, FineCLError
from finecl_hf.hashing import mix


logger = logging.getLogger(__name__)

COLUMNS = Features(
    {
        "document": Value("string"),  # as JSON
        "key": Value("int64"),  # hash of the title, from which all random draws for the document are made
        "source": Value("string"),  # file or Hub id, and
        "index": Value("int64"),  # number of the document in it, for messages
        "is_sentence": Value("bool"),
        "title": Value("string"),
        "head": List(Value("int32")),  # of each fact
        "tail": List(Value("int32")),
        "relations": List(Value("string")),
        "entity_type": List(Value("string")),  # of each entity's first mention
        "mention_entity": List(Value("int32")),
        "mention_sentence": List(Value("int32")),
        "mention_position": List(Value("int32")),  # in words of the document
        "pairs": List(Value("int32")),  # judged pairs as head, tail, head, tail, ...; null: every pair
    }
)
FACT_COLUMNS = tuple(list(COLUMNS)[5:])  # what [`fact_columns`] gives
# problem: "", or the fields of a DocumentError; held_out: facts that left the document; "" if it left with them
ROW = Features({**COLUMNS, "problem": Value("string"), "held_out": Value("int32")})
WHOLE_FILE = -1  # index of a row that says what is wrong with a file as a whole
SAMPLE = 40  # keeps this draw apart from others made of the same keys
NEARLY_BEST = 0.75  # so near to the best may a document come that a sample takes: else all seeds took the largest
_BATCH = 1000  # rows that are read at a time


def load_corpus(
    source: str,
    split: str | None = None,
    skip_invalid: bool = False,
    max_documents: int | None = None,
    cache_dir: str | None = None,
    num_proc: int | None = None,
    exclude: str | None = None,
    columns: Mapping[str, str] | None = None,
    label_map: str | None = None,
) -> Dataset:
    """Reads and validates a corpus once; the second start reads the cache.

    Args:
        source: a file in any format of `readers`; the shards of a corpus, as a folder or a pattern (see
            `readers.files_of`); or a Hub dataset id.
        split: split of a Hub dataset.
        skip_invalid: leave invalid documents out and say how many.
        max_documents: use the first so many.
        num_proc: processes that read shards; the result, and where it is cached, are the same for any number.
        exclude: held-out documents: facts about their entity pairs leave the corpus, see [`HeldOutPairs`].
        columns, label_map: as of `readers.iter_documents`; `exclude` is read with the same columns.

    Returns:
        Dataset of [`COLUMNS`], one row a document, in the order of the source.

    Raises:
        DocumentError: the source, or one of its documents, is invalid.
        FineCLError: `exclude` holds out every fact.
    """
    files, stamps = _files_and_stamps(source)
    num_proc = min(num_proc or 1, len(files))
    held_out = None
    if exclude is not None:
        load_corpus(exclude, None, skip_invalid, None, cache_dir, columns=columns)  # what is wrong is told here
        held_out = _HeldOut(exclude, skip_invalid, cache_dir, columns)
    # Part of the arguments only where there are any: a corpus without them is found in the cache as before
    reading = {
        "columns": checked_columns(columns) or None,
        "label_map": None if label_map is None else LabelMap.read(label_map).to_dict(),
    }
    reading = {name: value for name, value in reading.items() if value is not None}
    with writing_cache():
        rows = Dataset.from_generator(
            _rows,
            # The cache is found by these arguments, so they must change when the source does, or what is valid.
            gen_kwargs={
                "files": files, "stamps": stamps, "split": split, "held_out": held_out, "version": __version__,
                **({"reading": reading} if reading else {}),
            },
            features=ROW,
            cache_dir=cache_dir,
            num_proc=num_proc if num_proc > 1 else None,
        )  # fmt: skip
    rows = _drop_invalid(rows, source, skip_invalid)
    rows = rows.select(range(min(max_documents, len(rows)))) if max_documents is not None else rows
    if exclude is not None:
        rows = _without_emptied(rows, source, exclude)
    return rows.remove_columns(["problem", "held_out"])


def iter_corpus(corpus: Dataset) -> Iterator[Document]:
    """The documents of a corpus, one at a time."""
    return map(Document.from_json, corpus["document"])


def documents_of(corpus: Dataset) -> list[Document]:
    """All documents of a corpus, in memory: for evaluation sets."""
    return list(iter_corpus(corpus))


def keys_of(corpus: Dataset) -> np.ndarray:
    """(N,) int64 key of each document."""
    return np.concatenate([np.zeros(0, np.int64), *map(np.asarray, column_batches(corpus, "key"))])


def in_key_order(corpus: Dataset) -> Dataset:
    """The corpus in the order of its keys, so that the order of files has no influence on a run."""
    return corpus.select(np.argsort(keys_of(corpus), kind="stable"))


def relation_counts(corpus: Dataset) -> Counter[str]:
    """How often each relation occurs."""
    counts: Counter[str] = Counter()
    for batch in column_batches(corpus, "relations"):
        for pair in pc.value_counts(batch.flatten()).to_pylist():
            counts[pair["values"]] += pair["counts"]
    return counts


def check_corpus(corpus: Dataset, label2id: dict[str, int], task: str) -> None:
    """Checks that a model with this label set and task can be trained or evaluated on a corpus.

    Raises:
        DocumentError: for the first unknown relation, or a document where a single sentence is needed.
    """
    needs_sentences = task == "sentence" and not all(
        pc.all(batch).as_py() for batch in column_batches(corpus, "is_sentence")
    )
    if needs_sentences or relation_counts(corpus).keys() - label2id.keys():
        for row in corpus.select_columns(["document", "source", "index"]):
            check_document(Document.from_json(row["document"]), label2id, task, row["source"], row["index"])


def checked_documents(documents: Iterable[Document | dict], label2id: dict[str, int]) -> list[Document]:
    """Documents in memory, checked as those of a file are.

    Raises:
        DocumentError: one is invalid, bears the title of another, or has an unknown relation; or there is none.
    """
    checked: list[Document] = []
    titles: set[str] = set()
    for i, document in enumerate(documents):
        try:
            document = Document.from_dict(document) if isinstance(document, dict) else document
        except DocumentError as error:
            raise DocumentError(error.message, error.field, "documents", i, error.title) from error
        check_document(document, label2id, "document", "documents", i)
        if document.title in titles:
            message = "another document has the same title, by which documents are told apart; give it another one."
            raise DocumentError(message, "title", "documents", i, document.title)
        titles.add(document.title)
        checked.append(document)
    if not checked:
        raise DocumentError("there is no document; give a list with one at least.", source="documents")
    return checked


def sample_fraction(corpus: Dataset, fraction: float, seed: int) -> Dataset:
    """A share of the documents, at least one, in which no relation is lost where it can be helped.

    Documents stand in a fixed order, of which the first so many are taken; a smaller share is part of a larger one.
    First come those that cover all relations, see [`_covering`], then the others as drawn at random by their keys.
    With the same seed, the order of the file changes nothing.

    Raises:
        FineCLError: the share is not above 0 and up to 1.
    """
    if not 0 < fraction <= 1:
        raise FineCLError(f"--train_fraction {fraction} is out of range; give a share above 0 and up to 1.")
    count = max(1, round(fraction * len(corpus)))
    if count >= len(corpus):
        return corpus
    draws = mix(SAMPLE, seed, keys_of(corpus))
    facts = _document_relations(corpus)
    covering = _covering(*facts, draws, NEARLY_BEST)
    if len(covering) > count and len(fewer := _covering(*facts, draws)) <= count:
        covering = fewer  # which only fits this way; the smaller share may then not be part of a larger one
    others = np.argsort(draws)
    others = others[~np.isin(others, covering)]
    return corpus.select(np.sort(np.concatenate([covering, others])[:count]))


def _document_relations(corpus: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Document and relation number, (N,) each, of each relation that a document holds; once, however many facts."""
    column = arrow_column(corpus, "relations").combine_chunks()
    document = np.asarray(pc.list_parent_indices(column), dtype=np.int64)
    relation = np.asarray(pc.dictionary_encode(column.flatten()).indices, dtype=np.int64)
    return tuple(np.unique(np.stack([document, relation]), axis=1))


def _covering(document: np.ndarray, relation: np.ndarray, draws: np.ndarray, nearly: float = 1.0) -> np.ndarray:
    """Documents that hold all relations between them, one after the other: each adds most to those before it.

    Args:
        document, relation: (N,) see [`_document_relations`].
        draws: (D,) of each document; the lowest decides among those that add equally many.
        nearly: it also decides among those that add at least this share of the most; below 1, other draws give other
            documents.
    """
    chosen: list[int] = []
    while len(relation):
        gain = np.bincount(document, minlength=len(draws))
        best = np.flatnonzero(gain >= nearly * gain.max())
        chosen.append(int(best[draws[best].argmin()]))
        missing = ~np.isin(relation, relation[document == chosen[-1]])
        document, relation = document[missing], relation[missing]
    return np.array(chosen, dtype=np.int64)


class _HeldOut:
    """Entity pairs of held-out documents. Processes, and the cache, are given the name of the documents, not hundreds
    of thousands of pairs; each process collects those once."""

    def __init__(self, source: str, skip_invalid: bool, cache_dir: str | None, columns: Mapping[str, str] | None):
        self.arguments = {"source": source, "skip_invalid": skip_invalid, "cache_dir": cache_dir, "columns": columns}
        self.stamps = _files_and_stamps(source)

    def __getstate__(self) -> dict[str, Any]:
        return {"arguments": self.arguments, "stamps": self.stamps}

    @cached_property
    def pairs(self) -> HeldOutPairs:
        return HeldOutPairs(iter_corpus(load_corpus(**self.arguments)))


def _without_emptied(rows: Dataset, source: str, exclude: str) -> Dataset:
    """Leaves out what holding out left no judged pair of; says how many facts went."""
    removed = int(sum(pc.sum(batch).as_py() or 0 for batch in column_batches(rows, "held_out")))
    if removed and not sum(relation_counts(rows).values()):
        raise FineCLError(
            f"{source}: no fact is left to train on, because --exclude_file {exclude} holds out the entity pairs of "
            f"all {removed:,}; name the validation or test file there."
        )
    logger.info("%s facts about entity pairs of %s left the training data.", f"{removed:,}", exclude)
    kept = [np.zeros(0, bool), *(np.asarray(pc.not_equal(text, "")) for text in column_batches(rows, "document"))]
    return rows.select(np.flatnonzero(np.concatenate(kept)))


def _files_and_stamps(source: str) -> tuple[list[str], tuple]:
    """Names of the files behind a source, and what tells their state; a dataset on the Hub counts as one file."""
    files = [os.path.abspath(file) for file in local_files(source)]
    if files:
        return files, tuple((os.path.getsize(file), os.stat(file).st_mtime_ns) for file in files)
    return [source], (commit_of(source) if looks_like_dataset_id(source) else None,)


def _rows(
    files: list[str],
    stamps: tuple,
    split: str | None,
    held_out: _HeldOut | None,
    version: str,
    reading: Mapping[str, Any] = MappingProxyType({}),
) -> Iterator[dict[str, Any]]:
    for file in files:
        try:
            for index, item in enumerate(iter_documents(file, split=split, check_titles=False, **reading)):
                if isinstance(item, DocumentError):
                    yield _problem_row(item, file, index)
                    continue
                rest, removed = (item, 0) if held_out is None else held_out.pairs.strip(item)
                row = {**row_of(rest or item, file, index), "problem": "", "held_out": removed}
                yield row if rest is not None else {**row, "document": "", "relations": []}
        except DocumentError as error:  # as a row: an exception loses its fields on its way from another process
            yield _problem_row(error, file, WHOLE_FILE)
            return


def row_of(document: Document, source: str, index: int) -> dict[str, Any]:
    return {
        "document": document.to_json(),
        "key": document.key,
        "source": source,
        "index": index,
        "is_sentence": document.is_sentence,
        **fact_columns(document),
    }


def fact_columns(document: Document) -> dict[str, Any]:
    """A document's facts, and where its entities stand: columns that a learning order is made of."""
    start_of = document.sentence_starts
    mentions = [(entity, mention) for entity, group in enumerate(document.entities) for mention in group]
    return {
        "title": document.title,
        "head": [fact.head for fact in document.relations],
        "tail": [fact.tail for fact in document.relations],
        "relations": [fact.relation for fact in document.relations],
        "entity_type": [group[0].type for group in document.entities],
        "mention_entity": [entity for entity, _ in mentions],
        "mention_sentence": [mention.sent_id for _, mention in mentions],
        "mention_position": [start_of[mention.sent_id] + mention.start for _, mention in mentions],
        "pairs": None if document.pairs is None else list(chain.from_iterable(document.pairs)),
    }


def _problem_row(error: DocumentError, source: str, index: int) -> dict[str, Any]:
    nothing = dict.fromkeys(ROW)
    counted = {"document": "", "key": 0, "relations": [], "is_sentence": False, "held_out": 0}
    return {**nothing, **counted, "source": source, "index": index, "problem": json.dumps(error.fields())}


def _drop_invalid(rows: Dataset, source: str, skip_invalid: bool) -> Dataset:
    """The rows that are documents with a title of their own; the others are dealt with as [`Problems`] says."""
    bad = [np.asarray(pc.not_equal(batch, "")) for batch in column_batches(rows, "problem")]
    bad = np.concatenate([np.zeros(0, bool), *bad])
    problems = {int(i): DocumentError(*json.loads(rows[int(i)]["problem"])) for i in np.flatnonzero(bad)}
    for i, problem in problems.items():
        if rows[i]["index"] == WHOLE_FILE:
            _forget(rows)
            raise problem
    problems |= _repeated_titles(rows, np.flatnonzero(~bad))
    found = Problems(source, skip_invalid)
    for i in sorted(problems):
        found.add(problems[i])
    found.settle(num_valid=len(rows) - len(problems))
    return rows.select(np.setdiff1d(np.arange(len(rows)), list(problems))) if problems else rows


def _repeated_titles(rows: Dataset, valid: np.ndarray) -> dict[int, DocumentError]:
    """What to say of each valid document that has the title of an earlier one, in the same file or another."""
    _, first, inverse = np.unique(keys_of(rows)[valid], return_index=True, return_inverse=True)
    firsts = valid[first[inverse]]
    problems = {}
    for i, first in zip(valid[firsts != valid].tolist(), firsts[firsts != valid].tolist(), strict=True):
        row, earlier = rows[i], rows[first]
        error = repeated_title(earlier["index"], earlier["source"])
        title = Document.from_json(row["document"]).title
        problems[i] = DocumentError(error.message, error.field, row["source"], row["index"], title)
    return problems


def _forget(rows: Dataset) -> None:
    """Removes rows from the cache: a file that could not be read is read again at the next start."""
    for folder in {Path(file["filename"]).parent for file in rows.cache_files}:
        shutil.rmtree(folder, ignore_errors=True)


def check_document(document: Document, label2id: dict[str, int], task: str, source: str, index: int) -> None:
    """[`check_corpus`] of one document, which is number `index` of the file `source`."""
    if task == "sentence" and not document.is_sentence:
        raise DocumentError(
            "--task sentence needs exactly one judged pair a document; take --task document and a model for it.",
            "pairs", source, index, document.title,
        )  # fmt: skip
    for fact in document.relations:
        if fact.relation not in label2id:
            raise DocumentError(
                f'the relation "{fact.relation}" is not among the {len(label2id) - 1} relations the model knows; '
                "add it to --rel_info or to the training file, or drop the label.",
                "labels", source, index, document.title,
            )  # fmt: skip
