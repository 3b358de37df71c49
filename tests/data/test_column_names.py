"""Columns by their names, and by what users say."""

import pytest

from finecl_hf.data.column_names import checked_columns, parse_columns, roles_of
from finecl_hf.errors import FineCLError


@pytest.mark.parametrize(
    "present, found",
    [
        (("Sentence", "Head", "Tail"), {"sentence": "Sentence", "head": "Head", "tail": "Tail"}),
        (("text", "subject", "predicate"), {"sentence": "text", "head": "subject", "relation": "predicate"}),
        (("text", "e1", "e1_start"), {"sentence": "text", "head": "e1", "head_start": "e1_start"}),
        (("colour",), {}),
    ],
)
def test_roles_by_names(present, found):
    assert {role: roles_of(present).get(role) for role in found} == found
    assert set(roles_of(present).values()) <= set(present)


def test_no_column_has_two_roles():
    found = roles_of(("text", "head", "tail", "label"))
    assert len(set(found.values())) == len(found) == 4


def test_words_of_a_command_line():
    assert parse_columns(None, "--columns") is None
    assert parse_columns(["sentence=Der Satz", "head=a=b"], "--columns") == {"sentence": "Der Satz", "head": "a=b"}
    for words in (["Satz"], ["verb=Wort"], ["=x"], ["head=a", "head=b"], ["head=a", "tail=a"]):
        with pytest.raises(FineCLError, match="--columns"):
            parse_columns(words, "--columns")


def test_roles_are_checked():
    assert checked_columns({"head": ""}) == {"head": ""} and checked_columns(None) == {}
    with pytest.raises(FineCLError, match="verb"):
        checked_columns({"verb": "Wort"})


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["head=Kopf", "head=Ende"], 'the role "head" is there twice'),
        (["head=Kopf", "tail= Kopf"], 'the column "Kopf" is there twice'),
        (["head"], "expected ROLE=NAME"),
        (["kopf=Kopf"], '"kopf" is none of'),
    ],
)
def test_what_cannot_be_meant_is_said(words, told):
    with pytest.raises(FineCLError, match=f"--table_columns.*{told}"):
        parse_columns(words, "--table_columns")


def test_several_roles_may_have_no_column():
    assert parse_columns(["title=", "source="], "--table_columns") == {"title": "", "source": ""}
