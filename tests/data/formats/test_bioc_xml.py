"""XML that is no BioC, or means harm."""

import pytest

from finecl_hf.data.formats.bioc_xml import COLLECTION, xml_records, xml_rows
from finecl_hf.errors import DocumentError


DOCUMENT = "<document><id>1</id><passage><offset>0</offset><text>a</text></passage></document>"


def test_records_are_given_while_the_text_is_read():
    def chunks():
        yield f"<collection>{DOCUMENT}<doc"
        yield "ument><id>2</id></document"
        raise AssertionError

    records = xml_records(chunks())
    assert next(records) == {"id": "1", "passages": [{"offset": "0", "text": "a"}]}


@pytest.mark.parametrize(
    "text, told",
    [
        ('<!DOCTYPE collection [<!ENTITY a "aaaa">]><collection>', "line 2: the document type declares something"),
        ("<!DOCTYPE collection SYSTEM 'x'><collection><a>&b;", "line 2: the entity &b; is none of XML's own"),
        ("<collection>&b;", "line 2: this is no XML"),
        ("<collection><document>", "line 2: this is no XML"),
        (f"<collection>{DOCUMENT}</collection>x", "line 2: this is no XML"),
        ("<a><collection>", "line 2: XML of BioC begins with <collection>, this with <a>"),
        ("<collection>" + "<a>" * 100, "too deep"),
        ("<collection>\x00", "line 2: this is no XML"),
    ],
)
def test_what_is_wrong_is_said(text, told):
    with pytest.raises(DocumentError, match=told):
        list(xml_records(["\n", text]))


def test_a_huge_document_is_refused(monkeypatch):
    monkeypatch.setattr("finecl_hf.data.formats.bioc_xml.LONGEST_RECORD", 40)
    assert list(xml_records(["<collection><document><id>1</id>", "</document>" + "<document/>" * 9 + "</collection>"]))
    with pytest.raises(DocumentError, match="more than 40 characters"):
        list(xml_records(["<collection><document>", "a" * 41]))


def test_how_it_begins():
    for start in (
        "<collection>",
        " <collection\n",
        '<?xml version="1.0"?>\n<collection>',
        "<!-- a --><collection a='b'>",
    ):
        assert COLLECTION.match(start)
    for start in ("<collection/>", "<collections>", "<html><collection>", "<?xml?><a>"):
        assert not COLLECTION.match(start)


def test_a_character_that_xml_does_not_know_is_refused():
    with pytest.raises(DocumentError, match=r"the character U\+000B has no place in XML") as error:
        list(xml_rows([{"id": "1", "passages": [{"offset": 0, "text": "a\x0b"}]}]))
    assert error.value.title == "1"
