"""A corpus on disk: validated documents as memory-mapped Arrow rows, whatever format they came in.

A row holds a document as JSON, and beside it what every start of a run must know of all documents: a start reads those
columns, and parses no document.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset, Features, List, Value

from finecl_hf import __version__
from finecl_hf.data.arrow import column_batches
from finecl_hf.data.documents import Document, parsing
from finecl_hf.data.held_out import HeldOutPairs
from finecl_hf.data.hub_datasets import commit_of, looks_like_dataset_id
from finecl_hf.data.readers import iter_documents, local_files, repeated_title, summarise_problems
from finecl_hf.errors import DocumentError, FineCLError
from finecl_hf.hashing import mix, text_key


logger = logging.getLogger(__name__)

COLUMNS = Features(
    {
        "document": Value("string"),  # as JSON
        "key": Value("int64"),  # hash of the title, from which all random draws for the document are made
        "source": Value("string"),  # file or Hub id, and
        "index": Value("int64"),  # number of the document in it, for messages
        "relations": List(Value("string")),  # of each fact
        "is_sentence": Value("bool"),
    }
)
ROW = Features({**COLUMNS, "problem": Value("string")})  # "": none; else the fields of a DocumentError
WHOLE_FILE = -1  # index of a row that says what is wrong with a file as a whole
SAMPLE = 40  # keeps this draw apart from others made of the same keys
_BATCH = 1000  # rows that are read at a time


def load_corpus(
    source: str,
    split: str | None = None,
    skip_invalid: bool = False,
    max_documents: int | None = None,
    cache_dir: str | None = None,
    num_proc: int | None = None,
) -> Dataset:
    """Reads and validates a corpus once; the second start reads the cache.

    Args:
        source: a file in any format of `readers`; the shards of a corpus, as a folder or a pattern (see
            `readers.files_of`); or a Hub dataset id.
        split: split of a Hub dataset.
        skip_invalid: leave invalid documents out and say how many.
        max_documents: use the first so many.
        num_proc: processes that read shards; the result, and where it is cached, are the same for any number.

    Returns:
        Dataset of [`COLUMNS`], one row a document, in the order of the source.

    Raises:
        DocumentError: the source, or one of its documents, is invalid.
    """
    files, stamps = _files_and_stamps(source)
    num_proc = min(num_proc or 1, len(files))
    rows = Dataset.from_generator(
        _rows,
        # The cache is found by these arguments, so they must change when the source does, or what is valid.
        gen_kwargs={"files": files, "stamps": stamps, "split": split, "version": __version__},
        features=ROW,
        cache_dir=cache_dir,
        num_proc=num_proc if num_proc > 1 else None,
    )
    valid = _drop_invalid(rows, source, skip_invalid).remove_columns("problem")
    return valid.select(range(min(max_documents, len(valid)))) if max_documents is not None else valid


def iter_corpus(corpus: Dataset) -> Iterator[Document]:
    """The documents of a corpus, one at a time."""
    return map(Document.from_json, corpus["document"])


def documents_of(corpus: Dataset) -> list[Document]:
    """All documents of a corpus, in memory: for evaluation sets."""
    return list(iter_corpus(corpus))


def keys_of(corpus: Dataset) -> np.ndarray:
    """(N,) int64 key of each document."""
    return np.concatenate([np.zeros(0, np.int64), *map(np.asarray, column_batches(corpus, "key"))])


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


def exclude_held_out(
    corpus: Dataset,
    source: str,
    skip_invalid: bool = False,
    cache_dir: str | None = None,
    num_proc: int | None = None,
) -> Dataset:
    """A corpus without the facts about entity pairs of held-out documents, see [`HeldOutPairs`].

    Args:
        source: the held-out documents; this and the other arguments are those of [`load_corpus`].
    """
    load_corpus(source, None, skip_invalid, None, cache_dir, num_proc)  # what is wrong with it is told here
    num_proc = min(num_proc or 1, len(corpus))
    return corpus.map(
        _Exclusion(source, skip_invalid, cache_dir),
        input_columns=["document", "source", "index"],
        batched=True,
        remove_columns=corpus.column_names,
        features=COLUMNS,
        num_proc=num_proc if num_proc > 1 else None,
        desc="Excluding held-out pairs",
    )


def sample_fraction(corpus: Dataset, fraction: float, seed: int) -> Dataset:
    """A random share of the documents, at least one; with the same seed, a smaller one is part of a larger one."""
    if not 0 < fraction <= 1:
        raise FineCLError(f"--train_fraction {fraction} is out of range; give a share above 0 and up to 1.")
    count = max(1, round(fraction * len(corpus)))
    return corpus.select(np.sort(np.argsort(mix(SAMPLE, seed, keys_of(corpus)))[:count]))


class _Exclusion:
    """Drops held-out facts of batches. Processes, and the cache, are given the name of the held-out documents, not
    hundreds of thousands of pairs; each process collects those once."""

    def __init__(self, source: str, skip_invalid: bool, cache_dir: str | None):
        self.arguments = {"source": source, "skip_invalid": skip_invalid, "cache_dir": cache_dir}
        self.stamps = _files_and_stamps(source)

    def __getstate__(self) -> dict[str, Any]:
        return {"arguments": self.arguments, "stamps": self.stamps}

    @cached_property
    def held_out(self) -> HeldOutPairs:
        return HeldOutPairs(iter_corpus(load_corpus(**self.arguments)))

    def __call__(self, texts: list[str], sources: list[str], indices: list[int]) -> dict[str, list]:
        rows = []
        with parsing():
            for text, source, index in zip(texts, sources, indices, strict=True):
                rest, _ = self.held_out.strip(Document.from_json(text))
                if rest is not None:
                    rows.append(_row(rest, source, index))
        return {name: [row[name] for row in rows] for name in COLUMNS}


def _files_and_stamps(source: str) -> tuple[list[str], tuple]:
    """Names of the files behind a source, and what tells their state; a dataset on the Hub counts as one file."""
    files = [os.path.abspath(file) for file in local_files(source)]
    if files:
        return files, tuple((os.path.getsize(file), os.stat(file).st_mtime_ns) for file in files)
    return [source], (commit_of(source) if looks_like_dataset_id(source) else None,)


def _rows(files: list[str], stamps: tuple, split: str | None, version: str) -> Iterator[dict[str, Any]]:
    for file in files:
        try:
            for index, item in enumerate(iter_documents(file, split=split, check_titles=False)):
                if isinstance(item, DocumentError):
                    yield _problem_row(item, file, index)
                else:
                    yield {**_row(item, file, index), "problem": ""}
        except DocumentError as error:  # as a row: an exception loses its fields on its way from another process
            yield _problem_row(error, file, WHOLE_FILE)
            return


def _row(document: Document, source: str, index: int) -> dict[str, Any]:
    return {
        "document": document.to_json(),
        "key": text_key(document.title),
        "source": source,
        "index": index,
        "relations": [fact.relation for fact in document.relations],
        "is_sentence": document.is_sentence,
    }


def _problem_row(error: DocumentError, source: str, index: int) -> dict[str, Any]:
    empty = {"document": "", "key": 0, "relations": [], "is_sentence": False}
    return {**empty, "source": source, "index": index, "problem": json.dumps(error.fields())}


def _drop_invalid(rows: Dataset, source: str, skip_invalid: bool) -> Dataset:
    bad = np.concatenate(
        [np.zeros(0, bool), *(np.asarray(pc.not_equal(p, "")) for p in column_batches(rows, "problem"))]
    )
    problems = {int(i): DocumentError(*json.loads(rows[int(i)]["problem"])) for i in np.flatnonzero(bad)}
    for i, problem in problems.items():
        if rows[i]["index"] == WHOLE_FILE:
            _forget(rows)
            raise problem
    problems |= _repeated_titles(rows, bad)
    if not problems:
        return rows
    in_order = [problems[i] for i in sorted(problems)]
    summary = summarise_problems(in_order, len(rows), source)
    if not skip_invalid or len(problems) == len(rows):
        raise in_order[0] if len(in_order) == 1 else FineCLError(summary)
    logger.warning("%s They are left out.", summary)
    kept = np.ones(len(rows), bool)
    kept[list(problems)] = False
    return rows.select(np.flatnonzero(kept))


def _repeated_titles(rows: Dataset, bad: np.ndarray) -> dict[int, DocumentError]:
    """What to say of each valid document that has the title of an earlier one, in the same file or another."""
    valid = np.flatnonzero(~bad)
    keys = keys_of(rows)[valid]
    order = np.argsort(keys, kind="stable")  # equal keys in the order of the rows
    keys = keys[order]
    repeats = np.flatnonzero(keys[1:] == keys[:-1]) + 1
    firsts = np.searchsorted(keys, keys[repeats])
    problems = {}
    for i, first in zip(valid[order[repeats]].tolist(), valid[order[firsts]].tolist(), strict=True):
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
            "--task sentence needs exactly one judged pair a document; take --task document.",
            "pairs", source, index, document.title,
        )  # fmt: skip
    for fact in document.relations:
        if fact.relation not in label2id:
            raise DocumentError(
                f'the relation "{fact.relation}" is not among the {len(label2id) - 1} relations the model knows; '
                "add it to --rel_info or to the training file, or drop the label.",
                "labels", source, index, document.title,
            )  # fmt: skip
