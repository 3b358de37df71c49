"""The three stages as `Trainer` subclasses: `compute_loss` is the paper's formula, the rest is the Trainer's own."""

from __future__ import annotations

import os
from collections import defaultdict
from typing import Any

import numpy as np
import torch
from accelerate.data_loader import prepare_data_loader
from torch import nn
from torch.utils.data import DataLoader
from transformers.trainer_utils import EvalLoopOutput, TrainOutput

from finecl_hf.callbacks import EpochCallback, LearningOrderCallback, judge_labels
from finecl_hf.collators import RelationCollator
from finecl_hf.contrastive_step import Contrast, Sums, encode_chunks
from finecl_hf.documents import Document
from finecl_hf.errors import FineCLError
from finecl_hf.model_card import FineCLCardData, render_model_card
from finecl_hf.modeling import RelationExtractionOutput
from finecl_hf.predictions import (
    best_threshold,
    document_candidates,
    score_documents,
    score_sentences,
    sentence_labels,
)
from finecl_hf.resuming import describe_run, is_checkpoint, refuse_another_run, refuse_longer_run, write_run
from finecl_hf.sampling import PartnerBatchSampler, documents_per_step, sampling_seed
from finecl_hf.sharding import check_sharding, sharding_layers
from finecl_hf.streaming import Stream, StreamBatches
from finecl_hf.survival import SurvivingTrainer
from finecl_hf.writing import writing


# Fields of a RelationBatch that the model does not take
_BOOKKEEPING = ("instance", "pair_counts", "entity_counts", "keys")


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


class PretrainTrainer(FineCLTrainer):
    """Stage 2: L = L_RD + L_ED + L_MLM on a plain `AutoModelForMaskedLM` (FineCL, section 3.2).

    The documents of a step contrast with each other over all processes. Each loss is the mean over its terms in all of
    them, so that two processes give what one gives with twice the batch.

    Args:
        temperature: of both contrastive terms (paper: 0.05).
        max_negatives: at most so many negatives an anchor (paper: 64); None for all.
        usable: document (N,) and relation (N,) of each fact that may be an anchor, to batch documents that share a
            relation; None draws documents independently.
    """

    def __init__(
        self,
        *args,
        temperature: float = 0.05,
        max_negatives: int | None = 64,
        usable: tuple | None = None,
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        self.temperature, self.max_negatives, self.usable = temperature, max_negatives, usable

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        chunks = inputs.get("chunks", [inputs])
        unwrapped = self.accelerator.unwrap_model(self.model, keep_torch_compile=False)
        encoded = encode_chunks(model, unwrapped, chunks, self.temperature)
        contrast = Contrast.of(encoded.pairs, chunks, self.max_negatives, self.accelerator.num_processes)
        losses = self._means(
            loss_rd=contrast.loss(self.temperature), loss_ed=encoded.entity_loss, loss_mlm=encoded.mlm_loss
        )
        self._note_batch(contrast, losses)
        loss = sum(losses.values())
        return (loss, {"pairs": encoded.pairs}) if return_outputs else loss

    def _means(self, **losses: Sums) -> dict[str, torch.Tensor]:
        """Means over the terms of all processes, as shares: their mean over the processes is the mean itself."""
        counts = [loss.count for loss in losses.values()]
        processes = self.accelerator.num_processes
        if processes > 1:
            total = self.accelerator.reduce(torch.tensor(counts, device=self.args.device), "sum")
            counts = total.tolist()
        return {
            name: loss.total * (processes / max(count, 1))
            for (name, loss), count in zip(losses.items(), counts, strict=True)
        }

    def get_total_train_batch_size(self, args) -> int:
        return documents_per_step(args) * args.gradient_accumulation_steps

    def _batch_sampler(self) -> PartnerBatchSampler | StreamBatches:
        processes, args = self.accelerator.num_processes, self.args
        if isinstance(self.train_dataset, Stream):
            return self.train_dataset.batches(
                args.max_steps * args.gradient_accumulation_steps, self.data_collator.epoch
            )
        documents = min(documents_per_step(args), len(self.train_dataset) // processes * processes)
        if documents == 0:
            raise FineCLError(
                f"{len(self.train_dataset)} documents cannot be shared by {processes} processes; start fewer."
            )
        nothing = np.empty(0, np.int64)
        return PartnerBatchSampler(
            *(self.usable or (nothing, nothing)),
            num_documents=len(self.train_dataset),
            batch_size=documents,
            seed=sampling_seed(args),
            epoch=self.data_collator.epoch,
        )

    def get_train_dataloader(self) -> DataLoader:
        args = self.args
        loader = DataLoader(
            self.train_dataset,
            batch_sampler=self._batch_sampler(),
            collate_fn=self.data_collator,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
            persistent_workers=args.dataloader_persistent_workers,
            prefetch_factor=args.dataloader_prefetch_factor,
        )
        return prepare_data_loader(  # each process encodes its part of the documents that contrast
            loader,
            device=self.accelerator.device,
            num_processes=self.accelerator.num_processes,
            process_index=self.accelerator.process_index,
            split_batches=True,
            put_on_device=True,
            non_blocking=self.accelerator.non_blocking,
        )

    def _note_batch(self, contrast: Contrast, losses: dict[str, torch.Tensor]) -> None:
        learned = max(len(contrast.anchors), 1)  # every learned instance may be an anchor, if it finds a partner
        anchors = contrast.positive_mask.any(dim=1)
        self.note(
            **losses,
            mean_weight=contrast.weights[contrast.anchors].sum() / learned,
            positives_per_anchor=contrast.positive_mask.sum() / learned,
            negatives_per_anchor=contrast.negative_mask[anchors].sum() / anchors.sum().clamp(min=1),
        )


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
