"""Charts are well-formed, show every label, and hold nothing but numbers and fixed words."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from finecl_hf.denoising.charts import bar_chart, data_map, histogram, sparkline, split_counts


def parse(svg):
    return ElementTree.fromstring(svg)


def told(svg):
    """The numbers of labels that the tooltips tell."""
    return [int(n.replace(",", "")) for n in re.findall(r"<title>(?:[^<]*: )?([\d,]+) labels", svg)]


def test_bars():
    svg = bar_chart(["0", "1", "never"], [[3, 0, 1200]], [["good", "good", "bad"]], "epoch")
    root = parse(svg)
    bars = root.findall("rect")
    assert [bar.get("class") for bar in bars] == ["good", "good", "bad"] and told(svg) == [3, 0, 1200]
    heights = [float(bar.get("height")) for bar in bars]
    assert heights[1] == 0 and heights[2] > 100 * heights[0] > 0
    words = [text.text for text in root.findall("text")]
    assert {"0", "1", "never", "epoch", "labels", "100%", "1k"} <= set(words)


def test_stacked_bars_touch():
    low, high = parse(bar_chart(["a"], [[2], [3]], [["good"], ["bad"]], "x")).findall("rect")
    assert float(high.get("y")) + float(high.get("height")) == pytest.approx(float(low.get("y")), abs=0.2)


@pytest.mark.parametrize("bars", [1, 13, 40, 100])
def test_many_bars_have_few_names_and_the_last_one(bars):
    names = [f"n{i}" for i in range(bars)]
    words = [text.text for text in parse(bar_chart(names, [[1] * bars], [["plain"] * bars], "x")).findall("text")]
    shown = [word for word in words if word in names]
    assert shown[0] == "n0" and shown[-1] == names[-1] and len(shown) <= 14


def test_no_labels_at_all():
    parse(bar_chart(["0"], [[0]], [["plain"]], "x"))
    parse(histogram(np.zeros(0), None, "x"))
    parse(data_map(np.zeros(0), np.zeros(0), np.zeros(0), "x"))


def test_histogram_counts_both_ends():
    values = np.array([0.0, 0.04, 0.05, 0.999, 1.0])
    assert told(histogram(values, None, "trust")) == [2, 1, *[0] * 16, 0, 2]
    svg = histogram(values, values > 0.5, "trust")
    assert svg.count('class="good"') == svg.count('class="bad"') == 20


def test_split_counts():
    counts, classes = split_counts(np.array([0, 0, 2]), 3, np.array([True, False, True]))
    assert counts.tolist() == [[1, 0, 1], [1, 0, 0]] and classes == [["good"] * 3, ["bad"] * 3]


def test_data_map_shows_every_label():
    rng = np.random.default_rng(0)
    confidence, variability = rng.random(5000), rng.random(5000) / 2
    svg = data_map(confidence, variability, confidence, "predicted")
    assert sum(told(svg)) == 5000 and len(svg) < 200_000
    extreme = parse(data_map(np.array([0, 1.0]), np.array([0, 0.5]), np.array([0, 1.0]), "predicted"))
    first, second = extreme.findall("circle")
    assert (first.get("class"), second.get("class")) == ("k0", "k4")
    assert float(first.get("cx")) < float(second.get("cx")) and float(first.get("cy")) > float(second.get("cy"))


@pytest.mark.parametrize("epochs", [1, 2, 15])
def test_sparkline(epochs):
    svg = sparkline(np.linspace(0, 1, epochs, dtype=np.float32), np.arange(epochs) % 2 == 0)
    root = parse(svg)
    assert len(root.findall("circle")) == epochs and root.find("title").text.startswith("probability by epoch: 0.00")
    assert "nan" not in svg
