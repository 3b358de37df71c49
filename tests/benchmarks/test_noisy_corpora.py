"""Corpora whose truth is known: what is flipped, projected and judged."""

from argparse import Namespace
from dataclasses import replace

import pytest

from benchmarks.noisy_corpora import CORPORA
from finecl_hf import write_documents
from finecl_hf.data.documents import Fact
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
