"""Which documents share a batch in stage 2: each anchor document with one that holds the same relation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from finecl_hf.collators import SharedEpoch
from finecl_hf.hashing import mix


ORDER, ANCHOR_FACT, PARTNER_FACT = range(20, 23)


class PartnerBatchSampler:
    """Batches of which half are anchor documents and half partners that hold one of the anchor's relations.

    In-batch positives of rare relations would be rare otherwise (ERICA samples document pairs by relation, too). An
    epoch draws as many documents as there are; anchors go through the corpus in a random order, so that every document
    is an anchor once in two epochs. No document occurs twice in a batch: where a partner would, or where there is none,
    the next document in order takes its place.

    Args:
        document_of: (N,) document of each usable fact.
        relation: (N,) its relation.
        num_documents: documents in the corpus.
        batch_size: documents a batch.
        seed: of the draws.
        epoch: the current epoch, set by a callback of the trainer.
    """

    drop_last = False

    def __init__(
        self,
        document_of: np.ndarray,
        relation: np.ndarray,
        num_documents: int,
        batch_size: int,
        seed: int,
        epoch: SharedEpoch,
    ):
        self.batch_size = min(batch_size, num_documents)
        self.num_documents, self.seed, self.epoch = num_documents, seed, epoch
        by_relation = np.argsort(relation, kind="stable")
        self._documents_by_relation = document_of[by_relation]
        _, start, group, size = np.unique(
            relation[by_relation], return_index=True, return_inverse=True, return_counts=True
        )
        group_of_fact = np.empty(len(relation), dtype=np.int64)
        group_of_fact[by_relation] = group
        by_document = np.argsort(document_of, kind="stable")
        self._group_by_document = group_of_fact[by_document]
        self._group_start, self._group_size = start, size
        self._facts = np.bincount(document_of, minlength=num_documents)
        self._first_fact = np.cumsum(self._facts) - self._facts

    def __len__(self) -> int:
        return max(1, self.num_documents // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        epoch = self.epoch.get()
        pass_number, half = divmod(epoch, 2)
        order = np.argsort(mix(ORDER, self.seed, pass_number, np.arange(self.num_documents)))
        order = np.roll(order, -half * (self.num_documents // 2))
        partner = self._partners(order, epoch)
        position = 0
        for _ in range(len(self)):
            batch: dict[int, None] = {}
            while len(batch) < self.batch_size:
                anchor = int(order[position % self.num_documents])
                batch[anchor] = None
                chosen = int(partner[position % self.num_documents])
                if chosen >= 0 and len(batch) < self.batch_size:
                    batch[chosen] = None
                position += 1
            yield list(batch)

    def _partners(self, order: np.ndarray, epoch: int) -> np.ndarray:
        """For each document in `order`, another one that holds a relation of its own, or -1."""
        if not len(self._group_size):
            return np.full(len(order), -1)
        facts = np.maximum(self._facts[order], 1).astype(np.uint64)
        fact = self._first_fact[order] + (mix(ANCHOR_FACT, self.seed, epoch, order) % facts).astype(np.int64)
        group = self._group_by_document[np.minimum(fact, len(self._group_by_document) - 1)]
        size = self._group_size[group]
        place = (mix(PARTNER_FACT, self.seed, epoch, order) % size.astype(np.uint64)).astype(np.int64)
        partner = self._documents_by_relation[self._group_start[group] + place]
        next_one = self._documents_by_relation[self._group_start[group] + (place + 1) % size]
        partner = np.where(partner == order, next_one, partner)
        return np.where((self._facts[order] == 0) | (partner == order), -1, partner)
