"""BioC as BioRED, CDR and PubTator write it."""

import copy
import json

import pytest

from finecl_hf.data.documents import Document
from finecl_hf.data.formats import formats
from finecl_hf.data.readers import iter_documents, read_documents, write_documents
from finecl_hf.errors import DocumentError
from tests.data.formats.test_round_trips import held_by


def annotation(number, offset, text, kind="Chemical", key="identifier", **infons):
    place = {"offset": offset, "length": len(text)}
    return {"id": str(number), "infons": {"type": kind, key: "D001", **infons}, "text": text, "locations": [place]}


RECORD = {
    "id": "17",
    "infons": {},
    "passages": [
        {
            "offset": 0, "infons": {"type": "title"}, "text": "Aspirin helps 😀.", "sentences": [], "relations": [],
            "annotations": [annotation(0, 0, "Aspirin")],
        },
        {
            "offset": 17, "infons": {"type": "abstract"}, "text": "It relieves headache. Ada agrees.", "sentences": [],
            "annotations": [annotation(2, 29, "headache", "Disease", "MESH", MESH="D006,D007"),
                            annotation(1, 17, "It", "Chemical", "x"),
                            annotation(3, 39, "Ada", "Gene", "x")],
            "relations": [{"id": "R1", "infons": {"type": "knows", "score": "0.5"},
                           "nodes": [{"refid": "0", "role": "object"}, {"refid": "3", "role": "subject"}]}],
        },
    ],
    "annotations": [],
    "relations": [
        {"id": "R0", "infons": {"entity1": "D001", "entity2": "D006", "type": "Treats", "novel": "No"}, "nodes": []},
        {"id": "R2", "infons": {"relation": "CID", "Chemical": "D001", "Disease": "D007"}},
        {"id": "R3", "infons": {"type": "All"}, "nodes": [{"refid": "0"}, {"refid": "1"}, {"refid": "3"}]},
    ],
}  # fmt: skip


def collection(*records, indent=None):
    head = {"source": "PubTator", "date": "", "key": "a [b]", "infons": {}}
    return json.dumps(
        {**{k: v for k, v in head.items() if k != "key"}, "documents": records, "key": "x"}, indent=indent
    )


XML = """<?xml version='1.0' encoding='UTF-8'?><!DOCTYPE collection SYSTEM 'BioC.dtd'>
<collection><source>CTD</source><date/><key/>
<document><id>17</id>
  <passage><infon key="type">title</infon><offset>0</offset><text>Aspirin &lt; Ada</text>
    <annotation id="0"><infon key="type">Chemical</infon><infon key="MESH">D001</infon>
      <location offset="0" length="7"/><text>Aspirin</text></annotation>
  </passage>
  <passage><offset>14</offset><sentence><offset>14</offset><text>It hurts. </text></sentence>
    <sentence><offset>24</offset><text>Dr. X. Says</text>
      <annotation id="1"><infon key="MESH">D006</infon><location offset="24" length="5"/>
      <text>Dr. X</text></annotation></sentence></passage>
  <relation id="R0"><infon key="relation">CID</infon><infon key="Chemical">D001</infon>
    <infon key="Disease">D006</infon></relation>
</document></collection>
"""


def write(path, text):
    path.write_text(text, newline="")
    return path


def said(document):
    ids = [entity[0].kb_id or entity[0].name for entity in document.entities]
    return ids, [(ids[fact.head], fact.relation, ids[fact.tail], fact.score) for fact in document.relations]


@pytest.mark.parametrize(
    "text",
    [
        collection(RECORD), collection(RECORD, indent=1), json.dumps(RECORD), json.dumps([RECORD], indent=2),
        json.dumps({"PubTator3": [RECORD]}),
    ],
)  # fmt: skip
def test_json_in_all_its_forms(text, tmp_path, caplog):
    (document,) = read_documents(write(tmp_path / "a.json", text))
    assert document.title == "17" and document.text == "Aspirin helps 😀. It relieves headache. Ada agrees."
    ids, facts = said(document)
    assert ids == ["D001", "It", "D006", "D007", "Ada"]  # in the order of the numbers
    assert facts == [("D001", "Treats", "D006", None), ("D001", "CID", "D007", None), ("Ada", "knows", "D001", 0.5)]
    assert '1 relations of other than two entities ("17" 1)' in caplog.text
    assert [len(words) for words in document.sentences] == [4, 4, 3]


def test_many_documents_and_none(tmp_path):
    records = [{**RECORD, "id": i} for i in range(300)]
    assert len(read_documents(write(tmp_path / "a.json", collection(*records)))) == 300
    with pytest.raises(DocumentError, match="no documents"):
        read_documents(write(tmp_path / "a.json", collection()))


def test_arguments_of_pubtator_3(tmp_path):
    record = copy.deepcopy(RECORD)
    roles = {"role1": {"identifier": "D006", "type": "Disease"}, "role2": {"identifier": "D001"}}
    record["relations"] = [{"id": "R1", "infons": {"type": "Cause", "score": 0.9, **roles},
                            "nodes": [{"refid": "R1", "role": "0,1"}]}]  # fmt: skip
    record["passages"][1]["relations"] = []
    (document,) = read_documents(write(tmp_path / "a.json", collection(record)))
    assert said(document)[1] == [("D006", "Cause", "D001", 0.9)]


def test_xml_of_the_corpora(tmp_path):
    (document,) = read_documents(write(tmp_path / "a.xml", XML))
    assert document.text == "Aspirin < Ada It hurts. Dr. X. Says"
    assert said(document) == (["D001", "D006"], [("D001", "CID", "D006", None)])
    assert [" ".join(words) for words in document.sentences] == ["Aspirin < Ada", "It hurts .", "Dr . X . Says"]


@pytest.mark.parametrize("name", ["a.xml", "a.xml.gz", "a.json", "a.jsonl", "a.jsonl.gz"])
def test_documents_come_back(name, tmp_path):
    documents = held_by(formats()["bioc"], 20)
    write_documents(documents, tmp_path / name, format="bioc")
    assert read_documents(tmp_path / name) == documents
    (again,) = read_documents(write(tmp_path / "b.json", collection(RECORD)))
    write_documents([again], tmp_path / name, format="bioc")
    assert read_documents(tmp_path / name) == [again]


def test_entities_that_no_identifier_tells_and_any_sentences_come_back(tmp_path):
    text = "Ada. Ada\r\n<b> met  A,B\n\n& Ada"
    mention = {"name": "Ada", "pos": [0, 1]}
    raw = {
        "title": " <17>\n", "text": text, "labels": [{"h": 2, "t": 0, "r": "a&b", "score": 1e-7}],
        "sents": [["Ada", ".", "Ada"], ["<", "b", ">", "met", "A", ",", "B", "&"], ["Ada"]],
        "vertexSet": [[{**mention, "sent_id": 2}], [{**mention, "sent_id": 0, "kb_id": "a,b"}],
                      [{"sent_id": 1, "pos": [4, 5]}, {"sent_id": 1, "pos": [6, 7], "kb_id": "B"}],
                      [{"name": "Ada", "sent_id": 0, "pos": [2, 3], "kb_id": "-"}],
                      [{"name": "Ada", "sent_id": 0, "pos": [2, 3], "type": '"T"', "kb_id": "a;b"}]],
    }  # fmt: skip
    document = Document.from_dict(raw)
    for name in ("a.xml", "a.json"):
        write_documents([document], tmp_path / name, format="bioc")
        assert read_documents(tmp_path / name) == [document]


@pytest.mark.parametrize(
    "path, value, told",
    [
        (["id"], None, "id: expected the name"),
        (["passages"], {}, "passages: expected a list"),
        (["passages", 1, "text"], 5, r"passages\[1\].text: expected a string"),
        (["passages", 1, "offset"], "x", r"passages\[1\].offset: expected an integer"),
        (["passages", 0, "annotations", 0, "infons"], 1, r"passages\[0\].annotations\[0\].infons: expected an object"),
        (["passages", 0, "annotations", 0, "infons", "type"], 1, "infons.type: expected a string"),
        (["passages", 0, "annotations", 0, "text"], 0.0, r"annotations\[0\].text: expected a string"),
        (["passages", 0, "annotations", 0, "text"], "A", r'\[0, 7\) reads "Aspirin", but the mention is "A"'),
        (["passages", 0, "annotations", 0, "locations", 0], {}, r'locations\[0\]: the key "offset" is missing'),
        (["passages", 0, "annotations", 0, "locations", 0, "length"], 10**30, "leaves the text"),
        (["relations", 0, "infons", "entity2"], "D9", r'relations\[0\]: the relation Treats is about "D9"'),
        (["relations", 0, "infons", "type"], [], r"relations\[0\]: expected the name of a relation"),
        (["passages", 1, "relations", 0, "nodes", 0, "refid"], "9", 'the relation knows is about "9"'),
        (["documents"], [], "a collection stands where"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(path, value, told, tmp_path):
    record = copy.deepcopy(RECORD)
    place = record
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (error,) = iter_documents(write(tmp_path / "a.json", json.dumps([record])), format="bioc")
    with pytest.raises(DocumentError, match=told):
        raise error


def test_a_cut_off_collection_is_told(tmp_path):
    text = collection(RECORD)
    for end, told in ((-1, "what follows the list `documents` is not JSON"), (-200, "ends in the middle")):
        first, *_ = items = iter_until_error(write(tmp_path / "a.json", text[:end]))
        assert told in str(items[-1])


def iter_until_error(path):
    items = []
    try:
        items.extend(iter_documents(path))
    except DocumentError as error:
        items.append(error)
    return items
