"""Thresholds per relation: as a search over all of them finds them, and used wherever facts are decided."""

from dataclasses import replace

import numpy as np
import pytest

from finecl_hf.extraction import relation_thresholds
from finecl_hf.extraction.breakdown import counts_of_facts
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.predictions import (
    Candidates,
    JudgedCandidates,
    decision_threshold,
    fit_decision,
    official_predictions,
    score_documents,
)
from finecl_hf.extraction.relation_thresholds import fit_relation_thresholds
from tests.extraction.test_predictions import document


@pytest.mark.parametrize("seed", range(10))
def test_each_threshold_is_the_best_of_all(seed, monkeypatch):
    monkeypatch.setattr(relation_thresholds, "SHRINKAGE", 0)
    draw = np.random.default_rng(seed)
    relation, scores = draw.integers(1, 4, size=300), draw.normal(size=300).round(1).astype(np.float32)
    correct = draw.random(300) < 1 / (1 + np.exp(-3 * scores + relation))
    num_gold = np.array([0, 40, 29, 50]) + np.bincount(relation[correct], minlength=4) * [0, 1, 0, 1]
    found = fit_relation_thresholds(scores, relation, correct, num_gold, 0.25)
    assert set(found) == {1, 3}  # 29 facts are too few
    taken = scores > 0.25
    f1 = 2 * (taken & correct).sum() / (taken.sum() + num_gold.sum())

    def gain(number, threshold):
        part = [(s > threshold, c) for s, r, c in zip(scores, relation, correct, strict=True) if r == number]
        return sum(2 * (taken and right) - f1 * taken for taken, right in part)

    for number, threshold in found.items():
        grid = np.clip(np.arange(-5, 5, 0.05) + 0.025, 0.25 - 2, 0.25 + 2)
        assert gain(number, threshold) == pytest.approx(max(gain(number, other) for other in grid))


def test_few_facts_draw_little():
    scores, correct = np.array([1.0, 0.5, 0.0, -0.5]), np.array([True, True, True, False])
    found = [
        fit_relation_thresholds(scores, np.ones(4), correct, np.array([0, count]), 0.75)[1] for count in (30, 900)
    ]
    assert found == pytest.approx([(-0.25 * 30 + 0.75 * 100) / 130, (-0.25 * 900 + 0.75 * 100) / 1000])
    assert fit_relation_thresholds(scores, np.ones(4), correct, np.array([0, 29, 99]), 0.0) == {}


def test_equal_scores_are_kept_together_and_none_or_all_may_be_predicted():
    number, gold = np.ones(3), np.array([0, 300])
    ties = fit_relation_thresholds(np.array([1.0, 1.0, -1.0]), number, np.array([True, False, False]), gold, 0.0)
    assert ties[1] == pytest.approx(0.0)
    none = fit_relation_thresholds(np.array([1.0, 1.0, -1.0]), number, np.zeros(3, bool), gold, 0.0)
    assert none[1] in (pytest.approx(0.0), pytest.approx(1.5))  # the farthest, drawn back by a quarter
    every = fit_relation_thresholds(np.array([1.0, 1.0, -1.0]), number, np.ones(3, bool), gold, 0.0)
    assert every[1] == pytest.approx(-1.5)


def test_one_decision_everywhere(monkeypatch):
    monkeypatch.setattr(relation_thresholds, "LEAST_FACTS", 2)
    monkeypatch.setattr(relation_thresholds, "SHRINKAGE", 1)
    config = FineCLConfig.for_labels({"NA": 0, "r1": 1, "r2": 2})
    documents = [document("a", 4, [(0, 1, "r1"), (1, 0, "r1"), (2, 1, "r1"), (3, 2, "r2")])]
    candidates = [
        Candidates(
            np.array([0, 1, 2, 3, 3, 2]),
            np.array([1, 0, 1, 2, 1, 3]),
            np.array([1, 1, 1, 2, 2, 2]),
            np.array([2.0, 1.0, -0.5, 1.5, 0.5, -0.25], np.float32),
        )  # fmt: skip
    ]
    fit_decision(documents, candidates, config)
    assert config.relation_thresholds is None and decision_threshold(config) == config.threshold
    plain = score_documents(documents, candidates, config)
    fit_decision(documents, candidates, config, per_relation=True)
    assert set(config.relation_thresholds) == {"r1"}
    config = FineCLConfig.from_dict(config.to_dict())  # as it is saved
    config.threshold, config.relation_thresholds = 0.75, {"r1": -1.0}
    assert decision_threshold(config).tolist() == [0.75, -1.0, 0.75]
    rows = official_predictions(documents, candidates, config)
    assert sorted((row["h_idx"], row["r"]) for row in rows) == [(0, "r1"), (1, "r1"), (2, "r1"), (3, "r2")]
    assert score_documents(documents, candidates, config)["f1"] == 1.0 >= plain["f1"]
    counts = counts_of_facts(JudgedCandidates.of(documents, candidates, config), config)
    assert [(row.relation, row.predicted, row.correct) for row in counts] == [("r1", 3, 3), ("r2", 1, 1)]
    fit_decision(documents, [replace(part) for part in candidates], config)
    assert config.relation_thresholds is None  # fitted anew without
