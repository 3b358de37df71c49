"""Command-line arguments of stage 3."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from finecl_hf.data.json_stream import read_json
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.configuration import FineCLConfig
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


# What is taken where nothing was said, by task: chosen on held-out training data, see docs/results.md
DEFAULTS = {
    "document": {"num_train_epochs": 30.0, "learning_rate": 5e-5, "head_learning_rate": None},
    "sentence": {"num_train_epochs": 5.0, "learning_rate": 1e-4, "head_learning_rate": 1e-3},
}
LORA_LEARNING_RATE = 1e-3


@dataclass
class FinetuneArguments(FineCLTrainingArguments):
    """Stage 3. Defaults other than the above: num_train_epochs=None, learning_rate=None; they mean [`DEFAULTS`] of the
    task, and with use_lora `LORA_LEARNING_RATE`."""

    only_trains: ClassVar[bool] = False

    task: Literal["document", "sentence"] | None = option(
        None, "`document`, the default: any relations a pair; `sentence`: one label. A relation model keeps its own."
    )
    head: str | None = option(
        None,
        "Classifier of entity pairs: for documents `bilinear`, the default and the paper's, `atlop` or `context`; for "
        "sentences `sentence`, the default, or `linear`, the paper's.",
    )
    loss: Literal["bce", "softmax", "adaptive_threshold"] | None = option(
        None,
        "Classification loss: adaptive_threshold for documents, softmax for sentences; `bce` is the paper's. A "
        "relation model keeps its own.",
    )
    long_documents: Literal["windows", "truncate"] | None = option(
        None,
        "Documents over --max_seq_length: `windows`, the default, reads them in overlapping parts; `truncate` cuts "
        "their end off.",
    )
    na_ratio: float | None = option(
        None, "NA pairs drawn for each labelled pair in training (paper: 3); all by default."
    )
    train_fraction: float = option(1.0, "Share of the training documents to use.")
    use_lora: bool = option(False, "Train low-rank adapters and the head only.")
    lora_r: int = option(16, "Rank of the adapters.")
    lora_alpha: int = option(32, "Scale of the adapters.")
    lora_dropout: float = option(0.05, "Dropout of the adapters.")
    use_dora: bool = option(False, "Adapters with weights taken apart into size and direction (DoRA).")
    use_rslora: bool = option(False, "Scale adapters by the square root of their rank (rsLoRA).")
    lora_config: str | None = option(
        None, "More options of peft's LoraConfig, as JSON or a file of it; they count more than the flags above."
    )
    num_train_epochs: float | None = option(None, "Epochs: 30 for documents, 5 for sentences.")
    learning_rate: float | None = option(
        None, "Peak learning rate: 5e-5 for documents, 1e-4 for sentences; with --use_lora 1e-3."
    )
    head_learning_rate: float | None = option(
        None, "Peak learning rate of the classifier: the same for documents, 1e-3 for sentences."
    )

    def __post_init__(self):
        check_range(self, "na_ratio head_learning_rate", 0, 1e6)
        check_range(self, "lora_r", 1)
        check_range(self, "lora_alpha", 0)
        check_range(self, "lora_dropout", 0, 0.999)
        self.lora_options()  # what is wrong with them is said before any work is done
        if self.load_best_model_at_end and self.metric_for_best_model is None:
            self.metric_for_best_model = "f1"
        self._by_task = [name for name in DEFAULTS["document"] if getattr(self, name) is None]
        self._take_defaults(self.task or "document")
        asked = {name: getattr(self, name) for name in ("do_train", "do_eval", "do_predict")}
        super().__post_init__()
        self.do_train, self.do_eval, self.do_predict = what_to_do(**asked)

    def lora_options(self) -> dict[str, Any]:
        """Arguments of [`~finecl_hf.extraction.adapters.add_adapters`].

        Raises:
            FineCLError: `--lora_config` is no object in JSON; or options of adapters without `--use_lora`.
        """
        more = {}
        if self.lora_config:
            is_text = self.lora_config.lstrip().startswith("{")
            try:
                more = json.loads(self.lora_config) if is_text else read_json(self.lora_config, "--lora_config")
            except ValueError as error:
                raise FineCLError(f"--lora_config {self.lora_config}: this is no JSON ({error}).") from error
            if not isinstance(more, dict):
                raise FineCLError(f"--lora_config {self.lora_config}: expected an object of option: value.")
        if not self.use_lora and (more or self.use_dora or self.use_rslora):
            raise FineCLError("--use_dora, --use_rslora and --lora_config are about adapters; add --use_lora.")
        flags = {name: True for name in ("use_dora", "use_rslora") if getattr(self, name)}
        return {"r": self.lora_r, "alpha": self.lora_alpha, "dropout": self.lora_dropout} | flags | more

    def complete(self, relation_model: FineCLConfig | None) -> None:
        """Settles what was not given: as the relation model has it that goes on, or the defaults."""
        before = relation_model or FineCLConfig()
        self.task = self.task or before.task
        self._take_defaults(self.task)
        if self.head is None and relation_model is not None and relation_model.task == self.task:
            self.head = relation_model.head
        self.head = self.head or ("sentence" if self.task == "sentence" else before.head)
        self.long_documents = self.long_documents or before.long_documents
        if self.loss is None and relation_model is not None and relation_model.task == self.task:
            self.loss = relation_model.loss
        self.loss = self.loss or ("softmax" if self.task == "sentence" else "adaptive_threshold")

    def _take_defaults(self, task: str) -> None:
        """Fills in what was not given."""
        for name in self._by_task:
            setattr(self, name, DEFAULTS[task][name])
        if self.use_lora and "learning_rate" in self._by_task:
            self.learning_rate = LORA_LEARNING_RATE


def what_to_do(
    do_train: bool | None, do_eval: bool | None, do_predict: bool | None
) -> tuple[bool, bool | None, bool | None]:
    """Whether to train, evaluate and predict; None for the latter two: where there is a file.

    As in transformers' examples, who asks for one gets that one. Evaluation and prediction also follow a training.
    """
    train = do_train if do_train is not None else not (do_eval or do_predict)
    default = None if train or not (do_eval or do_predict) else False
    return train, default if do_eval is None else do_eval, default if do_predict is None else do_predict
