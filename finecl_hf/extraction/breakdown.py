"""What lies behind one figure of an evaluation: each relation's share, the precision-recall curve, the confusions.

N candidates, R relations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from finecl_hf.data.documents import NA, Document
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.predictions import JudgedCandidates, decision_threshold, exceeds


@dataclass
class RelationCounts:
    """How often a relation is gold, predicted, and both; a ratio without a denominator is 0, as in the scores."""

    relation: str
    name: str
    gold: int
    predicted: int
    correct: int

    @property
    def precision(self) -> float:
        return self.correct / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        return self.correct / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        return 2 * self.correct / (self.gold + self.predicted) if self.gold + self.predicted else 0.0


def counts_of_facts(judged: JudgedCandidates, config: FineCLConfig) -> list[RelationCounts]:
    """Those of the facts above the model's thresholds, see [`_sorted`]."""
    above = exceeds(judged.score, judged.relation, decision_threshold(config))
    predicted = np.bincount(judged.relation[above], minlength=config.num_labels)
    correct = np.bincount(judged.relation[above & judged.correct], minlength=config.num_labels)
    gold = judged.num_gold
    return _sorted([(i, int(gold[i]), int(predicted[i]), int(correct[i])) for i in range(config.num_labels)], config)


def counts_of_sentences(
    documents: Sequence[Document], labels: Sequence[str], config: FineCLConfig
) -> list[RelationCounts]:
    """Those of single labels, see [`_sorted`]."""
    answers = [document.label for document in documents]
    gold, predicted = Counter(answers), Counter(labels)
    correct = Counter(label for label, answer in zip(labels, answers, strict=True) if label == answer)
    return _sorted(
        [(i, gold[label], predicted[label], correct[label]) for i, label in config.id2label.items()], config
    )


def _sorted(counts: list[tuple[int, int, int, int]], config: FineCLConfig) -> list[RelationCounts]:
    """Relations that are gold or predicted anywhere, without NA: the most frequent ones first."""
    names = config.relation_names or {}
    rows = [
        RelationCounts(config.id2label[i], names.get(config.id2label[i], ""), gold, predicted, correct)
        for i, gold, predicted, correct in counts
        if (gold or predicted) and config.id2label[i] != NA
    ]
    return sorted(rows, key=lambda row: (-row.gold, row.relation))


def precision_recall(judged: JudgedCandidates) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The curve: scores, best first (each once), and precision and recall of all facts that score as much.

    Returns:
        (K,) each, K <= N. All empty without gold facts: there is no recall then.
    """
    num_gold = judged.num_gold.sum()
    order = np.argsort(-judged.score, kind="stable")
    score, hits = judged.score[order], judged.correct[order].cumsum()
    last = np.append(score[:-1] > score[1:], True)[: len(score)]  # equal scores are predicted together
    cuts = np.flatnonzero(last) if num_gold else np.zeros(0, int)
    return score[cuts], hits[cuts] / (cuts + 1), hits[cuts] / max(num_gold, 1)


def confusion_matrix(documents: Sequence[Document], labels: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """How often a sentence of one relation is given another.

    Returns:
        the labels that are gold or predicted, the most frequent first and NA last; counts (R, R), gold by predicted.
    """
    gold = [document.label for document in documents]
    frequency = Counter(gold)
    names = sorted({*gold, *labels}, key=lambda label: (label == NA, -frequency[label], label))
    number = {name: i for i, name in enumerate(names)}
    matrix = np.zeros((len(names), len(names)), np.int64)
    np.add.at(matrix, ([number[label] for label in gold], [number[label] for label in labels]), 1)
    return names, matrix
