"""Pairs without a label that may be facts all the same: as NA pairs of stage 2 they count less.

A knowledge base lacks most facts, so that some NA pairs state the very relation that they are to be pushed away from.
Stage 1 ranks the facts that seem to be missing (`missing_labels.parquet`); a pair that is NA with probability q weighs
q times as much as another NA pair: in the loss, where weights are exponents, w + log q.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from finecl_hf.errors import FineCLError
from finecl_hf.hashing import text_key
from finecl_hf.learning_order.missing_labels import MissingLabel, read_missing


SURELY_A_FACT = -20.0  # what a log share is at least: exp() of it is nothing, and its gradient is a number


class NaDoubts:
    """How likely pairs are to be NA, where that is in doubt.

    Args:
        missing: facts that seem to lack a label. Their `score`, the log-odds of stage 1, says how likely each is.
    """

    def __init__(self, missing: Iterable[MissingLabel] = ()):
        odds: dict[int, dict[tuple[int, int], float]] = defaultdict(dict)
        for fact in missing:
            of_document, pair = odds[text_key(fact.title)], (fact.head, fact.tail)
            of_document[pair] = max(fact.score, of_document.get(pair, -np.inf))
        self._odds = dict(odds)

    @classmethod
    def read(cls, path: str | os.PathLike | None) -> NaDoubts:
        """None: no pair is in doubt. Raises FineCLError: see [`read_missing`]."""
        return cls() if path is None else cls(read_missing(path))

    def __len__(self) -> int:
        return sum(map(len, self._odds.values()))

    def check(self, keys: np.ndarray, path: str | os.PathLike | None) -> None:
        """Raises FineCLError where no document of a corpus has a pair in doubt: the table is of other documents.

        Args:
            keys: (D,) int64 of the documents, see [`Document.key`]; path: of the table.
        """
        if self._odds and not np.isin(keys, list(self._odds)).any():
            raise FineCLError(
                f"--missing_labels {path}: none of the {len(self):,} pairs is in a document of this corpus; name the "
                "table of a stage 1 on these documents."
            )

    def log_share(self, key: int, pairs: np.ndarray) -> np.ndarray:
        """(P,) log of the probability that each pair of a document is NA: 0 where it is not in doubt.

        Args:
            key: the document's, see [`Document.key`].
            pairs: (2, P) entities within the document.
        """
        odds = self._odds.get(int(key))
        if odds is None:
            return np.zeros(pairs.shape[1], np.float32)
        score = np.array([odds.get(pair, -np.inf) for pair in zip(*pairs.tolist(), strict=True)], np.float64)
        return np.maximum(-np.logaddexp(0, score), SURELY_A_FACT).astype(np.float32)
