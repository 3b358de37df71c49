import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finecl_hf import order_files
from finecl_hf.documents import Document
from finecl_hf.errors import FineCLError
from finecl_hf.learning_order import SCHEMES, Coverage, LearningOrder, order_weights
from finecl_hf.scores import SCORES, unit_score


EPOCHS = st.lists(st.integers(-1, 30), max_size=40)
CUTOFFS = st.one_of(st.none(), st.integers(0, 30))


def slow_weight(k, learned, scheme, cutoff):
    """One weight as the paper words it."""
    if k == -1 or cutoff is not None and k >= cutoff or scheme == "uniform":
        return 0.0
    if scheme == "exponential":
        return math.exp(-(k - min(learned)))
    return 1.0 if max(learned) == min(learned) else 1 - (k - min(learned)) / (max(learned) - min(learned))


def make(ids, epochs=3, seed=0, hidden=0.3):
    """A table whose rows some epochs did not observe."""
    rng = np.random.default_rng(seed)
    order = LearningOrder(
        ids, relation=["P17"] * len(ids), head=np.arange(len(ids)), confident_learning=rng.random(len(ids))
    )
    for _ in range(epochs):
        probability, observed = rng.random(len(ids)), rng.random(len(ids)) > hidden
        order.record_epoch(probability, 2 * probability - 1, probability > 0.6, observed)
    return order


def assert_same(left, right):
    for name in ("instance_id", "title", "relation"):
        assert getattr(left, name).equals(getattr(right, name)), name
    for name in ("head", "tail", "first_epoch", "observed", "correct"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)
        assert getattr(left, name).dtype == getattr(right, name).dtype
    np.testing.assert_array_equal(left.confident_learning, right.confident_learning)  # NaN equals NaN
    assert left.confident_learning.dtype == right.confident_learning.dtype == np.float32
    for name in ("probability", "margin"):
        assert getattr(left, name).dtype == getattr(right, name).dtype == np.float16
        np.testing.assert_array_equal(getattr(left, name)[left.observed], getattr(right, name)[right.observed])


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


class TestFiles:
    IDS = ["Zürich#0#1#P17", "東京#1#0#P36", 'q"uo\nte#0#1#P1', "", "🙂#2#1#r"]

    @pytest.mark.parametrize("epochs", [0, 1, 5])
    def test_parquet_round_trip(self, tmp_path, epochs):
        order = make(self.IDS, epochs)
        order.write(tmp_path / "learning_order.parquet")
        assert_same(LearningOrder.read(str(tmp_path / "learning_order.parquet")), order)

    def test_files_without_confident_learning(self, tmp_path):
        order = make(self.IDS)
        pq.write_table(order.to_table().drop_columns(["confident_learning"]), tmp_path / "a.parquet")
        order.confident_learning[:] = np.nan
        assert_same(LearningOrder.read(tmp_path / "a.parquet"), order)
        order.write(tmp_path / "b.parquet")
        assert_same(LearningOrder.read(tmp_path / "b.parquet"), order)

    def test_empty_round_trip(self, tmp_path):
        LearningOrder([]).write(tmp_path / "a.parquet")
        assert len(LearningOrder.read(tmp_path / "a.parquet")) == 0

    def test_many_row_groups(self, tmp_path):
        order = make([str(i) for i in range(300)], epochs=2)
        pq.write_table(order.to_table(), tmp_path / "a.parquet", row_group_size=7)
        assert_same(LearningOrder.read(tmp_path / "a.parquet"), order)

    def test_layout(self, tmp_path):
        order = make(self.IDS)
        order.write(tmp_path / "a.parquet")
        table = pq.read_table(tmp_path / "a.parquet")
        assert table.schema.metadata[b"finecl_hf.epochs"] == b"3"
        assert table.schema.field("probability").type.value_type == pa.float16()
        nulls = [[value is None for value in row] for row in table["margin"].to_pylist()]
        np.testing.assert_array_equal(nulls, ~order.observed)

    def test_recording_goes_on_after_reading(self, tmp_path):
        order = make(self.IDS)
        order.write(tmp_path / "a.parquet")
        again = LearningOrder.read(tmp_path / "a.parquet")
        for each in (order, again):
            each.record_epoch(np.ones(5), np.ones(5), np.ones(5, bool))
        assert_same(again, order)

    def test_wider_types_of_other_tools_are_read(self, tmp_path):
        order = make(self.IDS)
        table = order.to_table().replace_schema_metadata(None)
        for name in ("probability", "margin"):
            column = table[name].cast(pa.large_list(pa.float64()))
            table = table.set_column(table.column_names.index(name), name, column)
        pq.write_table(table.append_column("note", pa.array(self.IDS)), tmp_path / "a.parquet")
        assert_same(LearningOrder.read(tmp_path / "a.parquet"), order)

    def test_json_round_trip_leaves_the_never_learned_out(self, tmp_path):
        order = LearningOrder(self.IDS, first_epoch=[0, 4, -1, 2, 0])
        order.write(tmp_path / "order.json")
        raw = json.loads((tmp_path / "order.json").read_text(encoding="utf-8"))
        assert raw == order.to_json_dict() and self.IDS[2] not in raw and raw[self.IDS[1]] == 4
        again = LearningOrder.read(tmp_path / "order.json")
        assert again.to_json_dict() == raw and again.num_epochs == 0
        assert again.lookup([self.IDS[2]]).tolist() == [-1]
        assert again.weights(self.IDS)[1].tolist() == [True, True, False, True, True]

    def test_json_to_parquet_keeps_the_epochs(self, tmp_path):
        order = LearningOrder.from_json_dict({"a": 3, "b": 0})
        order.write(tmp_path / "a.parquet")
        assert LearningOrder.read(tmp_path / "a.parquet").first_epoch.tolist() == [3, 0]

    @pytest.mark.parametrize("name", ["a.parquet", "a.json"])
    def test_failing_write_leaves_the_old_file(self, tmp_path, monkeypatch, name):
        make(self.IDS).write(tmp_path / name)
        before = (tmp_path / name).read_bytes()

        def fail(*args, **kwargs):
            raise OSError("disk full")

        monkeypatch.setattr(order_files.pq, "write_table", fail)
        monkeypatch.setattr(order_files, "to_json_dict", fail)
        with pytest.raises(OSError, match="disk full"):
            make(self.IDS, seed=1).write(tmp_path / name)
        assert (tmp_path / name).read_bytes() == before
        assert [path.name for path in tmp_path.iterdir()] == [name]

    def test_write_makes_the_folder(self, tmp_path):
        make(self.IDS).write(tmp_path / "new" / "a.parquet")
        assert (tmp_path / "new" / "a.parquet").is_file()


class TestBrokenFiles:
    @pytest.fixture
    def table(self):
        return make(list("abc")).to_table()

    def refused(self, path, match):
        with pytest.raises(FineCLError, match=match) as caught:
            LearningOrder.read(path)
        assert str(caught.value).startswith(str(path))

    def test_missing(self, tmp_path):
        self.refused(tmp_path / "none.parquet", "there is no such file")
        self.refused(tmp_path, "there is no such file")

    @pytest.mark.parametrize("keep", [0, 3, 200, -1])
    def test_truncated(self, tmp_path, table, keep):
        path = tmp_path / "a.parquet"
        pq.write_table(table, path)
        path.write_bytes(path.read_bytes()[:keep])
        self.refused(path, "no parquet, or damaged; copy it again or repeat stage 1")

    def test_damaged_inside(self, tmp_path, table):
        path = tmp_path / "a.parquet"
        pq.write_table(table, path, compression="zstd")
        raw = bytearray(path.read_bytes())
        raw[4 : len(raw) // 3] = b"x" * (len(raw) // 3 - 4)
        path.write_bytes(raw)
        self.refused(path, "no parquet, or damaged")

    @pytest.mark.parametrize("column", ["instance_id", "relation", "first_epoch", "correct"])
    def test_missing_column(self, tmp_path, table, column):
        pq.write_table(table.drop_columns([column]), tmp_path / "a.parquet")
        self.refused(tmp_path / "a.parquet", f"the column {column} is missing")

    @pytest.mark.parametrize(
        ("column", "values", "match"),
        [
            ("first_epoch", ["soon", "late", "never"], "the column first_epoch is no int32"),
            ("first_epoch", [0.5, 1.0, 2.0], "the column first_epoch is no int32"),
            ("first_epoch", [0, None, 1], "the column first_epoch lacks 1 values"),
            ("first_epoch", [0, -7, 1], "or -1 for never"),
            ("probability", ["x", "y", "z"], "the column probability is no list<"),
            ("probability", [[0.1], [0.1, 0.2], []], "the lists in probability differ in length"),
            ("correct", [[True]] * 3, "differ in their rows or epochs"),
            ("correct", [None, [True], [True]], "the column correct lacks 1 values"),
            ("instance_id", ["a", "a", "b"], 'more than once, first of them "a"'),
            ("instance_id", ["a", None, "b"], "the column instance_id lacks 1 values"),
        ],
    )
    def test_wrong_column(self, tmp_path, table, column, values, match):
        table = table.set_column(table.column_names.index(column), column, pa.array(values))
        pq.write_table(table, tmp_path / "a.parquet")
        self.refused(tmp_path / "a.parquet", match)

    @pytest.mark.parametrize("name, value", [("probability", np.nan), ("probability", 1.5), ("margin", np.nan)])
    def test_impossible_dynamics(self, tmp_path, name, value):
        order = make(list("abc"), epochs=2, hidden=0)
        getattr(order, name)[1, 0] = value
        order.write(tmp_path / "a.parquet")
        with pytest.raises(FineCLError, match="a.parquet: 1 instances have a probability outside"):
            LearningOrder.read(tmp_path / "a.parquet")

    def test_later_version(self, tmp_path, table):
        pq.write_table(table.replace_schema_metadata({"finecl_hf.version": "99"}), tmp_path / "a.parquet")
        self.refused(tmp_path / "a.parquet", "upgrade finecl_hf")

    @pytest.mark.parametrize(
        ("text", "match"),
        [
            ("", "no JSON, or damaged"),
            ('{"a": 1', "no JSON, or damaged"),
            (b"\xff\xfe\x00", "no JSON, or damaged"),
            ("[1, 2]", "expected a JSON object"),
            ('{"a": "1"}', "every epoch is an integer"),
            ('{"a": true}', "every epoch is an integer"),
            ('{"a": 1.5}', "every epoch is an integer"),
            ('{"a": null}', "every epoch is an integer"),
            ('{"a": -2}', "or -1 for never"),
        ],
    )
    def test_json(self, tmp_path, text, match):
        (tmp_path / "a.json").write_bytes(text if isinstance(text, bytes) else text.encode())
        self.refused(tmp_path / "a.json", match)


class TestMerge:
    def test_shards(self):
        left, right = make(list("abc"), epochs=2), make(list("de"), epochs=4, seed=1)
        merged = LearningOrder.merge([left, right])
        assert merged.instance_id.to_pylist() == list("abcde") and merged.num_epochs == 4
        assert not merged.observed[:3, 2:].any()
        np.testing.assert_array_equal(merged.first_epoch, [*left.first_epoch, *right.first_epoch])
        np.testing.assert_array_equal(merged.probability[3:], right.probability)

    def test_scores_of_confident_learning_are_put_on_one_scale(self):
        left, right = make(list("abc"), hidden=0), make(list("def"), seed=1, hidden=0)
        left.confident_learning = np.array([0.5, np.nan, 0.7], np.float32)
        right.confident_learning = np.array([0.01, 0.03, 0.02], np.float32)
        kept = LearningOrder.merge([left, right]).confident_learning
        np.testing.assert_array_equal(kept, [*left.confident_learning, *right.confident_learning])
        scaled = LearningOrder.merge([left, right], calibrate=True).confident_learning
        assert np.isnan(scaled).tolist() == [False, True, False, False, False, False]
        assert scaled[3] < scaled[5] < scaled[4] and scaled[3] < scaled[0] < scaled[5] < scaled[2] < scaled[4]

    def test_shards_with_and_without_dynamics(self):
        shards = [make(list("ab")), LearningOrder.from_json_dict({"c": 9})]
        assert LearningOrder.merge(shards).first_epoch[2] == 9

    def test_merging_one_changes_nothing(self):
        order = make(list("abc"))
        assert_same(LearningOrder.merge([order]), order)
        assert_same(LearningOrder.merge([order, order], on_conflict="min"), order)

    def test_conflict(self):
        left = LearningOrder(list("abcd"), first_epoch=[3, -1, 2, -1])
        right = LearningOrder(list("dcbae"), first_epoch=[-1, 5, 4, 1, 0])
        with pytest.raises(FineCLError, match='4 instance ids occur more than once.*on_conflict="min"'):
            LearningOrder.merge([left, right])
        merged = LearningOrder.merge([left, right], on_conflict="min")
        assert dict(zip(merged.instance_id.to_pylist(), merged.first_epoch.tolist(), strict=True)) == {
            "a": 1,
            "b": 4,
            "c": 2,
            "d": -1,
            "e": 0,
        }

    @pytest.mark.parametrize(("tables", "on_conflict"), [([], "raise"), ([LearningOrder(["a"])], "max")])
    def test_wrong_arguments(self, tables, on_conflict):
        with pytest.raises(FineCLError, match="at least one learning order, and on_conflict"):
            LearningOrder.merge(tables, on_conflict)
