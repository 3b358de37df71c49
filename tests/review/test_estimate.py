"""How many labels are wrong, from those that people have judged."""

import numpy as np
import pytest

from finecl_hf.review.estimate import Stratum, estimate, trust_precision, why_no_estimate, wilson


def test_intervals_hold_what_they_promise():
    assert wilson(0, 10)[0] == 0 and wilson(10, 10)[1] == pytest.approx(1) and wilson(3, 10, 10) == (0.3, 0.3)
    assert wilson(10, 50) == pytest.approx((0.1124, 0.3304), abs=1e-4)
    rng = np.random.default_rng(0)
    for rest, wrong, sample in ((2000, 0.1, 60), (300, 0.4, 50)):
        truth = (150 + wrong * rest) / (200 + rest)
        drawn = rng.hypergeometric(round(wrong * rest), round((1 - wrong) * rest), sample, 2000)
        found = [estimate([Stratum(200, 200, 150), Stratum(rest, sample, int(x))]) for x in drawn]
        assert 0.93 < np.mean([e.low <= truth <= e.high for e in found]) < 0.98
        assert np.mean([e.rate for e in found]) == pytest.approx(truth, abs=0.01)


def test_what_was_judged_in_full_is_certain():
    whole = estimate([Stratum(30, 30, 12), Stratum(0, 0, 0)])
    assert whole.rate == whole.low == whole.high == 0.4 and whole.labels == 30


def test_why_nothing_can_be_said():
    assert "drawn at random" in why_no_estimate({"worst": Stratum(5, 5, 1)}, 6)
    assert not why_no_estimate({"worst": Stratum(5, 5, 1)}, 5)
    assert "judge some of them" in why_no_estimate({"worst": Stratum(5, 0, 0), "random": Stratum(9, 3, 1)}, 14)


def test_how_well_the_score_finds_wrong_labels():
    told = trust_precision({"worst": Stratum(5, 4, 3), "random": Stratum(9, 4, 1)})
    assert "3 of 4 least trusted" in told and "1 of 4 random" in told
    assert (
        trust_precision({"worst": Stratum(5, 4, 3)})
        == trust_precision({"worst": Stratum(5, 4, 3), "random": Stratum(9, 0, 0)})
        == ""
    )
