"""Charts of an evaluation, as SVG files."""

from __future__ import annotations

import os

import numpy as np

from finecl_hf.cards.chart_style import COLOURS, save_chart
from finecl_hf.extraction.breakdown import precision_recall
from finecl_hf.extraction.predictions import JudgedCandidates


MOST_LABELS = 40  # a matrix of more cannot be read; the others are in its table


def draw_precision_recall(curves: dict[str, JudgedCandidates], threshold: float, path: str | os.PathLike) -> None:
    """Precision over recall, a line for each split, with a dot where the model's threshold lies.

    Args:
        curves: by the name of the split; those without a gold fact have no curve.
    """

    def draw(axes):
        for (split, judged), colour in zip(curves.items(), ("good", "bad"), strict=False):
            score, precision, recall = precision_recall(judged)
            axes.plot(recall, precision, color=COLOURS[colour], label=split)
            chosen = np.flatnonzero(score > threshold)
            if len(chosen):
                axes.plot(recall[chosen[-1]], precision[chosen[-1]], "o", color=COLOURS[colour])
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
        axes.set_title(f"dot: threshold {threshold:.4g}")
        axes.grid()
        if curves:
            axes.legend(frameon=False)

    save_chart(draw, path, (4.6, 3.6))


def draw_confusion(labels: list[str], matrix: np.ndarray, path: str | os.PathLike) -> None:
    """The sentences of each gold label (a row) by the label that they were given, as shares of the row.

    Args:
        labels: (R,) the most frequent first; beyond `MOST_LABELS` they are left out.
        matrix: (R, R) counts, gold by predicted.
    """
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    count = min(len(labels), MOST_LABELS)

    def draw(axes):
        from matplotlib.colors import LinearSegmentedColormap

        colours = LinearSegmentedColormap.from_list("share", ["white", COLOURS["good"]])
        axes.imshow(shares[:count, :count], cmap=colours, vmin=0, vmax=1)
        for row, column in zip(*matrix[:count, :count].nonzero(), strict=True):
            axes.text(column, row, f"{matrix[row, column]}", ha="center", va="center", fontsize=6)
        axes.set_xticks(range(count), labels[:count], rotation=90)
        axes.set_yticks(range(count), labels[:count])
        axes.set(xlabel="predicted", ylabel="gold")
        if count < len(labels):
            axes.set_title(f"the {count} most frequent of {len(labels)} labels")

    side = 2.5 + 0.22 * count
    save_chart(draw, path, (side, side))
