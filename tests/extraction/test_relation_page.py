"""The page that `finecl-hf predict --html` writes."""

import json

import pytest

from finecl_hf.extraction.relation_page import MOST_SHOWN, render, view, write_page


def mention(start, end, type="PER"):
    return {"start": start, "end": end, "type": type}


def record(**others):
    """`Ada Lovelace` with `Ada` in it, and `London`; one triple between them."""
    triple = {"head": "Ada", "tail": "London", "relation": "P19", "name": "born in", "score": 0.5, "head_span": [0, 3],
              "tail_span": [22, 28]}  # fmt: skip
    return {
        "index": 4, "text": "Ada Lovelace, born in London.",
        "entities": [[mention(0, 3)], [mention(0, 12), mention(22, 28, "LOC")]], "triples": [triple], **others,
    }  # fmt: skip


def test_pieces_are_the_text():
    shown = view(record())
    assert "".join(piece["text"] for piece in shown["pieces"]) == record()["text"]
    marked = [(piece["text"], piece["type"]) for piece in shown["pieces"] if piece["type"]]
    assert marked == [("Ada Lovelace", "PER"), ("London", "LOC")]
    assert [(t["from"], t["to"]) for t in shown["triples"]] == [(0, 22)]  # a mention inside another is shown by that
    assert shown["title"] == "input 4" and view(record(title="t"))["title"] == "t"


def test_mentions_that_overlap():
    entities = [[mention(0, 12)], [mention(4, 20)]]
    shown = view(record(entities=entities, triples=[]))
    assert "".join(piece["text"] for piece in shown["pieces"]) == record()["text"]
    assert [piece["text"] for piece in shown["pieces"] if piece["type"]] == ["Ada Lovelace"]


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "a & b", '"quoted"', "</title>"])
def test_texts_are_no_markup(text):
    page = render([view({"index": 0, "text": text, "title": text, "entities": [[mention(0, 2, text)]]})])
    assert "<script>alert" not in page and page.count("</title>") == 1


def test_errors_are_shown():
    assert "cannot be read" in render([view({"index": 0, "error": "this one cannot be read"})])


def test_the_first_texts_are_shown(tmp_path):
    lines = [json.dumps(record(index=number, title=f"text {number} of many")) for number in range(MOST_SHOWN + 5)]
    (tmp_path / "p.jsonl").write_text("\n".join(lines) + "\n")
    told = write_page(tmp_path / "p.jsonl", tmp_path / "p.html")
    assert "200 texts" in told and "5 are left out" in told
    page = (tmp_path / "p.html").read_text()
    assert f"text {MOST_SHOWN - 1} of many" in page and f"text {MOST_SHOWN} of many" not in page
    assert "http" not in page.replace("http://www.w3.org", "")  # it needs no network
    (tmp_path / "p.jsonl").write_text(json.dumps(record(text="\ud800")) + "\n")
    write_page(tmp_path / "p.jsonl", tmp_path / "p.html")  # half a character
