"""A run's losses and scores as a short table, for its model card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from finecl_hf.cards.markdown import number, text


MAX_ROWS = 20
# Scores that a card shows. Evidence F1 is none of them: the models predict no evidence.
METRIC_NAMES = {
    "f1": "F1",
    "ign_f1": "Ign F1",
    "macro_f1": "Macro F1",
    "micro_f1": "Micro F1",
    "precision": "Precision",
    "recall": "Recall",
    "intra_f1": "Intra-sentence F1",
    "inter_f1": "Inter-sentence F1",
    "accuracy": "Accuracy",
    "co_occurrence_fpr": "Co-occurrence FPR",
    "ece": "Expected calibration error",
}


@dataclass
class TrainingLog:
    """The table of a run's losses and scores. `total` counts the rows before they were thinned."""

    header: list[str]
    rows: list[list[str]]
    total: int


def training_log(log_history: list[dict[str, Any]], max_rows: int = MAX_ROWS) -> TrainingLog:
    """Condenses `trainer.state.log_history`.

    One row for each evaluation, with the training losses logged last before it; without any evaluation one row for
    each log entry. Of more than `max_rows` rows, evenly spaced ones stay, the first and the last among them.
    """
    trained, evaluated, latest = {}, {}, {}
    for entry in log_history:
        if "train_runtime" in entry:  # the summary of the whole run
            continue
        scores = {name: value for name, value in entry.items() if _is_score(name, value)}
        place = {name: entry[name] for name in ("epoch", "step") if name in entry}
        key = entry.get("step", len(trained))
        if any(name.startswith("eval_") for name in scores):
            evaluated[key] = {**latest, **evaluated.get(key, {}), **scores, **place}
        elif scores:
            latest = scores
            trained[key] = {**scores, **place}
    rows = list((evaluated or trained).values())
    columns = sorted(dict.fromkeys(name for row in rows for name in row), key=_column_rank)
    kept = [[_log_cell(name, row.get(name)) for name in columns] for row in _thin(rows, max_rows)]
    return TrainingLog([_column_title(name) for name in columns], kept, len(rows))


def _is_score(name: str, value: Any) -> bool:
    noise = name in ("epoch", "step", "learning_rate", "grad_norm", "total_flos", "num_input_tokens_seen")
    noise = noise or name == "eval_evidence_f1"  # no model predicts evidence
    noise = noise or name.endswith(("_runtime", "_per_second", "_time", "_epoch", "_step"))
    return not noise and isinstance(value, (int, float)) and not isinstance(value, bool)


def _column_rank(name: str) -> tuple[int, int, str]:
    """Epoch, step, training losses, then evaluations; in whatever order the log has them: a file of it is sorted."""
    if name in ("epoch", "step", "loss"):
        return ("epoch", "step", "loss").index(name), 0, name
    metric = name.removeprefix("eval_")
    known = ["loss", *METRIC_NAMES, "threshold"]
    return 4 if name != metric else 3, known.index(metric) if metric in known else len(known), name


def _log_cell(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if name == "epoch" else number(value)


def _column_title(name: str) -> str:
    titles = {
        "epoch": "Epoch",
        "step": "Step",
        "loss": "Training loss",
        "eval_loss": "Validation loss",
        "eval_threshold": "Threshold",
    }
    name_of_metric = name.removeprefix("eval_")
    return titles.get(name) or METRIC_NAMES.get(name_of_metric) or text(name_of_metric)


def _thin(rows: list, count: int) -> list:
    if len(rows) <= count:
        return rows
    return [rows[round(place * (len(rows) - 1) / (count - 1))] for place in range(count)]
