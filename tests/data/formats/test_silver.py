"""Labels of language models, in the layouts that their tools write."""

import re

import pytest

from finecl_hf.data.readers import iter_documents, read_documents
from finecl_hf.errors import DocumentError
from tests.helpers.format_examples import GLINER, GLINER2, LANGEXTRACT, REBEL, TEXT, TRIPLES, lines


EACH = {"triples": TRIPLES, "rebel": REBEL, "gliner": GLINER, "GLiNER2": GLINER2, "langextract": LANGEXTRACT}


def read(tmp_path, *records, **options):
    (tmp_path / "a.jsonl").write_bytes(lines(*records))
    return read_documents(tmp_path / "a.jsonl", **options)


def said(document):
    names = [entity[0].name for entity in document.entities]
    return [(names[fact.head], fact.relation, names[fact.tail]) for fact in document.relations]


@pytest.mark.parametrize("name", EACH)
def test_each_layout_is_read(name, tmp_path):
    (document,) = read(tmp_path, EACH[name])
    expected = [("Ada", "knows", "Babbage"), ("Ada", "was in", "London")][: 1 if name == "gliner" else 2]
    assert sorted(said(document)) == expected and document.text == TEXT and document.labelled
    assert {fact.source for fact in document.relations} == {name.lower().rstrip("2")}


def test_scores_types_and_sources_are_kept(tmp_path):
    records = (TRIPLES, GLINER, GLINER2, {**TRIPLES, "model": "m", "id": 5})
    first, second, third, fourth = (read(tmp_path, record)[0] for record in records)
    assert [fact.score for fact in first.relations] == [None, 0.9] and second.relations[0].score == 0.7
    assert [fact.score for fact in third.relations] == [None, 0.5]
    assert second.entities[0][0].type == "PER" and third.entities[1][0].type == "person"
    assert fourth.relations[0].source == "m" and fourth.title == "5"


def test_every_occurrence_is_a_mention(tmp_path):
    text = "Ada Lovelace met Bo. ADA and Ada left; Adam, too."
    triples = [["Ada", "met", "Bo"], ["Ada Lovelace", "met", "Bo"]]
    (document,) = read(tmp_path, {"text": text, "triples": triples})
    assert [[mention.name for mention in entity] for entity in document.entities] == [
        ["Ada"],
        ["Bo"],
        ["Ada Lovelace"],
    ]


def test_what_is_not_in_the_text_is_counted(tmp_path, caplog):
    triples = [["Ada", "knows", "Zoe"], ["Ada", "is", "ada"], ["Ada", "none", "Babbage"], ["Ada", "", "Babbage"]]
    (document,) = read(tmp_path, {"text": TEXT, "triples": triples})
    assert not document.relations
    for told in ('1 labels whose argument is not in the text ("Zoe" 1)', "of an entity with itself", "no relation",
                 "without a head"):  # fmt: skip
        assert told in caplog.text


def test_typed_and_broken_strings_of_rebel(tmp_path):
    typed = {"text": TEXT, "output": "tp_XX<triplet> Ada <per> London <loc> was in"}
    cut = {"text": TEXT, "output": "<triplet> Ada <subj> Babbage <obj>"}
    parsed = {"text": TEXT, "triplets": [{"head": "Ada", "type": "knows", "tail": "Babbage"}]}
    first, second, third = (read(tmp_path, record)[0] for record in (typed, cut, parsed))
    assert [entity[0].type for entity in first.entities] == ["per", "loc"] and len(first.relations) == 1
    assert not second.relations and said(third) == [("Ada", "knows", "Babbage")]


@pytest.mark.parametrize(
    "record, told",
    [
        ({**TRIPLES, "triples": [["a"]]}, r"triples\[0\]: expected \[head, relation, tail\]"),
        (
            {**TRIPLES, "triples": [{"head": "Ada", "relation": "x", "tail": "Babbage", "score": "high"}]},
            "as the score",
        ),
        ({**GLINER2, "relation_extraction": {"x": 5}}, "relation_extraction.x: expected a list"),
        ({**GLINER, "entities": [{"start": 1, "end": 4, "text": "Ada", "label": "x"}]}, r"entities\[0\]: .*reads"),
        ({**LANGEXTRACT, "extractions": [5]}, r"extractions\[0\]: expected an object"),
    ],
)
def test_what_is_wrong_is_said(record, told, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(lines(record))
    (error,) = iter_documents(tmp_path / "a.jsonl")
    assert isinstance(error, DocumentError) and re.search(told, str(error)), error
