"""Weights of facts in stage 2 by what stage 1 found, and how much of the corpus that covers."""

from __future__ import annotations

import logging
from hashlib import blake2b

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset

from finecl_hf.data.arrow import arrow_column
from finecl_hf.encoding.features import instance_ids
from finecl_hf.errors import FineCLError
from finecl_hf.hashing import text_key
from finecl_hf.learning_order.table import Coverage, LearningOrder
from finecl_hf.learning_order.trust import check_weight_by
from finecl_hf.pretraining.arguments import PretrainArguments


logger = logging.getLogger(__name__)

LITTLE_COVERAGE = 0.5  # an order that knows a smaller share of the labels is taken for another corpus's


def fact_weights(features: Dataset, args: PretrainArguments) -> tuple[np.ndarray, Coverage | None]:
    """Weight of every fact within reach by the learning order; NaN where it takes no part.

    Returns:
        (N,) float32, and how well the order covers the corpus (None without an order: all weigh 0, as in ERICA).

    Raises:
        FineCLError: the order is damaged, or belongs to another corpus or to less than half of this one.
    """
    check_weight_by(args.weight_by)
    ids = instance_ids(features)
    if args.learning_order is None:
        return np.zeros(len(ids), np.float32), None
    order = LearningOrder.read(args.learning_order, named=False)
    rows = order.lookup(ids)
    coverage = order.coverage(ids, rows)
    logger.info("Learning order: %s", coverage)
    try:
        weights, kept = order.weights(ids, args.weight_scheme, args.weight_cutoff, args.weight_by, rows)
    except FineCLError as error:
        raise FineCLError(f"{args.learning_order}: {error}") from error
    if args.weight_scheme != "uniform":  # which trusts all labels alike, known or not
        check_coverage(coverage, args.learning_order, args.allow_partial_order)
    logger.info("%s of %s labels take part, with a mean weight of %.2f.", f"{kept.sum():,}", f"{len(ids):,}",
                weights[kept].mean() if kept.any() else 0.0)  # fmt: skip
    if not kept.any():
        raise FineCLError(
            f"{args.learning_order}: no label of this corpus was ever learned, so nothing is left to learn from; "
            "train stage 1 longer, or take --weight_scheme uniform."
        )
    weights[~kept] = np.nan
    return weights, coverage


def check_coverage(coverage: Coverage, path: str, allow_partial: bool = False) -> None:
    """Warns of labels that an order says nothing of.

    Raises:
        FineCLError: it knows fewer than half of the labels, and that is not allowed.
    """
    total = coverage.known + coverage.unknown
    if coverage.unknown:
        unknown = (
            f"{path}: it does not know {coverage.unknown:,} of {total:,} labels ({100 * (1 - coverage.share):.1f}%), "
            f'such as "{coverage.example}"'
        )
        if coverage.share < LITTLE_COVERAGE and not allow_partial:
            raise FineCLError(
                f"{unknown}; run stage 1 on this corpus, merge the orders of its shards (finecl-hf merge-orders), or "
                "leave these labels out with --allow_partial_order true (the original's JSON lacks what was never "
                "learned)."
            )
        logger.warning("%s. They take no part in stage 2.", unknown)
    if coverage.unjudged:
        logger.warning(
            "%s: stage 1 never judged %s of %s labels (%.1f%%), which lie past the length it was given. They take no "
            "part in stage 2; repeat stage 1 with a --max_seq_length as large as here to have them judged.",
            path, f"{coverage.unjudged:,}", f"{total:,}", 100 * coverage.unjudged / total,
        )  # fmt: skip


def usable_facts(features: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Document (N,) and relation (N,) of every fact that takes part in stage 2."""
    relation, weight = (arrow_column(features, name).combine_chunks() for name in ("relation", "weight"))
    document = np.asarray(pc.list_parent_indices(relation))
    kept = ~np.isnan(np.asarray(weight.flatten()))
    return document[kept].astype(np.int32), np.asarray(relation.flatten())[kept]


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
