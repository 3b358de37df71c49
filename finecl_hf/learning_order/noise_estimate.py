"""How many labels of each relation are wrong, estimated from training dynamics alone: no gold label is needed.

Such an estimate sees errors that stand out, and takes what else stands out for errors, such as a relation that was
hardly learned. So a number is told only where labels that were wrong on purpose stand out among those of their
relation (see `self_test`) and right and wrong labels lie apart; elsewhere, people have to judge a sample.

The evidence is taken for a mixture of two normal distributions of one width, of right and of wrong labels, much as
DivideMix does with losses (Li, Socher and Hoi, ICLR 2020). All relations share the two distributions, each has its own
share of wrong labels, drawn towards the overall share where it has few labels. Expectation-maximisation runs on
histograms, so that its cost does not depend on the number of labels. Shapes: N labels, R relations, B bins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.trust import calibrated_margin


if TYPE_CHECKING:
    from finecl_hf.learning_order.self_test import SelfTest
    from finecl_hf.learning_order.table import LearningOrder


HARDLY_LEARNED = 0.25  # share of the labels; with less, nothing is said of right and wrong ones
FEWEST = 10  # labels
BINS = 200
PRIOR_LABELS = 4.0  # how many labels the overall share is worth beside a relation's own
RESAMPLES = 100  # bootstrap samples for the intervals
ROUNDS = 1000  # of expectation-maximisation at most; it stops where no share moves by more than TOLERANCE
TOLERANCE = 1e-4
CLEAR = 0.2  # a gap this deep between the two kinds can be seen
# AUROC of the self-test among labels of one relation: with the corpus's own wrong labels taken out, and as it is
FOUND, LEAST_FOUND = 0.85, 0.65
LEAST_BELOW = 0.1  # share of the planted labels below the boundary, whatever the self-test says: it divides a rate
EXTREME = 0.05  # of the plausible and of the implausible labels count no more than this quantile


@dataclass
class RelationNoise:
    """Estimated share of wrong labels of one relation, with a 90 % interval."""

    relation: str
    labels: int
    rate: float
    low: float
    high: float


@dataclass
class NoiseEstimate:
    """What [`estimate_noise`] found.

    Attributes:
        overall: of all labels together.
        relations: most frequent first.
        gap: how empty the evidence is halfway between the two kinds: 1 where no label lies there, 0 where as many do
            as around the rarer kind's mean. Below `CLEAR`, nothing but the assumed distributions tells the two kinds
            apart.
        boundary: labels with less evidence are rather wrong than right.
        learned: share of the labels that the model ever predicted.
        self_test: of the same run.
    """

    overall: RelationNoise
    relations: list[RelationNoise]
    gap: float
    boundary: float = 0.0
    learned: float = 1.0
    self_test: SelfTest | None = None

    @property
    def doubt(self) -> str:
        """Why these rates are not to be believed; "" where they are."""
        if self.learned < HARDLY_LEARNED:
            return f"the model has learned only {self.learned:.0%} of them"
        if self.gap < CLEAR:
            return f"right and wrong ones do not lie apart (gap {self.gap:.2f} of 1)"
        if self.self_test is None:
            return "no label was wrong on purpose, so nothing says whether the scores find errors (--probe_share)"
        if self.self_test.within_relation < LEAST_FOUND or self._found < FOUND:
            return (
                "labels that were wrong on purpose hardly stand out among those of their relation (AUROC "
                f"{self.self_test.within_relation:.2f})"
            )
        return ""

    @property
    def _found(self) -> float:
        """AUROC of the planted labels against right ones of their relation, if these rates are right: the corpus's
        wrong ones cannot be told from planted ones."""
        wrong = self.overall.rate
        return (self.self_test.within_relation - wrong / 2) / (1 - wrong) if wrong < 1 else 0.5

    def __str__(self) -> str:
        if self.doubt:
            return (
                f"How many of the {self.overall.labels:,} labels are wrong, this run cannot tell: {self.doubt}. Judge "
                "a sample: 100 labels at random (finecl-hf review export --worst 0 --random 100) tell it to 10 points."
            )
        return (
            f"About {self.overall.rate:.0%} of the {self.overall.labels:,} labels look wrong "
            f"({self.overall.low:.0%} to {self.overall.high:.0%}), not counting errors that look like right labels."
        )

    def table(self, names: Mapping[str, str] | None = None, most: int = 20) -> str:
        """The relations with the most labels, as text for the console; `names` are readable ones of their ids."""
        lines = [f"{'labels':>9}{'wrong':>8}{'90% interval':>16}  relation"]
        for row in self.relations[:most]:
            name = f"{row.relation} {(names or {}).get(row.relation, '')}".rstrip()
            lines.append(f"{row.labels:>9,}{row.rate:>8.0%}{f'{row.low:.0%} - {row.high:.0%}':>16}  {name}")
        if len(self.relations) > most:
            lines.append(f"... and {len(self.relations) - most:,} relations with fewer labels")
        return "\n".join(lines)


def noise_of(order: LearningOrder) -> NoiseEstimate | None:
    """The estimate for a learning order; None where it judged too few labels to tell.

    The evidence is the calibrated margin plus the plausibility, whose long tails are cut off: the mixture would take
    them for a kind of their own.
    """
    judged = order.observed.any(axis=1)
    if judged.sum() < FEWEST:
        return None
    evidence = noise_evidence(order)[judged]
    if np.ptp(evidence) == 0:
        return None
    learned = float((order.first_epoch[judged] >= 0).mean())
    estimate = estimate_noise(evidence, np.asarray(order.relation)[judged])
    return _widened(replace(estimate, learned=learned, self_test=order.self_test))


def noise_evidence(order: LearningOrder) -> np.ndarray:
    """(N,) what the estimate is made from; of judged labels only."""
    judged = order.observed.any(axis=1)
    plausible = order.plausibility
    plausible = np.clip(plausible, *np.quantile(plausible[judged], [EXTREME, 1 - EXTREME]))
    return calibrated_margin(order) + plausible


def _widened(estimate: NoiseEstimate) -> NoiseEstimate:
    """The estimate with intervals that reach as far as what the self-test missed.

    Where the boundary finds a share of the labels that were wrong on purpose, it may have missed as much of the rest.
    """
    if estimate.self_test is None:
        return estimate
    found = max(estimate.self_test.share_below(estimate.boundary), LEAST_BELOW)

    def reaching(row: RelationNoise) -> RelationNoise:
        return replace(row, high=min(max(row.high, row.rate / found), 1.0))

    return replace(estimate, overall=reaching(estimate.overall), relations=[*map(reaching, estimate.relations)])


def estimate_noise(evidence: np.ndarray, relation: Sequence[str], seed: int = 0) -> NoiseEstimate:
    """Share of wrong labels, overall and for each relation.

    Args:
        evidence: (N,) finite numbers without bounds, higher for labels that are more likely right, such as the mean
            log-probability.
        relation: (N,) of each label.
        seed: of the bootstrap.

    Raises:
        FineCLError: fewer than `FEWEST` labels, or all of them alike.
    """
    evidence = np.asarray(evidence, dtype=np.float64)
    if len(evidence) < FEWEST or np.ptp(evidence) == 0:
        raise FineCLError(f"the noise of {len(evidence):,} labels cannot be estimated; it takes {FEWEST} that differ.")
    names, code, counts = np.unique(np.asarray(relation, dtype=object), return_inverse=True, return_counts=True)
    low, high = np.quantile(evidence, [0.001, 0.999])
    edges = np.linspace(low, high, BINS + 1) if low < high else np.linspace(evidence.min(), evidence.max(), BINS + 1)
    bins = np.clip(np.searchsorted(edges, evidence, "right") - 1, 0, BINS - 1)
    histogram = np.bincount(code * BINS + bins, minlength=len(names) * BINS).reshape(len(names), BINS).astype(float)
    middle = (edges[:-1] + edges[1:]) / 2
    fitted = _Mixture.fit(histogram, middle)
    rates = _rates_with_intervals(histogram, middle, fitted, seed)
    rows = [
        RelationNoise(str(name), int(count), *map(float, row))
        for name, count, row in zip(["", *names], [len(evidence), *counts], rates.T, strict=True)
    ]
    return NoiseEstimate(
        rows[0],
        sorted(rows[1:], key=lambda row: (-row.labels, row.relation)),
        fitted.gap(histogram.sum(axis=0), middle),
        fitted.boundary,
    )


@dataclass
class _Mixture:
    """Two normal distributions of one width, of wrong and of right labels, and each relation's share of wrong ones."""

    means: np.ndarray  # (2,), wrong first
    width: float
    wrong: np.ndarray  # (R,)
    overall: float

    @classmethod
    def fit(cls, histogram: np.ndarray, middle: np.ndarray, start: _Mixture | None = None) -> _Mixture:
        """Expectation-maximisation on counts (R, B) of bins with the given middles (B,)."""
        mixture = start or cls._halves(histogram, middle)
        for _ in range(ROUNDS):
            before, mixture = mixture, mixture._step(histogram, middle)
            if np.abs(mixture.wrong - before.wrong).max() < TOLERANCE:
                break
        return mixture

    @classmethod
    def _halves(cls, histogram: np.ndarray, middle: np.ndarray) -> _Mixture:
        """To start from: what lies below the mean is wrong, what lies above is right."""
        total = histogram.sum(axis=0)
        mean = np.average(middle, weights=total)
        sides = [np.average(middle, weights=total * side) for side in (middle <= mean, middle > mean)]
        width = np.sqrt(np.average((middle - mean) ** 2, weights=total)) / 2
        return cls(np.array(sides), width, np.full(len(histogram), 0.5), 0.5)

    def _step(self, histogram: np.ndarray, middle: np.ndarray) -> _Mixture:
        wrong = histogram * self.posterior(middle)  # (R, B)
        counts = np.stack([wrong.sum(axis=0), (histogram - wrong).sum(axis=0)]) + 1e-9  # (2, B)
        means = counts @ middle / counts.sum(axis=1)
        variance = (counts * (middle - means[:, None]) ** 2).sum() / counts.sum()
        overall = wrong.sum() / histogram.sum()
        share = (wrong.sum(axis=1) + PRIOR_LABELS * overall) / (histogram.sum(axis=1) + PRIOR_LABELS)
        return _Mixture(means, max(np.sqrt(variance), (middle[1] - middle[0]) / 2), share, overall)

    def posterior(self, middle: np.ndarray) -> np.ndarray:
        """(R, B) probability that a label of a relation in a bin is wrong."""
        wrong, right = self.means
        share = np.clip(self.wrong, 1e-6, 1 - 1e-6)[:, None]
        odds = np.log(share) - np.log1p(-share) + (wrong - right) * (middle - (wrong + right) / 2) / self.width**2
        return 1 / (1 + np.exp(-np.clip(odds, -500, 500)))

    @property
    def boundary(self) -> float:
        """Evidence at which a label of no relation in particular is as likely wrong as right."""
        wrong, right = self.means
        share = min(max(self.overall, 1e-6), 1 - 1e-6)
        odds = float(np.log(share) - np.log1p(-share))
        return float((wrong + right) / 2 + odds * self.width**2 / max(right - wrong, 1e-9))

    def gap(self, counts: np.ndarray, middle: np.ndarray) -> float:
        """See [`NoiseEstimate`]; from the labels (B,) in each bin, a sixth of the distance to either side."""
        wrong, right = self.means
        reach = (right - wrong) / 6
        around = [counts[np.abs(middle - place) <= reach].sum() for place in (wrong, (wrong + right) / 2, right)]
        rarer = min(around[0], around[2])
        return float(max(0.0, 1 - around[1] / rarer)) if rarer else 0.0


def _rates_with_intervals(histogram: np.ndarray, middle: np.ndarray, fitted: _Mixture, seed: int) -> np.ndarray:
    """(3, 1 + R) rate, lower and upper bound: of all labels, then of each relation."""
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(RESAMPLES):
        mixture = _Mixture.fit(rng.poisson(histogram) + 1e-12, middle, fitted)
        samples.append([mixture.overall, *mixture.wrong])
    rates = np.array([fitted.overall, *fitted.wrong])
    low, high = np.quantile(samples, [0.05, 0.95], axis=0)
    return np.stack([rates, np.minimum(low, rates), np.maximum(high, rates)])
