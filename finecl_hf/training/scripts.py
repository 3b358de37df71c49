"""How a script begins and ends: logging, seeds, a writable folder; then the model, its card and the Hub."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import datasets
import transformers
from transformers import set_seed

from finecl_hf.cards.card_file import FACTS
from finecl_hf.cards.model_card import FineCLCardData, TrainingData, changed_arguments
from finecl_hf.cards.model_code import FOLDER
from finecl_hf.cards.pushing import INDEX, QUOTING, WEIGHTS, WRITTEN
from finecl_hf.data.files import writing
from finecl_hf.data.json_stream import read_json
from finecl_hf.encoding.encoders import keep_bars_out_of_logs
from finecl_hf.encoding.feature_table import Truncation
from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.files import TABLE
from finecl_hf.learning_order.missing_labels import MISSING
from finecl_hf.training.arguments import FineCLTrainingArguments, ModelArguments
from finecl_hf.training.checkpoints import is_checkpoint, steps_done
from finecl_hf.training.emissions import GRAMS, emissions_of_the_run
from finecl_hf.training.lock import lock_folder, unlock_folder
from finecl_hf.training.trainer import FineCLTrainer


def start_run(args: FineCLTrainingArguments) -> None:
    """Logging (one process speaks), seeds, and a folder that can be written to, known before the work begins.

    Raises:
        FineCLError: `--output_dir` is no folder, or may not be written to.
    """
    level = logging.INFO if args.should_log else logging.ERROR
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", stream=sys.stdout, level=logging.WARNING)
    logging.getLogger("finecl_hf").setLevel(level)
    logging.getLogger("huggingface_hub").propagate = False  # it has a handler of its own: each line came twice
    transformers.logging.set_verbosity(logging.WARNING if args.should_log else logging.ERROR)
    datasets.logging.set_verbosity(logging.WARNING if args.should_log else logging.ERROR)
    keep_bars_out_of_logs()
    set_seed(args.seed)
    try:
        os.makedirs(args.output_dir, exist_ok=True)
    except OSError as error:
        raise FineCLError(f"--output_dir {args.output_dir}: cannot be made ({error.strerror}).") from error
    if not os.access(args.output_dir, os.W_OK):
        raise FineCLError(f"--output_dir {args.output_dir}: may not be written to; name another folder.")
    refuse_links(Path(args.output_dir))
    if args.process_index == 0:
        lock_folder(args.output_dir)


def refuse_links(folder: Path) -> None:
    """Raises FineCLError where a file that a run writes is a link: it would overwrite what that points to."""
    names = {*WRITTEN, *QUOTING, *WEIGHTS, INDEX, FACTS, FOLDER, TABLE, MISSING, "training_args.bin"}
    names |= {"tokenizer.json", "tokenizer_config.json"}
    for path in sorted(folder.iterdir()):
        if path.is_symlink() and (path.name in names or is_checkpoint(str(path))):
            raise FineCLError(
                f"{path}: is a link, and the run would overwrite what it points to; remove it or name another "
                "--output_dir."
            )


RESOLVED = (
    "loss", "task", "head", "na_weight", "eval_strategy", "load_best_model_at_end", "metric_for_best_model",
)  # fmt: skip


def finish_run(trainer: FineCLTrainer, metrics: dict[str, float], script: str, argv: list[str] | None) -> None:
    """Saves the model with its card, and pushes both with `--push_to_hub`.

    Args:
        script: name of the script, for the card's command line.
        argv: its arguments; those of this process if None.

    Raises:
        UploadError: all is done but the upload.
    """
    metrics = figures_of_the_run(trainer, metrics | emissions_of_the_run(trainer.args))
    trainer.card_data.training_time = metrics.get("train_runtime")
    trainer.card_data.co2_grams = metrics.get(GRAMS)
    trainer.card_data.command = _command(trainer.args.world_size, script, sys.argv[1:] if argv is None else argv)
    with writing(trainer.args.output_dir):
        trainer.log_metrics("train", metrics)
        trainer.save_metrics("train", metrics)
        trainer.save_state()
        trainer.save_model()
        trainer.create_model_card()
    try:
        if trainer.args.push_to_hub:
            trainer.push_to_hub()
    finally:
        end_run(trainer.args)


def figures_of_the_run(trainer: FineCLTrainer, metrics: dict[str, float]) -> dict[str, float]:
    """What is known of the whole run: where it was resumed, the Trainer's loss and times are those of the last part.

    They are left out then; where nothing was left to train, those that the run wrote before are kept.
    """
    if trainer.resumed_from is None:
        return metrics
    before = Path(trainer.args.output_dir, "train_results.json")
    if steps_done(trainer.resumed_from) == trainer.state.global_step and before.is_file():
        return {name: value for name, value in read_json(before).items() if isinstance(value, (int, float))}
    return {"epoch": metrics["epoch"]}


def end_run(args: FineCLTrainingArguments) -> None:
    """Lets other runs write to the folder. A run that fails need not: the lock of a dead process is taken over."""
    if args.process_index == 0:
        unlock_folder(args.output_dir)


def _command(processes: int, script: str, argv: list[str]) -> list[str]:
    launcher = ["python"] if processes == 1 else ["accelerate", "launch", "--num_processes", str(processes)]
    return [*launcher, script, *argv]


def run_card(
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
