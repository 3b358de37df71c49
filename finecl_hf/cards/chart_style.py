"""How all charts look: matplotlib's settings, and colours that a page may replace where it is dark."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TextIO


# A report's page has a variable of each of these names, with another colour where it is dark.
COLOURS = {
    "good": "#2a9d8f",
    "bad": "#e0683f",
    "between1": "#eb9b6a",
    "between2": "#cdb98a",
    "between3": "#7fbfb0",
    "soft": "#5c6878",
    "line": "#dfe4ea",
}
SHARES = ("bad", "between1", "between2", "between3", "good")  # from 0 to 1
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "finecl_hf",  # equal charts are equal files
    "font.size": 9,
    "axes.edgecolor": COLOURS["soft"],
    "axes.labelcolor": COLOURS["soft"],
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": COLOURS["line"],
    "text.color": COLOURS["soft"],
    "xtick.color": COLOURS["soft"],
    "ytick.color": COLOURS["soft"],
}
_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))  # of an SVG: equal charts are equal files


def save_chart(
    draw: Callable[[Any], None], file: str | os.PathLike | TextIO, size: tuple[float, float], **options: Any
):
    """Writes an SVG of one chart.

    Args:
        draw: fills the axes that it is given.
        size: width and height in inches.
        options: of matplotlib's `savefig`.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
        figure.savefig(file, format="svg", metadata=_NO_METADATA, **options)
