"""Which tool a file of verdicts comes from."""

import json

import pytest

from finecl_hf.errors import FineCLError
from finecl_hf.review.tools import read_votes


def record(name, verdict):
    return {"id": name, "fields": {}, "responses": {"verdict": [{"value": verdict, "user_id": "u"}]}}


@pytest.mark.parametrize("name", ["Ada#0#1#P1", "line\u2028and\u0085end#0#1#P1", "Zürich 😀#0#1#P1"])
def test_json_lines_and_lists(tmp_path, name):
    records = [record(name, "right"), record("b#0#1#P1", "unsure")]
    (tmp_path / "list.json").write_text(json.dumps(records))
    lines = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in records)
    (tmp_path / "lines.jsonl").write_text("\ufeff" + lines, encoding="utf-8")  # U+2028 ends no line
    for file in ("list.json", "lines.jsonl"):
        found = [(vote.instance_id, vote.verdict) for vote in read_votes(tmp_path / file)]
        assert found == [(name, "right"), ("b#0#1#P1", "unsure")]


def test_buttons_of_a_report(tmp_path):
    rows = [
        {"key": "-12", "verdict": "Wrong", "right_relation": " P2 ", "stratum": "worst"},
        {"key": "7", "verdict": ""},
    ]
    (tmp_path / "v.json").write_text(json.dumps({"verdicts": rows}))
    (vote,) = read_votes(tmp_path / "v.json")
    assert (vote.key, vote.verdict, vote.right_relation, vote.stratum) == (-12, "wrong", "P2", "worst")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1}', "no export of Label Studio"),
        ('[{"id": 3, "fields": {}}]', "1 of 1 rows name no label"),
        ('{"verdicts": [{"key": "²"}]}', "1 of 1 rows name no label"),
        ("{", "cannot be read as JSON"),
        ("", "the file is empty"),
        ('{"id": 1}\n{"id"', "cannot be read as JSON"),
    ],
)
def test_files_of_nobody(tmp_path, text, words):
    (tmp_path / "v.json").write_text(text)
    with pytest.raises(FineCLError, match=words):
        read_votes(tmp_path / "v.json")
    with pytest.raises(FineCLError, match="no such file"):
        read_votes(tmp_path / "w.json")


def test_unknown_words_are_named(tmp_path):
    (tmp_path / "v.json").write_text(json.dumps([record("a#0#1#P1", "perhaps")]))
    with pytest.raises(FineCLError, match='1 verdict is no word that is known, first "perhaps"'):
        read_votes(tmp_path / "v.json")


def test_other_spreadsheets(tmp_path):
    (tmp_path / "v.XLSX").write_bytes(b"PK")
    with pytest.raises(FineCLError, match="save it as CSV"):
        read_votes(tmp_path / "v.XLSX")


def test_the_page_instead_of_what_it_saves(tmp_path):
    (tmp_path / "report.html").write_text("<!doctype html>")
    with pytest.raises(FineCLError, match='"Save verdicts" on it'):
        read_votes(tmp_path / "report.html")
