"""Rows of JSON."""

import datetime
import gzip
import io
import json

import pytest

from finecl_hf.data.json_writing import encoded, replacing_packed, write_json


ROWS = [{"a": 1}, {"b": "é \ud800"}, {"c": datetime.date(2026, 1, 2)}]


@pytest.mark.parametrize("rows", [[], ROWS[:1], ROWS])
def test_lists_and_lines(rows):
    whole, lines = io.BytesIO(), io.BytesIO()
    write_json(rows, whole, lines=False)
    write_json(rows, lines, lines=True)
    read = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert json.loads(whole.getvalue()) == read and len(read) == len(rows)
    assert len(whole.getvalue().splitlines()) == max(len(rows) + 2 if rows else 1, 1)


def test_half_characters_are_escaped_and_others_stand_as_they_are():
    assert encoded(ROWS[1]) == '{"b":"é \\ud800"}'.encode() and encoded(ROWS[2]) == b'{"c":"2026-01-02"}'


def test_equal_rows_give_equal_packed_files(tmp_path):
    files = [tmp_path / "a.json.gz", tmp_path / "b.json.gz"]
    for path in files:
        with replacing_packed(path) as file:
            write_json(ROWS, file, lines=True)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert gzip.decompress(files[0].read_bytes()).count(b"\n") == 3


def test_a_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing_packed(path) as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]
