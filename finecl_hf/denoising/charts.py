"""Small charts as inline SVG: no library, no script, and colours that the page around them decides on.

Every function returns one `<svg>` element made of numbers and fixed words only. Classes: `good`, `bad` and `plain` for
bars, `k0` to `k4` for shares from 0 to 1, `axis`, `grid` and `label` for the rest.
"""

from __future__ import annotations

import numpy as np


WIDTH, HEIGHT = 360, 230
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 18, 36
STEPS = 5  # colours between 0 and 1


def bar_chart(names: list[str], counts: np.ndarray, classes: list[list[str]], x_label: str, every: int = 0) -> str:
    """Stacked bars.

    Args:
        names: what stands below each of the B bars.
        counts: (S, B) int, the S parts of each bar, the lowest first.
        classes: class of each part, (S, B) strings.
        x_label: what the bars are.
        every: how many bars share a name; 0 leaves room for the names and shows the last one.
    """
    counts = np.asarray(counts)
    bars, totals = counts.shape[1], counts.sum(axis=0)
    scale = _Scale(0, max(int(totals.max(initial=0)), 1))
    step = (WIDTH - LEFT - RIGHT) / max(bars, 1)
    width = min(step * 0.82, 48)
    body, whole = _horizontal_grid(scale), max(int(totals.sum()), 1)
    for bar, name in enumerate(names):
        middle, below = LEFT + step * (bar + 0.5), 0
        for part in range(len(counts)):
            top, base = scale.y(below + counts[part, bar]), scale.y(below)
            below += int(counts[part, bar])
            body.append(
                f'<rect class="{classes[part][bar]}" x="{middle - width / 2:.1f}" y="{top:.1f}" width="{width:.1f}" '
                f'height="{base - top:.1f}"><title>{name}: {totals[bar]:,} labels</title></rect>'
            )
        if bars <= 12 and totals[bar]:
            body.append(_text(middle, scale.y(below) - 4, f"{100 * totals[bar] / whole:.0f}%"))
        if _is_named(bar, bars, every):
            body.append(_text(middle, HEIGHT - BOTTOM + 13, name))
    return _svg(body, x_label, "labels")


def _is_named(bar: int, bars: int, every: int) -> bool:
    if every:
        return bar % every == 0
    step = -(-bars // 12)
    return bar == bars - 1 or bar % step == 0 and bar < bars - 1 - step // 2


def histogram(values: np.ndarray, is_clean: np.ndarray | None, x_label: str, bins: int = 20) -> str:
    """How often values (N,) in [0, 1] occur; stacked by `is_clean` (N,) bool where that is known."""
    place = np.clip((np.asarray(values, np.float64) * bins).astype(int), 0, bins - 1)
    counts, classes = split_counts(place, bins, is_clean)
    if is_clean is None:
        shades = [f"k{min(bin * STEPS // bins, STEPS - 1)}" for bin in range(bins)]
        classes = [shades]
    names = [f"{bin / bins:.2g}" for bin in range(bins)]
    return bar_chart(names, counts, classes, x_label, every=4)


def split_counts(place: np.ndarray, bins: int, is_clean: np.ndarray | None) -> tuple[np.ndarray, list[list[str]]]:
    """How many of N values are in each of B bins -> (S, B) counts and classes: right and wrong ones, if known."""
    if is_clean is None:
        return np.bincount(place, minlength=bins)[None], [["plain"] * bins]
    parts = [np.bincount(place[chosen], minlength=bins) for chosen in (is_clean, ~is_clean)]
    return np.stack(parts), [["good"] * bins, ["bad"] * bins]


def data_map(confidence: np.ndarray, variability: np.ndarray, share: np.ndarray, what: str) -> str:
    """The data map of dataset cartography (Swayamdipta et al., EMNLP 2020), one disc for the labels of a small square.

    Args:
        confidence: (N,) float in [0, 1], mean probability of each label.
        variability: (N,) float, its standard deviation over the epochs.
        share: (N,) float in [0, 1], what the colour shows; a disc shows the mean.
        what: its name.
    """
    columns, rows = 40, 26
    limit = max(0.1, np.ceil(float(variability.max(initial=0.0)) * 10 - 1e-6) / 10)  # a tenth and more: round ticks
    scale = _Scale(0.0, 1.0)
    body = _horizontal_grid(scale, [0, 0.25, 0.5, 0.75, 1.0])
    across, down = (WIDTH - LEFT - RIGHT) / columns, (HEIGHT - TOP - BOTTOM) / rows
    x = np.clip((variability / limit * columns).astype(int), 0, columns - 1)
    y = np.clip((confidence * rows).astype(int), 0, rows - 1)
    counts = np.bincount(y * columns + x, minlength=rows * columns)
    shares = np.bincount(y * columns + x, weights=share, minlength=rows * columns)
    largest = max(int(counts.max(initial=0)), 1)
    for cell in np.flatnonzero(counts):
        mean = shares[cell] / counts[cell]
        # between area and logarithm: one label stays visible, a thousand do not hide the rest
        radius = 0.62 * min(across, down) * (0.3 + 0.7 * (counts[cell] / largest) ** 0.35)
        body.append(
            f'<circle class="k{min(int(mean * STEPS), STEPS - 1)}" cx="{LEFT + across * (cell % columns + 0.5):.1f}" '
            f'cy="{HEIGHT - BOTTOM - down * (cell // columns + 0.5):.1f}" r="{radius:.1f}">'
            f"<title>{counts[cell]:,} labels, {what} {100 * mean:.0f}%</title></circle>"
        )
    for tick in np.arange(0, limit + 1e-6, 0.1 if limit > 0.15 else 0.05):
        body.append(_text(LEFT + (WIDTH - LEFT - RIGHT) * tick / limit, HEIGHT - BOTTOM + 13, f"{tick:.2g}"))
    return _svg(body, "variability over the epochs", "confidence (mean probability)")


def sparkline(values: np.ndarray, correct: np.ndarray) -> str:
    """A label's probability (E,) by epoch, with a dot where it was predicted, (E,) bool."""
    width, height, pad = 76, 22, 3
    steps = np.linspace(pad, width - pad, len(values)) if len(values) > 1 else np.array([width / 2])
    heights = height - pad - (height - 2 * pad) * np.clip(np.nan_to_num(values), 0, 1)
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(steps, heights, strict=True))
    dots = "".join(
        f'<circle class="{"good" if right else "bad"}" cx="{x:.1f}" cy="{y:.1f}" r="2"/>'
        for x, y, right in zip(steps, heights, correct, strict=True)
    )
    told = ", ".join(f"{value:.2f}" for value in values)
    return (
        f'<svg class="spark" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
        f"<title>probability by epoch: {told}</title>"
        f'<line class="grid" x1="0" x2="{width}" y1="{height - pad}" y2="{height - pad}"/>'
        f'<polyline class="axis" points="{points}"/>{dots}</svg>'
    )


class _Scale:
    """From values to heights in the chart."""

    def __init__(self, low: float, high: float):
        self.low, self.high = low, high

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Three or four round values."""
        step = 10 ** np.floor(np.log10(self.high / 2)) if self.high >= 2 else 1
        step *= next((factor for factor in (1, 2, 5) if self.high / (step * factor) <= 4), 10)
        return list(np.arange(0, self.high + 1e-9, step))


def _horizontal_grid(scale: _Scale, ticks: list[float] | None = None) -> list[str]:
    lines = []
    for tick in ticks or scale.ticks():
        y = scale.y(tick)
        lines.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(_text(LEFT - 5, y + 3.5, _short(tick), "end"))
    return lines


def _short(value: float) -> str:
    """A round number in few characters: 0.25, 500, 1.5k, 2M."""
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:g}"


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text class="label" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def _svg(body: list[str], x_label: str, y_label: str) -> str:
    middle = (HEIGHT - BOTTOM + TOP) / 2
    labels = _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5, x_label) + (
        f'<text class="label" x="9" y="{middle}" text-anchor="middle" transform="rotate(-90 9 {middle})">'
        f"{y_label}</text>"
    )
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{y_label} by {x_label}">'
        f"{''.join(body)}{labels}</svg>"
    )
