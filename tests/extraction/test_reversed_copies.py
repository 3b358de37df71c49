"""Each sentence with directed labels, read the other way round."""

import pytest

from finecl_hf.data.corpus import iter_corpus, load_corpus
from finecl_hf.data.documents import Document
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.reversed_copies import (
    reversed_copy,
    reversed_relation,
    takes_reversed_copies,
    with_reversed_copies,
)


LINES = (
    '1\t"The <e1>author</e1> uses a <e2>tool</e2>."\nInstrument-Agency(e2,e1)\n\n'
    '2\t"The <e1>fire</e1> caused <e2>smoke</e2>."\nCause-Effect(e1,e2)\n\n'
    '3\t"A <e2>ridge</e2> (<e1>surge</e1>)."\nOther\n'
)
LABELS = {"NA": 0, "Instrument-Agency(e1,e2)": 1, "Instrument-Agency(e2,e1)": 2, "Cause-Effect(e1,e2)": 3}


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "a.txt").write_text(LINES)
    return load_corpus(str(tmp_path / "a.txt"), cache_dir=str(tmp_path / "cache"))


def test_a_copy_says_the_same_from_the_other_side(corpus):
    document = next(iter_corpus(corpus))
    copy = reversed_copy(document)
    assert document.pairs == [(0, 1)] and copy.pairs == [(1, 0)] and copy.label == "Instrument-Agency(e1,e2)"
    assert (copy.relations[0].head, copy.relations[0].tail) == (1, 0)
    assert copy.entities == document.entities and copy.title != document.title
    assert Document.from_dict(copy.to_dict()) == copy
    back = reversed_copy(copy)
    assert (back.pairs, back.relations) == (document.pairs, document.relations)
    assert reversed_relation(reversed_relation("a(b)(e1,e2)")) == "a(b)(e1,e2)"


def test_copies_follow_the_corpus_but_for_labels_that_are_not_known(corpus):
    both = with_reversed_copies(corpus, LABELS)
    documents = list(iter_corpus(both))
    assert documents[:3] == list(iter_corpus(corpus))
    assert [document.label for document in documents[3:]] == ["Instrument-Agency(e1,e2)", "NA"]
    assert both["relations"][3:] == [["Instrument-Agency(e1,e2)"], []] and both.features == corpus.features
    assert len(set(both["key"])) == len(both) and both["key"][3] == documents[3].key


def test_where_they_are_taken():
    assert takes_reversed_copies(None, "sentence", LABELS)
    assert not takes_reversed_copies(False, "sentence", LABELS)
    assert not takes_reversed_copies(None, "document", LABELS)
    assert not takes_reversed_copies(None, "sentence", ["NA", "per:title"])
    for task, labels in (("document", LABELS), ("sentence", ["NA", "per:title"])):
        with pytest.raises(FineCLError, match="direction"):
            takes_reversed_copies(True, task, labels)
