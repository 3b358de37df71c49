"""The picture of the learning order: written, of a sensible size, with and without known truth."""

import numpy as np
import pytest

from finecl_hf.denoising.plots import plot_learning_order
from finecl_hf.learning_order.table import LearningOrder


def table(rows=60, epochs=3):
    rng = np.random.default_rng(0)
    order = LearningOrder([f"d#{i}#1#r" for i in range(rows)])
    for epoch in range(epochs):
        probability = rng.random(rows)
        order.record_epoch(probability, probability - 0.5, probability > 0.7, rng.random(rows) < 0.9 + epoch)
    return order


@pytest.mark.parametrize("known", [False, True])
def test_picture(tmp_path, known):
    image = pytest.importorskip("matplotlib.image")
    order = table()
    is_clean = np.arange(len(order)) % 3 > 0 if known else None
    plot_learning_order(order, tmp_path / "order.png", is_clean)
    pixels = image.imread(tmp_path / "order.png")
    assert pixels.shape[0] > 400 and pixels.shape[1] > 800
    assert pixels[..., :3].std() > 0.02  # something was drawn


def test_rows_that_no_epoch_saw(tmp_path):
    pytest.importorskip("matplotlib")
    order = table(epochs=1)
    order.observed[:10] = False
    plot_learning_order(order, tmp_path / "order.png")
    assert (tmp_path / "order.png").stat().st_size > 0
