"""Model cards that say what is known of a model and leave out what is not.

A trainer gathers facts in a [`FineCLCardData`] and writes the card with `render_model_card(data).save(path)`. The
prose is in the Jinja templates of `model_cards/`, one for each kind of model; they share `_card.md`.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
import shlex
from collections.abc import Iterable
from dataclasses import MISSING, dataclass, field, fields, replace
from enum import Enum
from importlib import metadata, resources
from pathlib import Path
from typing import Any, Literal

import jinja2
import numpy as np
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from finecl_hf import __version__
from finecl_hf.cards.markdown import FILTERS, code, link, number, text
from finecl_hf.cards.private_paths import command_without_folders, last_part, line_without_folders, without_folders
from finecl_hf.cards.templates import templates_in
from finecl_hf.cards.training_log import METRIC_NAMES, training_log


TASK_TYPE = "relation-extraction"
SHOWN_RELATIONS = 40
PACKAGES = ("transformers", "torch", "datasets", "tokenizers", "accelerate", "peft", "huggingface_hub")
# Arguments that say where a run wrote or how it looked, not what it computed.
BOOKKEEPING = {
    "output_dir",
    "run_name",
    "report_to",
    "disable_tqdm",
    "do_train",
    "do_eval",
    "do_predict",
    "greater_is_better",
    "debug",
    "accelerator_config",
    "activation_checkpointing",
    "gradient_checkpointing",
    "push_to_hub",
    "hub_model_id",
    "hub_strategy",
    "hub_private_repo",
    "logging_dir",
    "logging_strategy",
    "logging_steps",
    "save_strategy",
    "save_steps",
    "save_total_limit",
    "seeds",
}
SECRETS = {"token", "hub_token", "push_to_hub_token"}


@dataclass(frozen=True)
class _Kind:
    library_name: str
    tags: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)


KINDS = {
    "encoder": _Kind("transformers", ("contrastive-learning",), {"pipeline_tag": "fill-mask"}),
    "relation_model": _Kind("finecl_hf"),
    "lora_adapter": _Kind("peft", ("lora",), {"base_model_relation": "adapter"}),
}


ONNX_NOTE = """> **ONNX export** ({onnx}) of the model described below, for inference with onnxruntime on CPUs:
> `model.onnx` holds the encoder. `{loader}` of finecl_hf loads this folder; `AutoModel` does not.
"""


@dataclass
class TrainingData:
    """One corpus that a model was trained on.

    Args:
        name: a Hub id, or the name of a file.
        split: such as "train".
        documents: how many.
        facts: how many (document, head, relation, tail) facts.
        relations: how many different ones.
        on_hub: True if `name` is a Hub id; the card's metadata lists it then.
    """

    name: str
    split: str | None = None
    documents: int | None = None
    facts: int | None = None
    relations: int | None = None
    on_hub: bool = False


@dataclass
class FineCLCardData:
    """What the card of one model is made of. Whatever is None or empty leaves no trace in the card.

    Args:
        kind: "encoder" (stage 2), "relation_model" or "lora_adapter" (stage 3).
        model_name: heading of the card and name of the model in its metadata.
        repo: Hub id or folder for the loading examples; `model_name` unless given.
        language: ISO code or codes of the texts.
        license: id of a licence as the Hub spells it.
        tags: further ones; those of FineCL and of the kind are always there.
        base_model: the encoder that training started from: a Hub id or a folder.
        datasets: the training data.
        relations: name of each relation that the model knows, by id.
        loss: what was minimised.
        task: "document" or "sentence".
        head: the classification head.
        silver_labels: True for stage 1's relation model, which learned from distantly supervised labels.
        self_test: what stage 1 found of labels that were wrong on purpose, in words.
        threshold: score from which a relation is predicted, where it was chosen on validation data.
        train_fraction: share of the training data that was used, from 0 to 1.
        learning_order: name of the file, or id of the dataset on the Hub, with its revision where one was named.
        learning_order_coverage: share of the training facts that it holds, from 0 to 1.
        weight_scheme: how a fact's weight follows from its place in the learning order.
        weight_by: the dynamic that the weights are made from.
        loss_weights: of stage 2's three losses, `rd`, `ed` and `mlm`; those with weight 0 were not trained on.
        blank_share: of the entities whose names were masked where relations are told apart.
        drop_share: of the labels that were left out as the least trusted ones.
        truncated_mentions: mentions of the training data beyond the encoder's reach.
        total_mentions: mentions of the training data.
        eval_results: scores, as `evaluation_results` makes them.
        log_history: `trainer.state.log_history`.
        hyperparameters: those that matter.
        non_default_hyperparameters: those that were set for this run, as `changed_arguments` finds them.
        seed: of the run.
        command: the command line, as one string or in words. Access tokens are left out.
        hardware: such as "1 NVIDIA H100".
        training_time: in seconds.
        co2_grams: emissions of the training in grams of CO2 equivalents, where codecarbon measured them.
        onnx: of an ONNX export of the model, `float32` or `int8`.
        base_model_id: the base model's Hub id; told from `base_model` unless given.
        versions: of the software, by name.
    """

    # The user's
    kind: Literal["encoder", "relation_model", "lora_adapter"]
    model_name: str
    repo: str | None = None
    language: str | list[str] | None = None
    license: str | None = None
    tags: list[str] = field(default_factory=list)

    # The trainer's: the model
    base_model: str | None = None
    datasets: list[TrainingData] = field(default_factory=list)
    relations: dict[str, str] = field(default_factory=dict)
    loss: str | None = None
    task: str | None = None
    head: str | None = None
    silver_labels: bool = False
    self_test: str | None = None
    threshold: float | None = None
    train_fraction: float | None = None
    learning_order: str | None = None
    learning_order_coverage: float | None = None
    weight_scheme: str | None = None
    weight_by: str | None = None
    loss_weights: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("rd", "ed", "mlm"), 1.0))
    blank_share: float = 0.0
    drop_share: float = 0.0
    truncated_mentions: int | None = None
    total_mentions: int | None = None

    # The trainer's: the run
    eval_results: list[EvalResult] = field(default_factory=list)
    log_history: list[dict[str, Any]] = field(default_factory=list)
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    non_default_hyperparameters: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    command: str | list[str] | None = None
    hardware: str | None = None
    training_time: float | None = None
    co2_grams: float | None = None

    # The export's
    onnx: Literal["float32", "int8"] | None = None

    # Computed
    base_model_id: str | None = None
    versions: dict[str, str] = field(default_factory=lambda: frameworks())

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {self.kind!r}")
        self.repo = self.repo or self.model_name
        self.base_model_id = self.base_model_id or hub_id(self.base_model)

    def metadata(self) -> ModelCardData:
        """The card's YAML block. Only what the Hub can resolve or filter by goes there."""
        kind = KINDS[self.kind] if self.onnx is None else _Kind("finecl_hf", (*KINDS[self.kind].tags, "onnx"))
        return ModelCardData(
            model_name=self.model_name,
            language=self.language,
            license=self.license,
            library_name=kind.library_name,
            tags=["finecl", TASK_TYPE, *kind.tags, *self.tags],
            base_model=self.base_model_id,
            datasets=_unique(_datasets_on_hub(self)) or None,
            metrics=_unique(result.metric_type for result in self.eval_results) or None,
            eval_results=[plain_result(result) for result in self.eval_results] or None,
            co2_eq_emissions=_emissions(self),
            **kind.metadata,
        )


def render_model_card(data: FineCLCardData) -> ModelCard:
    """Fills the template of `data.kind`. Reads nothing but the templates, and no network.

    Returns:
        a card whose `data.eval_results` are those that went in; `save(path)` writes it.
    """
    names = list(data.relations.items())
    body = (
        _environment()
        .get_template(f"{data.kind}.md")
        .render(
            model=data,
            base_model=_base_model(data),
            base_folder=base_folder(data),
            onnx_note=onnx_note(data.kind, data.onnx),
            results=_result_rows(data.eval_results),
            corpora=_corpus_rows(data.datasets),
            log=training_log(data.log_history),
            relations=[[code(relation), text(name or "")] for relation, name in names[:SHOWN_RELATIONS]],
            hidden_relations=max(0, len(names) - SHOWN_RELATIONS),
            changed=_argument_rows(data.non_default_hyperparameters),
            unchanged=_argument_rows(data.hyperparameters, leave_out=data.non_default_hyperparameters),
            command=command_line(data.command),
            versions=[[name, code(version)] for name, version in data.versions.items()],
        )
    )
    body = re.sub(r"\n{3,}", "\n\n", body).strip()  # sections that were left out leave blank lines
    return ModelCard(f"---\n{data.metadata().to_yaml()}\n---\n\n{body}\n")


# Gathering facts
def frameworks() -> dict[str, str]:
    """Versions of Python, of this library and of the installed packages that a run depends on."""
    versions = {"Python": platform.python_version(), "finecl_hf": __version__}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def hub_id(name: str | None) -> str | None:
    """`name` if it can be a repository on the Hub: spelt like one, and no file or folder here. Asks no server."""
    if not name or Path(name).exists():
        return None
    try:
        validate_repo_id(name)
    except HFValidationError:
        return None
    return name


def onnx_note(kind: str, onnx: str | None) -> str:
    """What the card of an ONNX export says first, in Markdown; empty for any other model."""
    loader = "RelationEmbedder" if kind == "encoder" else "RelationExtractionPipeline"
    return ONNX_NOTE.format(onnx=onnx, loader=loader) if onnx else ""


def base_folder(data: FineCLCardData) -> str | None:
    """The last part of a base model's path, whether or not it still lies there; None where it is on the Hub."""
    if data.base_model_id or not data.base_model:
        return None
    return last_part(os.path.abspath(data.base_model))


def evaluation_results(
    metrics: dict[str, float], dataset: str, split: str, dataset_id: str | None = None
) -> list[EvalResult]:
    """Turns what `trainer.evaluate()` or a scorer returns into the card's results.

    Args:
        metrics: scores by name, with or without `eval_` or `test_` before it. Those not in `METRIC_NAMES` (runtimes,
            losses) and those that are not finite are left out.
        dataset: name to show.
        split: such as "validation".
        dataset_id: the dataset's Hub id, where it has one.
    """
    results = []
    for key, value in metrics.items():
        metric = re.sub(r"^(eval|test|predict)_", "", key)
        if metric in METRIC_NAMES and math.isfinite(value):
            result = EvalResult(
                task_type=TASK_TYPE,
                task_name="Relation Extraction",
                dataset_type=dataset_id or dataset,
                dataset_name=dataset,
                dataset_split=split,
                metric_type=metric,
                metric_name=METRIC_NAMES[metric],
                metric_value=float(value),
            )
            results.append(result)
    return results


def changed_arguments(*arguments: Any) -> dict[str, Any]:
    """Those fields of argument dataclasses (`TrainingArguments` and the like) that differ from their defaults.

    Access tokens, unset fields and `BOOKKEEPING` are left out.
    """
    changed = {}
    for group in arguments:
        for argument in fields(group):
            value = getattr(group, argument.name)
            default = argument.default if argument.default_factory is MISSING else argument.default_factory()
            hidden = argument.name in BOOKKEEPING | SECRETS
            if not hidden and value is not None and value != default:
                changed[argument.name] = value
    return changed


def _datasets_on_hub(data: FineCLCardData) -> list[str]:
    """Ids of what a model learned from."""
    order = (data.learning_order or "").partition("@")[0]  # a file's name has no folder here
    return [*(corpus.name for corpus in data.datasets if corpus.on_hub), *([order] if "/" in order else [])]


def _emissions(data: FineCLCardData) -> dict[str, Any] | None:
    """As the Hub knows them; where the machine stands is left out."""
    if data.co2_grams is None:
        return None
    training = "pre-training" if data.kind == "encoder" else "fine-tuning"
    return {"emissions": data.co2_grams, "source": "codecarbon", "training_type": training}


# Parts of the card in Markdown; cells of tables are Markdown already
def _base_model(data: FineCLCardData) -> str:
    if data.base_model_id:
        return link(data.base_model_id, data.base_model_id)
    return code(base_folder(data) or "")


def _result_rows(results: list[EvalResult]) -> list[list[str]]:
    return [
        [
            text(result.dataset_name),
            text(result.dataset_split or ""),
            text(result.metric_name or result.metric_type),
            text(number(plain_value(result.metric_value))),
        ]
        for result in results
    ]


def _corpus_rows(corpora: list[TrainingData]) -> list[list[str]]:
    rows = []
    for corpus in corpora:
        name = link(corpus.name, f"datasets/{corpus.name}") if corpus.on_hub else code(corpus.name)
        counts = (corpus.documents, corpus.facts, corpus.relations)
        rows.append([name, text(corpus.split or ""), *("" if count is None else f"{count:,}" for count in counts)])
    return rows


def _argument_rows(arguments: dict[str, Any], leave_out: Iterable[str] = ()) -> list[list[str]]:
    return [
        [code(name), code(_argument(value))]
        for name, value in arguments.items()
        if value is not None and name not in {*leave_out, *SECRETS}
    ]


def _argument(value: Any) -> str:
    value = without_folders(plain_value(value))
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, default=str, ensure_ascii=False)
    return str(value) if value != "" else '""'


def plain_value(value: Any) -> Any:
    """A value that YAML and the templates can show."""
    if isinstance(value, np.generic):
        return value.item()
    return value.value if isinstance(value, Enum) else value  # `str` of an enum member is not its value


def plain_result(result: EvalResult) -> EvalResult:
    """A result whose value is a plain one."""
    return replace(result, metric_value=plain_value(result.metric_value))


def _unique(values: Iterable) -> list:
    return list(dict.fromkeys(values))


def command_line(command: str | list[str] | None) -> str:
    """The command as one would type it, without access tokens and folders of this machine."""
    if not command:
        return ""
    line = line_without_folders(command) if isinstance(command, str) else shlex.join(command_without_folders(command))
    line = re.sub(r"(--(?:hub|push[_-]to[_-]hub|hf)?[_-]?token[= ]\s*)\S+", r"\1$HF_TOKEN", line)
    return re.sub(r"\bhf_[A-Za-z0-9]{16,}\b", "$HF_TOKEN", line)


# Templates
def _templates():
    """The folder of the templates: packaged, or beside the package in a checkout."""
    try:
        packaged = resources.files("finecl_hf.model_cards")
    except ModuleNotFoundError:
        return Path(__file__).parents[2] / "model_cards"
    return packaged


def _environment() -> jinja2.Environment:
    environment = templates_in(_templates())
    environment.filters.update({function.__name__: function for function in FILTERS})
    return environment
