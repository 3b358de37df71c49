"""What one pass over a file counts."""

from dataclasses import replace

import pytest

from finecl_hf.data.documents import Document
from finecl_hf.data.readers import write_documents
from finecl_hf.data.tally import Signature, Tally, facts_in, shared
from finecl_hf.errors import DocumentError
from tests.helpers.small_documents import small_document


def counted(*items):
    tally = Tally("train", "train.json")
    tally.see_all(items)
    return tally


def test_sums(ada, curie):
    nothing = replace(ada, title="c", relations=[])
    tally = counted(ada, curie, replace(nothing, title="d", labelled=False), nothing)
    assert (tally.documents, tally.unlabelled, tally.without_facts, tally.sentences) == (4, 1, 1, 0)
    assert tally.facts == {"born in": 2, "located in": 1, "capital of": 1, "died in": 1}
    assert (tally.judged, tally.labelled, tally.multi_label) == (4 * 3 + 3 * 2 + 4 * 3, 2 + 2, 1)
    assert tally.types == {"PER": 2 * 3 + 1, "LOC": 2 * 3 + 2} and tally.head_first == 5
    assert tally.signatures[Signature("born in", "PER", "LOC")] == 2
    assert tally.example[Signature("born in", "PER", "LOC")] == "Ada"
    assert tally.titles == ["Ada", "Curie", "d", "c"] and not tally.loops and not tally.all_sentences


def test_reversed_facts_and_loops():
    both = small_document("a", ["x", "y", "X"], [(0, 1, "spouse"), (1, 0, "spouse"), (0, 2, "same"), (0, 1, "knows")])
    tally = counted(both)
    assert tally.reversed == {"spouse": 2, "same": 0, "knows": 0}
    assert tally.loops == 1 and tally.head_first == 3


def test_sentences_differ_in_their_arguments():
    one = small_document("a", ["x", "y", "z"], [(0, 1, "r")], pairs=[(0, 1)])
    tally = counted(one, replace(one, title="b"), replace(one, title="c", pairs=[(0, 2)], relations=[]))
    assert tally.sentences == 3 and tally.all_sentences
    assert tally.content[0] == tally.content[1] != tally.content[2]


def test_facts_that_two_files_share(ada):
    train = counted(small_document("a", [["x", "xx"], "y", "z"], [(0, 1, "r"), (1, 2, "r")]))
    test = counted(small_document("b", ["XX", "y", "w"], [(0, 1, "other"), (1, 2, "r")]))
    assert facts_in(test, train, "pair_names") == 1 and facts_in(test, train, "triple_names") == 0
    assert facts_in(train, train, "triple_names") == 2  # though one of them has two names
    assert sum(shared(train.pair_names, test.pair_names)) == 1 and len(train.pair_names) == 3  # of x and xx with y


def test_names_that_stand_elsewhere(ada):
    moved = Document.from_dict(ada.to_dict())
    moved.entities[1][0] = replace(moved.entities[1][0], start=0, end=1)
    tally = counted(ada, moved)
    assert tally.misplaced == ['"London" stands at "Ada" in Ada']


def test_what_is_invalid(ada, tmp_path):
    broken = DocumentError("the entity has no mention; give it one.", "vertexSet[0]", "f", 1, "b")
    tally = counted(ada, broken, broken, DocumentError("names do not fit.", "pos"))
    assert tally.documents == 1 and tally.first_problem is broken and list(tally.problems.values()) == [2]

    def cut_off():
        yield ada
        raise DocumentError("the file ends in the middle of the JSON text.")

    tally = Tally("dev", "dev.json")
    tally.see_all(cut_off())
    assert tally.documents == 1 and tally.problems.total() == 1
    write_documents([ada], tmp_path / "one.json")
    assert Tally.of_file("dev", str(tmp_path / "one.json")).documents == 1
    (tmp_path / "none.json").write_text('[{"title": "a"}]')
    with pytest.raises(DocumentError, match="document 0"):
        Tally.of_file("dev", str(tmp_path / "none.json"))


def test_the_sample_is_the_same_in_any_order(monkeypatch):
    monkeypatch.setattr("finecl_hf.data.tally.SAMPLE", 5)
    documents = [small_document(f"d{i}", ["x", "y"]) for i in range(20)]
    sample = [document.title for document in counted(*documents).sample]
    assert sample == [document.title for document in counted(*documents[::-1]).sample]
    assert sample == [d.title for d in sorted(documents, key=lambda d: d.key)[:5]]
