"""How many labels of a corpus are wrong, from those that people have judged.

Two strata: the labels chosen for their low trust, which stand for themselves, and those drawn at random, which stand
for all others. Each share has Wilson's interval (1927) with the correction for finite populations, so that a stratum
that was judged in full is certain; the intervals are added by the method of Zou and Donner (MOVER, 2008).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

from finecl_hf.data.notes import counted
from finecl_hf.review.sampling import RANDOM, WORST


Z95 = 1.959963984540054
MEANING = (
    "Were labels drawn and judged anew many times, 95 of 100 such intervals would hold the share of labels that these "
    "judges call wrong; their own mistakes are not in it"
)


@dataclass(frozen=True)
class Stratum:
    """A part of the corpus: how many labels it has, how many are judged right or wrong, and how many wrong."""

    size: int
    judged: int
    wrong: int
    unsure: int = 0

    @property
    def rate(self) -> float:
        return self.wrong / self.judged


@dataclass(frozen=True)
class Estimate:
    """The share of wrong labels among `labels`, with its 95 % interval."""

    rate: float
    low: float
    high: float
    labels: int

    def __str__(self) -> str:
        return f"{self.rate:.1%} of {self.labels:,} labels are wrong (95 % interval {self.low:.1%} to {self.high:.1%})"


def wilson(wrong: int, judged: int, size: int | None = None) -> tuple[float, float]:
    """Wilson's 95 % interval of a share.

    Args:
        wrong, judged: the sample, not empty.
        size: of the population, where it is finite.
    """
    rate = wrong / judged
    if size is not None and judged >= size:
        return rate, rate
    effective = judged if size is None else judged * (size - 1) / (size - judged)
    share = Z95**2 / effective
    middle = (rate + share / 2) / (1 + share)
    reach = Z95 / (1 + share) * sqrt(rate * (1 - rate) / effective + share / (4 * effective))
    return max(0.0, min(middle - reach, rate)), min(1.0, max(middle + reach, rate))


def estimate(strata: Iterable[Stratum]) -> Estimate:
    """The share of wrong labels in all strata together.

    Args:
        strata: each with a judged label at least, or empty of labels.
    """
    strata = [stratum for stratum in strata if stratum.size]
    total = sum(stratum.size for stratum in strata)
    rate = below = above = 0.0
    for stratum in strata:
        weight = stratum.size / total
        low, high = wilson(stratum.wrong, stratum.judged, stratum.size)
        rate += weight * stratum.rate
        below += (weight * (stratum.rate - low)) ** 2
        above += (weight * (high - stratum.rate)) ** 2
    return Estimate(rate, max(0.0, rate - sqrt(below)), min(1.0, rate + sqrt(above)), total)


def why_no_estimate(strata: dict[str, Stratum], labels: int, unplaced: int = 0) -> str:
    """Why nothing can be said of the whole corpus; "" where something can.

    Args:
        labels: of the corpus.
        unplaced: verdicts that have lost their stratum.
    """
    random, worst = (strata.get(name, Stratum(0, 0, 0)) for name in (RANDOM, WORST))
    if not random.judged and worst.size < labels:
        if unplaced and not any(stratum.judged for stratum in strata.values()):
            return (
                "the column sample (in Argilla, the metadata), which says what a label was drawn for, is missing or "
                f"was changed for {counted(unplaced, 'verdict')}; import the file with it as it was exported"
            )
        return (
            "no label that was drawn at random has a verdict, and those chosen for their low trust say nothing of the "
            "others; export with --random 50 or more"
        )
    if worst.size and not worst.judged:
        return "none of the least trusted labels has a verdict of right or wrong; judge some of them"
    return ""


def trust_precision(strata: dict[str, Stratum]) -> str:
    """How well the trust score finds wrong labels, in words; "" where one of the strata has no verdict."""
    if not all(name in strata and strata[name].judged for name in (WORST, RANDOM)):
        return ""
    words = []
    for name, kind in ((WORST, "least trusted"), (RANDOM, "random")):
        low, high = wilson(strata[name].wrong, strata[name].judged)
        words.append(
            f"{strata[name].wrong:,} of {strata[name].judged:,} {kind} labels are wrong "
            f"({strata[name].rate:.0%}; {low:.0%} to {high:.0%})"
        )
    return ", ".join(words)
