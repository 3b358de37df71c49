"""Sentences as their corpora have them; that they come back is tested in test_round_trips.py."""

import json
from dataclasses import replace

import pytest

from finecl_hf.data.documents import Fact
from finecl_hf.data.readers import read_documents, write_documents
from finecl_hf.errors import DocumentError
from tests.data.formats.test_sentences import SEMEVAL
from tests.helpers.small_documents import small_document


def test_semeval_is_written_in_blocks_of_four_lines(tmp_path):
    (tmp_path / "a.txt").write_text(SEMEVAL)
    documents = read_documents(tmp_path / "a.txt")
    unlabelled = replace(documents[0], title="x", labelled=False, relations=[])
    write_documents([*documents, unlabelled], tmp_path / "b.txt", "semeval")
    lines = (tmp_path / "b.txt").read_text().splitlines()
    assert lines[:4] == [
        '1\t"The <e1>author</e1> of a key-gen uses a <e2>dis assembler</e2> ."',
        "Instrument-Agency(e2,e1)", "Comment:", "",
    ]  # fmt: skip
    assert lines[4:6] == ['2\t"A <e2>ridge</e2> ( <e1>surge</e1> )"', "Other"]
    assert lines[8:] == ['3\t"The <e1>author</e1> of a key-gen uses a <e2>dis assembler</e2> ."']
    assert read_documents(tmp_path / "b.txt")[:2] == documents


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"sentences": [["a", "<e1>", "b", "c"]]}, "holds a tag"),
        ({"relations": [Fact(0, 1, "Comment on")]}, "another line"),
        ({"relations": [Fact(0, 1, "1\tx")]}, "another line"),
        ({"relations": [Fact(0, 1, "x"), Fact(0, 1, "y")]}, "several"),
        ({"pairs": None}, "one judged pair"),
    ],
)
def test_what_semeval_cannot_hold_is_refused(changes, told, tmp_path):
    document = small_document("semeval-1", "abcd", pairs=[(0, 1)])
    document = replace(document, entities=document.entities[:2], **{"pairs": [(0, 1)], **changes})
    with pytest.raises(DocumentError, match=told):
        write_documents([document], tmp_path / "a.txt", "semeval")
    assert not (tmp_path / "a.txt").exists()


def test_semeval_gives_no_number_twice(tmp_path):
    documents = [replace(small_document(title, "ab"), pairs=[(0, 1)]) for title in ("x", "semeval-1")]
    with pytest.raises(DocumentError, match="number 1"):
        write_documents(documents, tmp_path / "a.txt", "semeval")
    write_documents(documents[::-1], tmp_path / "a.txt", "semeval")
    assert [document.title for document in read_documents(tmp_path / "a.txt")] == ["semeval-1", "semeval-2"]


def test_other_corpora_are_written_as_their_tools_have_them(tmp_path):
    document = replace(small_document("x", ["Ada", "knows", "Bob"], kb_ids=["Q1"]), pairs=[(0, 2)])
    document = replace(document, entities=[document.entities[0], document.entities[2]], pairs=[(1, 0)])
    document = replace(document, relations=[Fact(1, 0, "known by")])
    for name in ("tacred.json", "opennre.txt", "fewrel.json"):
        write_documents([document], tmp_path / name, name.partition(".")[0])
    (record,) = json.loads((tmp_path / "tacred.json").read_text())
    assert [record[key] for key in ("subj_start", "subj_end", "obj_start", "obj_end")] == [2, 2, 0, 0]
    assert record["relation"] == "known by" and record["token"] == ["Ada", "knows", "Bob"]
    (record,) = map(json.loads, (tmp_path / "opennre.txt").read_text().splitlines())
    assert record["h"]["pos"] == [2, 3] and record["t"] == {"name": "Ada", "id": "Q1", "pos": [0, 1], "type": "MISC"}
    found = json.loads((tmp_path / "fewrel.json").read_text())
    assert found == {
        "known by": [{"tokens": ["Ada", "knows", "Bob"], "h": ["bob", "", [[2]]], "t": ["ada", "Q1", [[0]]]}]
    }
