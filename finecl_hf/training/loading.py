"""From arguments to corpora, label sets and features."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset
from transformers import AutoConfig

from finecl_hf.cards.model_card import TrainingData
from finecl_hf.data.corpus import in_key_order, iter_corpus, load_corpus, relation_counts
from finecl_hf.data.documents import NA
from finecl_hf.data.held_out import HeldOutPairs
from finecl_hf.data.relation_names import read_relation_names
from finecl_hf.encoding.encoders import load_tokenizer, loading_from, max_length_for
from finecl_hf.encoding.feature_table import Truncation
from finecl_hf.encoding.features import DocumentEncoder
from finecl_hf.errors import FineCLError
from finecl_hf.training.arguments import DataArguments, FineCLTrainingArguments, ModelArguments


logger = logging.getLogger(__name__)


def load_training_corpus(data: DataArguments, args: FineCLTrainingArguments) -> Dataset:
    """The training documents, without the facts that `--exclude_file` holds out.

    They are put into the order of their keys, so that the order of the file has no influence on a run.
    """
    with args.main_process_first(desc="reading the training documents"):
        corpus = load_corpus(
            data.train_source, data.train_split, data.skip_invalid, data.max_train_samples, data.cache_dir,
            data.preprocessing_num_workers, data.exclude_file, data.columns, data.label_map,
        )  # fmt: skip
        corpus = in_key_order(corpus)
    if len(corpus) == 0:
        raise FineCLError(f"{data.train_source}: no document is left to train on.")
    return corpus


def held_out_pairs(data: DataArguments) -> HeldOutPairs | None:
    """The entity pairs of `--exclude_file`; None without one."""
    if data.exclude_file is None:
        return None
    documents = load_corpus(
        data.exclude_file, None, data.skip_invalid, None, data.cache_dir, data.preprocessing_num_workers,
        columns=data.columns,
    )  # fmt: skip
    return HeldOutPairs(iter_corpus(documents))


@dataclass
class SilverCorpus:
    """What stages 1 and 2 train on.

    Attributes:
        corpus: the documents; counts: how often each relation occurs in them.
        names: readable relation names.
        encoder: of documents, with the label set.
        features: token features; truncation: what the maximum length cost.
    """

    corpus: Dataset
    counts: Counter[str]
    names: dict[str, str]
    encoder: DocumentEncoder
    features: Dataset
    truncation: Truncation


def load_silver(
    model: ModelArguments,
    data: DataArguments,
    args: FineCLTrainingArguments,
    long_documents: str = "truncate",
    corpus: Dataset | None = None,
) -> SilverCorpus:
    """Reads and tokenises the documents with distantly supervised labels.

    Args:
        long_documents: see [`DocumentEncoder`].
        corpus: the documents, where they are no longer those of the source.
    """
    names = read_relation_names(data.rel_info)
    corpus = load_training_corpus(data, args) if corpus is None else corpus
    counts = relation_counts(corpus)
    label2id = label_set(counts, names, fixed=False, source=data.train_source)
    encoder = load_encoder(model, label2id, long_documents)
    features, truncation = load_features(corpus, encoder, data, args)
    return SilverCorpus(corpus, counts, names, encoder, features, truncation)


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
            "Check the key `labels` of the training documents (of a table, the column `relation`), and the names in a "
            "--label_map."
        )
    relations = set(names) if fixed and names else set(counts) | set(names)
    return {relation: i for i, relation in enumerate([NA, *sorted(relations - {NA})])}


def load_encoder(model: ModelArguments, label2id: dict[str, int], long_documents: str = "truncate") -> DocumentEncoder:
    """What tokenises documents for the encoder that the arguments name.

    Args:
        long_documents: see [`DocumentEncoder`].

    Raises:
        FineCLError: it cannot be loaded, is no text encoder, or its tokenizer does not fit.
    """
    name = model.tokenizer_name or model.model_name_or_path
    with loading_from(model.model_name_or_path, "--model_name_or_path"):
        config = AutoConfig.from_pretrained(
            model.model_name_or_path, revision=model.model_revision, trust_remote_code=False
        )
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
    length = max_length_for(tokenizer, config, model.max_seq_length)
    return DocumentEncoder(
        tokenizer, label2id, length, model.entity_markers or "none", model.hide_names or "none", long_documents
    )


def load_features(
    corpus: Dataset,
    encoder: DocumentEncoder,
    data: DataArguments,
    args: FineCLTrainingArguments,
    what: str = "training",
) -> tuple[Dataset, Truncation]:
    """Token features of a corpus; says what truncation cost."""
    with args.main_process_first(desc=f"tokenising the {what} documents"):
        features = encoder.encode_corpus(corpus, data.preprocessing_num_workers)
    truncation = Truncation.of(features, encoder.max_length)
    noun = "sentences" if getattr(args, "task", None) == "sentence" else "documents"
    logger.info("%s %s: %s. %s", what.capitalize(), noun, f"{len(features):,}", truncation)
    return features, truncation


def training_data(
    data: DataArguments, corpus: Dataset | None = None, counts: dict[str, int] | None = None
) -> TrainingData:
    """What the model card says of the training corpus; without sizes of one that is streamed: nobody counted it."""
    name = Path(data.train_file).name if data.train_file else data.dataset_name
    sizes = (
        (None, None, None) if corpus is None or counts is None else (len(corpus), sum(counts.values()), len(counts))
    )
    return TrainingData(name, data.train_split, *sizes, on_hub=data.train_file is None)
