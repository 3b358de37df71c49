"""Lists of names find the longest whole words, with capitals as decided, from any of their files."""

import json

import pytest

from finecl_hf.errors import FineCLError
from finecl_hf.extraction.recognition.gazetteer import Gazetteer


NAMES = [("New York", "LOC", "Q60"), ("New York Times", "ORG", "Q9"), ("York", "LOC", ""), ("WHO", "ORG", ""),
         ("aspirin", "DRUG", ""), ("Marie Curie", "PER", "Q1"), ("Siemens", "ORG", ""),
         ("AT&T", "ORG", "")]  # fmt: skip


def found(text, names=NAMES, **options):
    return [(text[span.start : span.end], span.type) for span in Gazetteer(names, **options)([text])[0]]


@pytest.mark.parametrize(
    "text, names",
    [
        ("The New York Times is printed in New York, not in York.", ["New York Times", "New York", "York"]),
        ("A New  York\nTimes-like paper", ["New  York\nTimes"]),
        ("New York\n\nTimes", ["New York"]),
        ("Yorkshire, NewYork and who are none", []),
        ("New York's New York-based WHO", ["New York", "New York", "WHO"]),
        ("MARIE CURIE took Aspirin and ASPIRIN at SIEMENS", ["MARIE CURIE", "Aspirin", "ASPIRIN", "SIEMENS"]),
        ("marie curie, siemens", []),
        ("AT&T and AT & T", ["AT&T", "AT & T"]),
        ("", []),
    ],
)
def test_longest_whole_words(text, names):
    assert [name for name, _ in found(text)] == names


def test_other_rules_of_case():
    assert not found("MARIE CURIE, Aspirin", case="exact")
    assert len(found("marie curie, who", case="ignore")) == 2
    with pytest.raises(FineCLError, match='no rule of case "loud"'):
        Gazetteer(NAMES, case="loud")


def test_a_name_as_it_is_written_goes_first():
    names = [("us", "X", ""), ("US", "LOC", "")]
    assert found("US and us", names) == [("US", "LOC"), ("us", "X")]


def test_scripts_without_spaces_are_matched_by_character():
    names = [("居里夫人", "PER", ""), ("华沙", "LOC", ""), ("मैरी क्यूरी", "PER", "")]
    assert found("居里夫人出生于华沙。 मैरी क्यूरी", names) == [("居里夫人", "PER"), ("华沙", "LOC"), ("मैरी क्यूरी", "PER")]


@pytest.mark.parametrize(
    "name, text",
    [
        ("n.tsv", "\ufeffMarie Curie\tPER\tQ1\n\nWarsaw\tLOC\n"),
        ("n.txt", "Marie Curie\tPER\tQ1\r\nWarsaw\tLOC\t\r\n"),
        ("n.csv", 'id,name,type\nQ1,"Marie Curie",PER\n,Warsaw,LOC\n'),
        ("n.csv", "Marie Curie,PER,Q1\nWarsaw,LOC\n"),
        ("n.json", '[{"name": "Marie Curie", "type": "PER", "id": "Q1"}, {"names": ["Warsaw"], "type": "LOC"}]'),
        ("n.json", json.dumps({"Marie Curie": {"type": "PER", "kb_id": "Q1"}, "Warsaw": "LOC"})),
        ("n.jsonl", '{"name": "Marie Curie", "label": "PER", "id": "Q1"}\n\n{"name": "Warsaw", "type": "LOC"}\n'),
    ],
)  # fmt: skip
def test_files(name, text, tmp_path):
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    gazetteer = Gazetteer.from_file(tmp_path / name)
    spans = gazetteer(["Marie Curie left Warsaw."])[0]
    assert [(span.type, span.kb_id) for span in spans] == [("PER", "Q1"), ("LOC", "")]
    assert gazetteer.types == {"PER", "LOC"}


@pytest.mark.parametrize(
    "name, text, words",
    [
        ("n.tsv", "Marie Curie\tPER\nWarsaw\n", "n.tsv, line 2: expected a name, a type"),
        ("n.tsv", "Marie Curie;PER\n", "n.tsv, line 1: expected a name.*a tab between"),
        ("n.tsv", "", "list of names is empty"),
        ("n.csv", '"Marie', "is no CSV"),
        ("n.json", "[", "list of names is not JSON"),
        ("n.json", "3", "found int 3"),
        ("n.json", '[{"name": "x"}]', "entry 0: expected a type"),
        ("n.json", '[{"name": 3, "type": "X"}]', "entry 0: expected a name"),
        ("n.json", '[{"name": "x", "type": "X", "id": []}]', "entry 0: expected an identifier"),
        ("n.json", '{"x": null}', "entry 0: expected a type"),
        ("n.jsonl", '{"name": "x", "type": "X"}\n[1]\n', "line 2: expected an object"),
        ("n.jsonl", "{", "line 1 is not JSON"),
    ],
)
def test_a_file_that_is_none_is_a_sentence(name, text, words, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(FineCLError, match=words):
        Gazetteer.from_file(tmp_path / name)


def test_a_missing_file_and_one_of_bytes(tmp_path):
    with pytest.raises(FineCLError, match=r"n.tsv: the list of names cannot be read \(No such file"):
        Gazetteer.from_file(tmp_path / "n.tsv")
    (tmp_path / "n.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FineCLError, match="n.tsv: .*is not UTF-8.*save"):
        Gazetteer.from_file(tmp_path / "n.tsv")


def test_contradictions_are_said_once(caplog):
    Gazetteer([("Paris", "LOC", "Q90"), ("Paris", "PER", ""), ("Paris", "LOC", "Q90")])
    (record,) = caplog.records
    assert '1 names have several types or identifiers, such as "Paris"' in record.getMessage()


def test_lines_end_at_line_breaks_only(tmp_path):
    (tmp_path / "names.jsonl").write_text('{"name": "Marie\u2028Curie", "type": "PER"}\r\n', encoding="utf-8")
    (tmp_path / "names.tsv").write_text("Marie\u2028Curie\tPER\n", encoding="utf-8")
    for name in ("names.jsonl", "names.tsv"):
        assert len(Gazetteer.from_file(tmp_path / name)(["Marie Curie left."])[0]) == 1
