"""Stage 3: training and evaluating a relation model."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers.trainer_utils import EvalLoopOutput

from finecl_hf.data.documents import Document
from finecl_hf.encoding.batches import RelationCollator
from finecl_hf.extraction.modeling import RelationExtractionOutput
from finecl_hf.extraction.predictions import (
    best_threshold,
    document_candidates,
    score_documents,
    score_sentences,
    sentence_labels,
)
from finecl_hf.training.trainer import FineCLTrainer


# Fields of a RelationBatch that the model does not take
_BOOKKEEPING = ("instance", "pair_counts", "entity_counts", "keys")


def classify(model: nn.Module, batch: dict[str, Any]) -> RelationExtractionOutput:
    """One forward pass of a (possibly wrapped) relation model on the fields of a `RelationBatch`."""
    return model(**{name: value for name, value in batch.items() if name not in _BOOKKEEPING})


class RelationTrainer(FineCLTrainer):
    """What stages 1 and 3 share: a relation model, whose head may learn faster than its encoder (as ATLOP's does)."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = classify(model, inputs)
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    def _documents_to_blame(self, inputs: dict[str, Any]) -> list[int]:
        """Those that the model finds infinite logits for by themselves; all where it finds none."""
        keys = super()._documents_to_blame(inputs)
        if self.is_fsdp_enabled:  # only all processes together could judge them
            return keys
        model = self.accelerator.unwrap_model(self.model).eval()
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.accelerator.autocast():
            finite = classify(model, inputs).logits.isfinite().all(dim=1)
        parts = finite.split(inputs["pair_counts"])
        return [key for key, part in zip(keys, parts, strict=True) if not part.all()] or keys

    def create_optimizer(self, *args, **kwargs) -> torch.optim.Optimizer:
        is_new = self.optimizer is None
        optimizer = super().create_optimizer(*args, **kwargs)
        if is_new and self.args.head_learning_rate is not None:
            head = {id(weight) for name, weight in self.model.named_parameters() if "relation_head" in name}
            groups = optimizer.param_groups
            for group in list(groups):
                faster = [weight for weight in group["params"] if id(weight) in head]
                group["params"] = [weight for weight in group["params"] if id(weight) not in head]
                groups.append({**group, "params": faster, "lr": self.args.head_learning_rate})
            optimizer.param_groups[:] = [group for group in groups if group["params"]]
        return optimizer


class FinetuneTrainer(RelationTrainer):
    """Stage 3: trains and evaluates a relation model, full or LoRA, on documents or sentences.

    Evaluation sets are [`LabelledFeatures`]. [`evaluate`] fits the decision threshold and writes it to the model's
    config; [`predict`] uses it as it stands, and scores nothing where the documents have no labels.

    Args:
        train_documents: for Ign F1; None leaves it equal to F1.
    """

    def __init__(self, *args, train_documents: list[Document] | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self.train_documents = train_documents
        self.scores: dict[str, dict[str, float]] = {}  # final figures of each split, for the caller and the card
        # Evaluation judges every pair, training only a sample of the NA pairs.
        self.evaluation_collator = RelationCollator(self.data_collator.pad_token_id)

    @property
    def relation_model(self):
        """The relation model inside wrappers and adapters."""
        model = self.accelerator.unwrap_model(self.model)
        return model.get_base_model() if hasattr(model, "get_base_model") else model

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        super().save_model(output_dir, _internal_call=_internal_call)
        if self.args.should_save and self.args.use_lora:  # an adapter's folder holds its head's configuration, too
            self.relation_model.config.save_pretrained(output_dir or self.args.output_dir)

    def get_eval_dataloader(self, eval_dataset=None) -> DataLoader:
        return self._with_evaluation_collator(super().get_eval_dataloader, eval_dataset)

    def get_test_dataloader(self, test_dataset) -> DataLoader:
        return self._with_evaluation_collator(super().get_test_dataloader, test_dataset)

    def evaluation_loop(
        self, dataloader, description, prediction_loss_only=None, ignore_keys=None, metric_key_prefix="eval"
    ) -> EvalLoopOutput:
        """As the Trainer's, but gathers one Python object a document: flat pair tensors would lose their last rows."""
        model = self.model_wrapped
        model.eval()
        self.callback_handler.eval_dataloader = dataloader
        config = self.relation_model.config
        decode = sentence_labels if config.task == "sentence" else document_candidates
        rows = []
        with torch.random.fork_rng(devices=[]):  # a data loader draws a seed; evaluation must not change training
            for inputs in dataloader:
                inputs = self._prepare_inputs(inputs)
                with torch.no_grad(), self.accelerator.autocast():
                    loss, outputs = self.compute_loss(model, inputs, return_outputs=True)
                decoded = [
                    (row, pairs, float(loss))
                    for row, pairs in zip(decode(outputs.logits, inputs, config), inputs["pair_counts"], strict=True)
                ]
                rows += self.accelerator.gather_for_metrics(decoded, use_gather_object=True)
                self.control = self.callback_handler.on_prediction_step(self.args, self.state, self.control)
        documents = dataloader.dataset.documents
        predictions = [row for row, _, _ in rows]
        metrics = self._score(documents, predictions, fit=metric_key_prefix == "eval")
        if metrics:
            # The loss of a batch is a mean over its pairs.
            metrics["loss"] = sum(pairs * loss for _, pairs, loss in rows) / max(sum(pairs for _, pairs, _ in rows), 1)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in metrics.items()}
        return EvalLoopOutput(predictions=predictions, label_ids=None, metrics=metrics, num_samples=len(rows))

    def _score(self, documents: list[Document], predictions: list, fit: bool) -> dict[str, float]:
        config = self.relation_model.config
        if not all(document.labelled for document in documents):
            return {}
        if config.task == "sentence":
            return score_sentences(documents, predictions)
        if fit:
            config.threshold = float(best_threshold(documents, predictions, config))
        scores = score_documents(documents, predictions, config, self.train_documents)
        return {**scores, "threshold": config.threshold}

    def _with_evaluation_collator(self, make, dataset) -> DataLoader:
        training_collator, self.data_collator = self.data_collator, self.evaluation_collator
        try:
            return make(dataset)
        finally:
            self.data_collator = training_collator
