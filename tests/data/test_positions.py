"""Names against positions: a way of counting that explains them is named."""

import json
from itertools import accumulate

import pytest

from finecl_hf.data.positions import FEW, NamePositions
from finecl_hf.data.readers import iter_documents, read_documents
from finecl_hf.errors import DocumentError
from finecl_hf.synthetic.corpus import generate_corpus


@pytest.fixture(scope="module")
def rows():
    return [document.to_dict() for document in generate_corpus(num_documents=8, seed=3).gold_test[:8]]


def shifted(rows, shift):
    """Documents with other positions, and only the mentions of one sentence, for which any position is possible."""
    result = []
    for row in json.loads(json.dumps(rows)):
        lengths = list(map(len, row["sents"]))
        starts = [0, *accumulate(lengths)]
        for entity in row["vertexSet"]:
            for mention in entity:
                words, before = row["sents"][mention["sent_id"]], starts[mention["sent_id"]]
                mention["pos"] = list(shift(words, before, *mention["pos"]))
        for sentence in row["sents"]:
            sentence += ["."] * 3000  # no position leaves the sentence
        result.append(row)
    return result


WAYS = {
    "inclusive ends": lambda words, before, start, end: (start, end - 1),
    "from 1": lambda words, before, start, end: (start + 1, end + 1),
    "from 1 with inclusive ends": lambda words, before, start, end: (start + 1, end),
    "words of the document": lambda words, before, start, end: (before + start, before + end),
    "characters of the sentence": lambda words, before, start, end: (
        len(" ".join(words[:start])) + (start > 0), len(" ".join(words[:end])),
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_ways_of_counting_are_named(way, rows, tmp_path):
    path = tmp_path / "a.json"
    wrong = shifted(rows, WAYS[way])
    if "inclusive" in way:  # a span of one word is then refused by itself
        for row in wrong:
            row["vertexSet"] = [[m for m in entity if m["pos"][0] < m["pos"][1]] for entity in row["vertexSet"]]
            row["vertexSet"], row["labels"] = [entity for entity in row["vertexSet"] if entity], []
    if "document" in way:  # those of the first sentence stand where they should
        for row in wrong:
            row["vertexSet"] = [[m for m in entity if m["sent_id"]] for entity in row["vertexSet"]]
            row["vertexSet"], row["labels"] = [entity for entity in row["vertexSet"] if entity], []
            row["sents"] = [sentence[:-3000] for sentence in row["sents"]]
            row["sents"][-1] += ["."] * 3000
            for entity in row["vertexSet"]:
                for mention in entity:
                    mention["sent_id"] = len(row["sents"]) - 1
    path.write_text(json.dumps(wrong))
    *documents, problem = iter_documents(path)
    assert len(documents) == len(rows) and isinstance(problem, DocumentError)
    assert "names do not stand at their positions" in str(problem)
    if "document" not in way:
        assert way.removeprefix("from 1 with ") in str(problem)
    with pytest.raises(DocumentError, match="positions"):
        read_documents(path)


def test_right_positions_and_few_other_spellings_are_no_problem(rows, tmp_path):
    for row in rows:
        row["vertexSet"][0][0]["name"] = "spelt otherwise"
    (tmp_path / "a.json").write_text(json.dumps(rows))
    assert len(read_documents(tmp_path / "a.json")) == len(rows)


def test_names_that_nothing_explains_are_doubted_only(rows, tmp_path, caplog):
    for row in rows:
        for entity in row["vertexSet"]:
            for mention in entity:
                mention["name"] = "Canonical Name"
    (tmp_path / "a.json").write_text(json.dumps(rows))
    assert len(read_documents(tmp_path / "a.json")) == len(rows)
    assert "names do not stand at their positions" in caplog.text


def test_spaces_and_case_are_no_matter(ada):
    positions = NamePositions()
    for mention in (mention for entity in ada.entities for mention in entity):
        mention.name = mention.name.upper().replace(" ", "  ")
    for _ in range(FEW):
        positions.see(ada)
    assert positions.elsewhere == 0 and not positions.problem and not positions.doubt
