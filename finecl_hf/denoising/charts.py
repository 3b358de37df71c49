"""Charts of a learning order: inline SVG for the report's page, and one picture in a file.

matplotlib draws them. The SVG has no fonts, dates or files of its own: text is text, and the page around it decides on
the colours. Shapes: N labels, E epochs.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from markupsafe import Markup

from finecl_hf.cards.chart_style import COLOURS, SHARES, STYLE, save_chart
from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.learning_order.trust import mean_over_epochs, variability


CELLS = (40, 26)  # of the data map, across and up


def learned_chart(order: LearningOrder, is_clean: np.ndarray | None = None) -> Markup:
    """How many labels were first predicted in each epoch; right and wrong ones where `is_clean` (N,) is known."""
    return _svg("Labels by the epoch of their first correct prediction", _draw_learned, order, is_clean)


def trust_chart(trust: np.ndarray, is_clean: np.ndarray | None = None) -> Markup:
    """How many labels have how much trust, (N,) in [0, 1]."""
    return _svg("Labels by their trust", _draw_trust, trust, is_clean)


def data_map(order: LearningOrder, is_clean: np.ndarray | None = None) -> Markup:
    """The data map of dataset cartography (Swayamdipta et al., EMNLP 2020), a disc for the labels of a small square.

    Its colour shows in how many epochs they were predicted, or how many are right where `is_clean` (N,) is known.
    Empty without two epochs: one has no variability.
    """
    if not _has_variability(order):
        return Markup()
    return _svg("Labels by mean and variability of their probability", _draw_data_map, order, is_clean)


def plot_learning_order(
    order: LearningOrder,
    path: str | os.PathLike,
    is_clean: np.ndarray | None = None,
    title: str | None = None,
    trust: np.ndarray | None = None,
) -> None:
    """Labels by the epoch they were first predicted in, and the data map where epochs tell one, as one picture.

    Args:
        path: where to write the picture; its extension decides on the format.
        is_clean: (N,) bool, whether each label is right, where that is known: shows how clean each epoch is.
        trust: (N,) in [0, 1]; with it, one more chart shows how many labels have how much.
    """
    import matplotlib
    from matplotlib.figure import Figure

    charts = {"Learned early or late": lambda axes: _draw_learned(axes, order, is_clean)}
    if _has_variability(order):
        charts["Data map"] = lambda axes: _draw_data_map(axes, order, is_clean)
    if trust is not None:
        charts["Trust"] = lambda axes: _draw_trust(axes, trust, is_clean)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.5 * len(charts), 4.2), layout="constrained")
        row = figure.subplots(1, len(charts), squeeze=False)[0]
        for axes, (name, draw) in zip(row, charts.items(), strict=True):
            draw(axes)
            axes.set_title(name)
        figure.suptitle(title or f"Learning order of {len(order):,} labels", fontsize=13)
        figure.savefig(path, dpi=150)


def _has_variability(order: LearningOrder) -> bool:
    """Whether a label was seen in two epochs."""
    return bool((order.observed.sum(axis=1) > 1).any())


def _draw_learned(axes: Any, order: LearningOrder, is_clean: np.ndarray | None) -> None:
    never = len(order.learned_by_epoch()) - 1
    place = np.where(order.first_epoch < 0, never, order.first_epoch)
    counts = np.bincount(place, minlength=never + 1)
    top = _draw_bars(axes, np.arange(never + 1), place, is_clean, ["good"] * never + ["bad"])
    if never < 12:
        labels = [f"{count / max(counts.sum(), 1):.0%}" if count else "" for count in counts]
        if is_clean is not None:
            right = np.bincount(place[is_clean], minlength=never + 1)
            labels = [f"{r / count:.0%} right" if count else "" for r, count in zip(right, counts, strict=True)]
        axes.bar_label(top, labels, padding=1, fontsize=8)
    step = -(-never // 12) or 1
    ticks = [*range(0, never - step // 2, step), never]
    axes.set_xticks(ticks, [*map(str, ticks[:-1]), "never"])
    axes.set_xlabel("epoch of the first correct prediction")


def _draw_trust(axes: Any, trust: np.ndarray, is_clean: np.ndarray | None, bins: int = 20) -> None:
    place = np.clip((np.asarray(trust, np.float64) * bins).astype(int), 0, bins - 1)
    colours = [SHARES[bin * len(SHARES) // bins] for bin in range(bins)]
    _draw_bars(axes, (np.arange(bins) + 0.5) / bins, place, is_clean, colours)
    axes.set(xlim=(0, 1), xlabel="trust")


def _draw_bars(axes: Any, x: np.ndarray, place: np.ndarray, is_clean: np.ndarray | None, colours: list[str]) -> Any:
    """A bar at each of `x` (B,) for the labels with this `place` (N,), stacked by `is_clean`; the topmost bars."""
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    parts = [(np.ones(len(place), bool), colours)]
    if is_clean is not None:
        parts = [(is_clean, ["good"] * len(x)), (~is_clean, ["bad"] * len(x))]
    below = np.zeros(len(x), int)
    for chosen, names in parts:
        heights = np.bincount(place[chosen], minlength=len(x))
        width = 0.82 * (x[1] - x[0] if len(x) > 1 else 1)
        bars = axes.bar(x, heights, width, below, color=[COLOURS[name] for name in names])
        below += heights
    axes.set(ylabel="labels", ylim=(0, 1.1 * max(below.max(), 1)))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.grid(axis="y")
    return bars


def _draw_data_map(axes: Any, order: LearningOrder, is_clean: np.ndarray | None) -> None:
    from matplotlib.colors import ListedColormap

    confidence, spread, share, seen = _dynamics(order)
    share = share if is_clean is None else is_clean[seen]
    limit = max(0.1, np.ceil(10 * spread.max(initial=0.0)) / 10)
    corners = ((0, limit), (0, 1))
    counts, x, y = np.histogram2d(spread, confidence, CELLS, corners)
    sums, *_ = np.histogram2d(spread, confidence, CELLS, corners, weights=share)
    column, row = np.nonzero(counts)
    inside = counts[column, row]
    # between area and logarithm: one label stays visible, a thousand do not hide the rest
    strength = 0.3 + 0.7 * (inside / inside.max(initial=1)) ** 0.35
    axes.scatter(
        (x[column] + x[column + 1]) / 2,
        (y[row] + y[row + 1]) / 2,
        c=sums[column, row] / inside,
        alpha=strength,
        cmap=ListedColormap([COLOURS[name] for name in SHARES]),
        vmin=0,
        vmax=1,
        s=(0.6 * axes.get_window_extent().width / CELLS[0]) ** 2 / 2,
        linewidths=0,
    )
    axes.set(xlim=(0, limit), ylim=(0, 1), xlabel="variability over the epochs", ylabel="mean probability")
    axes.grid()


def _dynamics(order: LearningOrder) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean and standard deviation of the probability and share of correct epochs of the rows seen; which rows."""
    seen = np.flatnonzero(order.observed.any(axis=1))
    if not len(seen):
        return *np.zeros((3, 0)), seen
    confidence, share = (
        mean_over_epochs(values, order.observed)[seen] for values in (order.probability, order.correct)
    )
    return np.clip(confidence, 0, 1), variability(order.probability, order.observed)[seen], share, seen


def _svg(label: str, draw: Callable[..., None], *values: Any) -> Markup:
    """One `<svg>` element of class `chart`, in the colours of the page around it; `label` is read out."""
    file = io.StringIO()
    save_chart(lambda axes: draw(axes, *values), file, (4.2, 2.7), transparent=True)
    page = file.getvalue()
    body = page[page.index("<svg") + len("<svg") :].strip()
    body = re.sub(r'<g id="[^"]*">', "<g>", body)  # every chart has the same names
    body = re.sub(r' xmlns(:\w+)?="[^"]*"', "", f" {body}")  # HTML knows them
    body = re.sub(r"<style.*?</style>", "", body, flags=re.DOTALL)  # it would hold for the whole page
    for name, colour in COLOURS.items():
        body = body.replace(colour, f"var(--{name}, {colour})")
    return Markup(f'<svg class="chart" role="img" aria-label="{label}"{body}')
