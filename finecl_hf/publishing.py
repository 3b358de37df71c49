"""What a finished run leaves behind: model, scores, predictions, a true model card, and the Hub."""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any

from datasets import Dataset

from finecl_hf.arguments import (
    DataArguments,
    DenoiseArguments,
    FineCLTrainingArguments,
    FinetuneArguments,
    ModelArguments,
)
from finecl_hf.callbacks import TABLE
from finecl_hf.cleaning import clean_corpus
from finecl_hf.configuration import FineCLConfig
from finecl_hf.corpus import iter_corpus
from finecl_hf.coverage import Coverage
from finecl_hf.documents import NA, Document
from finecl_hf.features import Truncation
from finecl_hf.learning_order import LearningOrder
from finecl_hf.model_card import FineCLCardData, TrainingData, changed_arguments, evaluation_results
from finecl_hf.noise import noise_of
from finecl_hf.predictions import official_predictions
from finecl_hf.report import write_report
from finecl_hf.scores import unit_score
from finecl_hf.sentence_formats import semeval_answer_lines
from finecl_hf.trainers import FineCLTrainer, FinetuneTrainer
from finecl_hf.writing import writing


logger = logging.getLogger(__name__)

# Arguments that fill themselves in where the user says nothing; afterwards nobody can tell whether they did.
REPORT = "report.html"
RESOLVED = ("loss", "na_weight", "metric_for_best_model")


def relation_card(
    config: FineCLConfig,
    model_args: ModelArguments,
    args: DenoiseArguments | FinetuneArguments,
    data: TrainingData,
    truncation: Truncation,
) -> FineCLCardData:
    """Facts known before training, for the card of a relation model or an adapter."""
    fine_tuning = isinstance(args, FinetuneArguments)
    return _card(
        "lora_adapter" if fine_tuning and args.use_lora else "relation_model",
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
        silver_labels=not fine_tuning,
        train_fraction=args.train_fraction if fine_tuning else None,
    )


def encoder_card(
    model_args: ModelArguments,
    args: FineCLTrainingArguments,
    data: TrainingData,
    max_length: int,
    truncation: Truncation | None = None,
    coverage: Coverage | None = None,
) -> FineCLCardData:
    """Facts known before training, for the card of an encoder; a stream does not know the last two."""
    return _card(
        "encoder",
        model_args,
        args,
        data,
        max_length,
        truncation,
        learning_order=os.path.basename(args.learning_order) if args.learning_order else None,
        learning_order_coverage=coverage.share if coverage else None,
        weight_scheme=args.weight_scheme,
        weight_by=args.weight_by if args.learning_order else None,
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


def write_denoising(order: LearningOrder, corpus: Dataset, names: dict[str, str], data: DataArguments,
                    args: DenoiseArguments) -> None:  # fmt: skip
    """Writes stage 1's table and `report.html`, says how many labels look wrong, and writes the cleaned corpus.

    Args:
        corpus: the documents that the order was made from; names: readable names of their relations.
    """
    print(order.summary())
    noise = noise_of(order)
    if noise is not None:
        print(f"{noise}\n{noise.table(names)}")
    trust = unit_score(args.score, order)
    table, report = (os.path.join(args.output_dir, name) for name in (TABLE, REPORT))
    order.write(table)  # with what is known since the last epoch was closed
    print(f"Wrote {table}")
    if args.report:
        write_report(order, trust, iter_corpus(corpus), report, names, noise, args.score)
        print(f"Wrote {report}")
    if args.write_clean:
        share, threshold = args.clean_share, args.clean_threshold
        if share is None and threshold is None:
            share = 1.0 - noise.overall.rate if noise is not None else 1.0
            if noise is None:
                logger.warning("Too few labels to estimate how many are wrong: all are kept; give a --clean_share.")
        counts = clean_corpus(
            data.train_source, args.write_clean, order, trust, threshold=threshold, share=share,
            split=data.train_split, skip_invalid=data.skip_invalid, same_corpus=True,
        )  # fmt: skip
        print(f"Wrote {args.write_clean}: {counts}")


def finish_run(trainer: FineCLTrainer, metrics: dict[str, float], script: str, argv: list[str] | None) -> None:
    """Saves the model with its card, and pushes both with `--push_to_hub`.

    Args:
        script: name of the script, for the card's command line.
        argv: its arguments; those of this process if None.
    """
    trainer.card_data.training_time = metrics.get("train_runtime")
    trainer.card_data.command = _command(trainer.args.world_size, script, sys.argv[1:] if argv is None else argv)
    with writing(trainer.args.output_dir):
        trainer.log_metrics("train", metrics)
        trainer.save_metrics("train", metrics)
        trainer.save_state()
        trainer.save_model()
        trainer.create_model_card()
    if trainer.args.push_to_hub:
        trainer.push_to_hub()


def _command(processes: int, script: str, argv: list[str]) -> list[str]:
    launcher = ["python"] if processes == 1 else ["accelerate", "launch", "--num_processes", str(processes)]
    return [*launcher, script, *argv]


def _card(
    kind: str,
    model_args: ModelArguments,
    args: FineCLTrainingArguments,
    data: TrainingData,
    max_length: int,
    truncation: Truncation | None,
    **facts: Any,
) -> FineCLCardData:
    changed = changed_arguments(args)
    resolved = {argument: changed.pop(argument) for argument in RESOLVED if argument in changed}
    name = args.hub_model_id or os.path.basename(os.path.abspath(args.output_dir))
    return FineCLCardData(
        kind=kind,
        model_name=name.split("/")[-1],
        repo=args.hub_model_id or args.output_dir,
        base_model=model_args.model_name_or_path,
        datasets=[data],
        truncated_mentions=truncation.lost_mentions if truncation else None,
        total_mentions=truncation.mentions if truncation else None,
        hyperparameters={
            "learning_rate": args.learning_rate,
            "num_train_epochs": args.num_train_epochs if args.max_steps < 0 else None,
            "max_steps": args.max_steps if args.max_steps > 0 else None,
            "per_device_train_batch_size": args.per_device_train_batch_size,
            "gradient_accumulation_steps": args.gradient_accumulation_steps,
            "weight_decay": args.weight_decay,
            "warmup_steps": args.warmup_steps,
            "max_seq_length": max_length,
            "entity_markers": model_args.entity_markers,
            "hide_names": model_args.hide_names,
            "attention_dropout": model_args.attention_dropout,
            **resolved,
        },
        non_default_hyperparameters=changed,
        seed=args.seed,
        **facts,
    )
