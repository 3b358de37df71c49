"""Corpora whose truth is known: what is flipped, projected and judged."""

from argparse import Namespace
from dataclasses import replace

import pytest

from benchmarks.noisy_corpora import CORPORA, knowledge_base
from finecl_hf import write_documents
from finecl_hf.data.documents import Fact
from finecl_hf.errors import FineCLError
from tests.helpers.small_documents import small_document


SEMEVAL = """1\t"The <e1>fire</e1> was caused by a <e2>spark</e2> ."
Cause-Effect(e2,e1)
Comment:

2\t"A <e1>spark</e1> caused the <e2>fire</e2> ."
Cause-Effect(e1,e2)
Comment:

3\t"A <e1>man</e1> saw a <e2>dog</e2> ."
Other
Comment:

"""


def options(**others):
    return Namespace(**{"noise": "direction", "rate": 0.5, "half": "both", "max_instances": None, **others})


def triples(document):
    return [(fact.head, fact.tail, fact.relation) for fact in document.relations]


def test_directions_are_turned(tmp_path):
    (tmp_path / "semeval2010").mkdir()
    (tmp_path / "semeval2010" / "TRAIN_FILE.TXT").write_text(SEMEVAL)
    corpus = CORPORA["semeval"](tmp_path, options(), 0)
    labels = {document.title: document.label for document in corpus.documents}
    assert set(labels.values()) in ({"Cause-Effect(e1,e2)"}, {"Cause-Effect(e2,e1)"})  # one of the two is turned
    assert sorted(corpus.truth.values()) == [False, True]


@pytest.fixture
def documents():
    """The same two entities in two documents, the fact is stated in one of them."""
    ids = ["M1", "M2"]
    stating = small_document("a", ["aspirin", "ulcer"], [(0, 1, "CID")], kb_ids=ids)
    return stating, replace(stating, title="b", relations=[])


def test_projection_by_identifier(documents, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.noisy_corpora.read_documents",
                        lambda path: [documents["Development" in path.name]])  # fmt: skip
    corpus = CORPORA["cdr"](tmp_path, options(), 0)
    assert [(document.title, triples(document)) for document in corpus.documents] == [("b", [(0, 1, "CID")])]
    assert corpus.truth == {"b#0#1#CID": False}


def test_projection_by_name(documents, tmp_path):
    stating, other = documents
    (tmp_path / "docred").mkdir()
    (tmp_path / "docred" / "train_facts.tsv").write_text("Aspirin\tCID\tulcer\n")
    third = replace(other, title="c", relations=[Fact(1, 0, "CID")])
    for name, part in (("redocred/dev_revised", [stating]), ("redocred/test_revised_first250", [third]),
                       ("docred/test_unlabelled", [other])):  # fmt: skip
        write_documents(part, tmp_path / f"{name}.json")
    for half, truth in (("choose", {"a#0#1#CID": True}), ("report", {"c#0#1#CID": False})):
        corpus = CORPORA["projection"](tmp_path, options(half=half), 0)
        assert corpus.truth == truth
        assert {document.title: triples(document) for document in corpus.documents} == {
            title: [(0, 1, "CID")] for title in "abc"
        }


@pytest.mark.parametrize("text, told", [("", "empty"), ("a\tr\tb\na\tb\n", "line 2"), ("a\tr\t\n", "line 1")])
def test_tables_that_hold_no_facts(tmp_path, text, told):
    (tmp_path / "facts.tsv").write_text(text)
    with pytest.raises(FineCLError, match=told):
        knowledge_base(tmp_path / "facts.tsv")


def test_labels_without_a_direction(tmp_path):
    one = small_document("a", ["x", "y"], [(0, 1, "P19")], pairs=[(0, 1)])
    write_documents([one], tmp_path / "fewrel.json")
    with pytest.raises(FineCLError, match='--noise direction: "P19"'):
        CORPORA["fewrel"](tmp_path / "fewrel.json", options(), 0)
