"""The `finecl-hf` command: results, exit statuses, and a quick start."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

import finecl_hf
from finecl_hf.cli import main
from finecl_hf.data.documents import Document
from finecl_hf.data.readers import read_documents, write_documents
from finecl_hf.learning_order.missing_labels import MissingLabel, write_missing
from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.metrics import docred_scores
from finecl_hf.synthetic.label_flips import flip_labels
from tests.helpers.small_orders import assert_same, make


@pytest.fixture
def gold(tmp_path, ada, curie):
    write_documents([ada, curie], tmp_path / "gold.json")
    return str(tmp_path / "gold.json")


@pytest.fixture
def broken(tmp_path, ada, curie):
    """Documents 1, 2 and 3 of 5 are invalid, two of them alike."""
    records = [ada.to_dict(), {"title": "b"}, {"title": "c"}, {**ada.to_dict(), "title": "d"}, curie.to_dict()]
    records[3]["vertexSet"] = []
    (tmp_path / "broken.json").write_text(json.dumps(records))
    return str(tmp_path / "broken.json")


def test_help_needs_no_torch():
    code = (
        "import sys\nfrom finecl_hf.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit as end: assert end.code == 0\n"
        "heavy = {'torch', 'transformers', 'datasets', 'pyarrow', 'numpy'} & set(sys.modules)\nassert not heavy, heavy"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    names = (
        "validate",
        "doctor",
        "convert",
        "project",
        "flip",
        "merge-orders",
        "report",
        "clean",
        "review",
        "synthesize",
        "predict",
        "score",
    )
    assert all(f"\n    {name}" in shown for name in names)


def test_version_is_the_package_version(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"finecl_hf {finecl_hf.__version__}\n"


SYNTHESIZE = ["synthesize", "out", "--seed"]


@pytest.mark.parametrize(
    "argv",
    [[], ["no-such-command"], ["flip", "a", "b"], ["merge-orders", "out"]]
    + [[*SYNTHESIZE, seed] for seed in ("-1", "x", "", "1.5", str(2**32), "9" * 5000)],
)  # fmt: skip
def test_wrong_usage_exits_with_2(argv, capsys):
    with pytest.raises(SystemExit) as end:
        main(argv)
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and "run `finecl-hf" in err and err.count("\n") == 1


def test_validate_counts_a_good_file(gold, capsys):
    assert main(["validate", gold]) == 0
    assert capsys.readouterr().out == (
        f"{gold}: 2 valid documents with 7 entities, 8 mentions and 5 facts of 4 relations; 0 problems.\n"
    )


def test_validate_lists_and_groups_every_problem(broken, capsys):
    assert main(["validate", broken]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert all(f'document {i} ("{title}")' in lines[i - 1] for i, title in enumerate("bcd", 1))
    assert "2 valid documents" in lines[3] and lines[3].endswith("3 problems.")
    assert lines[4].startswith("       2 x ") and lines[5].startswith("       1 x ")


def test_validate_says_that_nothing_is_labelled(tmp_path, capsys):
    (tmp_path / "mine.csv").write_text("sentence,head,tail,relatoin\nAda works for Acme,Ada,Acme,employer\n")
    assert main(["validate", str(tmp_path / "mine.csv")]) == 0
    assert "column `relation`" in capsys.readouterr().out


def test_validate_tells_where_a_file_is_cut_off(gold, tmp_path, capsys):
    text = open(gold).read()
    (tmp_path / "cut.json").write_text(text[: len(text) // 2 + len(text) // 4])
    assert main(["validate", str(tmp_path / "cut.json")]) == 1
    out = capsys.readouterr().out
    assert "document 1: the file ends" in out and "1 valid document with" in out and "1 problem." in out


def test_validate_takes_the_named_format(gold, capsys):
    assert main(["validate", gold, "--format", "tacred"]) == 1
    assert main(["validate", gold, "--format", "latin"]) == 2
    assert 'the format "latin" is unknown' in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv, message",
    [
        (["validate", "missing.json"], "missing.json: there is no such file"),
        (["convert", "{gold}", "{tmp}/out.csv"], "must end in"),
        (["convert", "{broken}", "{tmp}/out.json"], 'document 1 ("b")'),
        (["flip", "{gold}", "{tmp}/out.json", "--rate", "2"], "rate is the share"),
        (["merge-orders", "{tmp}/out.parquet", "{tmp}/none.parquet"], "there is no such file"),
        (["score", "{gold}", "missing.json"], "there is no such file"),
        (["score", "{tmp}/none.json", "{gold}"], "none.json: there is no such file"),
        (["score", "{garbage}", "{gold}"], "cannot be read as JSON"),
        (["synthesize", "{gold}"], "gold.json"),
        (["synthesize", "{tmp}/out.d", "--num_documents", "0"], "--num_documents 0 is out of range"),
        (["flip", "{bare}", "{tmp}/out.json", "--rate", "0.5"], "bare.json: the documents have no labels to flip"),
    ],
)
def test_mistakes_are_one_sentence_and_status_2(argv, message, gold, broken, ada, tmp_path, capsys):
    (tmp_path / "garbage.json").write_text("{")
    write_documents([replace(ada, relations=[], labelled=False)], tmp_path / "bare.json")
    places = {"gold": gold, "broken": broken, "tmp": tmp_path}
    places |= {name: tmp_path / f"{name}.json" for name in ("garbage", "bare")}
    assert main([word.format(**places) for word in argv]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and message in err and "Traceback" not in err and err.count("\n") == 1
    assert not list(tmp_path.glob("out.*"))


@pytest.mark.parametrize("extension", ["jsonl", "json.gz", "parquet"])
def test_convert_keeps_the_documents(extension, gold, tmp_path, ada, curie):
    assert main(["convert", gold, str(tmp_path / f"out.{extension}")]) == 0
    assert read_documents(tmp_path / f"out.{extension}") == [ada, curie]


def test_convert_without_the_invalid(broken, tmp_path, ada, curie, capsys):
    out = tmp_path / "out.jsonl"
    assert main(["convert", broken, str(out), "--skip_invalid"]) == 0
    assert read_documents(out) == [ada, curie]
    assert "2 documents" in capsys.readouterr().out


def test_convert_writes_nothing_where_all_are_invalid(tmp_path, capsys):
    (tmp_path / "in.json").write_text('[{"title": "a"}]')
    assert main(["convert", str(tmp_path / "in.json"), str(tmp_path / "out.json"), "--skip_invalid"]) == 2
    assert not (tmp_path / "out.json").exists()
    assert "document 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (
            ["convert", "{t}/t.csv", "{t}/o.json", "--columns", "sentence=Nix"],
            "no column Nix (for sentence); found Satz",
        ),
        (["convert", "{t}/t.csv", "{t}/o.json", "--both_ways", "all", "x"], "--both_ways all: is every relation"),
        (["merge-orders", "{t}/m.csv", "{t}/t.csv"], "m.csv: the name must end in .parquet or .json"),
        (["doctor", ""], "the name of a file is empty"),
        (["convert", "{t}/t.csv", "{t}/dir.json"], "dir.json: Is a directory."),
        (["convert", "{t}/t.csv", "{t}/o.json", "--report", "{t}/dir.json"], "dir.json: may not be written"),
    ],
)
def test_odd_arguments_are_one_sentence(argv, words, tmp_path, capsys):
    (tmp_path / "t.csv").write_text("Satz,head,tail\nAda in London,Ada,London\n")
    (tmp_path / "dir.json").mkdir()
    assert main([part.format(t=tmp_path) for part in argv]) == 2
    told = capsys.readouterr().err
    assert words.format(t=tmp_path) in told and told.count("\n") == 1


def test_convert_without_what_the_format_cannot_hold(gold, tmp_path, ada, curie, capsys):
    bare = Document("bare", [], [], relations=[])
    write_documents([ada, bare, curie], tmp_path / "in.json")
    for name in ("prodigy", "doccano", "labelstudio", "conll04"):
        argv = ["convert", str(tmp_path / "in.json"), str(tmp_path / "out.json"), "--to", name]
        assert main(argv) == 2 and not (tmp_path / "out.json").exists()
        told = capsys.readouterr().err
        assert 'document 1 ("bare")' in told and "--skip_invalid goes on without such documents." in told
        assert main([*argv, "--skip_invalid", "--report", str(tmp_path / "report.json")]) == 0
        told = capsys.readouterr()
        assert "Wrote 2 documents" in told.out and f"1 documents that {name} cannot hold" in told.err
        report = json.loads((tmp_path / "report.json").read_text())
        assert report["documents"] == 2 and report["labels"] == 5
        assert len(read_documents(tmp_path / "out.json", format=name)) == 2
        (tmp_path / "out.json").unlink()
    write_documents([bare], tmp_path / "in.json")
    assert main([*argv, "--skip_invalid"]) == 2 and not (tmp_path / "out.json").exists()
    assert "cannot hold any of the 1 documents" in capsys.readouterr().err


def test_convert_a_sentence_format(tmp_path):
    lines = '1\t"The <e1>fire</e1> was caused by the <e2>bomb</e2>."\nCause-Effect(e2,e1)\nComment:\n'
    (tmp_path / "train.txt").write_text(lines)
    assert main(["convert", str(tmp_path / "train.txt"), str(tmp_path / "out.json")]) == 0
    (document,) = read_documents(tmp_path / "out.json")
    assert document.is_sentence and document.label == "Cause-Effect(e2,e1)"


def test_project_labels_by_the_facts_of_other_documents(gold, tmp_path, ada, capsys):
    unlabelled = replace(ada, title="new", relations=[], labelled=False)
    write_documents([unlabelled, replace(unlabelled, title="bare", entities=[])], tmp_path / "documents.json")
    out = str(tmp_path / "silver.json")
    assert main(["project", "--documents", str(tmp_path / "documents.json"), "--knowledge_base", gold,
                 "--output", out]) == 0  # fmt: skip
    silver, bare = read_documents(out)
    assert {(f.head, f.tail, f.relation) for f in silver.relations} == {
        (f.head, f.tail, f.relation) for f in ada.relations
    }
    assert bare.relations == [] and bare.labelled
    shown = capsys.readouterr().out
    assert "Wrote 2 documents, 1 of them with labels" in shown and "3 labels of 3 relations" in shown
    assert "       1 born in" in shown


def test_project_by_a_table_of_triples_with_every_option(gold, tmp_path, ada, curie, capsys):
    (tmp_path / "kb.tsv").write_text("to\tby\tfrom\nLondon\tP19\tADA LOVELACE\nWarsaw\tP19\tMarie Curie\nx\tP20\t\n")
    (tmp_path / "rel_info.json").write_text('{"P19": "place of birth"}')
    write_documents([replace(curie, title="test")], tmp_path / "test.json")
    out, report = tmp_path / "silver.json", tmp_path / "report.json"
    argv = ["project", "--documents", gold, "--knowledge_base", tmp_path / "kb.tsv", "--output", out,
            "--columns", "from", "by", "to", "--knowledge_base_format", "tsv", "--match", "name", "--relations", "P19",
            "P20",
            "--exclude_file", tmp_path / "test.json", "--drop_unlabelled", "--skip_invalid", "--report", report,
            "--rel_info", tmp_path / "rel_info.json", "--memory_gb", "0.5", "--temp_dir", tmp_path]  # fmt: skip
    assert main([str(word) for word in argv]) == 0
    (silver,) = read_documents(out)
    assert silver.title == "Ada" and [(f.head, f.tail, f.relation) for f in silver.relations] == [(0, 1, "P19")]
    shown = capsys.readouterr().out
    assert "Wrote 1 document, 1 of them with labels" in shown and "       1 P19 (place of birth)" in shown
    assert "Leakage filter: 1 label dropped." in shown and "1 invalid row left out" in shown
    counts = json.loads(report.read_text())
    assert counts["documents"] == 2 and counts["excluded_labels"] == 1 and counts["knowledge_base"]["rows"] == 3


def test_project_by_ids_and_aliases(gold, tmp_path):
    (tmp_path / "kb.tsv").write_text("Q7259\tP19\tQ84\n")
    (tmp_path / "aliases.tsv").write_text("Q7259\tAda Lovelace\nQ84\tLondon\nQ92561\tLondon\n")
    argv = ["project", "--documents", gold, "--knowledge_base", str(tmp_path / "kb.tsv")]
    argv += ["--output", str(tmp_path / "silver.json"), "--aliases", str(tmp_path / "aliases.tsv")]
    assert main(argv) == 0
    assert [len(document.relations) for document in read_documents(tmp_path / "silver.json")] == [1, 0]
    assert main([*argv, "--ambiguous", "drop"]) == 2  # London was the only way


@pytest.mark.parametrize(
    "option, message",
    [
        (["--knowledge_base", "{tmp}/none.tsv"], "none.tsv: there is no such file"),
        (["--relations", "NA"], '--relations NA: "NA" stands for no relation'),
        (["--rel_info", "{tmp}/none.json"], "--rel_info {tmp}/none.json: there is no such file"),
        (["--report", "{gold}/report.json"], "--report {gold}/report.json: its folder cannot be made"),
        (["--exclude_file", "{tmp}/none.json"], "none.json: there is no such file"),
        (["--memory_gb", "0"], "argument --memory_gb: 0 is no number of gigabytes"),
        (["--match", "id"], "the triples are between ids, but no mention of the documents carries a kb_id"),
    ],
)
def test_project_tells_mistakes_in_one_line_and_writes_nothing(option, message, gold, tmp_path, capsys):
    (tmp_path / "kb.tsv").write_text("Ada Lovelace\tP19\tLondon\n")
    argv = ["project", "--documents", gold, "--knowledge_base", str(tmp_path / "kb.tsv")]
    argv += ["--output", str(tmp_path / "out.json"), *(word.format(tmp=tmp_path, gold=gold) for word in option)]
    with suppress(SystemExit):
        assert main(argv) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and message.format(tmp=tmp_path, gold=gold) in err and err.count("\n") == 1
    assert not (tmp_path / "out.json").exists()


def test_flip_writes_documents_and_truth(gold, tmp_path, ada, curie):
    out, truth = tmp_path / "noisy.json", tmp_path / "truth.json"
    argv = ["flip", gold, str(out), "--rate", "0.4", "--kind", "pair", "--seed", "3", "--truth", str(truth)]
    assert main(argv) == 0
    expected, is_clean = flip_labels([ada, curie], 0.4, "pair", 3)
    assert read_documents(out) == expected
    assert json.loads(truth.read_text()) == is_clean
    assert list(is_clean.values()).count(False) == 2


def test_merge_orders_of_shards(tmp_path, capsys):
    LearningOrder(["a", "b"], first_epoch=[0, 3]).write(tmp_path / "1.parquet")
    LearningOrder(["b", "c"], first_epoch=[1, -1]).write(tmp_path / "2.parquet")
    (tmp_path / "3.json").write_text('{"d": 2}')
    inputs = [str(tmp_path / name) for name in ("1.parquet", "2.parquet", "3.json")]
    out = str(tmp_path / "all.parquet")
    assert main(["merge-orders", out, *inputs]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert main(["merge-orders", out, *inputs, "--on_conflict", "min"]) == 0
    merged = LearningOrder.read(out)
    assert dict(zip(merged.instance_id.to_pylist(), merged.first_epoch.tolist(), strict=True)) == (
        {"a": 0, "b": 1, "c": -1, "d": 2}
    )
    assert main(["merge-orders", str(tmp_path / "all.json"), out]) == 0
    assert json.loads((tmp_path / "all.json").read_text()) == {"a": 0, "b": 1, "d": 2}


def test_merge_orders_on_one_scale(tmp_path, capsys):
    shards = [make([f"{name}{i}" for i in range(9)], seed=seed, hidden=0) for seed, name in enumerate("ab")]
    inputs = [str(tmp_path / f"{i}.parquet") for i in range(2)]
    for shard, path in zip(shards, inputs, strict=True):
        shard.write(path)
    assert main(["merge-orders", str(tmp_path / "all.parquet"), *inputs, "--calibrate"]) == 0
    merged = LearningOrder.read(tmp_path / "all.parquet")
    assert_same(merged, LearningOrder.merge(shards, calibrate=True))
    np.testing.assert_allclose(np.sort(merged.margin[:9], axis=0), np.sort(merged.margin[9:], axis=0), atol=1e-3)
    (tmp_path / "old.json").write_text('{"d": 2}')
    capsys.readouterr()
    assert main(["merge-orders", str(tmp_path / "x.parquet"), *inputs, str(tmp_path / "old.json"), "--calibrate"]) == 2
    err = capsys.readouterr().err
    assert "with the dynamics of equally many epochs" in err and err.count("\n") == 1
    assert not (tmp_path / "x.parquet").exists()


def test_synthesize_a_corpus(tmp_path, capsys):
    for folder in ("one", "two"):
        assert main(["synthesize", str(tmp_path / folder), "--num_documents", "6", "--seed", "1"]) == 0
    assert len(read_documents(tmp_path / "one" / "silver.json")) == 6
    assert (tmp_path / "one" / "truth.json").read_bytes() == (tmp_path / "two" / "truth.json").read_bytes()
    assert "silver labels" in capsys.readouterr().out


def test_score_prints_the_figures(gold, tmp_path, ada, curie, capsys):
    rows = [
        {"title": "Ada", "h_idx": 0, "t_idx": 1, "r": "born in"},
        {"title": "Ada", "h_idx": 3, "t_idx": 1, "r": "x"},
    ]
    (tmp_path / "predictions.json").write_text(json.dumps(rows))
    assert main(["score", str(tmp_path / "predictions.json"), gold]) == 0
    figures = docred_scores(rows, [ada, curie])
    assert figures.pop("evidence_f1") == 0  # of predictions without evidence, which is no result
    assert json.loads(capsys.readouterr().out) == figures
    assert main(["score", str(tmp_path / "predictions.json"), gold, "--train_file", gold]) == 0
    assert json.loads(capsys.readouterr().out)["ign_f1"] == 0
    (tmp_path / "predictions.json").write_text(json.dumps([{**rows[0], "evidence": [0]}]))
    assert main(["score", str(tmp_path / "predictions.json"), gold]) == 0
    assert "evidence_f1" in json.loads(capsys.readouterr().out)


def test_score_refuses_what_cannot_be_scored(gold, tmp_path, ada, capsys):
    write_documents([replace(ada, relations=[], labelled=False)], tmp_path / "test.json")
    (tmp_path / "empty.json").write_text("[]")
    (tmp_path / "object.json").write_text("{}")
    assert main(["score", str(tmp_path / "empty.json"), str(tmp_path / "test.json")]) == 2
    assert "no labels to score against" in capsys.readouterr().err
    assert main(["score", str(tmp_path / "object.json"), gold]) == 2
    assert "expected a list" in capsys.readouterr().err


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_closed_pipe_is_no_traceback(broken, unbuffered, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    command = f"{sys.executable} -m finecl_hf.cli validate {broken} | true"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert "Traceback" not in run.stderr and "BrokenPipe" not in run.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is full")
def test_a_full_or_closed_output(broken):
    command = f"{sys.executable} -m finecl_hf.cli validate {broken} >"
    full = subprocess.run(["bash", "-c", f"{command} /dev/full"], capture_output=True, text=True)
    assert full.returncode == 2 and full.stderr == "error: the output: No space left on device.\n"
    closed = subprocess.run(["bash", "-c", f"{command}&-"], capture_output=True, text=True)
    assert closed.returncode == 1 and not closed.stderr


@pytest.fixture
def judged(tmp_path, ada, curie):
    """A learning order of the gold documents in which `died in` was never learned."""
    order = LearningOrder.for_documents([ada, curie])
    for _ in range(2):
        order.record_epoch([0.9, 0.8, 0.7, 0.9, 0.1], [0.5, 0.5, 0.5, 0.5, -0.5], [True] * 4 + [False])
    order.write(tmp_path / "judged.parquet")
    return str(tmp_path / "judged.parquet")


def test_report_writes_a_page(judged, gold, tmp_path, capsys):
    (tmp_path / "names.json").write_text('{"died in": "place of death"}')
    argv = ["report", judged, gold, "--output", str(tmp_path / "out.html"), "--worst", "1", "--score", "first_epoch"]
    assert main([*argv, "--rel_info", str(tmp_path / "names.json")]) == 0
    page = (tmp_path / "out.html").read_text()
    assert page.count('<li class="card"') == 1 and "place of death" in page and "mean trust (<bdi>first_epoch" in page
    said = capsys.readouterr()
    assert "out.html and " in said.out and "out.md; the learning order knows 5 of 5 facts" in said.out
    assert not said.err


def test_report_shows_what_seems_to_be_missing(judged, gold, tmp_path):
    row = MissingLabel(
        "Curie#1#2#located in", "Curie", 1, 2, "located in", "Warsaw", "France", 0.5, 1.0, 0.0, 0.0, 2.0
    )
    write_missing([row], tmp_path / "missing.parquet")
    argv = ["report", judged, gold, "--output", str(tmp_path / "out.html"), "--score", "first_epoch"]
    assert main([*argv, "--missing", str(tmp_path / "missing.parquet")]) == 0
    assert "Warsaw" in (tmp_path / "out.md").read_text().partition("## Facts that seem to be missing")[2]


def test_report_warns_where_it_knows_few_labels(judged, tmp_path, ada, curie, capsys):
    write_documents([curie, *(replace(ada, title=f"{i}") for i in range(2))], tmp_path / "other.json")
    assert main(["report", judged, str(tmp_path / "other.json"), "--output", str(tmp_path / "out.html")]) == 0
    assert capsys.readouterr().err == "warning: was the learning order made from these documents?\n"


def test_clean_writes_what_is_left(judged, gold, tmp_path, ada, curie, capsys):
    out = tmp_path / "out.json"
    assert main(["clean", judged, gold, str(out), "--threshold", "0.5", "--score", "probability"]) == 0
    assert read_documents(out) == [ada, replace(curie, relations=curie.relations[:1])]
    assert capsys.readouterr().out == f"Wrote {out}: kept 4 of 5 labels in 2 documents.\n"
    assert main(["clean", judged, gold, str(out), "--share", "0.4", "--score", "margin"]) == 0
    assert "kept 2 of 5 labels" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv, message",
    [
        (["report", "{judged}", "{gold}", "--output", "{tmp}/out.pdf"], "end in .html"),
        (["report", "{judged}", "{gold}", "--output", "{tmp}/out.html", "--score", "x"], 'no score "x"'),
        (["report", "{judged}", "{broken}", "--output", "{tmp}/out.html"], 'document 1 ("b")'),
        (["report", "{gold}", "{gold}", "--output", "{tmp}/out.html"], "expected a JSON object"),
        (["report", "{judged}", "missing.json", "--output", "{tmp}/out.html"], "missing.json: there is no such file"),
        (["clean", "{judged}", "{gold}", "{tmp}/out.json", "--share", "2"], "the share 2.0 is out of range"),
        (["clean", "{judged}", "{gold}", "{tmp}/out.json", "--threshold", "1"], "not one of 5 labels would be left"),
        (["clean", "{judged}", "{broken}", "{tmp}/out.json", "--share", "1"], 'document 1 ("b")'),
    ],
)
def test_mistakes_with_orders(argv, message, judged, gold, broken, tmp_path, capsys):
    places = {"gold": gold, "broken": broken, "judged": judged, "tmp": tmp_path}
    assert main([word.format(**places) for word in argv]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and message in err and err.count("\n") == 1
    assert not list(tmp_path.glob("out.*"))


@pytest.mark.parametrize(
    "argv",
    [
        ["project", "--documents", "{gold}", "--knowledge_base", "{gold}", "--output", "{gold}"],
        ["project", "--documents", "{gold}", "--knowledge_base", "{gold}", "--output", "{tmp}/o.json", "--report",
         "{gold}"],
        ["project", "--documents", "{gold}", "--knowledge_base", "{gold}", "--output", "{tmp}/o.json", "--report",
         "{tmp}/o.json"],
        ["clean", "{judged}", "{gold}", "{judged}", "--share", "1"],
        ["clean", "{judged}", "{gold}", "{gold}", "--share", "1"],
    ],
)  # fmt: skip
def test_no_input_is_written_over(argv, judged, gold, tmp_path, capsys):
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert main([word.format(gold=gold, judged=judged, tmp=tmp_path) for word in argv]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


# What is lost by oversight, and what consoles cannot show ------------------------------------------


@pytest.mark.parametrize(
    "argv",
    [
        ["flip", "{gold}", "{gold}", "--rate", "0.1"],
        ["flip", "{gold}", "{tmp}/o.json", "--rate", "0.1", "--truth", "{gold}"],
        ["flip", "{gold}", "{tmp}/o.json", "--rate", "0.1", "--truth", "{tmp}/o.json"],
        ["flip", "{gold}", "{link}", "--rate", "0.1"],
        ["convert", "{gold}", "{gold}"],
        ["convert", "{tmp}/g*.json", "{gold}"],
        ["merge-orders", "{order}", "{order}", "{order}"],
    ],
)
def test_no_command_writes_over_what_it_reads(argv, gold, tmp_path, capsys):
    order, link = tmp_path / "a.parquet", tmp_path / "link.json"
    make(["a#0#1#r"]).write(order)
    link.symlink_to(gold)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert main([word.format(gold=gold, tmp=tmp_path, order=order, link=link) for word in argv]) == 2
    assert "name another" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
@pytest.mark.parametrize("title", ["東京 – Café", "\ud83d x"])
def test_any_console_is_told(encoding, title, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([{"title": title, "sents": [["a"]], "vertexSet": "\ud800"}]))
    process = subprocess.run(
        [sys.executable, "-m", "finecl_hf.cli", "validate", tmp_path / "a.json"], capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )  # fmt: skip
    assert process.returncode == 1 and process.stderr == b""
    text = process.stdout.decode(encoding)
    assert "document 0" in text and ("\\u6771" in text or "東京" in text or "\\ud83d" in text)


@pytest.mark.parametrize("depth", [500, 100_000])
@pytest.mark.parametrize("place", ["document", "title", "vertexSet", "labels", "sents"])
def test_any_depth_is_a_sentence(depth, place, tmp_path, capsys):
    deep = "[" * depth + "]" * depth
    keys = {"title": '"d"', "sents": '[["a"]]', "vertexSet": "[]", "labels": "[]"}
    text = deep if place == "document" else json.dumps({"x": 0}).replace('"x": 0', ", ".join(
        f'"{key}": {deep if key == place else value}' for key, value in keys.items()
    ))  # fmt: skip
    (tmp_path / "a.json").write_text(f"[{text}]")
    assert main(["validate", str(tmp_path / "a.json")]) in (1, 2)
    told = "".join(capsys.readouterr())
    assert "a.json" in told and "Traceback" not in told


def test_predictions_of_unknown_documents_are_counted(gold, ada, tmp_path, capsys):
    rows = [{"title": title, "h_idx": 0, "t_idx": 1, "r": "born in"} for title in ("Not there", "Nor this", "Ada")]
    (tmp_path / "p.json").write_text(json.dumps(rows))
    assert main(["score", str(tmp_path / "p.json"), gold]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["precision"] == pytest.approx(1 / 3)
    assert "2 of 3 predicted titles" in err and "Nor this" in err


def test_merging_with_every_option(tmp_path, capsys):
    for number in (1, 2):
        order = make([f"shard {number}#0#1#r", "both#0#1#r"])
        order.write(tmp_path / f"{number}.parquet")
    files = [str(tmp_path / f"{name}.parquet") for name in ("merged", 1, 2)]
    assert main(["merge-orders", *files, "--on_conflict", "min", "--calibrate"]) == 0
    assert len(LearningOrder.read(files[0])) == 3


# doctor ---------------------------------------------------------------------------------------------


@pytest.fixture
def sound_files(tmp_path):
    from tests.data.test_health import sound

    for name, count in (("train", 60), ("dev", 30)):
        write_documents(sound(count, name), tmp_path / f"{name}.json")
    return [str(tmp_path / f"{name}.json") for name in ("train", "dev")]


def test_doctor_of_sound_files_without_torch(sound_files):
    code = "import sys\nfrom finecl_hf.cli import main\nstatus = main(sys.argv[1:])\nassert 'torch' not in sys.modules"
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\nsys.exit(status)", "doctor", *sound_files], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1].startswith("0 wrong, 0 to look at") and "means:" not in run.stdout
    assert "Reading" in run.stderr and "Reading" not in run.stdout


def test_commands_that_read_documents_take_columns_and_a_label_map(tmp_path, capsys):
    rows = "".join(f"Ada met Bo {n}.;Ada;Bo {n};{'saw' if n % 2 else 'met'}\n" for n in range(8))
    (tmp_path / "in.csv").write_text(f"Satz;Kopf;Ende;Rel\n{rows}")
    (tmp_path / "map.json").write_text('{"saw": "sees", "met": "meets"}')
    columns = {"sentence": "Satz", "head": "Kopf", "tail": "Ende", "relation": "Rel"}
    source, order, out = str(tmp_path / "in.csv"), str(tmp_path / "order.parquet"), str(tmp_path / "out.json")
    documents = read_documents(source, columns=columns, label_map=str(tmp_path / "map.json"))
    LearningOrder(
        [document.instance_id(fact) for document in documents for fact in document.relations], first_epoch=[0] * 8
    ).write(order)
    reading = ["--columns", *map("=".join, columns.items()), "--label_map", str(tmp_path / "map.json")]
    for command in (
        ["doctor", source],
        ["flip", source, out, "--rate", "0.5"],
        ["report", order, source, "--score", "first_epoch", "--output", str(tmp_path / "r.html")],
        ["clean", order, source, out, "--score", "first_epoch", "--share", "1"],
        ["review", "export", order, source, str(tmp_path / "t.csv"), "--tool", "csv", "--score", "first_epoch"],
    ):
        assert main([*command, *reading]) in (0, 1), capsys.readouterr().err
    assert {document.label for document in read_documents(out)} == {"sees", "meets"}


def test_doctor_of_a_leaking_file(sound_files, tmp_path, capsys):
    found = tmp_path / "found.json"
    assert main(["doctor", sound_files[0], sound_files[0], "--json", str(found)]) == 1
    assert "wrong leakage" in capsys.readouterr().out
    findings = json.loads(found.read_text())
    (leak,) = [finding for finding in findings if finding["check"] == "leakage"]
    assert leak["mark"] == "wrong" and leak["figures"]["documents"] == 60 and leak["advice"]


def test_doctor_of_invalid_documents_goes_on(broken, capsys):
    assert main(["doctor", broken]) == 1
    out = capsys.readouterr().out
    assert "wrong documents" in out and "3 of train are invalid, 2 valid" in out and "relations" in out


def test_doctor_with_an_encoder(sound_files, bert_folder, tmp_path, capsys):
    before = sorted(tmp_path.rglob("*"))
    argv = ["doctor", *sound_files, "--model", str(bert_folder), "--max_seq_length", "64"]
    assert main([*argv, "--no_overfit"]) in (0, 1)
    assert "overfitting" not in (out := capsys.readouterr().out) and "length" in out and "vocabulary" in out
    assert main([*argv, "--overfit_seconds", "1"]) in (0, 1)
    said = capsys.readouterr()
    assert "overfitting" in said.out and "by heart, for 1 seconds" in said.err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "option, message",
    [
        (["--json", "{train}"], "name another one to write"),
        (["--model", "/no/such/encoder"], "no such folder"),
        (["--model", "{bert}", "--max_seq_length", "9999"], "--max_seq_length 9999 is out of range"),
        (["--rel_info", "/no/names.json"], "there is no such file"),
        (["/no/test.json"], "there is no such file"),
    ],
)
def test_mistakes_with_the_doctor(option, message, sound_files, bert_folder, capsys):
    words = [word.format(train=sound_files[0], bert=bert_folder) for word in option]
    assert main(["doctor", *sound_files, *words]) == 2
    said = capsys.readouterr()
    assert message in said.err and "Traceback" not in said.err and not said.out


def test_the_doctor_needs_a_positive_time(sound_files, capsys):
    with pytest.raises(SystemExit) as end:
        main(["doctor", *sound_files, "--overfit_seconds", "0"])
    assert end.value.code == 2 and "no number of seconds" in capsys.readouterr().err
