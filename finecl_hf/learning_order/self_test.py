"""How well stage 1 finds labels that were wrong on purpose: how far its scores are to be trusted on this corpus.

Shapes: N labels, K of which were planted.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.noise_estimate import noise_evidence
from finecl_hf.learning_order.trust import unit_trust


if TYPE_CHECKING:
    from finecl_hf.learning_order.table import LearningOrder

logger = logging.getLogger(__name__)

QUANTILES = 21
Z = 1.645  # of a 90 % interval
CHANCE, WEAK = 0.55, 0.75  # AUROC


@dataclass(frozen=True)
class SelfTest:
    """What became of the labels that were wrong on purpose.

    Attributes:
        planted: how many were judged; replaced: how many of the corpus's own labels gave way to one.
        score: what labels were ranked by.
        auroc: chance that it trusts a label of the corpus more than one of them; low, high: 90 % interval.
        within_relation: the same among labels of one relation, mean over those of the planted labels.
        evidence: quantiles of the planted labels' `noise_estimate.noise_evidence`, evenly spaced from 0 to 1.
    """

    planted: int
    replaced: int
    score: str
    auroc: float
    low: float
    high: float
    within_relation: float
    evidence: tuple[float, ...]

    def share_below(self, evidence: float) -> float:
        """Share of the planted labels that have less evidence."""
        return float(np.interp(evidence, self.evidence, np.linspace(0, 1, len(self.evidence))))

    def __str__(self) -> str:
        return (
            f"Self-test: {self.planted:,} labels were wrong on purpose; {self.score} finds them with an AUROC of "
            f"{self.auroc:.2f} ({self.low:.2f} to {self.high:.2f}), {self.within_relation:.2f} among labels of one "
            f"relation. Chance is 0.5. {self.verdict} How many labels are wrong it does not tell: the corpus's own "
            "wrong ones count as right here, and finding them lowers the figure (to 0.83 at best, were a third wrong "
            "and found as well as these)."
        )

    @property
    def tells_nothing(self) -> bool:
        return self.low <= CHANCE

    @property
    def is_weak(self) -> bool:
        return self.auroc < WEAK

    @property
    def verdict(self) -> str:
        """What that means, in a sentence."""
        if self.tells_nothing:
            return "So these scores tell next to nothing of this corpus: do not clean or weigh by them."
        if self.is_weak:
            return "So the scores are weak on this corpus: look at labels before you drop them."
        return (
            "So errors at random are found. Errors with a system, such as pairs of the right types that this text "
            "does not join, may be harder: nothing was planted that looks like them."
        )

    def warn(self, source: str) -> None:
        """Says again, where the scores are about to be used, that they are worth nothing.

        Args:
            source: where the learning order lies.
        """
        if self.tells_nothing:
            logger.warning("%s: its self-test had an AUROC of %.2f. %s", source, self.auroc, self.verdict)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> SelfTest:
        """Inverse of [`to_json`].

        Raises:
            FineCLError: it is none.
        """
        try:
            raw = json.loads(text)
            evidence = tuple(map(float, raw.pop("evidence")))
            kinds = {name: str if name == "score" else (int, float) for name in cls.__annotations__ if name in raw}
            if len(evidence) < 2 or not all(isinstance(raw[name], kind) for name, kind in kinds.items()):
                raise ValueError
            return cls(**raw, evidence=evidence)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise FineCLError(
                "the outcome of the self-test in this learning order is damaged; repeat stage 1."
            ) from error


def self_test(order: LearningOrder, planted: np.ndarray, score: str, replaced: int = 0) -> SelfTest | None:
    """Ranks the planted labels among the others.

    Args:
        order: N labels.
        planted: (N,) bool.
        score: a name of `trust.unit_trust`.

    Returns:
        None where no planted label, or no other, was judged.
    """
    judged = order.observed.any(axis=1)
    planted, trust = planted[judged], unit_trust(score, order)[judged]
    if planted.all() or not planted.any():
        return None
    above = placements(trust[planted], trust[~planted])
    below = 1 - placements(trust[~planted], trust[planted])
    # DeLong, DeLong and Clarke-Pearson (Biometrics 1988), equation 5
    variance = sum(values.var(ddof=1) / len(values) for values in (above, below) if len(values) > 1)
    auroc, reach = float(above.mean()), Z * float(np.sqrt(variance))
    relation = order.relation.dictionary_encode().indices.to_numpy()[judged]
    return SelfTest(
        int(planted.sum()), replaced, score, auroc, max(auroc - reach, 0.0), min(auroc + reach, 1.0),
        _within(trust, planted, relation),
        tuple(np.quantile(noise_evidence(order)[judged][planted], np.linspace(0, 1, QUANTILES)).round(4).tolist()),
    )  # fmt: skip


def placements(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(K,) share of the other values (M,) that are higher than each value, ties counting half."""
    ordered = np.sort(others)
    sides = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
    return 1 - sum(sides) / (2 * len(ordered))


def _within(trust: np.ndarray, planted: np.ndarray, relation: np.ndarray) -> float:
    """AUROC among the labels of each relation, mean over the planted labels; 0.5 where no relation has both kinds."""
    sums, count = 0.0, 0
    for _, rows in pd.Series(range(len(trust))).groupby(relation):
        wrong = rows[planted[rows]]
        if 0 < len(wrong) < len(rows):
            sums += placements(trust[wrong], trust[rows[~planted[rows]]]).sum()
            count += len(wrong)
    return sums / count if count else 0.5
