"""Command-line arguments and presets of stage 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from finecl_hf.errors import FineCLError
from finecl_hf.extraction.label_priors import FROM_VALIDATION, check_label_prior
from finecl_hf.learning_order.trust import RECOMMENDED, check_weight_by
from finecl_hf.training.arguments import FineCLTrainingArguments, check_range, option


@dataclass
class DenoiseArguments(FineCLTrainingArguments):
    """Stage 1. Defaults other than [`FineCLTrainingArguments`]': num_train_epochs=5, learning_rate=1e-4,
    save_strategy="epoch", per_device_train_batch_size=16.

    The default recipe also learns from a few thousand labels; `--preset paper` is the published one.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {
            "loss": "bce",
            "na_ratio": 3.0,
            "num_train_epochs": 15,
            "learning_rate": 4e-5,
            "per_device_train_batch_size": 32,
            "warmup_steps": 0.1,
            "max_grad_norm": 0.1,  # in the released code, whatever its configuration says
            "order_mode": "batch",
            "probe_share": 0.0,
        },
        # Documents labelled by projection, a few thousand labels or more: see docs/denoising.md
        "projected": {
            "hide_names": "type",
            "attention_dropout": 0.0,
            "loss": "softmax",
            "na_ratio": 3.0,
            "num_train_epochs": 5,
            "learning_rate": 1e-4,
            "head_learning_rate": 1e-3,
            "per_device_train_batch_size": 8,
        },
    }

    preset: Literal["default", "paper", "projected"] = option(
        "default",
        "`projected`: for distantly supervised documents; hides names, so that the text has to tell. "
        "`paper`: the published recipe, for about 1M documents.",
    )
    order_mode: Literal["batch", "epoch"] = option(
        "batch", "Judge labels in the training pass (paper), or in one evaluation pass after each epoch."
    )
    long_documents: Literal["windows", "truncate"] = option(
        "windows",
        "Documents over --max_seq_length: `windows` reads them in overlapping parts; `truncate` cuts their end off.",
    )
    loss: Literal["softmax", "bce", "adaptive_threshold", "pu_bce", "pu_ranking"] = option(
        "softmax", "Classification loss; `bce` is the paper's; `pu_...` where most true facts carry no label."
    )
    label_prior: str | None = option(
        None,
        "For --loss pu_...: how many true facts there are for each labelled one: a number (3 by default), or a JSON "
        "file of them by relation.",
    )
    na_ratio: float = option(3.0, "NA pairs drawn for each labelled pair (paper: 3).")
    num_train_epochs: float = option(5.0, "Epochs.")
    learning_rate: float = option(1e-4, "Peak learning rate.")
    head_learning_rate: float | None = option(None, "Peak learning rate of the classifier; the same by default.")
    per_device_train_batch_size: int = option(16, "Documents a batch and device.")
    save_strategy: str = option("epoch", "When to write checkpoints.")
    verdicts: str | None = option(
        None, "What people say of the labels (finecl-hf review import --verdicts): wrong ones are not trained on."
    )
    missing_labels: int = option(
        1000, "How many facts that seem to lack a label to write to missing_labels.parquet; 0 for none."
    )
    probe_share: float = option(
        0.05,
        "Self-test: so many labels for each label are wrong on purpose, to see whether the scores find them; 0: none.",
    )
    report: bool = option(True, "Write report.html and report.md, which quote documents.")
    push_report: bool = option(
        False, "With --push_to_hub: push what quotes documents, too: the reports, and the names of entities."
    )
    score: str = option(RECOMMENDED, "What the report and --write_clean trust labels by; docs/denoising.md lists all.")
    write_clean: str | None = option(None, "Write the corpus without its least trusted labels, in DocRED's layout.")
    clean_share: float | None = option(
        None, "Share of the labels that --write_clean keeps; by default as many as the noise estimate calls right."
    )
    clean_threshold: float | None = option(None, "Keep the labels whose score is as high; instead of a share.")

    def __post_init__(self):
        check_range(self, "num_train_epochs", 0.001)
        check_range(self, "clean_share clean_threshold", 0, 1)
        check_range(self, "probe_share", 0, 0.5)
        check_weight_by(self.score)
        if self.clean_share == 0 or self.write_clean == "":
            raise FineCLError("--write_clean needs the name of a file, and --clean_share a number above 0.")
        if self.clean_share is not None and self.clean_threshold is not None:
            raise FineCLError("--clean_share and --clean_threshold exclude each other; give one of them.")
        if self.write_clean is None and (self.clean_share, self.clean_threshold) != (None, None):
            raise FineCLError("--clean_share and --clean_threshold need --write_clean; name the file to write.")
        check_range(self, "na_ratio", 0, 1e6)
        if self.label_prior == FROM_VALIDATION:
            raise FineCLError("--label_prior validation is for run_finetune.py; give a number or a JSON file here.")
        check_label_prior(self.loss, self.label_prior, na_ratio=self.na_ratio)
        check_range(self, "missing_labels", 0, 10_000_000)
        check_range(self, "head_learning_rate", 0)
        super().__post_init__()
