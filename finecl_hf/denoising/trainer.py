"""Stage 1: training on silver labels while the learning order is recorded."""

from __future__ import annotations

from finecl_hf.denoising.recorder import LearningOrderCallback
from finecl_hf.extraction.trainer import RelationTrainer
from finecl_hf.training.checkpoints import is_checkpoint


class DenoiseTrainer(RelationTrainer):
    """Stage 1: trains a relation classifier on silver labels and records the order in which it learns them.

    Args:
        learning_order: the callback that keeps the table; every label in the training set has a row in it.
    """

    def __init__(self, *args, learning_order: LearningOrderCallback, **kwargs):
        super().__init__(*args, **kwargs)
        self.learning_order = learning_order
        self.add_callback(learning_order)

    def go_on_from(self, checkpoint: str) -> None:
        super().go_on_from(checkpoint)
        self.learning_order.load(checkpoint)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        super().save_model(output_dir, _internal_call=_internal_call)
        # Into the checkpoint before its trainer_state.json, which marks it as complete.
        if output_dir and is_checkpoint(output_dir):
            self.learning_order.save(output_dir, write=self.args.should_save)
