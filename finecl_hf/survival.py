"""A `Trainer` whose runs end with a whole checkpoint to go on from, whatever ends them."""

from __future__ import annotations

import os
from typing import Any

import torch
from datasets import Dataset
from torch.distributed.tensor import DTensor
from transformers import Trainer
from transformers.trainer_utils import TrainOutput

from finecl_hf.divergence import divergence_message
from finecl_hf.errors import FineCLError
from finecl_hf.resuming import remove_incomplete
from finecl_hf.stopping import StopCallback
from finecl_hf.writing import writing


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
