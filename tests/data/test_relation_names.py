import json

import pytest

from finecl_hf.data.relation_names import read_relation_choice, read_relation_names
from finecl_hf.errors import FineCLError


@pytest.mark.parametrize("values", [["P20", "P19"], ["P19,P20"], ["P20,", " P19"]])
def test_a_list_of_relations(values):
    assert read_relation_choice(values) == ["P19", "P20"]


@pytest.mark.parametrize(
    "text", ["P20\nP19\n\n", '["P19", "P20"]', '{"P19": "born in", "P20": "...", "NA": "no"}', "P19,x"]
)
def test_a_file_of_relations(text, tmp_path):
    (tmp_path / "relations").write_text(text)
    assert read_relation_choice([str(tmp_path / "relations")]) == (["P19,x"] if "x" in text else ["P19", "P20"])


def test_all_relations():
    assert read_relation_choice(None) is None


@pytest.mark.parametrize(
    "text, message", [("", "names no relation"), ("[1]", "expected a list"), ("[", "cannot be read"), ("NA", '"NA"')]
)
def test_mistakes(text, message, tmp_path):
    (tmp_path / "relations").write_text(text)
    with pytest.raises(FineCLError, match=f"--relations .*relations: .*{message}"):
        read_relation_choice([str(tmp_path / "relations")])


def test_relation_names_leave_na_out(tmp_path):
    assert read_relation_names(None) == {}
    raw = {"NA": "no relation", "Other": "none", " P20 ": "x", "P19": "place of birth", "é": "été"}
    (tmp_path / "rel_info.json").write_text("\ufeff" + json.dumps(raw))
    names = {"P20": "x", "P19": "place of birth", "é": "été"}
    assert read_relation_names(str(tmp_path / "rel_info.json")) == names


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "cannot be read as JSON"),
        ('["P19"]', 'expected an object such as {"P19"'),
        ('{"P19": 19}', 'expected an object such as {"P19"'),
        ('{"P19": null}', 'expected an object such as {"P19"'),
        ("{}", "the label set is empty"),
        ("[" * 1500, "cannot be read as JSON"),
        ('{" ": "x"}', "no id"),
        ('{"NA": "none"}', "the label set is empty"),
    ],
)
def test_unusable_relation_names(text, message, tmp_path):
    path = tmp_path / "rel_info.json"
    path.write_text(text)
    with pytest.raises(FineCLError) as error:
        read_relation_names(str(path))
    assert str(error.value).startswith(f"--rel_info {path}: ") and message in str(error.value)


def test_relation_names_that_are_not_there_or_not_text(tmp_path):
    with pytest.raises(FineCLError, match="--rel_info .*nowhere.json: there is no such file"):
        read_relation_names(str(tmp_path / "nowhere.json"))
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FineCLError, match="cannot be read as JSON"):
        read_relation_names(str(tmp_path / "binary.json"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_of_relations_as_windows_writes_it(encoding, tmp_path):
    (tmp_path / "r.txt").write_bytes("P1\nP2\n".encode(encoding))
    with pytest.raises(FineCLError, match="--relations .*r.txt: the file is UTF-16"):
        read_relation_choice([str(tmp_path / "r.txt")])


def test_messages_name_the_option(tmp_path):
    (tmp_path / "seen.json").write_text("[]")
    with pytest.raises(FineCLError, match="--leave_out .*seen.json: expected an object"):
        read_relation_names(str(tmp_path / "seen.json"), "--leave_out")
