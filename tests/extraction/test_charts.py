"""Charts of an evaluation: what is on them, and that equal ones are equal files."""

import numpy as np

from finecl_hf.extraction.charts import MOST_LABELS, draw_confusion, draw_precision_recall
from finecl_hf.extraction.predictions import JudgedCandidates


def judged(num_gold=4):
    return JudgedCandidates(
        np.ones(5, int), np.array([5.0, 4, 3, 2, 1]), np.array([1, 1, 0, 1, 0], bool), np.array([0, num_gold])
    )


def test_the_precision_recall_curve(tmp_path):
    for name in ("one.svg", "two.svg"):
        draw_precision_recall({"validation": judged(), "test": judged()}, 2.5, tmp_path / name)
    text = (tmp_path / "one.svg").read_text()
    assert (tmp_path / "two.svg").read_text() == text
    assert all(word in text for word in ("recall", "precision", "validation", "test", "threshold 2.5"))
    draw_precision_recall({"test": judged(0)}, 99.0, tmp_path / "nothing.svg")  # no gold fact, nothing predicted
    assert "recall" in (tmp_path / "nothing.svg").read_text()


def test_the_confusion_matrix(tmp_path):
    draw_confusion(["a<b", "NA"], np.array([[7, 1], [0, 0]]), tmp_path / "few.svg")
    text = (tmp_path / "few.svg").read_text()
    assert all(word in text for word in ("a&lt;b", "gold", "predicted", ">7<"))
    count = MOST_LABELS + 3
    draw_confusion([f"r{i}" for i in range(count)], np.eye(count, dtype=int), tmp_path / "many.svg")
    text = (tmp_path / "many.svg").read_text()
    assert f"the {MOST_LABELS} most frequent of {count} labels" in text and f">r{MOST_LABELS}<" not in text
