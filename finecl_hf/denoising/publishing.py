"""What stage 1 publishes: the learning order as a dataset repository of the Hub, without the documents.

A dataset holds titles, relations and figures. Names of entities and excerpts are text of the documents: they go with
it only where the report does, too.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from huggingface_hub import DatasetCardData

from finecl_hf.cards.card_file import CARD, FACTS, read_card
from finecl_hf.cards.model_card import FineCLCardData, render_model_card
from finecl_hf.cards.pushing import ARGUMENTS, QUOTING, copy_named, read_arguments
from finecl_hf.denoising.charts import plot_learning_order
from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.files import TABLE
from finecl_hf.learning_order.missing_labels import MISSING, publish_missing
from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.learning_order.trust import RECOMMENDED, unit_trust


PICTURE = "learning_order.png"
SIZES = ((1_000, "1K"), (10_000, "10K"), (100_000, "100K"), (1_000_000, "1M"), (10_000_000, "10M"),
         (100_000_000, "100M"), (1_000_000_000, "1B"))  # fmt: skip


@dataclass
class LearningOrderCard(FineCLCardData):
    """What the card of a published learning order is made of, beside the facts of the run.

    Args:
        labels: rows of the table; epochs: of the training.
        learned: (epoch, labels that were first predicted in it, their share) of each epoch, and of those never.
        missing: rows of the table of missing labels; None without one.
        named: that table has the names of the entities.
        columns: of both tables, as they lie in the dataset.
    """

    labels: int = 0
    epochs: int = 0
    learned: list[tuple[str, str, str]] = field(default_factory=list)
    missing: int | None = None
    named: bool = False
    columns: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self):
        """Nothing is left to be computed: the run has noted it."""

    def metadata(self) -> DatasetCardData:
        configs = [{"config_name": Path(TABLE).stem, "data_files": TABLE, "default": True}]
        if self.missing is not None:
            configs.append({"config_name": Path(MISSING).stem, "data_files": MISSING})
        return DatasetCardData(
            pretty_name=self.model_name,
            language=self.language,
            license=self.license,
            tags=["finecl", "relation-extraction", "learning-order", "noisy-labels", *self.tags],
            size_categories=[size_category(self.labels)],
            source_datasets=[corpus.name for corpus in self.datasets if corpus.on_hub] or None,
            configs=configs,
        )


def size_category(rows: int) -> str:
    """The Hub's name for a number of rows."""
    below = "n"
    for size, name in SIZES:
        if rows < size:
            return f"n<{name}" if below == "n" else f"{below}<n<{name}"
        below = name
    return f"n>{below}"


def stage_learning_order(output: Path, staged: Path, repo: str, quoting: bool = False) -> None:
    """Puts what is to be published of stage 1's output folder into an empty folder.

    Args:
        output: the folder of the run.
        repo: the dataset's id, for its card.
        quoting: what quotes documents goes with it: the report, and the names of entities.

    Raises:
        FineCLError: the folder has no learning order.
    """
    order = LearningOrder.read(output / TABLE)
    copy_named(output, staged, (TABLE, ARGUMENTS, *((MISSING, *QUOTING) if quoting else ())))
    if (output / MISSING).is_file() and not quoting:
        publish_missing(output / MISSING, staged / MISSING)
    plot_learning_order(order, staged / PICTURE, trust=_trust(order, read_arguments(output).get("score")))
    tables = {name: pq.ParquetFile(staged / name) for name in (TABLE, MISSING) if (staged / name).is_file()}
    facts = {
        "labels": len(order),
        "epochs": order.num_epochs,
        "learned": _learned(order),
        "self_test": str(order.self_test) if order.self_test else None,
        "missing": tables[MISSING].metadata.num_rows if MISSING in tables else None,
        "named": quoting,
        "columns": {name: table.schema_arrow.names for name, table in tables.items()},
    }
    render_model_card(LearningOrderCard(**_facts_of_the_run(output, repo) | facts)).save(staged / CARD)


def _trust(order: LearningOrder, score: str | None) -> np.ndarray | None:
    """(N,) trust in the labels by the run's score; None where the table does not give it."""
    try:
        return unit_trust(score or RECOMMENDED, order)
    except FineCLError:
        return None


def _facts_of_the_run(output: Path, repo: str) -> dict[str, Any]:
    """What the run noted for its model's card; a trainer in Python need not have noted anything."""
    own = {"kind": "learning_order", "model_name": repo.split("/")[-1], "repo": repo}
    if not (output / FACTS).is_file():
        return own
    data = read_card(output)
    return {entry.name: getattr(data, entry.name) for entry in fields(data)} | own


def _learned(order: LearningOrder) -> list[tuple[str, str, str]]:
    rows = order.learned_rows
    total = max(sum(count for _, count in rows), 1)
    return [(name, f"{count:,}", f"{count / total:.1%}") for name, count in rows]
