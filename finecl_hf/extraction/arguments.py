"""Command-line arguments of stage 3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from finecl_hf.training.arguments import FineCLTrainingArguments, check_range, option


@dataclass
class EvaluationArguments:
    """Documents to choose the threshold on, and documents to predict."""

    validation_file: str | None = option(
        None,
        "Gold documents to fit the threshold on; with --eval_strategy epoch --load_best_model_at_end "
        "also to choose the checkpoint with the best F1.",
    )
    test_file: str | None = option(None, "Documents to predict; scored where they have labels.")
    max_eval_samples: int | None = option(None, "Use the first so many validation documents.")
    max_predict_samples: int | None = option(None, "Use the first so many test documents.")

    def __post_init__(self):
        check_range(self, "max_eval_samples max_predict_samples", 1)


@dataclass
class FinetuneArguments(FineCLTrainingArguments):
    """Stage 3. Defaults other than the above: num_train_epochs=30."""

    task: Literal["document", "sentence"] = option(
        "document", "`document`: any relations a pair; `sentence`: one label."
    )
    head: str = option("bilinear", "Classifier on the entity vectors; `bilinear` is the paper's.")
    loss: Literal["bce", "softmax", "adaptive_threshold"] | None = option(
        None, "Classification loss: adaptive_threshold for documents, softmax for sentences; `bce` is the paper's."
    )
    na_ratio: float | None = option(
        None, "NA pairs drawn for each labelled pair in training (paper: 3); all by default."
    )
    train_fraction: float = option(1.0, "Share of the training documents to use.")
    use_lora: bool = option(False, "Train low-rank adapters and the head only.")
    lora_r: int = option(16, "Rank of the adapters.")
    lora_alpha: int = option(32, "Scale of the adapters.")
    lora_dropout: float = option(0.05, "Dropout of the adapters.")
    num_train_epochs: float = option(30.0, "Epochs.")
    learning_rate: float = option(5e-5, "Peak learning rate.")
    head_learning_rate: float | None = option(None, "Peak learning rate of the classifier; the same by default.")

    def __post_init__(self):
        check_range(self, "na_ratio head_learning_rate", 0, 1e6)
        check_range(self, "lora_r", 1)
        check_range(self, "lora_alpha", 0)
        check_range(self, "lora_dropout", 0, 0.999)
        if self.load_best_model_at_end and self.metric_for_best_model is None:
            self.metric_for_best_model = "f1"
        super().__post_init__()
        if self.loss is None:
            self.loss = "softmax" if self.task == "sentence" else "adaptive_threshold"
