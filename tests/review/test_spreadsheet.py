"""CSV that spreadsheets open and save."""

import pytest

from finecl_hf.errors import FineCLError
from finecl_hf.review.spreadsheet import harmless, plain, votes


@pytest.mark.parametrize("cell", ["=1+2", "-x", "'quoted", "''", "'=1", "plain", "", "＝1", "\tx", "a=b"])
def test_no_cell_is_a_formula(cell):
    assert plain(harmless(cell)) == cell
    assert not harmless(cell).startswith(("=", "+", "-", "@", "\t", "\r", "＝"))


def read(path, data):
    path.write_bytes(data)
    return [(vote.instance_id, vote.verdict, vote.right_relation, vote.judge) for vote in votes(path) if vote]


HEAD = "instance_id,verdict,right_relation,judge\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_encodings(tmp_path, encoding):
    assert read(tmp_path / "v.csv", f"{HEAD}Zürich#0#1#P1,Yes,,é\r\n".encode(encoding)) == [
        ("Zürich#0#1#P1", "right", "", "é")
    ]


def test_as_spreadsheets_save_it(tmp_path):
    text = HEAD.replace(",", ";") + '"a ""b""#0#1#P1";;P2;\n\'=c#0#1#P1;wrong;;\n'
    rows = [('a "b"#0#1#P1', "other", "P2", ""), ("=c#0#1#P1", "wrong", "", "")]
    assert read(tmp_path / "v.csv", text.encode()) == read(tmp_path / "v.csv", f"sep=;\n{text}".encode()) == rows
    assert list(votes(tmp_path / "v.csv"))[0].where.startswith("line")


def test_other_tables(tmp_path):
    (tmp_path / "v.csv").write_text("id,verdict\n1,right\n")
    with pytest.raises(FineCLError, match="instance_id and verdict are not both there"):
        list(votes(tmp_path / "v.csv"))
    (tmp_path / "v.csv").write_text(f"{HEAD},right,,\n,,,\n")
    assert list(votes(tmp_path / "v.csv"))[0] is None  # a verdict on nothing


def test_a_column_that_is_there_twice(tmp_path):
    (tmp_path / "v.csv").write_text("instance_id,verdict,Verdict\na#0#1#P1,right,wrong\n")
    with pytest.raises(FineCLError, match="two columns verdict"):
        list(votes(tmp_path / "v.csv"))
