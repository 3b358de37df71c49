"""Command-line arguments of stage 2."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from finecl_hf.errors import FineCLError
from finecl_hf.training.arguments import FineCLTrainingArguments, check_range, option
from finecl_hf.training.trainer_flags import REFUSED, REFUSED_WITH_PARTNERS


logger = logging.getLogger(__name__)

MANY_PASSES = 100  # over the corpus (the paper: fewer than two, over a million documents)


@dataclass
class PretrainArguments(FineCLTrainingArguments):
    """Stage 2. Defaults other than [`FineCLTrainingArguments`]' are the paper's: learning_rate=3e-5,
    weight_decay=1e-5, warmup_steps=500, gradient_accumulation_steps=16, per_device_train_batch_size=16 (each document
    makes a relation row and an entity row), max_steps=6000."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "blanked": {"ed_weight": 0.0, "blank_share": 0.7, "weight_by": "evidence"},  # docs/evidence.md
        "paper": {  # what the defaults are now, whatever they may become
            "learning_rate": 3e-5,
            "weight_decay": 1e-5,
            "warmup_steps": 500,
            "per_device_train_batch_size": 16,  # documents: each makes a relation row and an entity row
            "gradient_accumulation_steps": 16,
            "max_steps": 6000,
            "max_grad_norm": 1.0,
            "temperature": 0.05,
            "na_pairs": 32,
            "max_negatives": 64,
            "max_partners": 1,
            "mlm_probability": 0.15,
            "blank_share": 0.0,
            "weight_scheme": "linear",
            "weight_by": "first_epoch",
            "weight_cutoff": 5,
            "weight_scale": 1.0,
            "drop_share": 0.0,
        },
    }

    preset: Literal["default", "blanked", "paper"] = option(
        "default",
        "`blanked`: names blanked, no entity discrimination, weights by `evidence` (docs/evidence.md says where that "
        "is better). `paper`: the published recipe, for about 1M documents; the defaults are the same as yet.",
    )
    learning_order: str | None = option(
        None,
        "Stage 1's learning_order.parquet, the dataset that it pushed to the Hub (user/name, user/name@revision), or "
        "the original's JSON.",
    )
    allow_partial_order: bool = option(False, "Go on where the order knows fewer than half of the labels.")
    weight_scheme: str = option(
        "linear", "How weights follow from the order: linear (paper), exponential, uniform (ERICA)."
    )
    weight_by: str = option(
        "first_epoch", "What weights are made from: first_epoch (paper), evidence, ...; docs/denoising.md lists all."
    )
    weight_cutoff: int = option(5, "The paper's K: labels learned in epoch K or later weigh 0.")
    weight_scale: float = option(1.0, "Factor of the labels' weights, which count as exp(weight); above 1 is sharper.")
    drop_share: float = option(0.0, "Leave out this share of the order's labels: those that are trusted least.")
    missing_labels: str | None = option(
        None, "Stage 1's missing_labels.parquet, or its dataset: what looks like a fact counts less as an NA pair."
    )
    temperature: float = option(0.05, "Of both contrastive losses.")
    na_pairs: int = option(32, "At most so many NA pairs a document.")
    na_weight: float | None = option(None, "Weight of NA pairs; 0.5 by default, 0 with --weight_scheme uniform.")
    max_negatives: int = option(64, "At most so many negatives an anchor.")
    max_partners: int = option(1, "At most so many partners an anchor (paper: 1).")
    contrastive_batch_size: int | None = option(
        None,
        "Documents that contrast with each other, over all devices; encoded --per_device_train_batch_size at a time, "
        "without more memory and a third slower. By default those of one batch on all devices.",
    )
    mlm_probability: float = option(0.15, "Share of the tokens outside mentions to mask.")
    blank_share: float = option(
        0.0, "Share of the entities whose names are masked where relations are told apart (paper: 0)."
    )
    rd_weight: float = option(1.0, "Weight of relation discrimination in the loss (paper: 1, as of the other two).")
    ed_weight: float = option(1.0, "Weight of entity discrimination.")
    mlm_weight: float = option(1.0, "Weight of masked language modelling; alone with the others 0.")
    pair_documents: bool = option(True, "Batch each document with one that holds the same relation.")
    streaming: bool = option(False, "Read and tokenise documents while training; no features lie on the disk.")
    streaming_block: int = option(8192, "Documents that a stream holds in memory, and pairs and shuffles.")
    refused: ClassVar[dict[str, str]] = REFUSED | REFUSED_WITH_PARTNERS

    learning_rate: float = option(3e-5, "Peak learning rate.")
    weight_decay: float = option(1e-5, "Weight decay.")
    warmup_steps: float = option(500, "Warm-up in steps, or as a share of all steps if below 1.")
    gradient_accumulation_steps: int = option(16, "Batches a step.")
    per_device_train_batch_size: int = option(16, "Documents a batch and device.")
    max_steps: int = option(6000, "Steps.")
    save_steps: float = option(500, "Write a checkpoint every so many steps.")

    def warn_of_many_passes(self, documents: int) -> None:
        """Says so where the paper's steps, which are for a million documents, are asked of a few."""
        a_step = self.train_batch_size * self.gradient_accumulation_steps * self.world_size
        passes = self.max_steps * a_step / max(documents, 1)
        if passes > MANY_PASSES:
            logger.warning(
                "%s steps of %s documents go %s times over the %s documents. docs/method.md has a "
                "recipe that was measured on a small corpus (--max_steps 300 --per_device_train_batch_size 4 ...).",
                f"{self.max_steps:,}", a_step, f"{passes:,.0f}", f"{documents:,}",
            )  # fmt: skip

    def __post_init__(self):
        check_range(self, "temperature", 0.001)
        check_range(self, "na_weight", 0, 10)  # enters as exp(w)
        check_range(self, "mlm_probability blank_share", 0, 1)
        check_range(self, "na_pairs max_negatives weight_cutoff", 0)
        check_range(self, "streaming_block max_partners", 1)
        check_range(self, "weight_scale", 0, 10)
        check_range(self, "drop_share", 0, 0.99)
        check_range(self, "rd_weight ed_weight mlm_weight", 0, 1e6)
        if not self.rd_weight and not self.ed_weight and not self.mlm_weight:
            raise FineCLError(
                "--rd_weight, --ed_weight and --mlm_weight are all 0, so there is nothing to learn; give one of them "
                "a weight above 0."
            )
        super().__post_init__()
        size, least = self.contrastive_batch_size, self.world_size * self.per_device_train_batch_size
        if size is not None and (size % self.world_size or size < least):
            raise FineCLError(
                f"--contrastive_batch_size {size} is out of range; give a multiple of the {self.world_size} processes "
                f"that is at least {least}, what they encode at a time."
            )
        if self.na_weight is None:
            self.na_weight = 0.0 if self.weight_scheme == "uniform" else 0.5
        if self.learning_order is None and self.weight_scheme != "uniform":
            raise FineCLError(
                "--learning_order is missing; name stage 1's learning_order.parquet, "
                "or take --weight_scheme uniform to trust every label alike."
            )
