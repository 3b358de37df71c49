"""Triple tables: which files are one, which columns they have, and a sentence for every mistake."""

import csv
import gzip
import io
import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finecl_hf.data.readers import write_documents
from finecl_hf.distant.join import TableJoin
from finecl_hf.distant.triple_tables import TripleTable, connect, table_format
from finecl_hf.errors import FineCLError
from tests.helpers.small_documents import small_document


ROWS = [("a", "r", "b"), ("b", 'the "q"', "it's c")]


@pytest.fixture
def rows_of(tmp_path):
    """A function: what DuckDB reads from a table."""
    count = 0

    def read(paths, **options):
        nonlocal count
        count += 1
        with connect(tmp_path / f"{count}.duckdb", 0.5, 1) as connection:
            return connection.execute(TripleTable.open(paths, **options).select()).fetchall()

    return read


def _write(path, text):
    data = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def _tsv(rows):
    return "".join("\t".join(row) + "\n" for row in rows)


def _jsonl(rows, names=("head", "relation", "tail")):
    return "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows)


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "T.CSV"])
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_csv_with_and_without_a_header(tmp_path, rows_of, name, delimiter):
    rows = [*ROWS, ("with, comma; and", "r", "two\nlines")]

    def csv_of(rows):
        file = io.StringIO()
        csv.writer(file, delimiter=delimiter).writerows(rows)
        return file.getvalue()

    path = _write(tmp_path / name, csv_of(rows))
    assert table_format(path) == "csv" and rows_of(path) == rows
    turned = [("tail", "source", "head", "relation"), *((t, "x", h, r) for h, r, t in rows)]
    path = _write(tmp_path / name, csv_of(turned))
    assert table_format(path) == "csv" and rows_of(path) == rows


def test_a_csv_under_another_name_is_read_where_it_is_said(tmp_path, rows_of):
    path = _write(tmp_path / "table", "a,r,b\n")
    assert rows_of(path, format="csv") == [("a", "r", "b")]
    with pytest.raises(FineCLError, match="comma-separated"):
        TripleTable.open(_write(tmp_path / "t.csv", "a\tr\tb\n"))


@pytest.mark.parametrize("name", ["kb[1].tsv", "kb*.tsv", "kb?.tsv", "[kb].tsv", "it's.tsv", "k[b.tsv"])
def test_a_name_that_looks_like_a_pattern_is_that_file(tmp_path, rows_of, name):
    for other in ("kb1.tsv", "kb2.tsv", "k.tsv", "b.tsv", "kb.tsv"):
        _write(tmp_path / other, _tsv([("other", "r", "x")]))
    assert rows_of(_write(tmp_path / name, _tsv(ROWS))) == ROWS
    columns = dict(zip(("h", "r", "t"), zip(*ROWS, strict=True), strict=True))
    pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    assert rows_of(tmp_path / f"{name}.parquet") == ROWS


@pytest.mark.parametrize("name", ["t.tsv", "t.tsv.gz", "t.txt", "t"])
def test_tsv_with_and_without_a_header(tmp_path, rows_of, name):
    path = _write(tmp_path / name, _tsv(ROWS))
    assert table_format(path) == "tsv" and rows_of(path) == ROWS
    turned = [("tail", "source", "Head", "relation"), *((t, "x", h, r) for h, r, t in ROWS)]
    path = _write(tmp_path / name, _tsv(turned))
    assert table_format(path) == "tsv" and rows_of(path) == ROWS


def test_tsv_line_ends_bom_and_gzip_without_its_extension(tmp_path, rows_of):
    assert rows_of(_write(tmp_path / "a.tsv", "\ufeff" + _tsv(ROWS).replace("\n", "\r\n") + "\r\n")) == ROWS
    assert rows_of(_write(tmp_path / "b.tsv", gzip.compress(_tsv(ROWS).encode()))) == ROWS
    assert rows_of(_write(tmp_path / "c [1].tsv", _tsv(ROWS).rstrip())) == ROWS


@pytest.mark.parametrize("names", [("h", "r", "t"), ("Subject", "PREDICATE", "object"), ("head", "relation", "tail")])
def test_parquet_and_json_columns_by_their_usual_names(tmp_path, rows_of, names):
    columns = dict(zip(names, map(list, zip(*ROWS, strict=True)), strict=True))
    pq.write_table(pa.table({"more": [1, 2], **columns}), tmp_path / "t.parquet")
    assert table_format(tmp_path / "t.parquet") == "parquet" and rows_of(tmp_path / "t.parquet") == ROWS
    for name, text in (("t.jsonl", _jsonl(ROWS, names)), ("t.jsonl.gz", _jsonl(ROWS, names))):
        path = _write(tmp_path / name, text)
        assert table_format(path) == "jsonl" and rows_of(path) == ROWS
    listed = [dict(zip(names, row, strict=True)) for row in ROWS]
    path = _write(tmp_path / "t.json", json.dumps(listed))
    assert table_format(path) == "jsonl" and rows_of(path) == ROWS


def test_named_columns(tmp_path, rows_of):
    pq.write_table(pa.table({"to": ["b"], "from": ["a"], 'my "rel"': [7]}), tmp_path / "t.parquet")
    assert rows_of(tmp_path / "t.parquet", columns=["from", 'my "rel"', "to"]) == [("a", "7", "b")]
    path = _write(tmp_path / "t.tsv", "to\tfrom\tby\nb\ta\tr\n")
    assert rows_of(path, columns=["from", "by", "to"]) == [("a", "r", "b")]
    path = _write(tmp_path / "t.jsonl", '{"to": "b", "from": "a", "by": "r"}\n{"to": "c"}\n')
    assert rows_of(path, columns=["from", "by", "to"]) == [("a", "r", "b"), (None, None, "c")]


def test_several_files_are_one_table(tmp_path, rows_of):
    paths = [_write(tmp_path / f"{i}.tsv", _tsv([row])) for i, row in enumerate(ROWS)]
    assert sorted(rows_of(paths)) == ROWS
    _write(paths[1], "head\trelation\ttail\n" + _tsv(ROWS))
    with pytest.raises(FineCLError, match="1.tsv: is laid out differently from .*0.tsv"):
        TripleTable.open(paths)


def test_documents_are_no_table(tmp_path, ada):
    sentences = {
        "semeval.txt": '1\t"The <e1>fire</e1> was caused by the <e2>bomb</e2>."\nCause-Effect(e2,e1)\nComment:\n',
        "opennre.jsonl": '{"text": "a b", "relation": "r", "h": {"name": "a"}, "t": {"name": "b"}}\n',
        "fewrel.json": '{"P1": [{"tokens": ["a", "b"], "h": ["a", "Q1", [[0]]], "t": ["b", "Q2", [[1]]]}]}',
        "printed.json": '{\n  "P1": [{"tokens": ["a", "b"]}]\n}',
        "tacred.json": '[{"id": "e", "relation": "r", "token": ["a"], "subj_start": 0}]',
        "empty.json": "",
    }
    for name, text in sentences.items():
        assert table_format(_write(tmp_path / name, text)) is None, name
    for name in ("d.json", "d.jsonl.gz", "d.parquet"):
        write_documents([ada], tmp_path / name)
        assert table_format(tmp_path / name) is None, name
    assert table_format(Path("user/name")) is None and table_format(tmp_path) is None
    assert table_format(Path("folder/missing.tsv")) == "tsv"  # rather than the name of a dataset on the Hub


@pytest.mark.parametrize(
    "name, content, options, message",
    [
        ("t.parquet", b"PAR1 cut", {}, "t.parquet: the file cannot be read as parquet .*download or write it again"),
        ("t.tsv", "", {}, "t.tsv: the file is empty"),
        ("t.tsv", "a,r,b\n", {}, "t.tsv: the first line has 1 tab-separated cell, .*three cells a line, with tabs"),
        ("t.tsv", "a\tr\tb\n", {"columns": ["x", "y", "z"]}, "there are no columns x, y, z; found a, r, b"),
        ("t.jsonl", '{"from": "a", "r": "r"}\n', {}, "no columns head, relation and tail; found from, r: .*--columns"),
        ("t.jsonl", "[]", {"format": "jsonl"}, "t.jsonl: expected one object a line, or a list of objects"),
        ("t.tsv", b"\x1f\x8b cut", {}, "t.tsv: the gzip "),
        ("t.tsv", b"\xe9\tr\tb\n", {}, "t.tsv: the byte 0xe9 is not UTF-8"),
    ],
)
def test_mistakes_that_show_at_the_beginning(tmp_path, name, content, options, message):
    with pytest.raises(FineCLError, match=message) as caught:
        TripleTable.open(_write(tmp_path / name, content), **options)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_missing_file_and_columns_without_text(tmp_path):
    with pytest.raises(FineCLError, match="nowhere.tsv: there is no such file"):
        TripleTable.open(tmp_path / "nowhere.tsv")
    pq.write_table(pa.table({"h": [["a"]], "r": ["r"], "t": ["b"]}), tmp_path / "t.parquet")
    with pytest.raises(FineCLError, match=r"t.parquet: the column h holds list<.*>, no text"):
        TripleTable.open(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("t.tsv", "a\tr\tb\na\tr\n", "t.tsv, line 2: the number of tab-separated cells is 2, but 3 in the first line"),
        ("t.tsv", "a\tr\tb\na\tr\tb\tc\n", "t.tsv, line 2: the number of tab-separated cells is 4"),
        ("t.tsv", b"a\tr\tb\na\tr\t\xff\n", "t.tsv, line 2: the text is not UTF-8; save the file with UTF-8"),
        ("t.tsv", "a\tr\tb\nx\ry\tr\tb\n", "t.tsv: a carriage return stands inside a line"),
        ("t.tsv.gz", gzip.compress(b"a\tr\tb\n" * 90000)[:-9], "t.tsv.gz: the gzip file is cut off or damaged"),
        (
            "t.jsonl",
            '{"h": "a", "r": "r", "t": "b"}\n{"h": \n',
            "t.jsonl: line 2 is not JSON .*; write one object a line",
        ),
        (
            "t.jsonl",
            '{"h": "a", "r": "r", "t": "b"}\n["a"]\n',
            "t.jsonl: line 2 is no object; write one object a line",
        ),
        ("t.jsonl", b'{"h": "a", "r": "r", "t": "b"}\n{"h": "\xff"}\n', "t.jsonl: the byte 0xff is not UTF-8"),
        ("t.tsv", "head\trelation\ttail\n", "t.tsv: there are no triples in it"),
        (
            "t.jsonl",
            '{"h": null, "r": "r", "t": "b"}\n',
            r'1 of 1 rows lack .*for example \[null,"r","b"\]; mend them',
        ),
    ],
)
def test_mistakes_that_the_scan_meets(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (tmp_path / "join").mkdir()
    join = TableJoin(tmp_path / "join", memory_gb=0.5)
    join.add_documents([small_document("d", ["a", "b"])])
    with pytest.raises(FineCLError, match=message) as caught:
        join.look_up(TripleTable.open(path), match="name")
    join.close()
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_without_duckdb_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(FineCLError, match=r'needs DuckDB, .*pip install "finecl_hf\[distant\]"'):
        TableJoin(tmp_path)
