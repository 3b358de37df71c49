"""Resuming: which checkpoint a run goes on from, and whether that checkpoint is its own."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import shutil
from dataclasses import fields
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset
from transformers import PreTrainedConfig, Trainer, TrainingArguments

from finecl_hf.errors import FineCLError


logger = logging.getLogger(__name__)

_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
_STATE = "trainer_state.json"  # the Trainer's; written last, so that it marks a checkpoint as complete
RUN = "finecl_run.json"  # in a checkpoint: what must be the same where a run is resumed
# What else a run needs to go on exactly, and under which names: those of one process, of several, of FSDP
_PARTS = {
    "weights": ("*.safetensors", "pytorch_model*"),
    "optimizer.pt": ("optimizer.pt", "optimizer.bin", "optimizer_*"),
    "scheduler.pt": ("scheduler.pt",),
    "rng_state.pth": ("rng_state*.pth",),
    RUN: (RUN,),
}
# Arguments of the Trainer that belong to it, as a stage's own do; those that only name something stay out, and so does
# the precision: a run that diverged may go on without --bf16.
_SAME = (
    "learning_rate",
    "weight_decay",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "optim",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "lr_scheduler_type",
    "lr_scheduler_kwargs",
    "warmup_steps",
    "max_grad_norm",
    "seed",
    "data_seed",
)
_NAMES_ONLY = {"preset", "learning_order", "allow_partial_order", "seeds"}  # weights are compared as such
# What follows the training, or has a folder of its own, may be asked of a finished run.
_AFTERWARDS = {"score", "write_clean", "clean_share", "clean_threshold", "report", "push_report", "missing_labels"}


def describe_run(trainer: Trainer) -> dict[str, str]:
    """What makes a run the one it is, before it begins: arguments, and hashes of data and first weights."""
    inherited = {field.name for field in fields(TrainingArguments)}
    own = sorted({field.name for field in fields(trainer.args)} - inherited - _NAMES_ONLY - _AFTERWARDS)
    run = {f"--{name}": str(getattr(trainer.args, name)) for name in [*_SAME, *own]}
    if isinstance(trainer.train_dataset, Dataset):
        run["the tokenised training documents or their weights"] = _digest_of_rows(trainer.train_dataset)
    elif hasattr(trainer.train_dataset, "describe"):  # a stream says itself what it is
        run |= trainer.train_dataset.describe()
    # With an evaluation in training, they settle which checkpoint is kept and when patience is over
    if hasattr(trainer.eval_dataset, "documents") and trainer.args.eval_strategy != "no":
        run["the validation documents"] = _digest_of_rows(trainer.eval_dataset.features)
    run["the label set"] = blake2b(json.dumps(trainer.model.config.label2id).encode(), digest_size=8).hexdigest()
    if priors := getattr(trainer.model.config, "label_priors", None):  # a validation file may have told them
        run["the label priors"] = json.dumps(priors)
    digest = blake2b(digest_size=8)
    for weight in trainer.model.parameters():
        digest.update(weight.detach().flatten()[:16].float().cpu().numpy().tobytes())
    run["the encoder"] = digest.hexdigest()
    run["the encoder's dropout"] = json.dumps(_dropouts(trainer.model.config))
    return run


def _digest_of_rows(dataset: Dataset) -> str:
    """A hash of all that is trained on: labels, their evidence, positions and windows as much as tokens."""
    columns = {name: blake2b(name.encode(), digest_size=8) for name in sorted(dataset.column_names)}
    for batch in dataset.with_format("arrow").iter(1000):
        for name, digest in columns.items():
            column = batch[name].combine_chunks()
            digest.update(np.asarray(column.flatten() if pa.types.is_list(column.type) else column).tobytes())
    return blake2b(b"".join(digest.digest() for digest in columns.values()), digest_size=8).hexdigest()


def _dropouts(config: PreTrainedConfig) -> dict[str, float]:
    """Rates of dropout in the encoder's configuration, which flags set and weights do not show."""
    encoder = config.get_text_config().to_dict()
    return {name: rate for name, rate in sorted(encoder.items()) if "drop" in name and isinstance(rate, (int, float))}


def refuse_another_run(checkpoint: str, run: dict[str, str]) -> None:
    """Checks that a checkpoint belongs to a run.

    Raises:
        FineCLError: naming what differs: going on would give results that belong to neither run.
    """
    path = Path(checkpoint, RUN)
    try:
        before = json.loads(path.read_bytes()) if path.exists() else run
    except ValueError:  # no JSON, or no UTF-8
        before = None
    if not isinstance(before, dict):
        raise FineCLError(f"{path} is damaged; restore the file, or choose another --output_dir.")
    changed = [name if not name.startswith("--") else f"{name} ({before.get(name)}, now {value})"
               for name, value in run.items() if before.get(name) != value]  # fmt: skip
    if changed:
        raise FineCLError(
            f"{checkpoint} belongs to another run: {', '.join(changed)} changed. Resume with the same files and "
            "settings, or choose another --output_dir."
        )


def refuse_longer_run(checkpoint: str, args: TrainingArguments) -> None:
    """Checks that a checkpoint is not past the end of the run that is asked for.

    Raises:
        FineCLError: it is: its model would be taken for that of the shorter run.
    """
    state = _read_state(Path(checkpoint)) or {}
    steps, epoch = state.get("global_step", 0), state.get("epoch") or 0
    if args.max_steps > 0:
        wanted, limit = f"--max_steps {args.max_steps}", args.max_steps
    elif epoch:
        steps_per_epoch = math.ceil(steps / epoch - 1e-6)  # less than a whole number where batches are accumulated
        wanted, limit = f"--num_train_epochs {args.num_train_epochs:g}", args.num_train_epochs * steps_per_epoch
    else:
        return
    if steps > math.ceil(limit):
        raise FineCLError(
            f"{checkpoint} is already {steps:,} steps ({epoch:.4g} epochs) far, more than {wanted} asks for. "
            "Ask for as many or more, or choose another --output_dir."
        )


def steps_done(checkpoint: str) -> int:
    """How many steps a run had done when it wrote a checkpoint."""
    return (_read_state(Path(checkpoint)) or {}).get("global_step", 0)


def write_run(checkpoint: str, run: dict[str, str]) -> None:
    """Puts what [`describe_run`] says into a checkpoint."""
    Path(checkpoint, RUN).write_text(json.dumps(run, indent=2), encoding="utf-8")


def is_checkpoint(folder: str) -> bool:
    """Whether a folder has a checkpoint's name."""
    return bool(_CHECKPOINT.fullmatch(os.path.basename(folder)))


def last_checkpoint(output_dir: str) -> str | None:
    """The newest complete checkpoint in a folder; others are named and ignored.

    Raises:
        FineCLError: there are finished checkpoints, but of each something is gone: to begin anew would overwrite them.
    """
    spoilt = []
    for folder in _checkpoints(output_dir):
        if not (missing := missing_parts(folder)):
            return str(folder)
        if _STATE in missing:  # a run was killed while saving
            logger.warning("%s is incomplete and is ignored.", folder)
        else:
            spoilt.append(f"{folder} lacks {', '.join(missing)}")
            logger.warning(
                "%s, so that no run can go on from it exactly; the one before it is looked for.", spoilt[-1]
            )
    if spoilt:
        raise FineCLError(
            f"{spoilt[0]}, so that no run can go on from it exactly, and no other checkpoint is whole; restore the "
            "files, or choose another --output_dir."
        )
    return None


def checkpoint_to_resume(args: TrainingArguments) -> str | None:
    """The checkpoint a run goes on from: that of `--resume_from_checkpoint`, else the newest of its output folder.

    Raises:
        FineCLError: the one that is named is none.
    """
    wanted = args.resume_from_checkpoint
    if wanted is None or str(wanted).lower() == "true":
        return last_checkpoint(args.output_dir)
    if str(wanted).lower() == "false":
        return None
    return require_whole(wanted, "--resume_from_checkpoint ")


def require_whole(checkpoint: str, flag: str = "") -> str:
    """The folder of a checkpoint that somebody named.

    Raises:
        FineCLError: it lacks what a run needs to go on exactly.
    """
    if missing := missing_parts(Path(checkpoint)):
        lacks = f"it lacks {', '.join(missing)}" if os.path.isdir(checkpoint) else "there is no such folder"
        raise FineCLError(f"{flag}{checkpoint}: no whole checkpoint, {lacks}; name a folder with one.")
    return checkpoint


def missing_parts(checkpoint: Path) -> list[str]:
    """What a checkpoint lacks so that a run could go on from it exactly; nothing where it is whole."""
    missing = [part for part, names in _PARTS.items() if not any(any(checkpoint.glob(name)) for name in names)]
    return [*missing, *([] if _read_state(checkpoint) is not None else [_STATE])]


def remove_incomplete(output_dir: str, resumed: str | None = None) -> None:
    """Removes checkpoints that a run was killed in, and those behind the one that it is resumed from.

    The Trainer would count the former among those that it keeps, and write new files among the old ones of the latter.
    """
    folders = _checkpoints(output_dir)
    places = [place for place, folder in enumerate(folders) if resumed and folder.samefile(resumed)]
    for place, folder in enumerate(folders):
        if _read_state(folder) is None or (places and place < places[0]):
            shutil.rmtree(folder, ignore_errors=True)
            logger.info("Removed %s.", folder)


def _checkpoints(output_dir: str) -> list[Path]:
    """Folders with a checkpoint's name, newest first."""
    folders = [path for path in Path(output_dir).glob("checkpoint-*") if is_checkpoint(str(path)) and path.is_dir()]
    return sorted(folders, key=lambda path: int(path.name.split("-")[1]), reverse=True)


def _read_state(checkpoint: Path) -> dict[str, Any] | None:
    """What the Trainer noted in a checkpoint; None where that is missing or damaged."""
    try:
        state = json.loads((checkpoint / _STATE).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return state if isinstance(state, dict) else None
