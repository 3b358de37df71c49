"""The grid as a picture: how far each arm lies from a reference, with its interval."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any


sys.path.insert(0, str(Path(__file__).parent.parent))

from finecl_hf.cards.chart_style import COLOURS, save_chart


def draw_differences(rows: list[dict[str, Any]], reference: str, file: str | os.PathLike) -> None:
    """Writes an SVG: a point for each arm, in points of the figure, under the name of its task and corpus.

    An interval that leaves zero out has the colour of its side. Hollow points have too few seeds for an interval.

    Args:
        rows: of `evidence.table`.
        reference: the arm at zero.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["task"], row["corpus"]), []).append(row)
    several_corpora = len({corpus for _, corpus in groups}) > 1
    lines: list[tuple[str, dict[str, Any] | None]] = []
    for (task, corpus), members in groups.items():
        zero = next((row for row in members if row["arm"] == reference), None)
        others = [row for row in members if (row.get(f"to {reference}") or {}).get("difference") is not None]
        if zero is None or not others:
            continue
        name = f"{task}, {corpus}" if several_corpora else task
        lines.append((f"{name}: {reference} {100 * zero['mean']:.1f}", None))
        lines += [(row["arm"], row[f"to {reference}"]) for row in others]
    if lines:
        save_chart(lambda axes: _draw(axes, lines, reference), file, (7, 0.8 + 0.24 * len(lines)))


def _draw(axes: Any, lines: list[tuple[str, dict[str, Any] | None]], reference: str) -> None:
    axes.axvline(0, color=COLOURS["soft"], linewidth=1)
    for height, (_, found) in enumerate(lines):
        if found is None:
            continue
        low, high = found["interval"] or (found["difference"],) * 2
        colour = COLOURS["good"] if low > 0 else COLOURS["bad"] if high < 0 else COLOURS["soft"]
        colour = colour if found["interval"] else COLOURS["soft"]
        axes.plot([100 * low, 100 * high], [height, height], color=colour, linewidth=2)
        filled = colour if found["interval"] else "none"
        axes.plot(100 * found["difference"], height, "o", color=colour, markerfacecolor=filled, markersize=5)
    axes.set_yticks(range(len(lines)), [name for name, _ in lines])
    for label, (_, found) in zip(axes.get_yticklabels(), lines, strict=True):
        label.set_fontweight("bold" if found is None else "normal")
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.grid(axis="x")
    axes.set_xlabel(f"points over {reference}, mean over seeds with 95 % interval")
