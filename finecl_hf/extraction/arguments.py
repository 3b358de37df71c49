"""Command-line arguments of stage 3."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from finecl_hf.data.json_stream import read_json
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.label_priors import check_label_prior
from finecl_hf.training.arguments import FineCLTrainingArguments, check_range, option


logger = logging.getLogger(__name__)


@dataclass
class EvaluationArguments:
    """Documents to choose the threshold on, and documents to predict."""

    validation_file: str | None = option(
        None,
        "Gold documents to fit the threshold on, and to choose the checkpoint with the best F1 on, see "
        "--eval_strategy.",
    )
    test_file: str | None = option(None, "Documents to predict; scored where they have labels.")
    max_eval_samples: int | None = option(None, "Use the first so many validation documents.")
    max_predict_samples: int | None = option(None, "Use the first so many test documents.")

    def __post_init__(self):
        check_range(self, "max_eval_samples max_predict_samples", 1)


# What is taken where nothing was said, by task; for documents chosen on held-out training data, see docs/results.md.
# Learning rates are for encoders of BERT-base's width; see [`width_factor`].
DEFAULTS = {
    "document": {"num_train_epochs": 30.0, "learning_rate": 5e-5, "head_learning_rate": 2.5e-4},
    "sentence": {"num_train_epochs": 10.0, "learning_rate": 2.5e-5, "head_learning_rate": 2.5e-4},
}
# Of an optimiser, where epochs are not given: in 30 epochs, five documents hardly make 60 (docs/evidence.md)
MIN_STEPS = {"document": 300, "sentence": 150}
DEFAULT_HEAD = {"document": "context", "sentence": "sentence"}
MIXED_LAYERS = {"context": 4, "evidence": 4}  # by head; others read the last layer
LORA_LEARNING_RATE = 1e-3
ERRORS = {"co_occurrence_fpr", "ece"}  # figures of evaluation that are better the lower they are


def lower_is_better(metric: str) -> bool:
    """Whether a figure of evaluation, with or without `eval_`, is an error."""
    return metric.endswith("loss") or metric.removeprefix("eval_") in ERRORS


def width_factor(hidden_size: int | None) -> float:
    """What default learning rates are multiplied by: small encoders need larger ones, up to four times BERT-base's."""
    return min(4.0, (768 / hidden_size) ** 2) if hidden_size else 1.0


@dataclass
class FinetuneArguments(FineCLTrainingArguments):
    """Stage 3. Defaults other than [`FineCLTrainingArguments`]': num_train_epochs=None, learning_rate=None; they mean
    [`DEFAULTS`] of the task, and with use_lora `LORA_LEARNING_RATE`. eval_strategy=None, save_strategy=None,
    load_best_model_at_end=None: run_finetune.py keeps the checkpoint that is best on the validation file, see
    `choose_best_checkpoint`."""

    only_trains: ClassVar[bool] = False
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {  # documents; the classifier, its loss and its optimiser are stage 1's
            "head": "bilinear",
            "loss": "bce",
            "na_ratio": 3.0,
            "num_train_epochs": 200,
            "learning_rate": 4e-5,
            "head_learning_rate": 4e-5,
            "per_device_train_batch_size": 32,
            "warmup_steps": 0.1,
            "max_grad_norm": 0.1,
        },
    }

    preset: Literal["default", "paper"] = option(
        "default",
        "`paper`: the published recipe; with binary cross-entropy, 3 NA pairs a labelled pair, and for 200 epochs, or "
        "400 with a --train_fraction below 1. With --task sentence that of the released code for sentences.",
    )

    task: Literal["document", "sentence"] | None = option(
        None, "`document`, the default: any relations a pair; `sentence`: one label. A relation model keeps its own."
    )
    head: str | None = option(
        None,
        "Classifier of entity pairs: for documents `context`, the default, `evidence`, `atlop` or `bilinear`, the "
        "paper's; for sentences `sentence`, the default, or `linear`, the paper's. A relation model keeps its own.",
    )
    loss: Literal["bce", "softmax", "adaptive_threshold", "pu_bce", "pu_ranking"] | None = option(
        None,
        "Classification loss: adaptive_threshold for documents, softmax for sentences; `bce` is the paper's; `pu_bce` "
        "(or SSR-PU's `pu_ranking`) learns from documents most of whose true facts carry no label. A relation model "
        "keeps its own.",
    )
    label_prior: str | None = option(
        None,
        "For --loss pu_...: how many true facts there are for each labelled one: a number (3 by default), a JSON file "
        "of them by relation, or `validation`: as --validation_file has it, where each true fact must be labelled.",
    )
    long_documents: Literal["windows", "truncate"] | None = option(
        None,
        "Documents over --max_seq_length: `windows`, the default, reads them in overlapping parts; `truncate` cuts "
        "their end off.",
    )
    mixed_layers: int | None = option(
        None,
        "Read the weighted mean of so many of the encoder's last layers, with weights that are learned; 4 by default "
        "for the heads context and evidence, else 1.",
    )
    head_dropout: float = option(0.1, "Dropout of the classifier; `bilinear`, `atlop` and `prototypes` have none.")
    na_ratio: float | None = option(
        None, "NA pairs drawn for each labelled pair in training (paper: 3); all by default."
    )
    na_sampling: Literal["uniform", "hard"] = option(
        "uniform",
        "How --na_ratio draws NA pairs: `hard` draws two thirds among those that could be mistaken for facts: their "
        "types are those of a fact of training, and they stand in the same sentence or the next.",
    )
    type_constraints: str | None = option(
        None,
        "Which types of head and tail a relation allows in documents: `learned` from the training documents, the "
        "default of a new classifier, `none`, or a JSON file {relation: [[head type, tail type], ...]}. A relation "
        "model keeps its own.",
    )
    relation_thresholds: bool = option(
        False, "Fit thresholds of single relations, too, where --validation_file has 30 facts of them."
    )
    reversed_pairs: bool = option(
        True,
        "Train also on each sentence that has a relation with head and tail exchanged, as one without any, so that "
        "the model finds the direction in raw text. Relations that the file gives in both directions, and labels that "
        "name theirs, `(e1,e2)`, are left out.",
    )
    train_fraction: float = option(
        1.0, "Share of the training documents to use; drawn so that no relation is lost where it can be helped."
    )
    seeds: str | None = option(
        None,
        "Train once with each of these seeds (1,2,3,4,5), in seed-1, seed-2, ... of --output_dir, and report the "
        "mean and the standard deviation.",
    )
    use_lora: bool = option(False, "Train low-rank adapters and the head only.")
    lora_r: int = option(16, "Rank of the adapters.")
    lora_alpha: int = option(32, "Scale of the adapters.")
    lora_dropout: float = option(0.05, "Dropout of the adapters.")
    use_dora: bool = option(False, "Adapters with weights taken apart into size and direction (DoRA).")
    use_rslora: bool = option(False, "Scale adapters by the square root of their rank (rsLoRA).")
    lora_config: str | None = option(
        None, "More options of peft's LoraConfig, as JSON or a file of it; they count more than the flags above."
    )
    num_train_epochs: float | None = option(
        None, "Epochs: 30 for documents, 10 for sentences, and more where those would make less than 300 or 150 steps."
    )
    learning_rate: float | None = option(
        None,
        "Peak learning rate: 5e-5 for documents, 2.5e-5 for sentences, up to four times that for encoders narrower "
        "than BERT-base; with --use_lora 1e-3.",
    )
    head_learning_rate: float | None = option(
        None, "Peak learning rate of the classifier: 2.5e-4, adapted in the same way."
    )
    # None is "not given", until __post_init__
    eval_strategy: str | None = option(
        None, "When to evaluate on --validation_file; by default as often as checkpoints are written."
    )
    save_strategy: str | None = option(
        None,
        "When to write checkpoints; by default each epoch where there is a --validation_file, else each --save_steps.",
    )
    load_best_model_at_end: bool = option(
        None, "End with the checkpoint that is best on --validation_file; the default where there is one."
    )

    @classmethod
    def preset_values(cls, preset: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
        """The published recipe takes longer over a part of the training data, and is another one for sentences."""
        values = super().preset_values(preset, given)
        if preset != "paper":
            return values
        try:
            fraction = float(given.get("train_fraction") or 1.0)
        except ValueError:  # the parser says so
            fraction = 1.0
        if given.get("task") == "sentence":
            epochs = 8 if fraction == 1 else 20 if fraction >= 0.1 else 50
            return {**SENTENCE_RECIPE, "num_train_epochs": epochs}
        return {**values, "num_train_epochs": values["num_train_epochs"] if fraction == 1 else 400}

    def __post_init__(self):
        # What was asked for, before the Trainer's own defaults; None in what `choose_best_checkpoint` settles
        self.asked_strategies = self.eval_strategy, self.save_strategy, self.load_best_model_at_end
        evaluate, save, best = self.asked_strategies
        if best:  # evaluation and checkpoints have to go together
            evaluate = evaluate or ("epoch" if save in (None, "best") else save)
            save = save or evaluate
        self.eval_strategy, self.save_strategy, self.load_best_model_at_end = (
            evaluate or "no",
            save or "steps",
            bool(best),
        )
        seed_list(self.seeds)
        check_range(self, "na_ratio head_learning_rate", 0, 1e6)
        if self.na_sampling == "hard" and self.na_ratio is None:
            raise FineCLError("--na_sampling hard is about which NA pairs are drawn; say how many with --na_ratio.")
        check_range(self, "lora_r mixed_layers", 1)
        check_range(self, "lora_alpha", 0)
        check_range(self, "lora_dropout head_dropout", 0, 0.999)
        self.lora_options()  # what is wrong with them is said before any work is done
        if self.load_best_model_at_end and self.metric_for_best_model is None:
            self.metric_for_best_model = "f1"
        if self.metric_for_best_model and self.greater_is_better is None:
            self.greater_is_better = not lower_is_better(self.metric_for_best_model)
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
            except FineCLError:
                raise
            except ValueError as error:
                raise FineCLError(f"--lora_config {self.lora_config}: this is no JSON ({error}).") from error
            if not isinstance(more, dict):
                raise FineCLError(f"--lora_config {self.lora_config}: expected an object of option: value.")
        if not self.use_lora and (more or self.use_dora or self.use_rslora):
            raise FineCLError("--use_dora, --use_rslora and --lora_config are about adapters; add --use_lora.")
        flags = {name: True for name in ("use_dora", "use_rslora") if getattr(self, name)}
        return {"r": self.lora_r, "alpha": self.lora_alpha, "dropout": self.lora_dropout} | flags | more

    def complete(self, relation_model: FineCLConfig | None, hidden_size: int | None = None) -> None:
        """Settles what was not given: as the relation model has it that goes on, or the defaults.

        Args:
            hidden_size: of the encoder.
        """
        before = relation_model or FineCLConfig()
        self.task = self.task or before.task
        self._take_defaults(self.task, width_factor(hidden_size))
        if self.head is None and relation_model is not None and relation_model.task == self.task:
            self.head = relation_model.head
        self.head = self.head or DEFAULT_HEAD[self.task]
        if self.mixed_layers is None and relation_model is not None and relation_model.head == self.head:
            self.mixed_layers = relation_model.mixed_layers
        self.mixed_layers = self.mixed_layers or MIXED_LAYERS.get(self.head, 1)
        self.long_documents = self.long_documents or before.long_documents
        if self.task == "sentence" and (self.relation_thresholds or self.type_constraints not in (None, "none")):
            raise FineCLError("--type_constraints and --relation_thresholds are about documents; leave them away.")
        if self.loss is None and relation_model is not None and relation_model.task == self.task:
            self.loss = relation_model.loss
        self.loss = self.loss or ("softmax" if self.task == "sentence" else "adaptive_threshold")
        check_label_prior(self.loss, self.label_prior, self.task, self.na_ratio, self.na_sampling)

    def train_long_enough(self, rows: int) -> None:
        """Where no epochs were given, takes more than the default if these made fewer steps than [`MIN_STEPS`].

        Args:
            rows: how many documents or sentences are trained on.
        """
        if "num_train_epochs" not in self._by_task or self.max_steps > 0:
            return
        rows_a_step = self.train_batch_size * self.gradient_accumulation_steps * self.world_size
        epochs = math.ceil(MIN_STEPS[self.task] / math.ceil(max(rows, 1) / rows_a_step))
        if epochs > self.num_train_epochs:
            why = "%d epochs in place of %g: %s rows would make fewer than %d steps; --num_train_epochs decides."
            logger.info(why, epochs, self.num_train_epochs, f"{rows:,}", MIN_STEPS[self.task])
            self.num_train_epochs = float(epochs)

    def _take_defaults(self, task: str, factor: float = 1.0) -> None:
        """Fills in what was not given."""
        for name in self._by_task:
            setattr(self, name, DEFAULTS[task][name] * (factor if "rate" in name else 1))
        if self.use_lora and "learning_rate" in self._by_task:
            self.learning_rate = LORA_LEARNING_RATE


SENTENCE_RECIPE = {  # of the released code, for SemEval-2010 Task 8
    "head": "linear",
    "entity_markers": "punct",
    "reversed_pairs": False,
    "loss": "softmax",
    "learning_rate": 1e-5,
    "head_learning_rate": 1e-5,
    "weight_decay": 1e-5,
    "warmup_steps": 500,
    "per_device_train_batch_size": 2,
    "max_grad_norm": 1.0,
}


def seed_list(seeds: str | None) -> list[int]:
    """The seeds of `--seeds`; none where it is not given or empty.

    Raises:
        FineCLError: they are no numbers, or one is there twice.
    """
    words = [word.strip() for word in str(seeds).split(",")] if seeds else []
    if not all(word.isdecimal() and int(word) < 2**32 for word in words) or len(set(map(int, words))) < len(words):
        raise FineCLError(f"--seeds {seeds}: give different whole numbers from 0, with commas between: 1,2,3.")
    return [int(word) for word in words]


def what_to_do(
    do_train: bool | None, do_eval: bool | None, do_predict: bool | None
) -> tuple[bool, bool | None, bool | None]:
    """Whether to train, evaluate and predict; None for the latter two: where there is a file.

    As in transformers' examples, who asks for one gets that one. Evaluation and prediction also follow a training.
    """
    train = do_train if do_train is not None else not (do_eval or do_predict)
    default = None if train or not (do_eval or do_predict) else False
    return train, default if do_eval is None else do_eval, default if do_predict is None else do_predict
