"""Sentences with head and tail exchanged, in which the relation does not hold: what teaches a model its direction.

Corpora of sentences ask about one ordered pair each. In raw text both orders are asked about, and a model that saw but
one of them says the same of both.
"""

from __future__ import annotations

import logging
import re

from datasets import Dataset, concatenate_datasets

from finecl_hf.data.corpus import in_key_order, iter_corpus, row_of
from finecl_hf.data.documents import NA, Document


logger = logging.getLogger(__name__)

NAMES_DIRECTION = re.compile(r"\(e[12],\s*e[12]\)$")  # SemEval, KBP37: head and tail are the first and the second


def with_reversed_pairs(corpus: Dataset) -> Dataset:
    """Adds each sentence that has a relation with head and tail exchanged, as one without any.

    Left out are pairs that the corpus judges itself, and relations that it gives to a pair whose reverse has a
    relation, too: they hold both ways (`spouse`), or another one is their inverse (`parent`, `child`). So are labels
    that name their direction.

    Args:
        corpus: of sentences, see `corpus.load_corpus`.

    Returns:
        The corpus in the order of its keys.
    """
    judged = [(_pair(document), document.label) for document in iter_corpus(corpus)]
    label_of = dict(judged)
    two_way = {label for pair, label in label_of.items() if label_of.get(_exchanged(pair), NA) != NA}
    chosen = [
        number
        for number, (pair, label) in enumerate(judged)
        if label != NA
        and label not in two_way
        and not NAMES_DIRECTION.search(label)
        and _exchanged(pair) not in label_of
    ]
    if not chosen:
        return corpus
    rows = [
        row_of(reversed_sentence(Document.from_json(row["document"])), row["source"], row["index"])
        for row in corpus.select(chosen)
    ]
    logger.info("%s sentences are also trained on with head and tail exchanged, as without a relation.",
                f"{len(rows):,}")  # fmt: skip
    whole = concatenate_datasets([corpus, Dataset.from_list(rows, features=corpus.features)])
    return in_key_order(whole)


def reversed_sentence(document: Document) -> Document:
    """The sentence with head and tail exchanged, without a relation."""
    head, tail = document.pairs[0]
    return Document(
        f"{document.title} reversed", document.sentences, document.entities, pairs=[(tail, head)], text=document.text
    )


def _pair(document: Document) -> tuple:
    """A sentence's text, and where its head and its tail stand."""
    head, tail = (
        tuple((mention.sent_id, mention.start, mention.end) for mention in document.entities[entity])
        for entity in document.pairs[0]
    )
    return tuple(map(tuple, document.sentences)), head, tail


def _exchanged(pair: tuple) -> tuple:
    text, head, tail = pair
    return text, tail, head
