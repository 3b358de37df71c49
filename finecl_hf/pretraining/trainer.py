"""Stage 2: contrastive pre-training; `compute_loss` is the paper's formula."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from accelerate.data_loader import prepare_data_loader
from datasets import Dataset
from torch.utils.data import DataLoader

from finecl_hf.encoding.features import LabelledFeatures
from finecl_hf.errors import FineCLError
from finecl_hf.pretraining.arguments import PretrainArguments
from finecl_hf.pretraining.collator import PretrainCollator, collator_for
from finecl_hf.pretraining.fact_weights import usable_facts, weigh_corpus
from finecl_hf.pretraining.sampling import PartnerBatchSampler, documents_per_step
from finecl_hf.pretraining.step import Contrast, Sums, encode_chunks
from finecl_hf.pretraining.streaming import Stream, StreamBatches
from finecl_hf.training.arguments import sampling_seed
from finecl_hf.training.trainer import FineCLTrainer


class PretrainTrainer(FineCLTrainer):
    """Stage 2: L = L_RD + L_ED + L_MLM, each with a weight, on a plain `AutoModelForMaskedLM` (FineCL, section 3.2).

    The documents of a step contrast with each other over all processes. Each loss is the mean over its terms in all of
    them, so that two processes give what one gives with twice the batch.

    Args:
        temperature: of both contrastive terms; by default that of the arguments (paper: 0.05).
        max_negatives: at most so many negatives an anchor; by default as the arguments say (paper: 64); None for all.
        usable: document (N,) and relation (N,) of each fact that may be an anchor, to batch documents that share a
            relation; None draws documents independently. By default those of a `train_dataset` of `LabelledFeatures`,
            whose facts are weighed by the `learning_order` of the arguments.
        relation_names: readable names of relation ids, for the queries of the default collator.
    """

    def __init__(
        self,
        *args,
        temperature: float | None = None,
        max_negatives: int | None | Literal["arguments"] = "arguments",
        usable: tuple | None = None,
        relation_names: dict[str, str] | None = None,
        **kwargs,
    ):
        self.usable, self.relation_names = usable, relation_names or {}
        super().__init__(*args, **kwargs)
        self.temperature = self.args.temperature if temperature is None else temperature
        self.max_negatives = self.args.max_negatives if max_negatives == "arguments" else max_negatives

    def prepare_dataset(self, dataset: LabelledFeatures, args: PretrainArguments, train: bool) -> Dataset:
        titles = Dataset.from_dict({"title": [document.title for document in dataset.documents]})
        features, _ = weigh_corpus(dataset.features, titles, args)
        if train and self.usable is None and args.pair_documents:
            self.usable = usable_facts(features)
        return features.with_format("numpy")

    def default_collator(self, args, tokenizer, encoder) -> PretrainCollator:
        if encoder is None:
            raise FineCLError(
                "there is no label set to make batches with; train on what DocumentEncoder.dataset(documents) gives, "
                "or pass data_collator=PretrainCollator.for_tokenizer(...)."
            )
        return collator_for(args, encoder, self.relation_names)

    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        """The loss: stage 2 predicts nothing."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            return self.compute_loss(model, inputs).detach(), None, None

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        chunks = inputs.get("chunks", [inputs])
        unwrapped = self.accelerator.unwrap_model(self.model, keep_torch_compile=False)
        encoded = encode_chunks(model, unwrapped, chunks, self.temperature)
        contrast = Contrast.of(
            encoded.pairs, chunks, self.max_negatives, self.args.max_partners, self.accelerator.num_processes
        )
        losses = self._means(
            loss_rd=contrast.loss(self.temperature), loss_ed=encoded.entity_loss, loss_mlm=encoded.mlm_loss
        )
        if model.training:
            self._note_batch(contrast, losses)
        weights = {"loss_rd": self.args.rd_weight, "loss_ed": self.args.ed_weight, "loss_mlm": self.args.mlm_weight}
        loss = sum(weights[name] * part for name, part in losses.items())
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
