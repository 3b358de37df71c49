"""Which labels people look at: the least trusted ones, and others drawn at random among which they are mixed.

The least trusted labels alone say nothing of the rest, so the noise of a corpus is estimated from both strata. All
draws are functions of the seed and of a label's key. Shapes: N labels of the corpus.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pandas as pd

from finecl_hf.errors import FineCLError
from finecl_hf.hashing import mix


WORST, RANDOM = "worst", "random"  # the strata
STRATEGIES = ("trust", "diverse", "relation")
DRAW, SHUFFLE = 60, 61  # keep these draws apart from others made of the same keys


@dataclass
class Labels:
    """The labels of a corpus, as columns.

    Attributes:
        key: (N,) int64 of the facts; document: (N,) int64 of their titles.
        relation: (N,) int64; triple: (N,) int64 of (relation, head name, tail name): equal where these are.
        trust: (N,) float, NaN for a label that stage 1 never judged.
        judged: (N,) bool, whether people have judged it before.
    """

    key: np.ndarray
    document: np.ndarray
    relation: np.ndarray
    triple: np.ndarray
    trust: np.ndarray
    judged: np.ndarray


@dataclass
class Sample:
    """Rows of the chosen labels, shuffled, and the size of each stratum, chosen or not."""

    rows: np.ndarray
    strata: list[str]
    sizes: dict[str, int]


def choose(labels: Labels, worst: int, random: int, strategy: str = "trust", seed: int = 0) -> Sample:
    """The labels to be judged. Those that people have judged before are in no stratum.

    Args:
        worst: labels of the stratum `worst`; all of them are chosen.
        random: labels drawn uniformly from all others.
        strategy: which labels are the worst. `trust`: those trusted least. `relation`: in turns over the relations.
            `diverse`: no two of one triple or one document before others had a turn.

    Raises:
        FineCLError: nothing is asked for, or nothing is left to judge.
    """
    for flag, number in (("--worst", worst), ("--random", random)):
        if number < 0:
            raise FineCLError(f"{flag} {number}: the number must be 0 or more.")
    if not worst + random:
        raise FineCLError(f"--worst {worst} and --random {random} choose no label; ask for at least 1.")
    if strategy not in STRATEGIES:
        raise FineCLError(f'there is no strategy "{strategy}"; take one of {", ".join(STRATEGIES)}.')
    candidates = np.flatnonzero(~np.isnan(labels.trust) & ~labels.judged)
    ranked = candidates[np.lexsort((labels.key[candidates], labels.trust[candidates]))]
    if strategy == "relation":
        ranked = _in_turns(labels, ranked)
    elif strategy == "diverse":
        ranked = np.fromiter(islice(_rounds(labels, ranked), worst), np.int64)
    first = ranked[:worst]
    rest = np.setdiff1d(np.flatnonzero(~labels.judged), first)
    drawn = rest[np.argsort(mix(DRAW, seed, labels.key[rest]), kind="stable")][:random]
    rows = np.concatenate([first, drawn]).astype(np.int64)
    if not len(rows):
        raise FineCLError("no label is left to be judged: people have judged all of them.")
    shuffled = np.argsort(mix(SHUFFLE, seed, labels.key[rows]), kind="stable")
    strata = np.array([WORST] * len(first) + [RANDOM] * len(drawn))
    return Sample(rows[shuffled], strata[shuffled].tolist(), {WORST: len(first), RANDOM: len(rest)})


def _in_turns(labels: Labels, ranked: np.ndarray) -> np.ndarray:
    """The least trusted label of each relation, then the second of each, and so on."""
    turn = pd.Series(ranked).groupby(labels.relation[ranked]).cumcount().to_numpy()
    return ranked[np.argsort(turn, kind="stable")]


def _rounds(labels: Labels, ranked: np.ndarray) -> Iterator[int]:
    """All rows, in rounds in which no triple and no document comes twice."""
    waiting = ranked.tolist()
    triple, document = labels.triple, labels.document
    while waiting:
        later: list[int] = []
        triples: set[int] = set()
        documents: set[int] = set()
        for row in waiting:
            if triple[row] in triples or document[row] in documents:
                later.append(row)
                continue
            triples.add(triple[row])
            documents.add(document[row])
            yield row
        waiting = later
