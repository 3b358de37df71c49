"""Charts of a learning order: inline SVG in the page's colours, and one picture in a file."""

import re

import numpy as np
import pytest

from finecl_hf.denoising.charts import COLOURS, data_map, learned_chart, plot_learning_order, trust_chart
from finecl_hf.learning_order.table import LearningOrder


def table(rows=60, epochs=3):
    rng = np.random.default_rng(0)
    order = LearningOrder([f"d#{i}#1#r" for i in range(rows)])
    for epoch in range(epochs):
        probability = rng.random(rows)
        order.record_epoch(probability, probability - 0.5, probability > 0.7, rng.random(rows) < 0.9 + epoch)
    return order


ORDER, IS_CLEAN = table(), np.arange(60) % 3 > 0


@pytest.mark.parametrize("is_clean", [None, IS_CLEAN])
@pytest.mark.parametrize(
    "draw",
    [lambda clean: learned_chart(ORDER, clean), lambda clean: data_map(ORDER, clean),
     lambda clean: trust_chart(np.linspace(0, 1, 60), clean)],
)  # fmt: skip
def test_charts_are_one_element_without_script_file_or_colour_of_its_own(draw, is_clean):
    svg = draw(is_clean)
    assert svg.startswith("<svg ") and svg.count("<svg") == 1 and svg.rstrip().endswith("</svg>")
    assert not any(word in svg for word in ("<script", "<style", "http"))
    assert set(re.findall(r"var\(--(\w+)", svg)) <= COLOURS.keys() and "var(--good" in svg
    assert draw(is_clean) == svg  # equal charts are equal files


def test_the_words_are_text_and_counts_are_told():
    svg = learned_chart(ORDER)
    assert "never" in svg and "<text" in svg
    never = int((ORDER.first_epoch < 0).sum())
    assert f"{never / 60:.0%}" in svg


def test_one_epoch_has_no_data_map():
    assert data_map(table(epochs=1)) == ""


@pytest.mark.parametrize("rows", [0, 1])
def test_hardly_any_label(rows):
    assert "svg" in trust_chart(np.zeros(rows))


@pytest.mark.parametrize("known", [False, True])
def test_picture(tmp_path, known):
    from matplotlib import image

    plot_learning_order(ORDER, tmp_path / "order.png", IS_CLEAN if known else None)
    pixels = image.imread(tmp_path / "order.png")
    assert pixels.shape[0] > 400 and pixels.shape[1] > 800
    assert pixels[..., :3].std() > 0.02  # something was drawn


def test_rows_that_no_epoch_saw(tmp_path):
    order = table(epochs=1)
    order.observed[:10] = False
    plot_learning_order(order, tmp_path / "order.png")
    assert (tmp_path / "order.png").stat().st_size > 0
