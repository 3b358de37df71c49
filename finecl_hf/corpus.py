"""A corpus on disk: validated documents as one memory-mapped column of JSON, whatever format they came in."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Iterator

import numpy as np
from datasets import Dataset, Features, Value
from datasets.exceptions import DatasetGenerationError

from finecl_hf import __version__
from finecl_hf.documents import Document
from finecl_hf.errors import DocumentError, FineCLError
from finecl_hf.hashing import mix, text_key
from finecl_hf.hub_files import commit_of, looks_like_dataset_id
from finecl_hf.readers import iter_documents, summarise_problems


logger = logging.getLogger(__name__)

ROW = Features(
    {"document": Value("string"), "key": Value("int64"), "index": Value("int64"), "problem": Value("string")}
)

SAMPLE = 40  # keeps this draw apart from others made of the same keys


def load_corpus(
    source: str,
    split: str | None = None,
    skip_invalid: bool = False,
    max_documents: int | None = None,
    cache_dir: str | None = None,
) -> Dataset:
    """Reads and validates a corpus once; the second start reads the cache.

    Args:
        source: a file in any format of `readers`, or a Hub dataset id.
        split: split of a Hub dataset.
        skip_invalid: leave invalid documents out and say how many.
        max_documents: use the first so many.

    Returns:
        Dataset with the columns `document` (JSON, one per document, in the order of the source), `key` (the hash of
        its title that all random draws for it are made from) and `index` (its number in the source, for messages).

    Raises:
        DocumentError: the file, or one of its documents, is invalid.
    """
    # The cache is found by these arguments, so they must change when the source does, or what is valid.
    if os.path.exists(source):
        arguments = {
            "source": os.path.abspath(source),
            "stamp": (os.path.getsize(source), os.stat(source).st_mtime_ns),
        }
    else:
        arguments = {"source": source, "stamp": commit_of(source) if looks_like_dataset_id(source) else None}
    arguments |= {"split": split, "version": __version__}
    try:
        rows = Dataset.from_generator(_rows, gen_kwargs=arguments, features=ROW, cache_dir=cache_dir)
    except DatasetGenerationError as error:
        if isinstance(error.__cause__, FineCLError):
            raise error.__cause__ from None
        raise
    valid = _drop_invalid(rows, source, skip_invalid).remove_columns("problem")
    return valid.select(range(min(max_documents, len(valid)))) if max_documents is not None else valid


def iter_corpus(corpus: Dataset) -> Iterator[Document]:
    """The documents of a corpus, one at a time."""
    return map(Document.from_json, corpus["document"])


def documents_of(corpus: Dataset) -> list[Document]:
    """All documents of a corpus, in memory: for evaluation sets."""
    return list(iter_corpus(corpus))


def relation_counts(corpus: Dataset) -> Counter[str]:
    """How often each relation occurs."""
    return Counter(fact.relation for document in iter_corpus(corpus) for fact in document.relations)


def check_corpus(corpus: Dataset, label2id: dict[str, int], task: str, source: str) -> None:
    """Checks that a model with this label set and task can be trained or evaluated on a corpus.

    Raises:
        DocumentError: for the first unknown relation, or a document where a single sentence is needed.
    """
    for index, document in zip(corpus["index"], iter_corpus(corpus), strict=True):
        if task == "sentence" and not document.is_sentence:
            raise DocumentError(
                "--task sentence needs exactly one judged pair a document; take --task document.",
                "pairs",
                source,
                index,
                document.title,
            )
        for fact in document.relations:
            if fact.relation not in label2id:
                raise DocumentError(
                    f'the relation "{fact.relation}" is not among the {len(label2id) - 1} relations the model knows; '
                    "add it to --rel_info or to the training file, or drop the label.",
                    "labels",
                    source,
                    index,
                    document.title,
                )


def sample_fraction(corpus: Dataset, fraction: float, seed: int) -> Dataset:
    """A random share of the documents, at least one; with the same seed, a smaller one is part of a larger one."""
    if not 0 < fraction <= 1:
        raise FineCLError(f"--train_fraction {fraction} is out of range; give a share above 0 and up to 1.")
    count = max(1, round(fraction * len(corpus)))
    return corpus.select(np.sort(np.argsort(mix(SAMPLE, seed, np.asarray(corpus["key"])))[:count]))


def _rows(source: str, split: str | None, stamp: object, version: str) -> Iterator[dict[str, str]]:
    for index, item in enumerate(iter_documents(source, split=split)):
        if isinstance(item, DocumentError):
            yield {"document": "", "key": 0, "index": index, "problem": json.dumps(item.fields())}
        else:
            yield {"document": item.to_json(), "key": text_key(item.title), "index": index, "problem": ""}


def _drop_invalid(rows: Dataset, source: str, skip_invalid: bool) -> Dataset:
    problems = [DocumentError(*json.loads(text)) for text in rows["problem"] if text]
    if not problems:
        return rows
    summary = summarise_problems(problems, len(rows), source)
    if not skip_invalid or len(problems) == len(rows):
        raise problems[0] if len(problems) == 1 else FineCLError(summary)
    logger.warning("%s They are left out.", summary)
    return rows.select(np.flatnonzero([not text for text in rows["problem"]]))
