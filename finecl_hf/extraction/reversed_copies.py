"""Sentences with directed labels, also read the other way round.

`Cause-Effect(e1,e2)` of head and tail is `Cause-Effect(e2,e1)` of tail and head, and no relation is none either way: a
second sentence that is certainly right, for nothing. The copies double what a model sees of each direction; in
SemEval-2010 Task 8 some relations hardly occur in one of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from datasets import Dataset, concatenate_datasets

from finecl_hf.data.corpus import corpus_row
from finecl_hf.data.documents import NA, Document
from finecl_hf.errors import FineCLError


SUFFIX = "#reversed"  # of a copy's title
_DIRECTION = re.compile(r"(.+)\((e1,e2|e2,e1)\)")


def takes_reversed_copies(asked: bool | None, task: str, relations: Iterable[str]) -> bool:
    """Whether to train on copies: where labels are directed, unless asked otherwise.

    Raises:
        FineCLError: they are asked for where labels are not directed.
    """
    named = [relation for relation in relations if relation != NA]
    directed = task == "sentence" and all(_DIRECTION.fullmatch(relation) for relation in named)
    if asked and not directed:
        raise FineCLError(
            "--reversed_copies needs sentences whose labels say their direction, such as Cause-Effect(e1,e2); leave "
            "it away."
        )
    return directed if asked is None else asked


def reversed_relation(relation: str) -> str:
    """The same relation, from tail to head."""
    name, direction = _DIRECTION.fullmatch(relation).groups()
    return f"{name}({'e2,e1' if direction == 'e1,e2' else 'e1,e2'})"


def with_reversed_copies(corpus: Dataset, label2id: Mapping[str, int]) -> Dataset:
    """The sentences of a corpus, and after them their copies with head and tail exchanged.

    Args:
        corpus: of sentences with directed labels, see `corpus.load_corpus`.
        label2id: the labels that the model knows; without a copy are those whose other direction it does not.
    """
    copies = corpus.map(
        lambda rows: _reversed_rows(rows, set(label2id)),
        batched=True,
        remove_columns=corpus.column_names,
        features=corpus.features,
        desc="Reversing",
    )
    return concatenate_datasets([corpus, copies])


def reversed_copy(document: Document) -> Document:
    """A sentence with head and tail exchanged; its entities keep their numbers."""
    ((head, tail),) = document.pairs
    relations = [
        replace(fact, head=fact.tail, tail=fact.head, relation=reversed_relation(fact.relation))
        for fact in document.relations
    ]
    return replace(document, title=document.title + SUFFIX, relations=relations, pairs=[(tail, head)])


def _reversed_rows(rows: Mapping[str, list], known: set[str]) -> dict[str, list]:
    made = []
    for text, source, index in zip(rows["document"], rows["source"], rows["index"], strict=True):
        copy = reversed_copy(Document.from_json(text))
        if all(fact.relation in known for fact in copy.relations):
            made.append(corpus_row(copy, source, index))
    return {name: [row[name] for row in made] for name in rows}
