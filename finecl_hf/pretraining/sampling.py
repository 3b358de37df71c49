"""Which documents share a batch in stage 2: each anchor document with one that holds the same relation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from transformers import TrainingArguments

from finecl_hf.encoding.batches import SharedEpoch
from finecl_hf.hashing import mix


ORDER, ANCHOR_RELATION, PARTNER = range(20, 23)


def documents_per_step(args: TrainingArguments) -> int:
    """Documents that contrast with each other, of all processes together, by the arguments of stage 2."""
    return args.contrastive_batch_size or args.train_batch_size * args.world_size


class PartnerBatchSampler:
    """Batches of which half are anchor documents and half partners that hold one of the anchor's relations.

    In-batch positives of rare relations would be rare otherwise: FineCL's and ERICA's code draws documents at random.
    An epoch draws as many documents as there are, rounded up to full batches. Anchors go through the corpus in a
    random order, so that every document is an anchor once in two epochs. No document occurs twice in a batch: where a
    partner would, or where there is none, the next document in order takes its place. Without any facts, an epoch is
    every document once.

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
        # A document counts once for a relation, however many facts of it there are. Sorted by relation, then document.
        relation, document = np.divmod(
            np.unique(relation.astype(np.int64) * num_documents + document_of), num_documents
        )
        _, group, size = np.unique(relation, return_inverse=True, return_counts=True)
        shared = size[group] > 1  # nobody can be the partner for a relation of one document
        self._document = document[shared]
        _, start, group, size = np.unique(relation[shared], return_index=True, return_inverse=True, return_counts=True)
        self._start, self._size = start[group], size[group]
        self._by_document = np.argsort(self._document, kind="stable")
        self._relations = np.bincount(self._document, minlength=num_documents)
        self._first = np.cumsum(self._relations) - self._relations

    def __len__(self) -> int:
        return -(-self.num_documents // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        epoch = self.epoch.get()
        pass_number, half = divmod(epoch, 2) if len(self._document) else (epoch, 0)
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
        partner = np.full(len(order), -1)
        has_one = self._relations[order] > 0
        anchor = order[has_one]
        choice = mix(ANCHOR_RELATION, self.seed, epoch, anchor) % self._relations[anchor].astype(np.uint64)
        row = self._by_document[self._first[anchor] + choice.astype(np.int64)]
        start, size = self._start[row], self._size[row]
        step = 1 + (mix(PARTNER, self.seed, epoch, anchor) % (size - 1).astype(np.uint64)).astype(np.int64)
        partner[has_one] = self._document[start + (row - start + step) % size]
        return partner
