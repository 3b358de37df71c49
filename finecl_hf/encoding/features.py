"""Documents to token features: flat Arrow columns that `datasets` keeps memory-mapped and cached.

A row holds one document: `input_ids`, the token span and entity of each mention, the judged facts, and a `key` from
which all of its random draws are made. What truncation cost is counted in the row and reported in one line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch.utils.data import Dataset as TorchDataset
from transformers import PreTrainedTokenizerBase

from finecl_hf.data.documents import Document, gc_paused
from finecl_hf.encoding.words import LaidOut, lay_out
from finecl_hf.hashing import type_key


if TYPE_CHECKING:
    from datasets import Dataset

NOTHING = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class DocumentEncoder:
    """Documents to features: what the scripts make of their arguments once, and the pipeline of a model's config.

    Args:
        tokenizer: the encoder's.
        label2id: relation -> id; a fact whose relation is not in it must have been dealt with before.
        max_length: tokens that the encoder reads at a time.
        entity_markers, hide_names: see [`lay_out`].
        long_documents: `truncate` cuts documents to `max_length`; with `windows`, they are read in overlapping parts
            of that length, and nothing is lost.
    """

    tokenizer: PreTrainedTokenizerBase
    label2id: dict[str, int]
    max_length: int
    entity_markers: str = "none"
    hide_names: str = "none"
    long_documents: str = "truncate"

    def encode(self, documents: list[Document]) -> dict[str, list]:
        """Features of a batch of documents, as a dict of [`~finecl_hf.encoding.feature_table.COLUMNS`]."""
        laid_out = [
            lay_out(document, self.entity_markers, self.hide_names, self.tokenizer.mask_token)
            for document in documents
        ]
        # A document may have no words at all; the tokenizer needs one to see that the input is pre-split.
        encoded = self.tokenizer(
            [of_document.words or [""] for of_document in laid_out],
            is_split_into_words=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,  # truncation follows below, once every mention is aligned
        )
        rows = [
            self._row(document, of_document, encoded["input_ids"][i], encoded.word_ids(i))
            for i, (document, of_document) in enumerate(zip(documents, laid_out, strict=True))
        ]
        return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}

    def rows(self, documents: list[Document]) -> list[dict]:
        """As [`encode`], one dict a document: what collators take."""
        columns = self.encode(documents)
        return [{name: values[i] for name, values in columns.items()} for i in range(len(documents))]

    def encode_corpus(self, corpus: Dataset, num_proc: int | None = None) -> Dataset:
        """Features of a corpus (see [`~finecl_hf.data.corpus.load_corpus`]), memory-mapped and cached."""
        from finecl_hf.data.files import writing_cache
        from finecl_hf.encoding.feature_table import COLUMNS

        num_proc = num_proc if num_proc and num_proc > 1 and len(corpus) > num_proc else None
        with writing_cache():
            return corpus.map(
                self._encode_json,
                input_columns="document",
                batched=True,
                batch_size=500,  # Arrow holds some KB in memory for each
                num_proc=num_proc,
                remove_columns=corpus.column_names,
                features=COLUMNS,
                desc="Tokenising",
            )

    def _encode_json(self, texts: list[str]) -> dict[str, list]:
        with gc_paused():
            return self.encode([Document.from_json(text) for text in texts])

    def _row(self, document: Document, laid_out: LaidOut, input_ids: list[int], word_ids: list[int | None]) -> dict:
        token_spans = mention_token_spans(word_ids, laid_out.spans)
        windows: list[np.ndarray] = []
        if self.long_documents == "windows":
            windows, text_end = token_windows(word_ids, self.max_length), len(input_ids)
        else:
            input_ids, text_end = truncate(input_ids, word_ids, self.max_length)
        entity = np.repeat(np.arange(len(document.entities)), [len(mentions) for mentions in document.entities])
        reachable = (token_spans[:, 0] >= 0) & (token_spans[:, 1] <= text_end)
        visible = set(entity[reachable].tolist())
        facts = [fact for fact in document.relations if fact.head in visible and fact.tail in visible]
        sentence_start = sentence_tokens(word_ids, laid_out.sentences)
        sentence_start = sentence_start[sentence_start < text_end]
        evidence = [
            (number, sentence)
            for number, fact in enumerate(facts)
            for sentence in fact.evidence
            if sentence < len(sentence_start)
        ]
        pairs = [(head, tail) for head, tail in document.pairs or () if head in visible and tail in visible]
        return {
            "key": document.key,
            "input_ids": input_ids,
            "num_entities": len(document.entities),
            "mention_start": token_spans[reachable, 0],
            "mention_end": token_spans[reachable, 1],
            "mention_entity": entity[reachable],
            "entity_type": [type_key(mentions[0].type) for mentions in document.entities],
            "window_index": np.concatenate(windows) if windows else NOTHING,
            "window_lengths": [len(window) for window in windows],
            "all_pairs": document.pairs is None,
            "pair_head": [head for head, _ in pairs],
            "pair_tail": [tail for _, tail in pairs],
            "head": [fact.head for fact in facts],
            "tail": [fact.tail for fact in facts],
            "relation": [self.label2id[fact.relation] for fact in facts],
            "fact_key": [document.fact_key(fact) for fact in facts],
            "sentence_start": sentence_start,
            "evidence_fact": [number for number, _ in evidence],
            "evidence_sentence": [sentence for _, sentence in evidence],
            "lost_mentions": int((~reachable).sum()),
            "lost_entities": len(document.entities) - len(visible),
            "lost_facts": len(document.relations) - len(facts),
        }

    def dataset(self, documents: Sequence[Document | dict]) -> LabelledFeatures:
        """What the three trainers train and evaluate on, from documents in memory: `Document` or in DocRED's layout.

        Raises:
            DocumentError: a document is invalid, bears the title of another, or has a relation that is not in
                `label2id`.
        """
        # The pipeline, which encodes too, needs no tables
        from datasets import Dataset

        from finecl_hf.data.corpus import checked_documents
        from finecl_hf.encoding.feature_table import COLUMNS

        documents = checked_documents(documents, self.label2id)
        features = Dataset.from_dict(self.encode(documents), features=COLUMNS)
        return LabelledFeatures(features.with_format("numpy"), documents, self)


def mention_token_spans(word_ids: list[int | None], spans: np.ndarray) -> np.ndarray:
    """Maps word spans to token spans.

    Words without a token (zero-width characters, say) are passed over; where a mention consists of nothing else, the
    nearest following token, or the last one, stands for it.

    Args:
        word_ids: word of each token, None for special tokens.
        spans: (M, 2) word spans.

    Returns:
        (M, 2) token spans [start, end); [-1, -1) if the text has no token at all.
    """
    words = np.array([-1 if word is None else word for word in word_ids], dtype=np.int64)
    tokens = np.flatnonzero(words >= 0)
    if len(tokens) == 0:
        return np.full((len(spans), 2), -1, dtype=np.int64)
    first = np.searchsorted(words[tokens], spans[:, 0])
    last = np.searchsorted(words[tokens], spans[:, 1])
    first = np.minimum(first, len(tokens) - 1)
    last = np.maximum(last, first + 1)
    return np.stack([tokens[first], tokens[last - 1] + 1], axis=1)


def sentence_tokens(word_ids: list[int | None], sentences: np.ndarray) -> np.ndarray:
    """(S,) the first token of each sentence, from its first word; where none follows, the end of the input.

    Args:
        word_ids: word of each token, None for special tokens.
        sentences: (S,) first words.
    """
    words = np.array([-1 if word is None else word for word in word_ids], dtype=np.int64)
    tokens = np.flatnonzero(words >= 0)
    return np.append(tokens, len(words))[np.searchsorted(words[tokens], sentences)]


def token_windows(word_ids: list[int | None], max_length: int) -> list[np.ndarray]:
    """The parts in which a document is encoded that is longer than `max_length`; none for one that is not.

    Each has the special tokens of the whole, and as much of the text as fits. Neighbours overlap by a quarter of that
    or more, so that a token has context on both sides in one of them.

    Returns:
        the token numbers of each part.
    """
    if len(word_ids) <= max_length:
        return []
    words = [place for place, word in enumerate(word_ids) if word is not None]
    opening, end = np.arange(words[0]), words[-1] + 1
    closing = np.arange(end, len(word_ids))
    size = max_length - len(opening) - len(closing)
    text = end - len(opening)
    count = 1 + -(-(text - size) // max(1, size - size // 4))
    starts = np.linspace(len(opening), end - size, count).round().astype(np.int64)
    return [np.concatenate([opening, np.arange(start, start + size), closing]) for start in starts]


def truncate(input_ids: list[int], word_ids: list[int | None], max_length: int) -> tuple[list[int], int]:
    """Cuts the end of the text off, keeping the special tokens behind it.

    Returns:
        the token ids, and where the text ends among them: mentions past that are out of reach.
    """
    closing = 0
    while closing < len(word_ids) and word_ids[-1 - closing] is None:
        closing += 1
    if len(input_ids) <= max_length:
        return input_ids, len(input_ids) - closing
    text_end = max_length - closing
    return input_ids[:text_end] + input_ids[len(input_ids) - closing :], text_end


class LabelledFeatures(TorchDataset):
    """Features of an evaluation set together with its documents, which hold the gold labels and names.

    Args:
        encoder: what made the features, where it is known: trainers take tokenizer and label set from it.
    """

    def __init__(self, features: Dataset, documents: list[Document], encoder: DocumentEncoder | None = None):
        self.features, self.documents, self.encoder = features, documents, encoder

    def __len__(self) -> int:
        return len(self.documents)

    def __getitem__(self, index: int) -> dict:
        return self.features[index]
