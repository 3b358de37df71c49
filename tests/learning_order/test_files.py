"""Files of a learning order: what is written is read again, and what is broken gets a sentence."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finecl_hf.data.documents import Document, Fact, Mention
from finecl_hf.errors import FineCLError
from finecl_hf.hashing import text_key
from finecl_hf.learning_order import files as order_files
from finecl_hf.learning_order.table import LearningOrder
from tests.helpers.small_orders import assert_same, make


class TestFiles:
    IDS = ["Zürich#0#1#P17", "東京#1#0#P36", 'q"uo\nte#0#1#P1', "", "🙂#2#1#r"]

    @pytest.mark.parametrize("epochs", [0, 1, 5])
    def test_parquet_round_trip(self, tmp_path, epochs):
        order = make(self.IDS, epochs)
        order.write(tmp_path / "learning_order.parquet")
        assert_same(LearningOrder.read(str(tmp_path / "learning_order.parquet")), order)

    def test_older_files_have_no_keys(self, tmp_path):
        order = make(self.IDS)
        pq.write_table(order.to_table().drop_columns(["key"]), tmp_path / "a.parquet")
        assert_same(LearningOrder.read(tmp_path / "a.parquet"), order)

    def test_columns_of_older_versions_are_passed_over(self, tmp_path):
        order = make(self.IDS)
        scores = pa.array([0.5] * len(order), pa.float32())
        pq.write_table(order.to_table().append_column("confident_learning", scores), tmp_path / "a.parquet")
        assert_same(LearningOrder.read(tmp_path / "a.parquet"), order)

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
        keys = [text_key(name) for name in self.IDS]
        assert again.rows_of(keys)[2] == -1
        weights, _ = again.weights().of(keys)
        assert np.isnan(weights).tolist() == [False, False, True, False, False]

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

        monkeypatch.setattr(order_files.pq.ParquetWriter, "write_table", fail)
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
        return make(list("abc")).to_table().drop_columns(["key"])  # made from the ids

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
        with pytest.raises(FineCLError, match="a.parquet: 1 facts"):
            LearningOrder.read(tmp_path / "a.parquet")

    def test_later_version(self, tmp_path, table):
        pq.write_table(table.replace_schema_metadata({"finecl_hf.version": "99"}), tmp_path / "a.parquet")
        self.refused(tmp_path / "a.parquet", "upgrade finecl_hf")

    @pytest.mark.parametrize(
        ("text", "match"),
        [
            ("", "cannot be read as JSON"),
            ('{"a": 1', "cannot be read as JSON"),
            (b"\xff\xfe\x00", "UTF-8"),
            ("[" * 100_000, "cannot be read as JSON"),
            ('{"a": 2000000000}', "less than 100,000"),
            ("[1, 2]", "expected a JSON object"),
            ('{"a": "1"}', "every epoch is an integer"),
            ('{"a": true}', "every epoch is an integer"),
            ('{"a": 1.5}', "every epoch is an integer"),
            ('{"a": null}', "every epoch is an integer"),
            ('{"a": -2}', "-1 for never"),
        ],
    )
    def test_json(self, tmp_path, text, match):
        (tmp_path / "a.json").write_bytes(text if isinstance(text, bytes) else text.encode())
        self.refused(tmp_path / "a.json", match)


def test_older_files_know_facts_by_the_names_of_today(tmp_path):
    entities = [[Mention("a", 0, 0, 1)]] * 2
    document = Document("d", [["a"]], entities, [Fact(0, 1, name) for name in ("a#b", "50%", "P17")])
    table = LearningOrder.for_documents([document]).to_table().drop_columns(["key"])
    ids = pa.array(["d#0#1#a#b", "d#0#1#50%", "d#0#1# P17 "], pa.large_string())
    table = table.set_column(0, "instance_id", ids)
    relation = pa.array(["a#b", "50%", " P17 "], pa.large_string())
    pq.write_table(
        table.set_column(table.column_names.index("relation"), "relation", relation), tmp_path / "a.parquet"
    )
    order = LearningOrder.read(tmp_path / "a.parquet")
    assert order.rows_of([document.fact_key(fact) for fact in document.relations]).tolist() == [0, 1, 2]


def test_the_first_fact_that_occurs_twice_is_named():
    ids = [f"d{i}#0#1#r" for i in range(50)]
    with pytest.raises(FineCLError, match='first of them "d7#0#1#r"'):
        LearningOrder.merge([LearningOrder(ids), LearningOrder([*ids[40:], ids[7]])])
