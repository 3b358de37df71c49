"""How all charts look: matplotlib's settings, and colours that a page may replace where it is dark."""

from __future__ import annotations


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
NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))  # of an SVG: equal charts are equal files
