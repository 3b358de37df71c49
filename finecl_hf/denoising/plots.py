"""Pictures of the learning order (needs the extra `plots`)."""

from __future__ import annotations

import os

import numpy as np

from finecl_hf.learning_order.table import LearningOrder


CLEAN, WRONG, UNKNOWN = "#2a9d8f", "#e76f51", "#577590"


def plot_learning_order(
    order: LearningOrder, path: str | os.PathLike, is_clean: np.ndarray | None = None, title: str | None = None
) -> None:
    """Labels by the epoch they were first predicted in, and the data map (mean probability by its variability).

    The data map is dataset cartography's (Swayamdipta et al., EMNLP 2020).

    Args:
        path: where to write the picture; its extension decides on the format.
        is_clean: (N,) bool, whether each label is right, where that is known: shows how clean each epoch is.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    by_epoch, data_map = figure.subplots(1, 2)
    _bars(by_epoch, order, is_clean)
    _scatter(data_map, order, is_clean)
    figure.suptitle(title or f"Learning order of {len(order):,} labels", fontsize=13)
    for axes in (by_epoch, data_map):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def _bars(axes, order: LearningOrder, is_clean: np.ndarray | None) -> None:
    epochs = len(order.learned_by_epoch()) - 1
    place = np.where(order.first_epoch < 0, epochs, order.first_epoch)
    names = [*map(str, range(epochs)), "never"]
    if is_clean is None:
        axes.bar(names, np.bincount(place, minlength=epochs + 1), color=UNKNOWN)
    else:
        right = np.bincount(place[is_clean], minlength=epochs + 1)
        wrong = np.bincount(place[~is_clean], minlength=epochs + 1)
        axes.bar(names, right, color=CLEAN, label="right labels")
        axes.bar(names, wrong, bottom=right, color=WRONG, label="wrong labels")
        for x, (r, w) in enumerate(zip(right, wrong, strict=True)):
            if r + w:
                axes.annotate(f"{r / (r + w):.0%} right", (x, r + w), ha="center", va="bottom", fontsize=9)
        axes.legend(frameon=False)
    axes.set(xlabel="epoch in which a label was first predicted", ylabel="labels", title="Learned early or late")
    axes.margins(y=0.1)


def _scatter(axes, order: LearningOrder, is_clean: np.ndarray | None) -> None:
    observed = order.observed
    seen = np.flatnonzero(observed.any(axis=1))
    counts = observed[seen].sum(axis=1)
    values = order.probability[seen].astype(np.float32)
    mean = values.sum(axis=1, where=observed[seen]) / counts
    deviation = np.sqrt(((values - mean[:, None]) ** 2).sum(axis=1, where=observed[seen]) / counts)
    if len(seen) > 5000:  # more points than that only hide each other
        chosen = np.random.default_rng(0).permutation(len(seen))[:5000]
        seen, mean, deviation = seen[chosen], mean[chosen], deviation[chosen]
    style = {"s": 7, "alpha": 0.45, "linewidths": 0}
    if is_clean is None:
        axes.scatter(deviation, mean, color=UNKNOWN, **style)
    else:
        clean = is_clean[seen]
        axes.scatter(deviation[clean], mean[clean], color=CLEAN, label="right labels", **style)
        axes.scatter(deviation[~clean], mean[~clean], color=WRONG, label="wrong labels", **style)
    axes.set(
        xlabel="variability of the label's probability over the epochs",
        ylabel="mean probability",
        title="Data map",
        ylim=(-0.03, 1.03),
    )
