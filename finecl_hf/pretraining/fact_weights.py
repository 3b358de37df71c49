"""Weights of facts in stage 2 by what stage 1 found, and how much of the corpus that covers."""

from __future__ import annotations

import logging

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from finecl_hf.data.arrow import arrow_column
from finecl_hf.encoding.feature_table import fact_keys, with_fact_column
from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.columns import text_keys
from finecl_hf.learning_order.facts import fact_ids
from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.learning_order.trust import check_weight_by
from finecl_hf.learning_order.weights import Coverage, FactWeights, find
from finecl_hf.pretraining.arguments import PretrainArguments


logger = logging.getLogger(__name__)

SAMPLE = 1000  # documents that are looked at before all are encoded
LITTLE_COVERAGE = 0.5  # an order that knows a smaller share of the labels is taken for another corpus's


def read_weights(args: PretrainArguments) -> FactWeights:
    """Weights by the learning order that the arguments name; without one, all labels weigh 0, as in ERICA.

    Raises:
        FineCLError: the order is damaged, or no label in it was ever learned.
    """
    check_weight_by(args.weight_by)
    if args.learning_order is None:
        return FactWeights()
    order = LearningOrder.read(args.learning_order, names=False)
    if order.self_test is not None and args.weight_scheme != "uniform":
        order.self_test.warn(args.learning_order)
    try:
        weights = order.weights(
            args.weight_scheme, args.weight_cutoff, args.weight_by, args.weight_scale, args.drop_share
        )
    except FineCLError as error:
        raise FineCLError(f"{args.learning_order}: {error}") from error
    if np.isnan(weights.weight).all():
        raise FineCLError(
            f"{args.learning_order}: no label was ever learned, so nothing is left to learn from; train stage 1 "
            "longer, or take --weight_scheme uniform."
        )
    del order
    pa.default_memory_pool().release_unused()  # Arrow keeps what its columns took
    return weights


def check_order(corpus: Dataset, weights: FactWeights, args: PretrainArguments) -> None:
    """What an order knows of a corpus's first documents tells whether the corpus is worth encoding.

    Those are drawn at random, since a corpus stands in the order of its keys. An order that knows almost enough of
    them is judged by all facts within reach, in [`weigh_corpus`].

    Raises:
        FineCLError: see [`check_coverage`].
    """
    ids, titles = fact_ids(corpus.select(range(min(len(corpus), SAMPLE))))
    keys = text_keys(ids)
    _, coverage = weights.of(keys)
    if coverage.share < LITTLE_COVERAGE / 2 and not args.allow_partial_order:
        unknown = int(np.argmax(find(weights.key, keys) < 0))
        check_coverage(coverage, args, titles[unknown].as_py())


def weigh_corpus(
    features: Dataset, corpus: Dataset, args: PretrainArguments, known_weights: FactWeights | None = None
) -> tuple[Dataset, Coverage | None]:
    """Features with the column `weight`: of every fact within reach, NaN where it takes no part.

    Args:
        features, corpus: the same documents in the same order.
        known_weights: what [`read_weights`] gave, where that has been called.

    Returns:
        The features, and how well the learning order covers the corpus (None without one).

    Raises:
        FineCLError: the order is damaged, or belongs to another corpus or to less than half of this one.
    """
    known_weights = read_weights(args) if known_weights is None else known_weights
    keys = fact_keys(features)
    weights, coverage = known_weights.of(keys)
    example = _example(features, corpus, keys, known_weights) if coverage.unknown else ""
    check_coverage(coverage, args, example)
    takes_part = ~np.isnan(weights)
    if len(keys) and not takes_part.any():
        raise FineCLError(
            f"{args.learning_order}: no label of this corpus was ever learned, so nothing is left to learn from; "
            "train stage 1 longer, or take --weight_scheme uniform."
        )
    mean = weights[takes_part].mean() if len(keys) else 0.0
    how = "all with the same weight" if args.weight_scheme == "uniform" else f"with a mean weight of {mean:.2f}"
    logger.info("%s of %s labels take part, %s.", f"{takes_part.sum():,}", f"{len(keys):,}", how)
    features = with_fact_column(features, "weight", weights)
    return features, None if args.learning_order is None else coverage


def _example(features: Dataset, corpus: Dataset, keys: np.ndarray, weights: FactWeights) -> str:
    """Title of the first document with a fact that the learning order does not know."""
    unknown = np.flatnonzero(find(weights.key, keys) < 0)
    document = pc.list_parent_indices(arrow_column(features, "fact_key").combine_chunks())[int(unknown[0])].as_py()
    return corpus[document]["title"]


def check_coverage(coverage: Coverage, args: PretrainArguments, example: str = "") -> None:
    """Says how a learning order fits the labels that are trained on, and what follows from it.

    Args:
        example: title of a document with a label that the order does not know.

    Raises:
        FineCLError: it knows none of them, or fewer than half and that is not allowed.
    """
    path, total = args.learning_order, coverage.known + coverage.unknown
    if path is None:
        return
    logger.info("Learning order: %s.", coverage)
    if args.weight_scheme == "uniform":  # which trusts all labels alike, known or not
        return
    such_as = f', such as those of "{example}"' if example else ""
    if total and not coverage.known:
        raise FineCLError(
            f"{path}: the learning order knows none of the {total:,} labels{such_as}, so it belongs to another "
            "corpus. Run stage 1 on this corpus, or name the file made from it."
        )
    if coverage.unknown:
        unknown = (
            f"{path}: it does not know {coverage.unknown:,} of {total:,} labels ({100 * (1 - coverage.share):.1f}%)"
            f"{such_as}"
        )
        if coverage.share < LITTLE_COVERAGE and not args.allow_partial_order:
            raise FineCLError(
                f"{unknown}; run stage 1 on this corpus, merge the orders of its shards (finecl-hf merge-orders), or "
                "leave these labels out with --allow_partial_order true (the original's JSON lacks what was never "
                "learned)."
            )
        logger.warning("%s. They take no part in stage 2.", unknown)
    if coverage.unjudged:
        logger.warning(
            "%s: stage 1 never judged %s of %s labels (%.1f%%), which lie past the length it was given, had no turn "
            "before its training ended, or gave way to labels of its self-test. They take no part in stage 2; repeat "
            "stage 1 for whole epochs, with a --max_seq_length as large as here and --probe_share 0, to have them "
            "judged.",
            path, f"{coverage.unjudged:,}", f"{total:,}", 100 * coverage.unjudged / total,
        )  # fmt: skip


def usable_facts(features: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Document (N,) and relation (N,) of every fact that takes part in stage 2."""
    relation, weight = (arrow_column(features, name).combine_chunks() for name in ("relation", "weight"))
    document = np.asarray(pc.list_parent_indices(relation))
    kept = ~np.isnan(np.asarray(weight.flatten()))
    return document[kept].astype(np.int32), np.asarray(relation.flatten())[kept]
