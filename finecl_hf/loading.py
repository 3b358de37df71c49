"""The steps that the three scripts share: from arguments to corpora, label sets and features."""

from __future__ import annotations

import logging
import os
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import transformers
from datasets import Dataset, concatenate_datasets
from transformers import AutoConfig, PreTrainedTokenizerBase, set_seed

from finecl_hf.arguments import (
    DataArguments,
    FineCLTrainingArguments,
    FinetuneArguments,
    ModelArguments,
    PretrainArguments,
)
from finecl_hf.corpus import (
    check_corpus,
    chunks_in,
    collect_facts,
    documents_of,
    exclude_held_out,
    keys_of,
    load_corpus,
    relation_counts,
)
from finecl_hf.coverage import Coverage
from finecl_hf.documents import NA
from finecl_hf.errors import FineCLError, loading_from
from finecl_hf.features import (
    LabelledFeatures,
    Truncation,
    arrow_column,
    encode_corpus,
    load_tokenizer,
    max_length_for,
)
from finecl_hf.learning_order import LearningOrder
from finecl_hf.model_card import TrainingData
from finecl_hf.relation_names import read_relation_names
from finecl_hf.scores import check_weight_by


logger = logging.getLogger(__name__)

LITTLE_COVERAGE = 0.5  # an order that knows a smaller share of the labels is taken for another corpus's


def start_run(args: FineCLTrainingArguments) -> None:
    """Logging (one process speaks), seeds, and a folder that can be written to, known before the work begins.

    Raises:
        FineCLError: `--output_dir` is no folder, or may not be written to.
    """
    level = logging.INFO if args.should_log else logging.ERROR
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", stream=sys.stdout, level=logging.WARNING)
    logging.getLogger("finecl_hf").setLevel(level)
    transformers.logging.set_verbosity(logging.WARNING if args.should_log else logging.ERROR)
    datasets.logging.set_verbosity(logging.WARNING if args.should_log else logging.ERROR)
    set_seed(args.seed)
    try:
        os.makedirs(args.output_dir, exist_ok=True)
    except OSError as error:
        raise FineCLError(f"--output_dir {args.output_dir}: cannot be made ({error.strerror}).") from error
    if not os.access(args.output_dir, os.W_OK):
        raise FineCLError(f"--output_dir {args.output_dir}: may not be written to; name another folder.")


def load_training_corpus(data: DataArguments, args: FineCLTrainingArguments) -> Dataset:
    """The training documents, without the facts that `--exclude_file` holds out.

    They are put into the order of their keys, so that the order of the file has no influence on a run.
    """
    with args.main_process_first(desc="reading the training documents"):
        corpus = load_corpus(
            data.train_source, data.train_split, data.skip_invalid, data.max_train_samples, data.cache_dir,
            data.preprocessing_num_workers,
        )  # fmt: skip
        if data.exclude_file:
            corpus = _without_held_out(corpus, data)
        corpus = corpus.select(np.argsort(keys_of(corpus), kind="stable"))
    if len(corpus) == 0:
        raise FineCLError(f"{data.train_source}: no document is left to train on.")
    return corpus


@dataclass
class SilverCorpus:
    """What stages 1 and 2 train on.

    Attributes:
        corpus: the documents; counts: how often each relation occurs in them.
        names: readable relation names; label2id: relation ids, NA first.
        tokenizer, max_length: the encoder's.
        features: token features; truncation: what the maximum length cost.
    """

    corpus: Dataset
    counts: Counter[str]
    names: dict[str, str]
    label2id: dict[str, int]
    tokenizer: PreTrainedTokenizerBase
    max_length: int
    features: Dataset
    truncation: Truncation


def load_silver(model: ModelArguments, data: DataArguments, args: FineCLTrainingArguments) -> SilverCorpus:
    """Reads and tokenises the documents with distantly supervised labels."""
    names = read_relation_names(data.rel_info)
    corpus = load_training_corpus(data, args)
    counts = relation_counts(corpus)
    label2id = label_set(counts, names, fixed=False, source=data.train_source)
    tokenizer, max_length = load_encoder_tokenizer(model)
    features, truncation = load_features(corpus, tokenizer, label2id, max_length, model, data, args)
    return SilverCorpus(corpus, counts, names, label2id, tokenizer, max_length, features, truncation)


def new_order(silver: SilverCorpus, data: DataArguments, args: FineCLTrainingArguments) -> LearningOrder:
    """A learning order without epochs: one row for each fact of the corpus."""
    with args.main_process_first(desc="collecting facts"):
        facts = collect_facts(silver.corpus, data.preprocessing_num_workers)
    return LearningOrder.from_chunks(chunks_in(facts))


def check_reach(silver: SilverCorpus) -> None:
    """Raises FineCLError where no label lies within the length that documents are cut to: nothing could be judged."""
    if not len(instance_ids(silver.features)):
        raise FineCLError(
            f"no label lies within {silver.max_length} tokens of its document, so none can be learned; raise "
            "--max_seq_length or shorten the documents."
        )


def for_training(features: Dataset) -> Dataset:
    """Features as the collators want them: arrays, without the ids of the facts."""
    return features.with_format("numpy", columns=[name for name in features.column_names if name != "instance_id"])


def label_set(counts: dict[str, int], names: dict[str, str], fixed: bool, source: str = "") -> dict[str, int]:
    """Relation ids: NA is 0, the others follow in sorted order, whatever the order of the corpus.

    Args:
        counts: relations of the training corpus.
        names: relations of `--rel_info`; where `fixed`, they alone are the label set.
        source: where the training corpus came from, for the message.

    Raises:
        FineCLError: the label set is empty.
    """
    if not set(counts) - {NA}:
        raise FineCLError(
            f"{f'{source}: the' if source else 'The'} label set is empty: no training document carries a relation. "
            "Check the key `labels` of the training documents."
        )
    relations = set(names) if fixed and names else set(counts) | set(names)
    return {relation: i for i, relation in enumerate([NA, *sorted(relations - {NA})])}


def load_encoder_tokenizer(model: ModelArguments) -> tuple[PreTrainedTokenizerBase, int]:
    """The tokenizer, and the length in tokens that documents are cut to."""
    name = model.tokenizer_name or model.model_name_or_path
    with loading_from(model.model_name_or_path, "--model_name_or_path"):
        config = AutoConfig.from_pretrained(model.model_name_or_path, revision=model.model_revision)
    with loading_from(name, "--tokenizer_name" if model.tokenizer_name else "--model_name_or_path"):
        tokenizer = load_tokenizer(name, revision=model.model_revision)
    config = config.get_text_config()
    if config.is_encoder_decoder or not hasattr(config, "vocab_size"):
        raise FineCLError(
            f"--model_name_or_path {model.model_name_or_path}: {config.model_type} is no text encoder; name one such "
            "as BERT, RoBERTa or DeBERTa."
        )
    if len(tokenizer) > config.vocab_size:
        raise FineCLError(
            f"{name}: the tokenizer has {len(tokenizer):,} entries, the encoder only {config.vocab_size:,}; name the "
            "tokenizer that it was trained with in --tokenizer_name."
        )
    return tokenizer, max_length_for(tokenizer, config, model.max_seq_length)


def load_features(
    corpus: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    label2id: dict[str, int],
    max_length: int,
    model: ModelArguments,
    data: DataArguments,
    args: FineCLTrainingArguments,
    what: str = "training",
) -> tuple[Dataset, Truncation]:
    """Token features of a corpus; says what truncation cost."""
    with args.main_process_first(desc=f"tokenising the {what} documents"):
        features = encode_corpus(
            corpus,
            tokenizer,
            label2id,
            max_length,
            model.entity_markers,
            model.hide_names,
            data.preprocessing_num_workers,
        )
    truncation = Truncation.of(features, max_length)
    logger.info("%s documents: %s. %s", what.capitalize(), f"{len(features):,}", truncation)
    return features, truncation


def instance_ids(features: Dataset) -> pa.ChunkedArray:
    """Ids of all facts within reach, row by row."""
    return pa.chunked_array([chunk.flatten() for chunk in arrow_column(features, "instance_id").chunks], pa.string())


def with_fact_column(features: Dataset, name: str, values: np.ndarray) -> Dataset:
    """Adds a column that holds one value for each fact within reach.

    Args:
        values: (N,) in the order of [`instance_ids`].
    """
    lengths = np.asarray(pc.list_value_length(arrow_column(features, "instance_id")), dtype=np.int64)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    column = pa.ListArray.from_arrays(offsets, pa.array(values))
    return concatenate_datasets([features, Dataset(pa.table({name: column}))], axis=1)


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


def load_evaluation_set(
    path: str | None,
    max_documents: int | None,
    what: str,
    tokenizer: PreTrainedTokenizerBase,
    label2id: dict[str, int],
    max_length: int,
    model: ModelArguments,
    data: DataArguments,
    args: FinetuneArguments,
) -> LabelledFeatures | None:
    """Documents to evaluate on with their features; None without a file.

    Raises:
        FineCLError: a validation document has no labels, so that neither a threshold nor a checkpoint can be chosen.
    """
    if path is None:
        return None
    with args.main_process_first(desc=f"reading the {what} documents"):
        corpus = load_corpus(
            path, None, data.skip_invalid, max_documents, data.cache_dir, data.preprocessing_num_workers
        )
    check_corpus(corpus, label2id, args.task)
    documents = documents_of(corpus)
    unlabelled = sum(not document.labelled for document in documents)
    if unlabelled and what == "validation":
        raise FineCLError(
            f"{path}: {unlabelled:,} of {len(corpus):,} validation documents have no `labels`; add them (an empty "
            "list where there is no fact), or name the file as --test_file."
        )
    if 0 < unlabelled < len(corpus):
        logger.warning("%s: %s of %s documents have no `labels`, so none is scored.", path, unlabelled, len(corpus))
    features, _ = load_features(corpus, tokenizer, label2id, max_length, model, data, args, what)
    return LabelledFeatures(features, documents)


def training_data(
    data: DataArguments, corpus: Dataset | None = None, counts: dict[str, int] | None = None
) -> TrainingData:
    """What the model card says of the training corpus; without sizes of one that is streamed: nobody counted it."""
    name = Path(data.train_file).name if data.train_file else data.dataset_name
    sizes = (
        (None, None, None) if corpus is None or counts is None else (len(corpus), sum(counts.values()), len(counts))
    )
    return TrainingData(name, data.train_split, *sizes, on_hub=data.train_file is None)


def _without_held_out(corpus: Dataset, data: DataArguments) -> Dataset:
    before = sum(relation_counts(corpus).values())
    corpus = exclude_held_out(
        corpus, data.exclude_file, data.skip_invalid, data.cache_dir, data.preprocessing_num_workers
    )
    removed = before - sum(relation_counts(corpus).values())
    if removed == before > 0:
        raise FineCLError(
            f"{data.train_source}: no fact is left to train on, because --exclude_file {data.exclude_file} holds out "
            f"the entity pairs of all {before:,}; name the validation or test file there."
        )
    logger.info("%s facts about entity pairs of %s left the training data.", f"{removed:,}", data.exclude_file)
    return corpus
