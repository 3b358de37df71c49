"""What stage 3 evaluates on, and what it leaves: scores, predictions, the facts of a model card."""

from __future__ import annotations

import csv
import json
import logging
import os
from collections.abc import Iterable, Sequence
from typing import Any

from datasets import Dataset

from finecl_hf.cards.model_card import FineCLCardData, TrainingData, evaluation_results
from finecl_hf.data.corpus import check_corpus, documents_of, load_corpus, relation_counts
from finecl_hf.data.documents import NA, Document
from finecl_hf.data.formats.sentences import SEMEVAL_TITLE
from finecl_hf.encoding.feature_table import Truncation
from finecl_hf.encoding.features import DocumentEncoder, LabelledFeatures
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.arguments import EvaluationArguments, FinetuneArguments
from finecl_hf.extraction.breakdown import (
    confusion_matrix,
    counts_of_facts,
    counts_of_sentences,
)
from finecl_hf.extraction.charts import draw_confusion, draw_precision_recall
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.predictions import JudgedCandidates, official_predictions
from finecl_hf.extraction.starting_point import StartingPoint
from finecl_hf.extraction.trainer import FinetuneTrainer
from finecl_hf.training.arguments import DataArguments, FineCLTrainingArguments, ModelArguments, sampling_seed
from finecl_hf.training.loading import load_features
from finecl_hf.training.scripts import run_card


logger = logging.getLogger(__name__)

METRICS = {  # figures that evaluation gives, by task
    "document": ("f1", "ign_f1", "precision", "recall", "intra_f1", "inter_f1", "co_occurrence_fpr", "ece", "loss"),
    "sentence": (
        "f1",
        "precision",
        "recall",
        "macro_f1",
        "accuracy",
        "semeval_macro_f1",
        "tacred_f1",
        "co_occurrence_fpr",
        "ece",
        "loss",
    ),
}


def check_task(
    args: FinetuneArguments, data: DataArguments, evaluation: EvaluationArguments, start: StartingPoint
) -> None:
    """Raises FineCLError where what is to be done lacks a file, or a model that could do it."""
    if args.do_train:
        data.require_training_documents()
    elif start.relation_model is None:
        raise FineCLError(
            f"--model_name_or_path {start.model.model_name_or_path}: an encoder without a head can neither be "
            "evaluated nor predict; name a relation model, or train one (--do_train true)."
        )
    best = (args.metric_for_best_model or "f1").removeprefix("eval_")
    if args.do_train and best not in METRICS[args.task]:
        raise FineCLError(
            f"--metric_for_best_model {args.metric_for_best_model}: evaluation gives no such figure; choose one of "
            f"{', '.join(METRICS[args.task])}."
        )
    if args.do_eval and not evaluation.validation_file:
        raise FineCLError("--do_eval needs documents to evaluate on; name them with --validation_file.")
    if args.do_predict and not evaluation.test_file:
        raise FineCLError("--do_predict needs documents to predict; name them with --test_file.")
    if not args.do_train and not evaluation.validation_file and not evaluation.test_file:
        raise FineCLError("There is nothing to do: name a --validation_file or a --test_file, or train.")


def load_evaluation_set(
    path: str | None,
    max_documents: int | None,
    what: str,
    encoder: DocumentEncoder,
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
            path, None, data.skip_invalid, max_documents, data.cache_dir, data.preprocessing_num_workers,
            columns=data.columns,
        )  # fmt: skip
    check_corpus(corpus, encoder.label2id, args.task)
    documents = documents_of(corpus)
    unlabelled = sum(not document.labelled for document in documents)
    if unlabelled and what == "validation":
        raise FineCLError(
            f"{path}: {unlabelled:,} of {len(corpus):,} validation documents have no `labels`; add them (an empty "
            "list where there is no fact), or name the file as --test_file."
        )
    if 0 < unlabelled < len(corpus):
        logger.warning("%s: %s of %s documents have no `labels`, so none is scored.", path, unlabelled, len(corpus))
    features, _ = load_features(corpus, encoder, data, args, what)
    return LabelledFeatures(features, documents)


def semeval_answer_lines(documents: Sequence[Document], labels: Sequence[str]) -> list[str]:
    """Predictions in the answer format of the official SemEval-2010 Task 8 scorer.

    Args:
        documents: sentences read from a SemEval file.
        labels: the predicted relation of each; `NA` is written as `Other`.

    Returns:
        Lines such as `8001<TAB>Cause-Effect(e1,e2)`.

    Raises:
        ValueError: where the two differ in length.
    """
    return [
        f"{document.title.removeprefix(SEMEVAL_TITLE)}\t{'Other' if label == NA else label}"
        for document, label in zip(documents, labels, strict=True)
    ]


def relation_card(
    config: FineCLConfig,
    model_args: ModelArguments,
    args: FineCLTrainingArguments,
    data: TrainingData,
    truncation: Truncation,
    kind: str = "relation_model",
    silver_labels: bool = False,
    train_fraction: float | None = None,
) -> FineCLCardData:
    """Facts known before training, for the card of a relation model or an adapter."""
    return run_card(
        kind,
        model_args,
        args,
        data,
        truncation.max_length,
        truncation,
        relations={
            relation: (config.relation_names or {}).get(relation, "") for relation in config.label2id if relation != NA
        },
        loss=config.loss,
        task=config.task,
        head=config.head,
        silver_labels=silver_labels,
        train_fraction=train_fraction,
    )


def record_scores(trainer: FinetuneTrainer, split: str, file: str, metrics: dict[str, float]) -> None:
    """Saves and prints the figures of a split, and notes them for the model card."""
    prefix = "test" if split == "test" else "eval"
    trainer.log_metrics(prefix, metrics)
    trainer.save_metrics(prefix, metrics)
    if f"{prefix}_loss" not in metrics:
        logger.info("%s has no labels: it is predicted, not scored.", file)
        return
    trainer.scores[split] = metrics
    if trainer.card_data is None:
        return
    trainer.card_data.eval_results += evaluation_results(metrics, os.path.basename(file), split)
    if split == "validation" and trainer.relation_model.config.task == "document":
        trainer.card_data.threshold = trainer.relation_model.config.threshold


def write_predictions(trainer: FinetuneTrainer, documents: list[Document], predictions: list[Any]) -> None:
    """Writes `predictions.json`, DocRED's submission format, or for sentences `predictions.txt`, SemEval's."""
    if not trainer.is_world_process_zero():
        return
    config = trainer.relation_model.config
    if config.task == "sentence":
        path = os.path.join(trainer.args.output_dir, "predictions.txt")
        text = "".join(f"{line}\n" for line in semeval_answer_lines(documents, predictions))
    else:
        path = os.path.join(trainer.args.output_dir, "predictions.json")
        text = json.dumps(official_predictions(documents, predictions, config), ensure_ascii=False)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    logger.info("Wrote %s.", path)


def write_breakdown(trainer: FinetuneTrainer, predictions: dict[str, tuple[list[Document], list[Any]]]) -> None:
    """Writes what people look at behind the figures.

    `per_relation.csv`, of the test set where it has labels, else of the validation set; of documents
    `precision_recall.svg`, with a curve of each set and the threshold; of sentences `confusion.csv` and
    `confusion.svg`, of the same set as the table.

    Args:
        predictions: documents and what was predicted of each, by split.
    """
    scored = {split: predictions[split] for split in trainer.scores if len(predictions[split][1])}
    if not scored or not trainer.is_world_process_zero():
        return
    config, folder = trainer.relation_model.config, trainer.args.output_dir
    split = list(scored)[-1]
    if config.task == "sentence":
        counts = counts_of_sentences(*scored[split], config)
        labels, matrix = confusion_matrix(*scored[split])
        _write_table(os.path.join(folder, "confusion.csv"), ["gold", *labels],
                     [[label, *row] for label, row in zip(labels, matrix.tolist(), strict=True)])  # fmt: skip
        draw_confusion(labels, matrix, os.path.join(folder, "confusion.svg"))
    else:
        judged = {name: JudgedCandidates.of(*part, config) for name, part in scored.items()}
        counts = counts_of_facts(judged[split], config)
        draw_precision_recall(judged, config.threshold, os.path.join(folder, "precision_recall.svg"))
    header = ["relation", "name", "gold", "predicted", "precision", "recall", "f1"]
    figures = [(*(getattr(row, name) for name in header[:4]), *(f"{getattr(row, name):.4f}" for name in header[4:]))
               for row in counts]  # fmt: skip
    _write_table(os.path.join(folder, "per_relation.csv"), header, figures)
    logger.info("Wrote per_relation.csv and charts of the %s set.", split)


def write_train_documents(corpus: Dataset, everything: Dataset, args: FinetuneArguments) -> None:
    """Writes `train_documents.json`: the titles that `--train_fraction` drew, and the relations that it lost."""
    kept, all_of_them = relation_counts(corpus), relation_counts(everything)
    lost = sorted(all_of_them.keys() - kept.keys())
    if lost:
        logger.warning(
            "--train_fraction %s: no document of the %s drawn holds %s of the %s relations, such as %s.",
            args.train_fraction, f"{len(corpus):,}", len(lost), len(all_of_them), lost[0],
        )  # fmt: skip
    if not args.should_save:
        return
    drawn = {
        "train_fraction": args.train_fraction,
        "seed": sampling_seed(args),
        "relations": len(kept),
        "lost_relations": lost,
        "documents": list(corpus["title"]),
    }
    path = os.path.join(args.output_dir, "train_documents.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(drawn, file, ensure_ascii=False, indent=1)


def _write_table(path: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
