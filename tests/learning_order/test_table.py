"""The table of a learning order: its rows, and what epochs add to them."""

from dataclasses import replace

import numpy as np
import pytest

from finecl_hf.data.documents import Document
from finecl_hf.errors import FineCLError
from finecl_hf.hashing import text_key
from finecl_hf.learning_order.self_test import SelfTest
from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.learning_order.trust import SCORES
from tests.helpers.small_orders import make


class TestRecording:
    def test_one_row_a_fact(self, ada, curie):
        order = LearningOrder.for_documents([ada, curie])
        facts = [(document, fact) for document in (ada, curie) for fact in document.relations]
        assert order.instance_id.to_pylist() == [document.instance_id(fact) for document, fact in facts]
        assert order.title.to_pylist() == ["Ada"] * 3 + ["Curie"] * 2
        assert order.relation.to_pylist()[1] == "located in"
        assert (order.head.tolist(), order.tail.tolist()) == ([0, 1, 1, 0, 0], [1, 2, 2, 1, 2])
        assert order.num_epochs == 0 and order.first_epoch.tolist() == [-1] * 5

    def test_no_documents(self):
        order = LearningOrder.for_documents([Document("empty", [], [])])
        assert len(order) == 0 and order.learned_by_epoch().tolist() == [0]

    def test_first_epoch_is_the_first_correct_one_that_was_observed(self):
        order = LearningOrder(list("abcd"))
        zeros = np.zeros(4)
        order.record_epoch(zeros, zeros, [True, False, True, False], [True, True, False, True])
        assert order.first_epoch.tolist() == [0, -1, -1, -1]
        order.record_epoch(zeros, zeros, [False, True, True, False])
        assert order.first_epoch.tolist() == [0, 1, 1, -1]
        assert order.learned_by_epoch().tolist() == [1, 2, 1]

    def test_margins_of_logits_fit(self):
        order = LearningOrder(["a", "b"])
        order.record_epoch([0.5, 0.5], np.array([1e6, -np.inf]), [True, False])
        assert order.margin[:, 0].tolist() == [65504, -65504]

    def test_unobserved_values_may_be_anything(self):
        order = LearningOrder(["a", "b"])
        order.record_epoch([0.5, np.nan], [0.5, np.nan], [True, True], [True, False])
        assert order.correct.tolist() == [[True], [False]]

    @pytest.mark.parametrize(("probability", "margin"), [(np.nan, 0), (0.5, np.nan), (1.5, 0), (-0.1, 0)])
    def test_divergence(self, probability, margin):
        order = LearningOrder(["a"])
        with pytest.raises(FineCLError, match="epoch 0, 1 facts .* training has diverged"):
            order.record_epoch([probability], [margin], [True])
        assert order.num_epochs == 0

    def test_wrong_shape(self):
        with pytest.raises(FineCLError, match=r"correct of shape \(2,\), found \(3,\)"):
            LearningOrder(["a", "b"]).record_epoch([0, 0], [0, 0], [True] * 3)

    def test_eight_bytes_an_instance_and_epoch(self):
        order = make([str(i) for i in range(100)], epochs=4)
        parts = (order.probability, order.margin, order.loss, order.correct, order.observed)
        assert sum(part.nbytes for part in parts) == 8 * 100 * 4

    def test_ids_must_differ(self):
        with pytest.raises(FineCLError, match='more than once, first of them "b"'):
            LearningOrder(["a", "b", "b"])

    @pytest.mark.parametrize("columns", [{"head": [0]}, {"correct": [[True], [False], [True]]}, {"title": ["x"]}])
    def test_columns_must_fit(self, columns):
        with pytest.raises(FineCLError, match="differ in their rows or epochs"):
            LearningOrder(["a", "b"], **columns)

    def test_summary_leaves_out_what_was_not_judged(self):
        order = LearningOrder(list("abc"))
        order.record_epoch(np.ones(3), np.ones(3), [True, False, False], [True, True, False])
        assert order.learned_by_epoch().tolist() == [1, 1]
        assert order.summary().splitlines()[0] == "2 facts, 1 epoch"
        assert order.summary().splitlines()[-2].split() == ["never", "1", "50.0%"]
        last = order.summary().splitlines()[-1]
        assert last.startswith("1 more lie past the length") and "or had no turn before the training ended" in last

    def test_summary_tells_what_gave_way_to_the_self_test(self):
        order = LearningOrder(list("abcde"))
        order.record_epoch(np.ones(5), np.ones(5), [True] * 5, [True, True, False, False, False])
        tested = replace(order, self_test=SelfTest(20, 2, "evidence", 0.9, 0.8, 0.95, 0.9, (0.0, 1.0)))
        gave_way, past = tested.summary().splitlines()[-2:]
        assert gave_way.startswith("2 more gave way to labels of the self-test") and past.startswith("1 more lie past")
        assert (tested.unjudged, tested.replaced, order.replaced, tested.select([0, 1]).replaced) == (3, 2, 0, 0)

    def test_summary(self):
        order = LearningOrder(list("abcd"), first_epoch=[0, 0, 2, -1])
        assert order.summary().splitlines() == [
            "4 facts, 3 epochs",
            " epoch      learned   share",
            "     0            2   50.0%",
            "     1            0    0.0%",
            "     2            1   25.0%",
            " never            1   25.0%",
        ]


def keys_of(names):
    return [text_key(name) for name in names]


class TestRows:
    IDS = ["Zürich#0#1#P17", "東京#1#0#P36", "a#0#1#P17"]

    def test_rows_by_key(self):
        rows = LearningOrder(self.IDS).rows_of(keys_of(["東京#1#0#P36", "nobody", "a#0#1#P17", "東京#1#0#P36"]))
        assert rows.dtype == np.int64 and rows.tolist() == [1, -1, 2, 1]

    def test_empty_sides(self):
        assert LearningOrder([]).rows_of(keys_of(["a"])).tolist() == [-1]
        assert LearningOrder(["a"]).rows_of([]).tolist() == []

    def test_keys_are_those_of_the_documents(self, ada):
        order = LearningOrder.for_documents([ada])
        assert order.rows_of([ada.fact_key(fact) for fact in ada.relations]).tolist() == [0, 1, 2]

    def test_a_fact_has_one_row(self):
        with pytest.raises(FineCLError, match='more than once.*"b"'):
            LearningOrder(["a", "b", "c", "b"])


class TestNamesInTheFile:
    """A table whose names stay in its file answers like the whole one."""

    @pytest.fixture
    def both(self, tmp_path):
        rng = np.random.default_rng(0)
        names = [f"d{i // 3}#{i % 3}#1#r{i % 4}" for i in range(60)]
        order = LearningOrder(names, relation=[f"r{i % 4}" for i in range(60)], plausibility=rng.normal(size=60))
        for _ in range(3):
            order.record_epoch(rng.random(60), rng.normal(size=60), rng.random(60) < 0.4, np.arange(60) % 7 > 0)
        order.write(tmp_path / "order.parquet")
        return order, LearningOrder.read(tmp_path / "order.parquet", names=False)

    def test_names_are_left_there(self, both):
        order, unnamed = both
        assert len(unnamed) == len(order) == 60 and unnamed.key.tolist() == order.key.tolist()
        assert unnamed.relation.equals(order.relation) and set(unnamed.title.to_pylist()) == {""}

    @pytest.mark.parametrize("score", sorted({*SCORES, "margin_within_relation"}))
    def test_weights_and_coverage(self, both, score):
        keys = [*both[0].key[::-1], 17, *both[0].key[5:9]]
        (one, coverage), (other, same) = (order.weights(weight_by=score).of(keys) for order in both)
        np.testing.assert_array_equal(one, other)
        assert coverage == same

    def test_json_has_nothing_to_leave(self, tmp_path):
        LearningOrder(["a", "b"], first_epoch=[0, 1]).write(tmp_path / "order.json")
        assert LearningOrder.read(tmp_path / "order.json", names=False).instance_id.to_pylist() == ["a", "b"]


def test_weights_are_scaled_and_the_least_trusted_take_no_part():
    order = LearningOrder([f"d#0#1#r{i}" for i in range(10)], first_epoch=[0, 0, 1, 1, 2, 2, 3, 3, -1, -1])
    order.verdict[7], order.verdict[0] = 1, -1  # the one stays, the other is gone anyway
    plain, scaled = (order.weights(scale=scale).of(order.key)[0] for scale in (1.0, 3.0))
    np.testing.assert_allclose(scaled, 3 * plain, rtol=1e-6)
    kept, _ = order.weights(drop_share=0.5).of(order.key)
    assert np.flatnonzero(~np.isnan(kept)).tolist()[:2] == [1, 2] and not np.isnan(kept[7])
    assert (~np.isnan(kept)).sum() == 4  # three of the six that nobody judged
    uniform, _ = order.weights("uniform", drop_share=0.5).of(order.key)
    assert (~np.isnan(uniform)).sum() == 5 and np.nanmax(uniform) == 0
