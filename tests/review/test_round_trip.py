"""Export, verdicts made by a script, import: for every tool, exactly what was judged comes back."""

import csv
import json
import random
import shutil
from dataclasses import replace

import numpy as np
import pytest

from finecl_hf.cli import main
from finecl_hf.data.documents import Document, Fact
from finecl_hf.data.readers import read_documents, write_documents
from finecl_hf.errors import FineCLError
from finecl_hf.hashing import text_key
from finecl_hf.learning_order.missing_labels import MissingLabel, publish_missing, write_missing
from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.learning_order.verdicts import Verdict, Verdicts, with_verdicts
from finecl_hf.review.tools import TOOLS, read_votes


TITLES = ["=1+2", "-x", "@SUM(A1)", "'quoted", 'semi;colon, "quote"', "line\u2028and #hash", "Zürich 東京 😀", "plain"]
WORDS = {"right": "Right", "wrong": "wrong", "other": "other relation", "unsure": "UNSURE"}


def document(number):
    relation = ("P1", "=P2", "P#3")[number % 3]
    return Document.from_dict(
        {
            "title": f"{TITLES[number % len(TITLES)]}{number}",
            "sents": [["=Ann", "😀", "met", "Bob", f"{number}", "."], ["She", "left", "."]],
            "vertexSet": [
                [{"sent_id": 0, "pos": [0, 2], "type": "PER"}, {"sent_id": 1, "pos": [0, 1], "type": "PER"}],
                [{"sent_id": 0, "pos": [3, 4], "type": "+x"}],
                [{"sent_id": 0, "pos": [1, 2], "type": "SMILE"}],
            ],
            "labels": [{"h": 0, "t": 1, "r": relation, "note": 1}, {"h": 0, "t": 2, "r": "P1"}],
        }
    )


@pytest.fixture
def files(tmp_path):
    documents = [document(i) for i in range(12)]
    write_documents(documents, tmp_path / "silver.json")
    order = LearningOrder.for_documents(documents)
    rng = np.random.default_rng(0)
    for _ in range(3):
        probability = rng.random(len(order))
        order.record_epoch(probability, 2 * probability - 1, probability > 0.5)
    order.write(tmp_path / "order.parquet")
    return tmp_path


def export(folder, tool, *flags):
    path = folder / f"tasks{TOOLS[tool].SUFFIXES[0]}"
    words = [folder / "order.parquet", folder / "silver.json", path, "--tool", tool, "--score", "probability"]
    assert main(["review", "export", *map(str, words), *(flags or ("--worst", "8", "--random", "6"))]) == 0
    return path


def import_(folder, path, *flags):
    return main(["review", "import", str(path), str(folder / "silver.json"), str(folder / "out.json"), *flags])


def answers(ids):
    """A verdict of each kind for some of the labels, by id."""
    kinds = random.Random(1).choices(["right", "wrong", "other", "unsure", ""], k=len(ids))
    return {name: (kind, "P1" if kind == "other" and not name.endswith("#P1") else "") for name, kind in
            zip(ids, kinds, strict=True)}  # fmt: skip


def rows_of(path):
    with open(path, newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def fill_in(path, tool):
    """Judges the tasks as their tool would save it; returns {id: (kind, relation)} of what is judged."""
    if tool == "csv":
        rows = rows_of(path)
        given = answers([row["instance_id"] for row in rows])
        for row in rows:
            kind, row["right_relation"] = given[row["instance_id"]]
            row["verdict"] = WORDS.get(kind, "")
        with open(path, "w", newline="", encoding="utf-8") as file:
            out = csv.DictWriter(file, rows[0], delimiter=";")
            out.writeheader()
            out.writerows(rows)
        undo = {row["instance_id"]: plain_id(row["instance_id"]) for row in rows}
        return {undo[name]: answer for name, answer in given.items() if answer[0]}
    if tool == "label-studio":
        tasks = json.loads(path.read_text())
        given = answers([task["data"]["instance_id"] for task in tasks])
        for task in tasks:
            kind, relation = given[task["data"]["instance_id"]]
            result = [choice("verdict", WORDS[kind])] if kind else []
            result += [choice("right_relation", relation)] if relation else []
            task["annotations"] = [{"completed_by": 1, "result": [*task["predictions"][0]["result"], *result]}]
        path.write_text(json.dumps(tasks))
        return {name: answer for name, answer in given.items() if answer[0]}
    records = [json.loads(line) for line in path.read_text().split("\n") if line]
    given = answers([record["id"] for record in records])
    for record in records:
        kind, relation = given[record["id"]]
        answer = {"verdict": WORDS.get(kind), "right_relation": relation}
        record["responses"] = {name: [{"value": v, "user_id": "u"}] for name, v in answer.items() if v}
    path.write_text(json.dumps(records))
    return {name: answer for name, answer in given.items() if answer[0]}


def plain_id(cell):
    return cell[1:] if cell[0] == "'" else cell


def choice(name, value):
    return {"from_name": name, "to_name": "text", "type": "choices", "value": {"choices": [value]}}


@pytest.mark.parametrize("tool", TOOLS)
def test_exactly_what_was_judged_comes_back(files, tool, capsys):
    path = export(files, tool)
    given = fill_in(path, tool)
    flags = ["--verdicts", files / "v.parquet", "--order", files / "order.parquet", "--order_output",
             files / "new.parquet", "--report", files / "r.json"]  # fmt: skip
    assert import_(files, path, *map(str, flags)) == 0
    verdicts = Verdicts.read(files / "v.parquet")
    assert {row.instance_id: (row.verdict, row.right_relation) for row in verdicts.rows} == given
    assert {row.stratum for row in verdicts.rows} == {"worst", "random"}
    silver = read_documents(files / "silver.json")
    assert read_documents(files / "out.json") == [verdicts.correct(document) for document in silver]
    order = LearningOrder.read(files / "new.parquet")
    signs = {row.instance_id: row.sign for row in verdicts.rows if row.sign}
    found = {n: v for n, v in zip(order.instance_id.to_pylist(), order.verdict.tolist(), strict=True) if v}
    assert signs.items() <= found.items()
    strata = json.loads((files / "r.json").read_text())["strata"]
    assert strata["worst"]["size"] == 8 and strata["random"]["size"] == 16
    out = capsys.readouterr().out
    assert "95 % interval" in out and "of 24 labels are wrong" in out and "least trusted labels are wrong" in out


def missing_labels(folder, count=6):
    """Facts that no label says, of the documents in `files`: from the second entity to the first one."""
    documents = read_documents(folder / "silver.json")[:count]
    rows = []
    for number, document in enumerate(documents):
        fact = Fact(1, 0, ("P1", "P#3")[number % 2])
        names = document.longest_name(1), document.longest_name(0)
        rows.append(MissingLabel(document.instance_id(fact), document.title, 1, 0, fact.relation, *names,
                                 0.5, 0.0, 1.0, 1.0, float(-number)))  # fmt: skip
    write_missing(rows, folder / "missing.parquet")
    return rows


@pytest.mark.parametrize("tool", TOOLS)
def test_missing_facts_that_hold_become_labels(files, tool, capsys):
    rows = missing_labels(files)
    path = export(files, tool, "--worst", "4", "--random", "3", "--missing", str(files / "missing.parquet"),
                  "--candidates", "5")  # fmt: skip
    assert "and 5 facts that seem to be missing" in capsys.readouterr().out
    given = fill_in(path, tool)
    flags = ["--verdicts", files / "v.parquet", "--order", files / "order.parquet", "--order_output",
             files / "new.parquet", "--report", files / "r.json"]  # fmt: skip
    assert import_(files, path, *map(str, flags)) == 0
    verdicts = Verdicts.read(files / "v.parquet")
    assert {row.instance_id: (row.verdict, row.right_relation) for row in verdicts.rows} == given
    judged = {row.instance_id: row for row in verdicts.rows if row.stratum == "missing"}
    assert judged.keys() == given.keys() & {row.instance_id for row in rows[:5]} and judged
    expected = {}  # title -> relations from the second entity to the first one
    for row in judged.values():
        relation = {"right": row.relation, "other": row.right_relation}.get(row.verdict)
        expected.setdefault(row.title, set()).update({relation} - {None, ""})
    corrected = {document.title: document for document in read_documents(files / "out.json")}
    for document in read_documents(files / "silver.json"):
        found = {fact.relation for fact in corrected[document.title].relations if (fact.head, fact.tail) == (1, 0)}
        assert found == expected.get(document.title, set())
    result, out = json.loads((files / "r.json").read_text()), capsys.readouterr().out
    assert sum(result["missing"].values()) == len(judged) and set(result["strata"]) == {"worst", "random"}
    assert f"{len(judged)} facts that seemed to be missing judged" in out
    assert result["corpus"]["added"] == sum(map(len, expected.values()))
    order = LearningOrder.read(files / "new.parquet")
    verdict = dict(zip(order.instance_id.to_pylist(), order.verdict.tolist(), strict=True))
    for name, row in judged.items():
        assert verdict.get(name, 0) == (1 if row.verdict == "right" else 0)


def test_missing_facts_alone_and_once(files, capsys):
    rows = missing_labels(files)
    words = ["--worst", "0", "--random", "0", "--missing", str(files / "missing.parquet")]
    found = {plain_id(row["instance_id"]) for row in rows_of(export(files, "csv", *words))}
    assert found == {row.instance_id for row in rows}
    shutil.copy(files / "missing.parquet", files / "named.parquet")
    publish_missing(files / "named.parquet", files / "missing.parquet")  # without the names of entities
    assert {plain_id(row["instance_id"]) for row in rows_of(export(files, "csv", *words))} == found
    order = LearningOrder.read(files / "order.parquet")
    known = [Verdict(r.instance_id, r.title, 1, 0, r.relation, "right", stratum="missing") for r in rows[:4]]
    with_verdicts(order, Verdicts(known)).write(files / "order.parquet")
    assert len(rows_of(export(files, "csv", *words))) == 2  # the others are known by now
    corrected = [Verdicts(known).correct(document) for document in read_documents(files / "silver.json")]
    assert [Verdicts(known).correct(document) for document in corrected] == corrected  # not added twice
    write_documents(corrected, files / "silver.json")
    write_missing([replace(rows[5], head_name="another")], files / "missing.parquet")
    path = str(files / "tasks.csv")
    command = ["review", "export", str(files / "order.parquet"), str(files / "silver.json"), path, "--tool", "csv"]
    assert main([*command, *words]) == 2 and "other entities" in capsys.readouterr().err
    assert main([*command, *words, "--candidates", "0"]) == 2 and "--candidates 0" in capsys.readouterr().err


def test_missing_facts_of_other_documents(files, capsys):
    rows = missing_labels(files)
    words = ["--worst", "0", "--random", "0", "--missing", str(files / "missing.parquet")]
    write_missing([*rows[:4], *(replace(row, title="foreign") for row in rows[4:])], files / "missing.parquet")
    export(files, "csv", *words)
    assert "4 facts that seem to be missing (2 facts of other documents left out)" in capsys.readouterr().out
    write_missing([replace(row, title="foreign") for row in rows], files / "missing.parquet")
    command = ["review", "export", str(files / "order.parquet"), str(files / "silver.json"), str(files / "none.csv")]
    assert main([*command, "--tool", "csv", *words]) == 2 and "none of the 6 facts is open" in capsys.readouterr().err
    assert not (files / "none.csv").exists()


@pytest.mark.parametrize(
    "place, words",
    [("0#0#P1", "labels that the corpus has not"), ("1#0#NA", "labels that the corpus has not"),
     (f"{'9' * 5000}#0#P1", "labels that the corpus has not"), ("1#0#unheard of", '"unheard of"')],
    ids=["itself", "no_relation", "no_entity", "no_known_relation"],
)  # fmt: skip
def test_what_cannot_be_a_missing_fact(files, place, words, capsys):
    name = f"{missing_labels(files)[0].title}#{place}"
    verdict = {"key": str(text_key(name)), "instance_id": name, "stratum": "missing", "verdict": "right"}
    (files / "verdicts.json").write_text(json.dumps({"tool": "finecl_hf report", "verdicts": [verdict]}))
    assert import_(files, files / "verdicts.json") == 2 and words in capsys.readouterr().err


def test_verdicts_of_a_report_on_missing_facts(files):
    rows = missing_labels(files)
    verdicts = [{"key": str(row.key), "instance_id": row.instance_id, "stratum": "missing", "verdict": verdict,
                 "right_relation": ""} for row, verdict in zip(rows[:2], ("right", "wrong"), strict=True)]  # fmt: skip
    (files / "verdicts.json").write_text(json.dumps({"tool": "finecl_hf report", "verdicts": verdicts}))
    assert import_(files, files / "verdicts.json") == 0
    before, after = (
        sum(len(document.relations) for document in read_documents(files / name))
        for name in ("silver.json", "out.json")
    )
    assert after == before + 1


@pytest.mark.parametrize("tool", TOOLS)
def test_a_second_export_leaves_verdicts_alone(files, tool, capsys):
    path = export(files, tool)
    fill_in(path, tool)
    before = path.read_bytes()
    words = ["review", "export", files / "order.parquet", files / "silver.json", path, "--tool", tool]
    assert main([str(word) for word in words]) == 2
    assert "verdicts; import them first" in capsys.readouterr().err and path.read_bytes() == before


def test_label_studio_spans_stand_in_the_text(files):
    path = export(files, "label-studio")
    for task in json.loads(path.read_text()):
        *regions, relation = task["predictions"][0]["result"]
        text = task["data"]["text"]
        assert {region["value"]["labels"][0] for region in regions} == {"head", "tail"}
        for value in (region["value"] for region in regions):
            assert text[value["start"] : value["end"]] == value["text"] == value["text"].strip()
        assert relation["from_id"] == "head0" and not {"worst", "random"} & set(map(str, task["data"].values()))
    assert "<Relations>" in path.with_suffix(".xml").read_text()


def test_a_spreadsheet_takes_no_cell_for_a_formula(files):
    path = export(files, "csv", "--worst", "12", "--random", "12")
    assert not [c for row in rows_of(path) for c in row.values() if c.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert "<head>" in rows_of(path)[0]["text"] and "worst" not in path.read_text()


def test_strata_and_draws(files):
    from finecl_hf.learning_order.trust import unit_trust
    from finecl_hf.review.exporting import collect
    from finecl_hf.review.sampling import choose

    order, silver = LearningOrder.read(files / "order.parquet"), read_documents(files / "silver.json")
    labels, _ = collect(silver, order, unit_trust("probability", order))
    sample = choose(labels, 6, 5)
    worst = sample.rows[[name == "worst" for name in sample.strata]]
    assert sorted(worst) == sorted(np.argsort(labels.trust)[:6]) and len(set(sample.rows)) == 11
    assert sample.strata != sorted(sample.strata) and sample.sizes == {"worst": 6, "random": 18}
    diverse = choose(labels, 12, 0, "diverse").rows
    assert len(set(labels.document[diverse])) == 12 or len(set(labels.triple[diverse])) < 12
    turns = choose(labels, 3, 0, "relation").rows
    assert len(set(labels.relation[turns])) == 3
    other = collect(silver[::-1], order, unit_trust("probability", order))[0]
    assert labels.key[sample.rows].tolist() == other.key[choose(other, 6, 5).rows].tolist()
    with pytest.raises(FineCLError, match="choose no label"):
        choose(labels, 0, 0)


CSV = "instance_id,verdict,right_relation\n"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("", "nothing is judged yet"),
        ("plain7#0#1#=P2,,\n", "nothing is judged yet"),
        ("nobody#0#1#P1,right,\n", "1 of 1 verdicts are about labels that the corpus has not"),
        ("plain7#0#1#=P2,y,\nplain7#0#1#=P2,0,\n", "1 verdict contradicts an earlier one"),
        ("plain7#0#1#=P2,other,P99\n", "1 verdict names a relation that neither"),
        ("plain7#0#1#=P2,other,=P2\n", "1 verdict contradicts itself"),
        ("plain7#0#1#=P2,hm,\n", "1 verdict is no word that is known"),
    ],
)
def test_verdicts_that_do_not_fit(files, rows, words, capsys):
    (files / "v.csv").write_text(CSV + rows)
    assert import_(files, files / "v.csv") == 2
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1 and not (files / "out.json").exists()


def test_outputs_are_never_inputs(files, capsys):
    (files / "v.csv").write_text(CSV + "plain7#0#1#=P2,wrong,\n")
    silver = str(files / "silver.json")
    for flags in (
        ["--verdicts", "v.csv"],
        ["--verdicts", silver],
        ["--report", str(files / "v.csv")],
        ["--order", "x"],
    ):
        assert import_(files, files / "v.csv", *flags) == 2
    assert main(["review", "import", str(files / "v.csv"), silver, silver]) == 2
    assert import_(files, files / "v.csv") == 0
    assert "cannot be estimated: the column sample" in capsys.readouterr().out
    (files / "v.csv").write_text("sep=;\n" + CSV.replace(",", ";") + "plain7#0#1#=P2;wrong;\n")
    assert import_(files, files / "v.csv") == 0


def test_several_annotators(files, capsys):
    path = export(files, "label-studio", "--worst", "3", "--random", "3")
    tasks = json.loads(path.read_text())
    votes = [("right", "right", "wrong"), ("right", "wrong"), ("wrong", "other relation", "other relation")]
    for task, given in zip(tasks, votes, strict=False):
        task["annotations"] = [
            {"completed_by": {"id": i}, "result": [choice("verdict", kind)]} for i, kind in enumerate(given)
        ]
        task["annotations"].append({"completed_by": 9, "was_cancelled": True, "result": []})
    path.write_text(json.dumps(tasks))
    assert import_(files, path, "--verdicts", str(files / "v.parquet")) == 0
    assert [row.verdict for row in Verdicts.read(files / "v.parquet").rows] == ["right", "unsure", "other"]
    assert "Krippendorff's alpha" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv"])
def test_spoilt_files_are_refused_in_a_sentence(files, suffix):
    tool = next(name for name, module in TOOLS.items() if module.SUFFIXES[0] == suffix)
    path = export(files, tool)
    fill_in(path, tool)
    good, rng = path.read_bytes(), random.Random(0)
    for _ in range(60):
        data = bytearray(good)
        for _ in range(rng.randint(1, 30)):
            place = rng.randrange(len(data))
            data[place : place + rng.randint(0, 9)] = rng.choice(
                [b"", b"null", b"[", b'"', b"\xff", b"{}", b";", b"1"]
            )
        path.write_bytes(data)
        try:
            read_votes(path)
            import_(files, path)
        except FineCLError as error:
            assert "\n" not in str(error)
    broken = [{"data": {"instance_id": "a"}, "annotations": [{"result": [{"value": {}}]}]}]
    nothing = [None, 1, "x", {}, [], [None], [{"data": None}], [{"fields": 1, "id": 3}], broken]
    for value in [*nothing, {"verdicts": [{"key": "x"}]}, {"verdicts": [3]}]:
        (files / "x.json").write_text(json.dumps(value))
        assert import_(files, files / "x.json") == 2
