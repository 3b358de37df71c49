"""`finecl-hf predict`: lines for each input, gone on with after a stop; and the page."""

import json

import pytest

from finecl_hf.cli import main
from finecl_hf.data.readers import write_documents
from finecl_hf.extraction import relation_page
from finecl_hf.extraction.pipeline import RelationExtractionPipeline


NAMES = ["--recogniser", "{tmp}/names.tsv"]
TEXTS = ["Marie Curie was born in Warsaw.", "", "Alan Turing & <b> left London for Manchester."]


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_lines_of_text_and_of_json(model, names, tmp_path, capsys):
    (tmp_path / "in.txt").write_text("\n".join(TEXTS))
    assert main(["predict", model, str(tmp_path / "in.txt"), str(tmp_path / "a.jsonl"), *names]) == 0
    found = lines(tmp_path / "a.jsonl")
    assert [row["index"] for row in found] == [0, 1, 2] and [row["text"] for row in found] == TEXTS
    for row in found:
        for triple in row["triples"]:
            assert row["text"][slice(*triple["head_span"])] == triple["head"]
            assert [triple["head_span"][0]] == [m["start"] for m in row["entities"][triple["h_idx"]]][:1]
    assert any(row["triples"] for row in found)
    rows = [json.dumps({"id": number, "body": text}) for number, text in enumerate(TEXTS)]
    (tmp_path / "in.jsonl").write_text("\n".join([rows[0], "{broken", *rows[1:], '{"other": 1}']))
    argv = ["predict", model, str(tmp_path / "in.jsonl"), "-", "--text_key", "body", *names]
    assert main(argv) == 1
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert ["error" in row for row in printed] == [False, True, False, False, True]
    assert [row["triples"] for row in printed if "triples" in row] == [row["triples"] for row in found]
    assert main([*argv, "--skip_invalid"]) == 0 and capsys.readouterr().out.count("\n") == 3
    again = tmp_path / "again.jsonl"  # what comes out goes in
    assert main(["predict", model, str(tmp_path / "a.jsonl"), str(again)]) == 0
    assert [row["triples"] for row in lines(again)] == [row["triples"] for row in found]


def test_a_whole_file_and_documents(model, names, tmp_path, ada, curie):
    (tmp_path / "in.txt").write_text("\n".join(TEXTS))
    assert main(["predict", model, str(tmp_path / "in.txt"), str(tmp_path / "a.jsonl"), "--whole", *names]) == 0
    assert [len(row["entities"]) for row in lines(tmp_path / "a.jsonl")] == [5]
    write_documents([ada, curie], tmp_path / "in.json")
    assert main(["predict", model, str(tmp_path / "in.json"), str(tmp_path / "b.jsonl")]) == 0
    expected = RelationExtractionPipeline.from_pretrained(model, device="cpu")([ada, curie])
    assert [[t["relation"] for t in row["triples"]] for row in lines(tmp_path / "b.jsonl")] == [
        [triple["relation"] for triple in triples] for triples in expected
    ]


def test_a_run_goes_on_behind_the_last_whole_line(model, names, tmp_path, capsys):
    (tmp_path / "in.txt").write_text("\n".join(TEXTS * 3))
    output, names_before = tmp_path / "out.jsonl", (tmp_path / "names.tsv").read_bytes()
    argv = ["predict", model, str(tmp_path / "in.txt"), str(output), *names]
    assert main(argv) == 0
    whole = output.read_bytes()
    for kept in (len(whole) // 2, whole.index(b"\n") + 1, 3):
        output.write_bytes(whole[:kept])
        assert main(argv) == 0
        for row, expected in zip(lines(output), map(json.loads, whole.splitlines()), strict=True):
            for triple, other in zip(row["triples"], expected["triples"], strict=True):
                assert triple.pop("score") == pytest.approx(other.pop("score"), abs=1e-5)
            assert row == expected
    output.write_bytes(whole)
    capsys.readouterr()
    assert main(argv) == 0 and "Wrote 0 lines" in capsys.readouterr().err and output.read_bytes() == whole
    (tmp_path / "names.tsv").write_text("London\tLOC")
    assert main(argv) == 2 and "was begun with another recogniser" in capsys.readouterr().err
    (tmp_path / "names.tsv").write_bytes(names_before)
    assert main([*argv, "--threshold", "3"]) == 2
    assert "was begun with another threshold" in capsys.readouterr().err
    (tmp_path / "in.txt").write_text("other")
    assert main(argv) == 2 and "was begun with another input" in capsys.readouterr().err
    (tmp_path / "out.jsonl.run.json").unlink()
    assert main(argv) == 2 and "there is such a file, and no out.jsonl.run.json" in capsys.readouterr().err
    assert output.read_bytes() == whole


def test_a_finished_run_has_the_same_status_again(model, names, tmp_path, capsys):
    (tmp_path / "in.txt").write_bytes(b"Warsaw\n\xff\nLondon")
    for _ in range(2):
        assert main(["predict", model, str(tmp_path / "in.txt"), str(tmp_path / "out.jsonl"), *names]) == 1
        told = capsys.readouterr().err
        assert "1 input could not be read" in told and "`error`" in told


@pytest.mark.parametrize(
    "more, words",
    [
        (["{tmp}/none.txt", "{tmp}/o.jsonl"], "there is no such file"),
        (["{tmp}/in.txt", "{tmp}/o.csv"], "must end in .jsonl"),
        (["{tmp}/in.txt", "{tmp}/in.txt"], "this file is read"),
        (["{tmp}/in.txt", "-", "--html", "{tmp}/p.html"], "--html is made from the output"),
        (["{tmp}/in.txt", "-", "--batch_size", "0"], "--batch_size 0 is out of range"),
        (["{tmp}/in.txt", "-", "--recogniser", "{tmp}/none.tsv"], "cannot be read"),
        (["{tmp}/in.txt", "{tmp}/o.jsonl"], "nothing finds the entities of raw text"),
        (["{tmp}/utf16.txt", "-", *NAMES], "the file is UTF-16; save it with UTF-8"),
        (["{tmp}/no_mark.txt", "-", *NAMES], "the file is UTF-16; save it with UTF-8"),
        (["{tmp}/in.txt", "-", *NAMES, "--threshold", "nan"], "--threshold nan is no number"),
        (["{tmp}/in.txt", "-", *NAMES, "--device", "nowhere"], "device nowhere: the model cannot run there"),
        (["{tmp}/in.txt", "-", *NAMES, "--device", "meta"], "device meta: it holds no numbers"),
        (["{tmp}/in.txt", "-", *NAMES, "--batch_size", "1" + "0" * 30], "batch_size is 1000"),
        (["{tmp}/in.txt", "{tmp}/o.jsonl", *NAMES, "--html", "{tmp}/o.jsonl"], "name a file that ends in .html"),
        (["{tmp}/in.txt", "{tmp}/o.jsonl", *NAMES, "--html", "{tmp}/names.tsv"], "name a file that ends in .html"),
        (["{tmp}/in.txt", "{tmp}/o.jsonl", *NAMES, "--html", "{tmp}/dir.html"], "name a file that ends in .html"),
        (["{tmp}/in.txt", "{tmp}/in.txt/o.jsonl", *NAMES], "in.txt: this is a file, where a folder is needed"),
    ],
)
def test_mistakes_are_sentences(more, words, model, tmp_path, capsys):
    (tmp_path / "in.txt").write_text("x")
    (tmp_path / "utf16.txt").write_text("x", encoding="utf-16")
    (tmp_path / "no_mark.txt").write_text("x", encoding="utf-16-le")
    (tmp_path / "names.tsv").write_text("x\tPER")
    (tmp_path / "dir.html").mkdir()
    assert main(["predict", model, *(part.format(tmp=tmp_path) for part in more)]) == 2
    assert words in capsys.readouterr().err
    assert (tmp_path / "names.tsv").read_text() == "x\tPER"


def test_what_is_no_model(model, names, tmp_path, capsys):
    (tmp_path / "in.txt").write_text("x")
    rest = [str(tmp_path / "in.txt"), "-", *names]
    assert main(["predict", str(tmp_path), *rest]) == 2
    assert "config.json is missing" in capsys.readouterr().err
    assert main(["predict", str(tmp_path / "in.txt"), *rest]) == 2
    assert "this is a file; name the folder of a model" in capsys.readouterr().err


def test_the_page(model, names, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(relation_page, "MOST_SHOWN", 4)
    (tmp_path / "in.txt").write_text("\n".join(TEXTS * 2))
    argv = ["predict", model, str(tmp_path / "in.txt"), str(tmp_path / "o.jsonl"), "--html", str(tmp_path / "p.html")]
    assert main([*argv, *names]) == 0 and "4 texts, the other 2 are left out" in capsys.readouterr().err
    page = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert "&amp; &lt;b&gt; left" in page and "2 more are in the file" in page and "place of birth" in page
    assert 'data-start="0"' in page and "http" not in page.replace("http://www.w3.org/2000/svg", "")
