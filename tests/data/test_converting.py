"""Documents of one format, written in another; `finecl-hf convert` is tested in tests/test_cli.py."""

from dataclasses import replace

import pytest

from finecl_hf.data.converting import convert_file
from finecl_hf.data.readers import read_documents, write_documents
from finecl_hf.errors import FineCLError
from tests.helpers.small_documents import small_document


@pytest.fixture
def source(tmp_path):
    """A sentence with its pair, and two documents."""
    sentence = small_document("semeval-7", "ab", [(0, 1, "near")], pairs=[(0, 1)])
    documents = [sentence, small_document("x", "abc", [(0, 1, "near")]), small_document("y", "abc", [(2, 1, "owns")])]
    write_documents(documents, tmp_path / "in.json")
    return str(tmp_path / "in.json")


def test_what_was_written_is_counted(source, tmp_path):
    found = convert_file(source, tmp_path / "out.json", symmetric=["near"])
    assert (found.documents, found.labels, found.unfit) == (3, 5, 0)
    assert sum(len(document.relations) for document in read_documents(tmp_path / "out.json")) == 5


def test_what_the_format_cannot_hold_is_counted(source, tmp_path):
    found = convert_file(source, tmp_path / "out.txt", "semeval", skip_invalid=True)
    assert (found.documents, found.labels, found.unfit) == (1, 1, 2)
    (document,) = read_documents(tmp_path / "out.txt")
    assert document == replace(read_documents(source)[0], entities=document.entities)
    assert found.to_dict()["left_out"]["documents that semeval cannot hold"]["count"] == 2


@pytest.mark.parametrize("to, name", [("table", "out.csv"), ("brat", "out"), ("semeval", "out.txt")])
def test_what_the_format_cannot_hold_beside_others_is_left_out(to, name, tmp_path):
    def sentence(title):
        return small_document(title, "ab", [(0, 1, "near")], pairs=[(0, 1)])

    longest = "a" * 190  # the second such name of a file has each letter escaped, and gets too long
    others = {
        "table": [replace(sentence("2"), relations=[], labelled=False)],
        "brat": [sentence(longest), sentence(longest.upper())],
        "semeval": [sentence("semeval-1")],
    }
    write_documents([sentence("1"), *others[to]], tmp_path / "in.json")
    found = convert_file(str(tmp_path / "in.json"), tmp_path / name, to, skip_invalid=True)
    assert found.unfit == 1 and found.documents == len(others[to]) == len(read_documents(tmp_path / name))
    with pytest.raises(FineCLError, match="--skip_invalid"):
        convert_file(str(tmp_path / "in.json"), tmp_path / f"again-{name}", to)


def test_without_skip_invalid_it_is_an_error_that_names_the_flag(source, tmp_path):
    with pytest.raises(FineCLError, match='"x".*--skip_invalid'):
        convert_file(source, tmp_path / "out.txt", "semeval")
    assert not (tmp_path / "out.txt").exists()


def test_nothing_that_fits(source, tmp_path):
    write_documents(read_documents(source)[1:], source)
    with pytest.raises(FineCLError, match="semeval cannot hold any of the 2 documents. The first: "):
        convert_file(source, tmp_path / "out.txt", "semeval", skip_invalid=True)
