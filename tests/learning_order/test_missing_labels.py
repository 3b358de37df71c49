"""The table of missing labels on disk."""

from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from finecl_hf.data.documents import fact_id
from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.missing_labels import MissingLabel, publish_missing, read_missing, write_missing


ROW = MissingLabel("Ada#0#3#has#23", "Ada", 0, 3, "has", "Ada Lovelace", "Babbage", 0.5, -1.25, 2.0, 0.25, 3.5)


def test_round_trip(tmp_path):
    rows = [ROW, replace(ROW, title="Ö#1", relation="a#b", instance_id=fact_id("Ö#1", 0, 3, "a#b"))]
    write_missing(rows, tmp_path / "missing.parquet")
    assert read_missing(tmp_path / "missing.parquet") == rows
    write_missing([], tmp_path / "none.parquet")
    assert read_missing(tmp_path / "none.parquet") == []


def test_names_of_entities_are_not_published(tmp_path):
    write_missing([ROW], tmp_path / "missing.parquet")
    publish_missing(tmp_path / "missing.parquet", tmp_path / "published.parquet")
    assert b"Babbage" not in (tmp_path / "published.parquet").read_bytes()
    assert read_missing(tmp_path / "published.parquet") == [replace(ROW, head_name="", tail_name="")]


def test_id_is_that_of_a_label(ada):
    fact = replace(ROW, relation="50% # of").fact
    assert fact_id(ada.title, fact.head, fact.tail, fact.relation) == ada.instance_id(fact)
    assert replace(ROW, instance_id=ada.instance_id(fact)).key == ada.fact_key(fact)


def test_unfit_files(tmp_path):
    with pytest.raises(FineCLError, match="there is no such file"):
        read_missing(tmp_path / "no.parquet")
    (tmp_path / "text.parquet").write_text("no parquet")
    with pytest.raises(FineCLError, match="holds no missing labels"):
        read_missing(tmp_path / "text.parquet")
    write_missing([ROW], tmp_path / "other.parquet")
    pq.write_table(pq.read_table(tmp_path / "other.parquet").drop_columns("score"), tmp_path / "other.parquet")
    with pytest.raises(FineCLError, match="holds no missing labels"):
        read_missing(tmp_path / "other.parquet")


@pytest.mark.parametrize(
    "change", [{"head": -1}, {"tail": 0}, {"relation": "NA"}, {"score": float("nan")}, {"probability": float("inf")}]
)
def test_what_can_be_no_fact(tmp_path, change):
    write_missing([ROW, replace(ROW, **change)], tmp_path / "missing.parquet")
    with pytest.raises(FineCLError, match="missing.parquet: Ada#0#3#has#23 cannot be a fact"):
        read_missing(tmp_path / "missing.parquet")
