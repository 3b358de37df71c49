"""How likely pairs without a label are to be NA."""

from dataclasses import replace

import numpy as np
import pytest

from finecl_hf.errors import FineCLError
from finecl_hf.hashing import text_key
from finecl_hf.learning_order.missing_labels import MissingLabel, write_missing
from finecl_hf.pretraining.na_doubts import SURELY_A_FACT, NaDoubts


FACT = MissingLabel("Ada#0#3#has", "Ada", 0, 3, "has", "Ada", "Babbage", 0.5, 0.0, 0.0, 0.0, score=0.0)
PAIRS = np.array([[0, 3, 1], [3, 0, 2]])


def test_the_likeliest_relation_counts():
    doubts = NaDoubts([FACT, replace(FACT, relation="of", score=1.5), replace(FACT, head=1, tail=2, score=-2)])
    found = doubts.log_share(text_key("Ada"), PAIRS)
    np.testing.assert_allclose(np.exp(found), [1 - 1 / (1 + np.exp(-1.5)), 1, 1 - 1 / (1 + np.exp(2))], rtol=1e-6)
    assert found.dtype == np.float32 and len(doubts) == 2


def test_other_documents_are_in_no_doubt():
    assert NaDoubts([FACT]).log_share(text_key("Byron"), PAIRS).tolist() == [0, 0, 0]
    assert NaDoubts([FACT]).log_share(text_key("Ada"), np.zeros((2, 0), int)).shape == (0,)


def test_certain_facts_count_for_nothing_and_stay_numbers():
    found = NaDoubts([replace(FACT, score=1e30)]).log_share(text_key("Ada"), PAIRS)
    assert found[0] == SURELY_A_FACT and np.isfinite(found).all()


def test_reading(tmp_path):
    write_missing([FACT], tmp_path / "missing.parquet")
    found = NaDoubts.read(tmp_path / "missing.parquet").log_share(text_key("Ada"), PAIRS)
    assert found[0] == pytest.approx(np.log(0.5))
    assert len(NaDoubts.read(None)) == 0


def test_a_table_of_other_documents(tmp_path):
    doubts, keys = NaDoubts([FACT]), np.array([text_key("Byron"), text_key("Ada")])
    doubts.check(keys, "m.parquet")
    NaDoubts([]).check(keys, "m.parquet")  # nothing is missing
    with pytest.raises(FineCLError, match="--missing_labels m.parquet: none of the 1 pairs"):
        doubts.check(keys[:1], "m.parquet")
