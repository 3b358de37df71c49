"""Facts that hold both ways."""

from finecl_hf.cli import main
from finecl_hf.data.documents import Fact
from finecl_hf.data.readers import read_documents, write_documents
from finecl_hf.data.symmetric import both_ways
from tests.helpers.small_documents import small_document, triples


def test_facts_are_joined_by_their_reverse_once():
    document = small_document("a", "XYZ", [(0, 1, "near"), (1, 0, "near"), (0, 2, "owns")])
    assert triples(both_ways(document, {"near"})) == triples(document)
    assert triples(both_ways(document)) == [*triples(document), (2, 0, "owns")]
    assert both_ways(both_ways(document)) == both_ways(document)


def test_the_reverse_says_the_same_and_is_judged():
    document = small_document("a", "XYZ", pairs=[(0, 1), (1, 2)])
    document.relations = [Fact(0, 1, "near", [0], "a model", 0.5)]
    found = both_ways(document)
    assert found.relations[1] == Fact(1, 0, "near", [0], "a model", 0.5)
    assert found.pairs == [(0, 1), (1, 2), (1, 0)] and document.pairs == [(0, 1), (1, 2)]


def test_convert(tmp_path, capsys):
    source, output = str(tmp_path / "in.json"), str(tmp_path / "out.json")
    write_documents([small_document("a", "XYZ", [(0, 1, "near"), (0, 2, "owns")])], source)
    for named, number in ((["near"], 3), (["near", "owns"], 4), (["all"], 4)):
        main(["convert", source, output, "--both_ways", *named])
        (document,) = read_documents(output)
        assert len(document.relations) == number
    assert main(["convert", source, output, "--both_ways", "near", "nearby"]) == 2
    assert "nearby" in capsys.readouterr().err and read_documents(output) == [document]
