"""Formats that are not read are named."""

import json

import pytest

from finecl_hf.data.readers import FORMATS, iter_documents
from finecl_hf.errors import DocumentError


FILES = {
    ("brat", "a.ann"): "T1\tORG 0 11\tVelora Labs\nR1\tfoundedBy Arg1:T1 Arg2:T2\n",
    ("BioC", "a.json"): json.dumps({"source": "PubTator", "documents": [{"passages": []}]}, indent=1),
    ("BioC", "b.json"): json.dumps({"source": "PubTator", "documents": [{"passages": []}]}),
    ("BioC", "c.json"): json.dumps([{"id": "1", "passages": []}]),
    ("SciERC", "a.jsonl"): json.dumps({"doc_key": "X", "sentences": [["a"]], "ner": [[]], "relations": [[]]}),
    ("SpERT", "e.json"): json.dumps([{"tokens": ["a"], "entities": [], "relations": []}]),
    ("XML", "a.xml"): '<?xml version="1.0"?><collection/>',
    ("web page", "a.html"): "<!DOCTYPE html><html></html>",
}


@pytest.mark.parametrize("name, file", FILES)
def test_the_format_is_named_with_those_that_are_read(name, file, tmp_path):
    (tmp_path / file).write_text(FILES[name, file])
    with pytest.raises(DocumentError, match=name) as error:
        list(iter_documents(tmp_path / file))
    assert all(known in str(error.value) for known in FORMATS)


def test_the_text_of_brat_is_told_by_its_annotations(tmp_path):
    (tmp_path / "a.txt").write_text("Velora Labs was set up.\n")
    (tmp_path / "a.ann").write_text("T1\tORG 0 11\tVelora Labs\n")
    with pytest.raises(DocumentError, match="brat"):
        list(iter_documents(tmp_path / "a.txt"))


def test_a_document_may_have_other_keys(tmp_path, ada):
    raw = {**ada.to_dict(), "passages": [], "annotations": [{"result": []}], "ner": [], "text": "", "spans": []}
    (tmp_path / "a.json").write_text(json.dumps([raw]))
    assert list(iter_documents(tmp_path / "a.json")) == [ada]
