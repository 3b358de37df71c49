import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finecl_hf.data.documents import Document
from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.table import Coverage, LearningOrder
from finecl_hf.learning_order.trust import SCORES, unit_score
from finecl_hf.learning_order.weights import SCHEMES, order_weights
from tests.helpers.small_orders import make


EPOCHS = st.lists(st.integers(-1, 30), max_size=40)
CUTOFFS = st.one_of(st.none(), st.integers(0, 30))


def slow_weight(k, learned, scheme, cutoff):
    """One weight as the paper words it."""
    if k == -1 or cutoff is not None and k >= cutoff or scheme == "uniform":
        return 0.0
    if scheme == "exponential":
        return math.exp(-(k - min(learned)))
    return 1.0 if max(learned) == min(learned) else 1 - (k - min(learned)) / (max(learned) - min(learned))


class TestOrderWeights:
    def test_linear_is_the_papers(self):
        weights = order_weights([1, 2, 3, 5, 11, -1, 4])
        np.testing.assert_allclose(weights, [1.0, 0.9, 0.8, 0, 0, 0, 0.7])
        assert weights.dtype == np.float64

    def test_without_cutoff(self):
        np.testing.assert_allclose(order_weights([1, 6, 11, -1], cutoff=None), [1, 0.5, 0, 0])

    def test_all_learned_together(self):
        np.testing.assert_array_equal(order_weights([3, 3, -1]), [1, 1, 0])
        np.testing.assert_array_equal(order_weights([5, 5, -1]), [0, 0, 0])

    def test_exponential(self):
        np.testing.assert_allclose(order_weights([2, 3, 7, -1], "exponential"), [1, math.exp(-1), 0, 0])

    def test_uniform_makes_the_loss_unweighted(self):
        np.testing.assert_array_equal(np.exp(order_weights([0, 3, -1], "uniform")), [1, 1, 1])

    @pytest.mark.parametrize("scheme", ["linear", "exponential", "uniform"])
    @pytest.mark.parametrize("epochs", [[], [-1, -1]])
    def test_nothing_learned(self, scheme, epochs):
        np.testing.assert_array_equal(order_weights(epochs, scheme), np.zeros(len(epochs)))

    @settings(max_examples=100, deadline=None)
    @given(EPOCHS, st.sampled_from(["linear", "exponential", "uniform"]), CUTOFFS)
    def test_equals_the_slow_version(self, epochs, scheme, cutoff):
        learned = [k for k in epochs if k >= 0]
        expected = [slow_weight(k, learned, scheme, cutoff) for k in epochs]
        np.testing.assert_allclose(order_weights(epochs, scheme, cutoff), expected, atol=1e-12)

    @settings(max_examples=100, deadline=None)
    @given(EPOCHS, st.sampled_from(["linear", "exponential", "uniform"]), CUTOFFS, st.randoms())
    def test_properties(self, epochs, scheme, cutoff, random):
        weights = order_weights(epochs, scheme, cutoff)
        assert ((weights >= 0) & (weights <= 1)).all()
        learned = sorted((k, w) for k, w in zip(epochs, weights, strict=True) if k >= 0)
        assert all(early[1] >= late[1] for early, late in zip(learned, learned[1:], strict=False))
        shuffle = random.sample(range(len(epochs)), len(epochs))
        np.testing.assert_array_equal(order_weights([epochs[i] for i in shuffle], scheme, cutoff), weights[shuffle])

    def test_input_is_not_changed(self):
        epochs = np.array([0, 9, -1], np.int32)
        order_weights(epochs)
        np.testing.assert_array_equal(epochs, [0, 9, -1])

    @pytest.mark.parametrize("epochs", [[0.5, 1.0], [[0, 1]], ["1"], [-2, 0], [True, False], [None], 3])
    def test_what_is_no_epoch(self, epochs):
        with pytest.raises(FineCLError, match="linear, exponential, uniform"):
            order_weights(epochs)

    def test_schemes_can_be_added(self, monkeypatch):
        with pytest.raises(FineCLError, match='no weighting scheme "halves"; choose one of linear, exponential'):
            order_weights([0, 1], "halves")
        monkeypatch.setitem(SCHEMES, "halves", lambda k: 0.5**k)
        np.testing.assert_array_equal(order_weights([0, -1, 2], "halves"), [1, 0, 0.25])


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
        with pytest.raises(FineCLError, match="epoch 0, 1 instances .* training has diverged"):
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
        with pytest.raises(FineCLError, match='1 instance ids occur more than once, first of them "b"'):
            LearningOrder(["a", "b", "b"])

    @pytest.mark.parametrize("columns", [{"head": [0]}, {"correct": [[True], [False], [True]]}, {"title": ["x"]}])
    def test_columns_must_fit(self, columns):
        with pytest.raises(FineCLError, match="differ in their rows or epochs"):
            LearningOrder(["a", "b"], **columns)

    def test_summary_leaves_out_what_was_not_judged(self):
        order = LearningOrder(list("abc"))
        order.record_epoch(np.ones(3), np.ones(3), [True, False, False], [True, True, False])
        assert order.learned_by_epoch().tolist() == [1, 1]
        assert order.summary().splitlines()[-2].split() == ["never", "1", "50.0%"]
        assert order.summary().splitlines()[-1].startswith("1 more lie past the length")

    def test_summary(self):
        order = LearningOrder(list("abcd"), first_epoch=[0, 0, 2, -1])
        assert order.summary().splitlines() == [
            "4 instances, 3 epochs",
            " epoch      learned   share",
            "     0            2   50.0%",
            "     1            0    0.0%",
            "     2            1   25.0%",
            " never            1   25.0%",
        ]


class TestLookup:
    IDS = ["Zürich#0#1#P17", "東京#1#0#P36", "a#0#1#P17"]

    @pytest.mark.parametrize(
        "wrap",
        [list, np.array, pa.array, lambda ids: pa.chunked_array([ids[:1], ids[1:]]), lambda ids: iter(ids)],
        ids=["list", "numpy", "arrow", "chunked", "iterator"],
    )
    def test_rows(self, wrap):
        rows = LearningOrder(self.IDS).lookup(wrap(["東京#1#0#P36", "nobody", "a#0#1#P17", "東京#1#0#P36"]))
        assert rows.dtype == np.int64 and rows.tolist() == [1, -1, 2, 1]

    def test_empty_sides(self):
        assert LearningOrder([]).lookup(["a"]).tolist() == [-1]
        assert LearningOrder(["a"]).lookup([]).tolist() == []

    def test_null_is_unknown(self):
        assert LearningOrder(["a"]).lookup(pa.array([None, "a"], pa.string())).tolist() == [-1, 0]

    def test_ids_are_strings(self):
        with pytest.raises(FineCLError, match="must be strings"):
            LearningOrder(["a"]).lookup([1, 2])

    def test_coverage(self):
        coverage = LearningOrder(list("abcd")).coverage(["a", "x", "c", "a"])
        assert coverage == Coverage(known=3, unknown=1, unused=2) and coverage.share == 0.75
        assert str(coverage) == (
            "the learning order knows 3 of 4 instances (75.0%); 2 of its rows belong to none of them"
        )
        assert LearningOrder([]).coverage([]).share == 1.0


class TestIdsInTheFile:
    """A table whose ids stay in its file answers like the whole one."""

    @pytest.fixture
    def both(self, tmp_path):
        rng = np.random.default_rng(0)
        names = [f"d{i // 3}#{i % 3}#1#r{i % 4}" for i in range(60)]
        order = LearningOrder(names, relation=[f"r{i % 4}" for i in range(60)], plausibility=rng.normal(size=60))
        for _ in range(3):
            order.record_epoch(rng.random(60), rng.normal(size=60), rng.random(60) < 0.4, np.arange(60) % 7 > 0)
        order.write(tmp_path / "order.parquet")
        return order, LearningOrder.read(tmp_path / "order.parquet", named=False)

    def test_names_are_left_there(self, both):
        order, unnamed = both
        assert unnamed.instance_id is None and len(unnamed) == len(order) == 60
        assert unnamed.first_epoch.tolist() == order.first_epoch.tolist()
        assert unnamed.relation.equals(order.relation) and unnamed.title is unnamed.head is unnamed.tail is None

    @pytest.mark.parametrize("score", sorted({*SCORES, "margin_within_relation"} - {"confident_learning"}))
    def test_weights_and_coverage(self, both, score):
        order, unnamed = both
        ids = [*order.instance_id.to_pylist()[::-1], "nobody", *order.instance_id.to_pylist()[5:9]]
        for one, other in zip(order.weights(ids, weight_by=score), unnamed.weights(ids, weight_by=score), strict=True):
            assert one.tolist() == other.tolist()
        assert order.coverage(ids) == unnamed.coverage(ids)

    def test_another_corpus(self, both):
        with pytest.raises(FineCLError, match='first row is "d0#0#1#r0"'):
            both[1].weights(["x"])

    def test_json_has_nothing_to_leave(self, tmp_path):
        LearningOrder(["a", "b"], first_epoch=[0, 1]).write(tmp_path / "order.json")
        assert LearningOrder.read(tmp_path / "order.json", named=False).instance_id.to_pylist() == ["a", "b"]


class TestWeights:
    def test_by_first_epoch(self):
        order = LearningOrder(list("abcd"), first_epoch=[0, 2, 10, -1])
        weights, keep = order.weights(["d", "b", "unknown", "a", "c"])
        np.testing.assert_allclose(weights, [0, 0.8, 0, 1, 0])
        assert keep.tolist() == [False, True, False, True, True]  # learned late: weight 0, but an anchor still
        assert weights.dtype == np.float32

    def test_weight_does_not_depend_on_the_other_ids(self):
        order = make([str(i) for i in range(50)], epochs=8)
        for weight_by in SCORES:
            together, _ = order.weights([str(i) for i in range(50)], cutoff=None, weight_by=weight_by)
            alone, _ = order.weights(["7"], cutoff=None, weight_by=weight_by)
            assert alone[0] == together[7]

    def test_uniform_keeps_everything(self):
        order = LearningOrder(list("ab"), first_epoch=[0, -1])
        for weight_by in ("first_epoch", "probability"):
            weights, keep = order.weights(["a", "b", "unknown"], "uniform", weight_by=weight_by)
            assert weights.tolist() == [0, 0, 0] and keep.all()
        with pytest.raises(FineCLError, match='no score "mood"'):
            order.weights(["a"], "uniform", weight_by="mood")

    def test_by_probability_over_observed_epochs(self):
        order = LearningOrder(list("abc"))
        order.record_epoch([0.5, 0.25, 0.5], np.zeros(3), [True, True, False])
        order.record_epoch([1.0, 0.75, 0.5], np.zeros(3), [True, True, False], [True, False, True])
        weights, keep = order.weights(list("abc"), weight_by="probability")
        np.testing.assert_allclose(weights, [0.75, 0.25, 0.5])
        assert keep.all()  # c was never predicted; what that means is for the score to say

    def test_labels_that_were_never_judged_take_no_part(self):
        order = LearningOrder(list("ab"), confident_learning=[0.5, np.nan])
        order.record_epoch([0.5, 0.5], np.zeros(2), [True, True], [True, False])
        for weight_by in SCORES:
            weights, keep = order.weights(list("ab"), weight_by=weight_by)
            assert keep.tolist() == [True, False] and weights[1] == 0

    def test_by_margin_is_a_rank(self):
        order = LearningOrder(list("abcd"))
        order.record_epoch(np.ones(4), [-3, 100, 7, 7], [True] * 4)
        np.testing.assert_allclose(order.weights(list("abcd"), weight_by="margin")[0], [0, 1, 0.5, 0.5])

    def test_row_without_dynamics_scores_lowest(self):
        merged = LearningOrder.merge([make(list("ab"), hidden=0), LearningOrder(["c"], first_epoch=[1])])
        for score in (unit_score(name, merged) for name in SCORES if name != "first_epoch"):
            assert score[2] == score.min()

    def test_scores_can_be_added(self, monkeypatch):
        order = LearningOrder(list("ab"), first_epoch=[0, 1])
        with pytest.raises(FineCLError, match="take one of first_epoch, consistent_epoch"):
            order.weights(["a"], weight_by="mine")
        monkeypatch.setitem(SCORES, "mine", lambda order: np.full(len(order), 0.25))
        assert order.weights(["a"], weight_by="mine")[0].tolist() == [0.25]
        monkeypatch.setitem(SCORES, "mine", lambda order: np.array([0.0, np.nan]))
        with pytest.raises(FineCLError, match=r'"mine" leaves \[0, 1\]'):
            order.weights(["a"], weight_by="mine")

    def test_no_dynamics(self):
        with pytest.raises(FineCLError, match="no training dynamics"):
            LearningOrder(["a"], first_epoch=[0]).weights(["a"], weight_by="probability")

    def test_another_corpus(self):
        order = LearningOrder(["ours#0#1#P17"], first_epoch=[0])
        with pytest.raises(FineCLError, match='none of the 1 instances.*"ours#0#1#P17".*"theirs#0#1#P17"'):
            order.weights(["theirs#0#1#P17"])
        with pytest.raises(FineCLError, match="it is empty"):
            LearningOrder([]).weights(["a"])
        weights, keep = order.weights([])
        assert len(weights) == len(keep) == 0
