"""Which labels people look at."""

import numpy as np
import pytest

from finecl_hf.errors import FineCLError
from finecl_hf.review.sampling import Labels, choose


LABELS = Labels(
    key=np.arange(100, 112),
    document=np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]),
    relation=np.array([7, 7, 7, 7, 7, 8, 8, 8, 9, 9, 9, 9]),
    triple=np.array([1, 2, 1, 3, 4, 5, 6, 5, 7, 8, 9, 9]),
    trust=np.array([0.0, 0.1, 0.05, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, np.nan, 0.15]),
    judged=np.array([False] * 11 + [True]),
)


def chosen(*args):
    sample = choose(LABELS, *args)
    return {
        name: set(sample.rows[[found == name for found in sample.strata]].tolist()) for name in ("worst", "random")
    }


def test_the_least_trusted_and_others_at_random():
    found = chosen(3, 4)
    assert found["worst"] == {0, 2, 1} and len(found["random"]) == 4 and not found["random"] & {0, 1, 2, 11}
    assert choose(LABELS, 3, 4).sizes == {"worst": 3, "random": 8}  # one was judged before
    assert chosen(3, 4) == found and chosen(3, 4, "trust", 1)["random"] != found["random"]
    everything = chosen(0, 99)["random"]
    assert everything == set(range(11))  # also the one that nobody has a score of


def test_strategies():
    assert chosen(3, 0, "relation")["worst"] == {0, 5, 8}  # the least trusted of each relation
    assert chosen(3, 0, "diverse")["worst"] == {0, 3, 4}  # no triple and no document twice


def test_what_cannot_be_chosen():
    for worst, random, told in ((0, 0, "choose no label"), (-1, 3, "--worst -1: the number must be 0 or more"),
                                (3, -1, "--random -1: the number")):  # fmt: skip
        with pytest.raises(FineCLError, match=told):
            choose(LABELS, worst, random)
    with pytest.raises(FineCLError, match='no strategy "best"'):
        choose(LABELS, 1, 1, "best")
    judged = Labels(**{**vars(LABELS), "judged": np.ones(12, bool)})
    with pytest.raises(FineCLError, match="all of them"):
        choose(judged, 1, 1)
