"""Stage 1: training on silver labels while the learning order is recorded."""

from __future__ import annotations

from typing import Any

import torch

from finecl_hf.denoising.recorder import LearningOrderCallback, judge_labels
from finecl_hf.extraction.trainer import RelationTrainer, classify
from finecl_hf.training.checkpoints import (
    is_checkpoint,
)


class DenoiseTrainer(RelationTrainer):
    """Stage 1: trains a relation classifier on silver labels and records the order in which it learns them.

    Args:
        learning_order: the callback that keeps the table; every label in the training set has a row in it.
    """

    def __init__(self, *args, learning_order: LearningOrderCallback, **kwargs):
        super().__init__(*args, **kwargs)
        self.learning_order = learning_order
        learning_order.judge_corpus = self.judge_corpus
        self.add_callback(learning_order)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True)
        if model.training and self.learning_order.mode == "batch":
            self._observe(inputs, outputs.logits)
        return (loss, outputs) if return_outputs else loss

    def judge_corpus(self) -> None:
        """One evaluation pass over the training corpus, dropout off (the paper's epoch-based order)."""
        model = self.model_wrapped
        model.eval()
        with torch.random.fork_rng(devices=[]):  # a data loader draws a seed; judging must not change training
            for inputs in self.get_eval_dataloader(self.train_dataset):
                inputs = self._prepare_inputs(inputs)
                with torch.no_grad(), self.accelerator.autocast():
                    outputs = classify(model, inputs)
                self._observe(inputs, outputs.logits)
        model.train()

    def train(self, resume_from_checkpoint: str | None = None, **kwargs):
        if resume_from_checkpoint:
            self.learning_order.load(resume_from_checkpoint)
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        super().save_model(output_dir, _internal_call=_internal_call)
        # Into the checkpoint before its trainer_state.json, which marks it as complete.
        if output_dir and is_checkpoint(output_dir):
            self.learning_order.save(output_dir, write=self.args.should_save)

    def _observe(self, inputs: dict[str, Any], logits: torch.Tensor) -> None:
        loss = self.accelerator.unwrap_model(self.model).config.loss
        judgement = judge_labels(logits, inputs["label_pair"], inputs["label_relation"], loss)
        self.learning_order.observe(inputs["instance"], *judgement)
