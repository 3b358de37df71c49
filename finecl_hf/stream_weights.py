"""Weights of labels that nobody has listed before: a table of 12 bytes for each label of the learning order."""

from __future__ import annotations

import logging
from hashlib import blake2b

import numpy as np

from finecl_hf.arguments import PretrainArguments
from finecl_hf.coverage import Coverage
from finecl_hf.errors import FineCLError
from finecl_hf.hashing import text_key
from finecl_hf.learning_order import LearningOrder
from finecl_hf.loading import check_coverage
from finecl_hf.scores import check_weight_by


logger = logging.getLogger(__name__)


class StreamWeights:
    """Weight of a label by its instance id.

    Ids are compared by 64-bit hashes: among 100 million labels, the odds that any two share one are 1 to 3,700.

    Args:
        keys: (N,) int64 hash of each id, ascending; None where all labels weigh 0, as in ERICA.
        weights: (N,) float32, NaN for a label that takes no part.
        path: of the learning order, for messages.
        allow_partial: go on where the order knows fewer than half of the labels that are asked for first.
    """

    def __init__(
        self,
        keys: np.ndarray | None = None,
        weights: np.ndarray | None = None,
        path: str = "",
        allow_partial: bool = False,
    ):
        self.keys, self.weights, self.path, self.allow_partial = keys, weights, path, allow_partial
        self._checked = keys is None

    @classmethod
    def from_arguments(cls, args: PretrainArguments) -> StreamWeights:
        """Reads the learning order that stage 2 is given.

        Raises:
            FineCLError: it is damaged, or no label in it takes part.
        """
        check_weight_by(args.weight_by)
        if args.learning_order is None or args.weight_scheme == "uniform":  # which trusts all labels alike
            return cls()
        order = LearningOrder.read(args.learning_order, named=False)
        try:
            weights = order.row_weights(args.weight_scheme, args.weight_cutoff, args.weight_by)
        except FineCLError as error:
            raise FineCLError(f"{args.learning_order}: {error}") from error
        if np.isnan(weights).all():
            raise FineCLError(
                f"{args.learning_order}: no label was ever learned, so nothing is left to learn from; train stage 1 "
                "longer, or take --weight_scheme uniform."
            )
        keys = np.empty(len(order), np.int64)
        first = 0
        for ids in order.iter_ids():
            keys[first : first + len(ids)] = [text_key(i) for i in ids.to_pylist()]
            first += len(ids)
        place = np.argsort(keys)
        return cls(keys[place], weights[place], args.learning_order, args.allow_partial_order)

    def of(self, instance_ids: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Weights of M labels, and which of them the order knows.

        The first labels that are asked for tell whether the order belongs to their corpus.

        Returns:
            (M,) float32, NaN where a label takes no part; (M,) bool.

        Raises:
            FineCLError: the order knows none of the first labels, or fewer than half of them.
        """
        if self.keys is None:
            return np.zeros(len(instance_ids), np.float32), np.zeros(len(instance_ids), bool)
        keys = np.array([text_key(i) for i in instance_ids], np.int64)
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        known = self.keys[place] == keys
        if len(keys) and not self._checked:
            self._check(instance_ids, known)
        return np.where(known, self.weights[place], np.float32(np.nan)), known

    def digest(self) -> str:
        """A hash of all weights."""
        digest = blake2b(digest_size=8)
        for array in (self.keys, self.weights) if self.keys is not None else ():
            digest.update(array.tobytes())
        return digest.hexdigest()

    def _check(self, instance_ids: list[str], known: np.ndarray) -> None:
        self._checked = True
        if not known.any():
            raise FineCLError(
                f"{self.path}: the learning order knows none of the first {len(known):,} labels of the stream, "
                f'such as "{instance_ids[0]}", so it belongs to another corpus. Run stage 1 on this corpus, or name '
                "the file made from it."
            )
        unknown = np.flatnonzero(~known)
        example = instance_ids[unknown[0]] if len(unknown) else ""
        coverage = Coverage(int(known.sum()), len(unknown), unused=0, example=example)
        logger.info("The learning order knows %s of the first %s labels.", f"{known.sum():,}", f"{len(known):,}")
        check_coverage(coverage, self.path, self.allow_partial)
