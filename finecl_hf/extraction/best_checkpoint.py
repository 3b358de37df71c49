"""Which checkpoint of stage 3 is kept: by default, that with the best figure on the validation documents."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

from accelerate.utils import parse_flag_from_env
from transformers import TrainerCallback, TrainerState
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from finecl_hf.data.documents import Document
from finecl_hf.data.notes import counted
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.arguments import FinetuneArguments, lower_is_better


logger = logging.getLogger(__name__)

EVALUATIONS = 30  # at most so many by default: the 400 epochs over 30 documents would judge 1,000 others 400 times


def choose_best_checkpoint(args: FinetuneArguments, validation: Sequence[Document] | None) -> list[TrainerCallback]:
    """Settles when a run is evaluated and saved, where the user did not say.

    With validation documents, it is evaluated and saved after each epoch (in runs of more than `EVALUATIONS` epochs,
    every so many), and the best checkpoint is kept. Who gives --eval_strategy, or --load_best_model_at_end false, gets
    that; --save_strategy no leaves no checkpoint to choose, and sharded weights are not gathered unasked.

    Args:
        validation: None where there are none.

    Returns:
        callbacks that the trainer needs for it.

    Raises:
        FineCLError: the best checkpoint was asked for by a figure that these documents do not have.
    """
    evaluate, save, best = args.asked_strategies
    has_facts = validation is not None and any(document.relations for document in validation)
    if best and validation is not None and not has_facts and not (args.metric_for_best_model or "").endswith("loss"):
        raise FineCLError(
            "--load_best_model_at_end: no validation document has a fact, so every checkpoint has the same "
            f"{args.metric_for_best_model} of 0; give documents with facts, or --metric_for_best_model loss."
        )
    if not args.do_train or args.do_eval is False or validation is None or evaluate is not None or best is not None:
        return []
    why = None
    if not has_facts:
        why = "no validation document has a fact"
    elif args.save_strategy == SaveStrategy.NO:
        why = "no checkpoint is written (--save_strategy no)"
    elif args.fsdp or parse_flag_from_env("ACCELERATE_USE_FSDP"):
        why = "with FSDP it has to be asked for (--load_best_model_at_end true)"
    if why is not None:
        logger.warning("The last epoch's model is kept, not the best one on the validation documents: %s.", why)
        return []
    args.load_best_model_at_end = True
    args.metric_for_best_model = args.metric_for_best_model or "f1"
    if args.greater_is_better is None:
        args.greater_is_better = not lower_is_better(args.metric_for_best_model)
    if save is None:
        args.save_strategy = SaveStrategy.EPOCH
    if args.save_strategy == SaveStrategy.STEPS:
        args.eval_strategy, args.eval_steps = IntervalStrategy.STEPS, args.save_steps
        return []
    args.eval_strategy = IntervalStrategy.EPOCH
    distance = math.ceil(args.num_train_epochs / EVALUATIONS) if args.max_steps <= 0 else 1
    return [EveryFewEpochs(distance)] if distance > 1 else []


def tell_which_is_kept(args: FinetuneArguments, state: TrainerState) -> None:
    """Says, after training, which checkpoint is the best one, if one was chosen."""
    if not args.load_best_model_at_end or not state.best_model_checkpoint:
        return
    metric = args.metric_for_best_model.removeprefix("eval_")
    figures = {entry["step"]: entry[f"eval_{metric}"] for entry in state.log_history if f"eval_{metric}" in entry}
    step = int(state.best_model_checkpoint.rpartition("-")[2])  # the best step may have written no checkpoint
    if step not in figures:
        return
    told = f"Kept the model of step {step:,} of {state.global_step:,}, the best on the validation documents: {metric} "
    told += f"{figures[step]:.4f}."
    equals = sum(later > step and figure == figures[step] for later, figure in figures.items())
    if equals:
        told += f" {counted(equals, 'later one')} reached the same, and of equals the first is kept"
        told += "." if metric == "loss" else "; --metric_for_best_model loss tells them apart."
    logger.info(told)


class EveryFewEpochs(TrainerCallback):
    """Evaluates and saves after every so many epochs, and after the last one, instead of each."""

    def __init__(self, distance: int):
        self.distance = distance

    def on_epoch_end(self, args, state, control, **kwargs):
        is_last = state.global_step >= state.max_steps
        if round(state.epoch) % self.distance and not is_last:
            control.should_evaluate = control.should_save = False
