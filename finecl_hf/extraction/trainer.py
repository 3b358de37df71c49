"""Stage 3: training and evaluating a relation model."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from transformers import EvalPrediction
from transformers.trainer_utils import EvalLoopOutput, PredictionOutput

from finecl_hf.cards.model_code import write_model_code
from finecl_hf.data.documents import Document
from finecl_hf.data.files import writing
from finecl_hf.encoding.batches import RelationCollator, type_pairs
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.calibration import expected_calibration_error, fit_calibration
from finecl_hf.extraction.configuration import ENCODER_SETTINGS, FITTED, FineCLConfig
from finecl_hf.extraction.label_priors import check_label_prior
from finecl_hf.extraction.predictions import (
    candidate_rows,
    decode_rows,
    fit_decision,
    judged_sentences,
    probabilities,
    score_documents,
    score_sentences,
)
from finecl_hf.losses import evidence_loss, relation_loss, relation_targets
from finecl_hf.training.trainer import FineCLTrainer
from finecl_hf.training.trainer_flags import REFUSED_ARGUMENTS


logger = logging.getLogger(__name__)


class RelationTrainer(FineCLTrainer):
    """What stages 1 and 3 share: a relation model, whose head may learn faster than its encoder (as ATLOP's does)."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for dataset in (kwargs.get("train_dataset"), kwargs.get("eval_dataset")):
            self.check_encoder(dataset)
        config = self.relation_model.config
        for name in ("task", "head", "loss"):
            wanted = getattr(self.args, name, None)
            if wanted not in (None, getattr(config, name)):
                raise FineCLError(
                    f"the arguments say {name}={wanted!r}, the model's config {getattr(config, name)!r}; make it with "
                    f"FineCLConfig.for_encoder(encoder, {name}={wanted!r})."
                )
        sampling = [getattr(self.args, name, default) for name, default in (("na_ratio", None), ("na_sampling", ""))]
        check_label_prior(config.loss, None, config.task, *sampling)
        alone = self.model is self.relation_model and getattr(self.model, "peft_config", None)
        if alone and self.args.load_best_model_at_end:
            raise FineCLError(
                "load_best_model_at_end: the Trainer loads no checkpoint of a model with adapters; leave it away, or "
                "make the adapter with extraction.adapters.add_adapters, whose PeftModel it loads."
            )

    def default_collator(self, args, tokenizer, encoder) -> RelationCollator:
        return RelationCollator(tokenizer.pad_token_id, args.na_ratio, args.seed)

    def check_encoder(self, dataset: Any) -> None:
        """Raises FineCLError where documents were encoded for another model than this one."""
        encoder, config = getattr(dataset, "encoder", None), self.relation_model.config
        if encoder is None:
            return
        if encoder.label2id != config.label2id:
            raise FineCLError(
                f"the documents were encoded with {len(encoder.label2id) - 1} relations or in another order, and the "
                f"model knows {len(config.label2id) - 1}; encode them with its own: "
                "DocumentEncoder(tokenizer, model.config.label2id, ...)."
            )
        for name, own in ENCODER_SETTINGS.items():
            if getattr(encoder, own) != getattr(config, name):
                raise FineCLError(
                    f"the documents were encoded with {own}={getattr(encoder, own)!r}, but the model's config says "
                    f"{name}={getattr(config, name)!r}; make it with FineCLConfig.for_encoder(encoder)."
                )

    @property
    def relation_model(self):
        """The relation model inside wrappers and adapters."""
        model = self.accelerator.unwrap_model(self.model)
        return model.get_base_model() if hasattr(model, "get_base_model") else model

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(**inputs)
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    def _documents_to_blame(self, inputs: dict[str, Any]) -> list[int]:
        """Those that the model finds infinite logits for by themselves; all where it finds none."""
        keys = super()._documents_to_blame(inputs)
        if self.is_fsdp_enabled:  # only all processes together could judge them
            return keys
        model = self.accelerator.unwrap_model(self.model).eval()
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.accelerator.autocast():
            finite = model(**inputs).logits.isfinite().all(dim=1)
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

    Evaluation sets are [`LabelledFeatures`], one or a dict of several. Whenever [`evaluate`] judges the `eval_dataset`
    of the trainer, or the first of several, the calibration of scores is fitted on it (see `calibration`), and for
    documents the decision threshold. They belong to the weights: they are in the model's config, saved with each
    checkpoint and restored with it. All other documents, a test set among them, are judged by them as they stand, and
    not scored where they have no labels.

    Args:
        train_documents: for Ign F1; by default those of a `train_dataset` of `LabelledFeatures`, without which it is
            equal to F1.
        fit_threshold: False leaves the threshold and the calibration as they are.
        compute_metrics: figures beside ours, from an `EvalPrediction` whose `predictions` are the `Candidates` or the
            label of each document, and whose `label_ids` are the documents.
    """

    refused_arguments = {name: why for name, why in REFUSED_ARGUMENTS.items() if name != "compute_metrics"}

    def __init__(
        self,
        *args,
        train_documents: list[Document] | None = None,
        compute_metrics: Callable[[EvalPrediction], dict[str, float]] | None = None,
        fit_threshold: bool = True,
        **kwargs,
    ):
        super().__init__(*args, compute_metrics=self._score_rows, **kwargs)
        self.train_documents, self.more_metrics = train_documents or self.train_documents, compute_metrics
        self.fit_threshold = fit_threshold
        if getattr(self.args, "na_sampling", None) == "hard":
            self.data_collator.type_pairs = type_pairs(self.train_documents or ())
        self.scores: dict[str, dict[str, float]] = {}  # final figures of each split, for the caller and the card
        # Evaluation judges every pair, training only a sample of the NA pairs.
        self.evaluation_collator = RelationCollator(self.data_collator.pad_token_id)
        self._evaluated: list[Document] = []  # the documents of the running evaluation
        self._fits = False  # whether it fits the threshold
        self._rows: list[tuple] = []  # what its batches have given
        self._predictions: list = []

    @property
    def last_predictions(self) -> list:
        """The `Candidates` or the label of each document of the last evaluation."""
        return self._predictions

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        super().save_model(output_dir, _internal_call=_internal_call)
        if self.args.should_save:  # with the threshold; neither adapters nor the parts of FSDP come with it
            folder = output_dir or self.args.output_dir
            self.relation_model.config.save_pretrained(folder)
            with writing(folder):
                write_model_code(folder)

    def restore(self, checkpoint: str) -> None:
        saved = FineCLConfig.of_relation_model(checkpoint)
        for name in FITTED:
            setattr(self.relation_model.config, name, getattr(saved, name))

    def get_eval_dataloader(self, eval_dataset=None) -> DataLoader:
        return self._with_evaluation_collator(super().get_eval_dataloader, eval_dataset)

    def get_test_dataloader(self, test_dataset) -> DataLoader:
        return self._with_evaluation_collator(super().get_test_dataloader, test_dataset)

    def predict(self, *args, **kwargs) -> PredictionOutput:
        """As the Trainer's, on any documents; it fits nothing."""
        fits, self.fit_threshold = self.fit_threshold, False
        try:
            return super().predict(*args, **kwargs)
        finally:
            self.fit_threshold = fits

    def hyperparameter_search(
        self,
        hp_space: Callable | None = None,
        compute_objective: Callable[[dict[str, float]], float] | None = None,
        n_trials: int = 20,
        direction: str | list[str] = "maximize",
        **kwargs,
    ) -> Any:
        """As the Trainer's; by default it looks for the best F1, not for the greatest sum of all figures."""
        objective = compute_objective or (lambda metrics: metrics["eval_f1"])
        return super().hyperparameter_search(hp_space, objective, n_trials, direction, **kwargs)

    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        """One row a document, which the Trainer gathers and pads: see [`candidate_rows`]; and as its label, its key,
        its number of pairs and their mean loss, from which the loss of all pairs is made."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            loss, outputs = self.compute_loss(model, inputs, return_outputs=True)
        if prediction_loss_only:
            return loss, None, None
        counts = torch.tensor(inputs["pair_counts"], device=loss.device)
        told = (inputs["keys"], counts, losses_of_documents(outputs, inputs, self.relation_model.config))
        return None, candidate_rows(outputs.logits, inputs, self.relation_model.config, outputs.evidence), told

    def evaluation_loop(
        self, dataloader, description, prediction_loss_only=None, ignore_keys=None, metric_key_prefix="eval"
    ) -> EvalLoopOutput:
        """As the Trainer's; its `predictions` are the `Candidates` or the label of each document."""
        documents = getattr(dataloader.dataset, "documents", None)
        if documents is None:
            raise FineCLError(
                f"this {type(dataloader.dataset).__name__} holds no documents to compare with; evaluate on "
                "LabelledFeatures, such as DocumentEncoder.dataset(documents) gives."
            )
        if not documents:
            raise FineCLError("there is no document to evaluate on or to predict; give a set with one at least.")
        self.check_encoder(dataloader.dataset)
        own = self.eval_dataset
        first = next(iter(own.values()), None) if isinstance(own, dict) else own
        is_first = documents is getattr(first, "documents", None)
        self._evaluated, self._fits, self._rows = documents, self.fit_threshold and is_first, []
        self._predictions = []
        with torch.random.fork_rng(devices=[]):  # a data loader draws a seed; evaluation must not change training
            output = super().evaluation_loop(
                dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix
            )
        return output._replace(predictions=self._predictions, label_ids=None)

    def _score_rows(self, prediction: EvalPrediction, compute_result: bool = True) -> dict[str, float]:
        """The figures of all documents, from their rows.

        Args:
            prediction: of all batches, or of one with `--batch_eval_metrics`.
            compute_result: whether it is the last one.
        """
        is_list = isinstance(prediction.predictions, list)  # batch by batch; else one array, padded throughout
        parts = zip(prediction.predictions, prediction.label_ids, strict=True) if is_list else (
            (prediction.predictions, prediction.label_ids),
        )  # fmt: skip
        for rows, (keys, counts, losses) in parts:
            arrays = [np.asarray(torch.as_tensor(values).cpu()) for values in (rows, keys, counts, losses)]
            self._rows += zip(*arrays, strict=True)
        if not compute_result:
            return {}
        found = {int(key): row for row, key, _, _ in self._rows}  # in the order of a sampler, some perhaps twice
        config = self.relation_model.config
        rows = [found[document.key] for document in self._evaluated]
        self._predictions = predictions = decode_rows(rows, config)
        metrics = self._score(self._evaluated, predictions, rows)
        if metrics:
            told = {int(key): (int(count), float(loss)) for _, key, count, loss in self._rows}.values()
            metrics["loss"] = sum(count * loss for count, loss in told) / max(sum(count for count, _ in told), 1)
        if metrics and self.more_metrics is not None:
            metrics |= self.more_metrics(EvalPrediction(predictions, self._evaluated))
        return metrics

    def _score(self, documents: list[Document], predictions: list, rows: list[np.ndarray]) -> dict[str, float]:
        config = self.relation_model.config
        if not all(document.labelled for document in documents):
            return {}
        if config.task == "sentence":
            score, correct = judged_sentences(documents, rows, config)
            if self._fits:
                config.temperature, config.score_bias = fit_calibration(score, correct)
            error = expected_calibration_error(probabilities(score, config), correct)
            return {**score_sentences(documents, predictions), "ece": error}
        if self._fits and any(document.relations for document in documents):
            fit_decision(documents, predictions, config, getattr(self.args, "relation_thresholds", False))
        elif self._fits:
            logger.warning("No validation document has a fact, so that no threshold can be fitted: %.4g stays.",
                           config.threshold)  # fmt: skip
        scores = score_documents(documents, predictions, config, self.train_documents)
        return {**scores, "threshold": config.threshold}

    def _with_evaluation_collator(self, make, dataset) -> DataLoader:
        training_collator, self.data_collator = self.data_collator, self.evaluation_collator
        drop_last, self.args.dataloader_drop_last = self.args.dataloader_drop_last, False  # it is for training
        try:
            return make(dataset)
        finally:
            self.data_collator, self.args.dataloader_drop_last = training_collator, drop_last


def losses_of_documents(outputs: Any, inputs: dict[str, Any], config: FineCLConfig) -> torch.Tensor:
    """(B,) the mean loss of each document's pairs.

    That of a batch as a whole would not do: of several processes, one may have documents in it that others judge, too.
    """
    counts = inputs["pair_counts"]
    targets = relation_targets(inputs["label_pair"], inputs["label_relation"], *outputs.logits.shape)
    parts = zip(outputs.logits.split(counts), targets.split(counts), strict=True)
    losses = torch.stack([relation_loss(config.loss, *part, config.shares) for part in parts]).float()
    if outputs.evidence is None or inputs.get("evidence_pair") is None:
        return losses
    pair, sentence = inputs["evidence_pair"], inputs["evidence_sentence"]
    told, first = [], 0
    for shares in outputs.evidence.split(counts):
        own = (pair >= first) & (pair < first + len(shares))
        told.append(evidence_loss(shares, pair[own] - first, sentence[own]))
        first += len(shares)
    return losses + config.evidence_weight * torch.stack(told).float()
