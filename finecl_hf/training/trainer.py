"""The `Trainer` that all three stages share: whatever ends a run, a whole checkpoint is left to go on from."""

from __future__ import annotations

import os
from collections import defaultdict
from typing import Any

import torch
from datasets import Dataset
from torch.distributed.tensor import DTensor
from transformers import Trainer, TrainerCallback
from transformers.trainer_utils import TrainOutput

from finecl_hf.cards.model_card import FineCLCardData, render_model_card
from finecl_hf.data.files import writing
from finecl_hf.encoding.batches import SharedEpoch
from finecl_hf.errors import FineCLError
from finecl_hf.training.checkpoints import (
    describe_run,
    is_checkpoint,
    refuse_another_run,
    refuse_longer_run,
    remove_incomplete,
    write_run,
)
from finecl_hf.training.divergence import divergence_message
from finecl_hf.training.fsdp import check_sharding, sharding_layers
from finecl_hf.training.sigterm import StopCallback


class SurvivingTrainer(Trainer):
    """Ends a run in order after SIGTERM, on a full disk, and where the loss is not finite.

    Args:
        corpus: the documents, see `corpus.load_corpus`, to name those whose loss is not finite; without it, the
            message names their keys.
    """

    def __init__(self, *args, corpus: Dataset | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self.corpus = corpus
        self.stopping = StopCallback(self._any_process, self.accelerator.wait_for_everyone)
        self.add_callback(self.stopping)
        self._batches: list[tuple[dict[str, Any], torch.Tensor]] = []  # of the running step, with their losses

    def train(self, resume_from_checkpoint: str | None = None, **kwargs) -> TrainOutput:
        """As the Trainer's.

        Raises:
            FineCLError: a loss, a gradient or weights are not finite, or the disk is full.
            SystemExit: 143, after SIGTERM.
        """
        if self.is_world_process_zero():
            remove_incomplete(self.args.output_dir)
        self.accelerator.wait_for_everyone()
        with self.stopping.listening():
            result = super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)
        self._refuse_spoilt_weights()
        self.stopping.leave_if_requested()
        return result

    def _run_epoch(self, *args, **kwargs) -> None:
        if self.state.global_step >= self.state.max_steps:  # resumed behind the last step: it would take one more
            self.control.should_training_stop = True
        else:
            super()._run_epoch(*args, **kwargs)

    def training_step(self, model, inputs, num_items_in_batch=None) -> torch.Tensor:
        loss = super().training_step(model, inputs, num_items_in_batch)
        self._batches.append((inputs, loss))
        return loss

    def _get_grad_norm(self, model, grad_norm=None):
        grad_norm = super()._get_grad_norm(model, grad_norm)
        self._check_step(grad_norm)  # once a step of the optimiser, before it
        return grad_norm

    def _check_step(self, grad_norm: torch.Tensor | float | None) -> None:
        """Stops all processes before a step that would spoil the weights; tells them of SIGTERM in the same breath.

        Raises:
            FineCLError: the loss of a batch, or the gradient, is not finite.
        """
        batches, self._batches = self._batches, []
        spoilt = ~torch.stack([loss for _, loss in batches]).isfinite()  # (accumulated batches,)
        # With fp16, gradients overflow every now and then: the scaler then skips the step and lowers the scale.
        unscaled = isinstance(grad_norm, torch.Tensor) and self.accelerator.scaler is None
        if isinstance(grad_norm, DTensor):  # FSDP's, of which each process has a part
            grad_norm = grad_norm.full_tensor()
        gradient = ~grad_norm.isfinite() if unscaled else spoilt.new_zeros(())
        flags = torch.stack([spoilt.any(), gradient.to(spoilt.device), spoilt.new_tensor(self.stopping.requested)])
        loss_flag, gradient_flag, stop_flag = self.accelerator.reduce(flags.float(), reduction="sum").tolist()
        self.stopping.agreed = self.stopping.agreed or stop_flag > 0
        if not loss_flag and not gradient_flag:
            return
        step = f"at step {self.state.global_step + 1:,}"
        if loss_flag:
            what = f"the loss is not finite {step}"
            guilty = [inputs for (inputs, _), bad in zip(batches, spoilt.tolist(), strict=True) if bad]
            keys = [key for inputs in guilty for key in self._documents_to_blame(inputs)]
        else:
            what = f"the gradient is not finite {step}"
            keys = [key for inputs, _ in batches for key in document_keys(inputs)]
        raise FineCLError(divergence_message(what, keys, self.corpus, self.args))

    def _documents_to_blame(self, inputs: dict[str, Any]) -> list[int]:
        """Keys of those documents of a batch that may have made its loss infinite."""
        return document_keys(inputs)

    def _refuse_spoilt_weights(self) -> None:
        """Raises FineCLError where the last step made weights infinite: nothing may be saved of them."""
        weights = self.accelerator.unwrap_model(self.model).parameters()
        if self._any_process(not all(weight.isfinite().all() for weight in weights)):
            what = f"weights are not finite after step {self.state.global_step:,}"
            raise FineCLError(divergence_message(what, [], self.corpus, self.args))

    def _any_process(self, flag: bool) -> bool:
        """Whether any process passes True; all of them have to ask."""
        return bool(self.accelerator.reduce(torch.tensor(float(flag), device=self.args.device), reduction="sum"))

    def _save_checkpoint(self, model, trial) -> None:
        self._refuse_spoilt_weights()
        with writing(os.path.join(self.args.output_dir, f"checkpoint-{self.state.global_step}")):
            super()._save_checkpoint(model, trial)

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        # Only then does a process write trainer_state.json, which marks the checkpoint as complete for all of them.
        self.accelerator.wait_for_everyone()


def document_keys(inputs: dict[str, Any]) -> list[int]:
    """Keys of the documents of a batch, or of all its chunks."""
    return [key for chunk in inputs.get("chunks", [inputs]) for key in chunk["keys"].tolist()]


class FineCLTrainer(SurvivingTrainer):
    """What the stages share: the epoch for collators, logging of loss components, the model card.

    Args:
        card_data: facts for the model card, filled in as the run goes on.
    """

    loss_is_scaled_for_ga = False  # compute_loss returns the mean of its micro-batch

    def __init__(self, *args, card_data: FineCLCardData | None = None, **kwargs):
        try:
            super().__init__(*args, **kwargs)
        except (ValueError, ImportError, RuntimeError) as error:
            # The Trainer's own checks: --eval_strategy without a validation set, --report_to without its package
            if isinstance(error, RuntimeError) and "to be installed" not in str(error):
                raise
            raise FineCLError(" ".join(str(error).split())) from error
        if self.args.n_gpu > 1:
            raise FineCLError("Several GPUs are visible to one process; start one per GPU with `accelerate launch`.")
        check_sharding(self.accelerator)
        self.card_data = card_data
        if card_data is not None and self.hub_model_id:  # known in full once the repository exists
            card_data.repo = self.hub_model_id
        self.add_callback(EpochCallback(self.data_collator.epoch))
        self._components: dict[str, list] = defaultdict(lambda: [0.0, 0])
        self._run: dict[str, str] = {}

    def note(self, **components: torch.Tensor | float) -> None:
        """Adds to the means that the next training log shows."""
        for name, value in components.items():
            entry = self._components[name]
            entry[0] = entry[0] + (value.detach().float() if isinstance(value, torch.Tensor) else value)
            entry[1] += 1

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs and self._components:  # training logs only
            names = sorted(self._components)
            sums = torch.tensor([[float(self._components[name][0]), self._components[name][1]] for name in names])
            sums = self.accelerator.reduce(sums.to(self.args.device), reduction="sum")
            logs.update({name: (total / count).item() for name, (total, count) in zip(names, sums, strict=True)})
            self._components.clear()
        super().log(logs, start_time)

    def train(self, resume_from_checkpoint: str | None = None, **kwargs) -> TrainOutput:
        self._run = describe_run(self) if self.is_world_process_zero() else {}
        if resume_from_checkpoint and self._run:
            refuse_another_run(resume_from_checkpoint, self._run)
            refuse_longer_run(resume_from_checkpoint, self.args)
        with sharding_layers(self.accelerator, self.model):
            return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)

    def create_scheduler(self, *args, **kwargs) -> torch.optim.lr_scheduler.LRScheduler:
        try:
            return super().create_scheduler(*args, **kwargs)
        except (TypeError, ValueError) as error:
            raise FineCLError(
                f"--lr_scheduler_type {self.args.lr_scheduler_type.value} does not go with "
                f"--lr_scheduler_kwargs {self.args.lr_scheduler_kwargs}: {' '.join(str(error).split())}."
            ) from error

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        with writing(output_dir or self.args.output_dir):
            super().save_model(output_dir, _internal_call=_internal_call)
        if self._run and output_dir and is_checkpoint(output_dir):
            write_run(output_dir, self._run)

    def create_model_card(self, **kwargs: Any) -> None:
        """Writes README.md into the output folder, in place of the Trainer's generic card."""
        if self.card_data is not None and self.is_world_process_zero():
            self.card_data.log_history = self.state.log_history
            render_model_card(self.card_data).save(os.path.join(self.args.output_dir, "README.md"))


class EpochCallback(TrainerCallback):
    """Tells collators and samplers the epoch, also that of a run resumed in the middle of one."""

    def __init__(self, epoch: SharedEpoch):
        self.epoch = epoch

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.epoch.set(int(state.epoch or 0))
