"""Stage 1: training on silver labels while the learning order is recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from finecl_hf.denoising.publishing import stage_learning_order
from finecl_hf.denoising.recorder import LearningOrderCallback
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.trainer import RelationTrainer
from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.training.checkpoints import is_checkpoint


class DenoiseTrainer(RelationTrainer):
    """Stage 1: trains a relation classifier on silver labels and records the order in which it learns them.

    Args:
        learning_order: the callback that keeps the table; every label in the training set has a row in it. By default
            one of the documents of a `train_dataset` of `LabelledFeatures`.

    Raises:
        FineCLError: there is no learning order, and there are no documents to make one of.
    """

    hub_repo_type = "dataset"

    def __init__(self, *args, learning_order: LearningOrderCallback | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        if learning_order is None and self.train_documents is None:
            raise FineCLError(
                "learning_order is missing; give LearningOrderCallback(LearningOrder.for_documents(documents)), or a "
                "train_dataset that DocumentEncoder.dataset(documents) made."
            )
        if learning_order is None:
            table = LearningOrder.for_documents(self.train_documents)
            learning_order = LearningOrderCallback(table, self.args.order_mode)
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

    def create_model_card(self, **kwargs: Any) -> None:
        if self.card_data is not None:  # what has the name on the Hub is no model
            self.card_data.repo = self.args.output_dir
        super().create_model_card(**kwargs)

    def push_checkpoint(self, checkpoint: str) -> None:
        """Nothing: until the end, the table holds the labels of the self-test, which are wrong on purpose."""

    def stage(self, weights: str, staged: Path) -> None:
        """The learning order, not the classifier, which is a means to it."""
        self.save_state()  # which its card shows the log of
        stage_learning_order(Path(self.args.output_dir), staged, self.hub_model_id, self.pushes_report)
