"""Columns of tables that are named by hand."""

import pytest

from finecl_hf.data.column_names import parse_columns
from finecl_hf.errors import FineCLError


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
