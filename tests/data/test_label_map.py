"""Free relation names mapped to those of a task."""

import json

import pytest

from finecl_hf.cli import main
from finecl_hf.data.corpus import load_corpus, relation_counts
from finecl_hf.data.label_map import LabelMap
from finecl_hf.data.readers import read_documents
from finecl_hf.errors import FineCLError
from tests.helpers.format_examples import TRIPLES, lines


MAPS = {
    "a.json": json.dumps({"Knows": "P1", "drop": ["was in"]}),
    "a.tsv": "knows\tP1\nwas_in\tdrop\n",
    "a.csv": '\ufeff"knows",P1\r\nwas-in,\r\n',
}


@pytest.mark.parametrize("name", MAPS)
def test_maps_are_read(name, tmp_path):
    (tmp_path / name).write_text(MAPS[name], newline="")
    found = LabelMap.read(tmp_path / name)
    assert (found("KNOWS"), found("was  in"), found("P1"), found("other")) == ("P1", "drop", "P1", None)


@pytest.mark.parametrize(
    "names, told",
    [({}, "maps no name"), ({"a": 5}, "is no text"), ({"a b": "P1", "a_B": "P2"}, "mapped to P2 and to P1")],
)
def test_bad_maps_are_refused(names, told):
    with pytest.raises(FineCLError, match=told):
        LabelMap(names)


def test_a_pair_without_its_label_is_not_judged(tmp_path, caplog):
    rows = ["sentence,head,tail,relation", "Ada met Bo.,Ada,Bo,met", "Ada saw Bo.,Ada,Bo,saw"]
    table = "\n".join([*rows, "Ada or Bo.,Ada,Bo,", "A is b.,A,b,is"])
    (tmp_path / "a.csv").write_text(table)
    documents = read_documents(tmp_path / "a.csv", label_map={"met": "P1", "is": "NA"})
    assert [document.label for document in documents] == ["P1", "NA", "NA"]
    assert '1 labels whose relation the label map does not name ("saw" 1)' in caplog.text


def test_the_command_writes_a_report_and_the_cache_knows_the_map(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_bytes(lines(TRIPLES))
    (tmp_path / "map.json").write_text(json.dumps({"knows": "P1"}))
    paths = [str(tmp_path / name) for name in ("a.jsonl", "out.json", "map.json", "report.json")]
    assert main(["convert", *paths[:2], "--label_map", paths[2], "--report", paths[3]]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["labels"] == 1 and list(report["left_out"].values()) == [
        {"count": 1, "most_frequent": {"was in": 1}}
    ]
    assert "Left out or chosen" in capsys.readouterr().err
    for names, expected in (({"knows": "P1"}, {"P1": 1}), ({"knows": "P2", "was in": "P3"}, {"P2": 1, "P3": 1})):
        (tmp_path / "map.json").write_text(json.dumps(names))
        corpus = load_corpus(paths[0], cache_dir=str(tmp_path / "cache"), label_map=paths[2])
        assert relation_counts(corpus) == expected
