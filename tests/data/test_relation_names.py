import pytest

from finecl_hf.data.relation_names import read_relation_choice
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
