"""Formats that are not read are named."""

import json

import pytest

from finecl_hf.data.readers import FORMATS, iter_documents
from finecl_hf.errors import DocumentError


FILES = {
    ("XML", "a.xml"): '<?xml version="1.0"?><collection/>',
    ("web page", "a.html"): "<!DOCTYPE html><html></html>",
}


@pytest.mark.parametrize("name, file", FILES)
def test_the_format_is_named_with_those_that_are_read(name, file, tmp_path):
    (tmp_path / file).write_text(FILES[name, file])
    with pytest.raises(DocumentError, match=name) as error:
        list(iter_documents(tmp_path / file))
    assert all(known in str(error.value) for known in FORMATS)


def test_a_document_may_have_other_keys(tmp_path, ada):
    raw = {**ada.to_dict(), "passages": [], "annotations": [{"result": []}], "ner": [], "text": "", "spans": []}
    (tmp_path / "a.json").write_text(json.dumps([raw]))
    assert list(iter_documents(tmp_path / "a.json")) == [ada]
