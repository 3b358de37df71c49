"""The grid of encoders, seeds and tasks: what decides on a cell, that it is run once, and what the table says."""

import json
import os
import signal
import subprocess
import sys
from copy import deepcopy
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import evidence, few_shot
from benchmarks.evidence import grid, name_of, paired, settings_of
from finecl_hf import read_documents, write_documents
from finecl_hf.data.corpus import iter_corpus
from finecl_hf.data.relation_names import read_relation_names
from finecl_hf.data.spans import text_of
from finecl_hf.errors import FineCLError
from finecl_hf.training.arguments import DataArguments, FineCLTrainingArguments
from finecl_hf.training.loading import load_training_corpus


CONFIG = json.loads((evidence.ROOT / "benchmarks" / "configs" / "pretraining.json").read_text())


def cell(**others):
    return {"task": "Re-DocRED 1 %", "corpus": "projection", "arm": "paper", "seed": 0, **others}


def named(**others):
    return name_of(settings_of(cell(**others), CONFIG))


def test_what_decides_on_a_cell():
    assert named() == named()
    assert len({named(), named(seed=1), named(arm="uniform"), named(task="SemEval 1 %")}) == 4
    few = {"task": "FewRel, 5-way 1-shot"}
    assert named(**few, arm="none") == named(**few, arm="none", seed=1)  # nothing in it is drawn
    assert named(**few) != named(**few, seed=1)  # another encoder
    changed = deepcopy(CONFIG)
    changed["denoise"]["num_train_epochs"] = 9
    for arm, same in (("uniform", True), ("paper", False)):  # only one of them stands on a learning order
        one = name_of(settings_of(cell(arm=arm), changed))
        assert (one == named(arm=arm)) is same


@pytest.mark.real
@pytest.mark.parametrize("grid_name", ["pretraining", "remedies", "wrong_labels"])
def test_pretraining_sees_no_test(grid_name, real_data, tmp_path):
    """No document of a test set, no entity pair of a test fact, and no relation that is called unseen."""
    config = json.loads((evidence.ROOT / "benchmarks" / "configs" / f"{grid_name}.json").read_text())
    args = SimpleNamespace(documents=str(real_data), cells=tmp_path / "cells", work=tmp_path / "work")
    training = FineCLTrainingArguments(str(tmp_path / "run"), use_cpu=True)
    few = config["tasks"].get("FewRel, 5-way 1-shot, unseen relations")
    for corpus in config["corpora"].values():
        silver = evidence.Grid(args, config).silver(corpus)
        data = DataArguments(train_file=str(silver), exclude_file=str(real_data / corpus["exclude_file"]))
        trained_on = list(iter_corpus(load_training_corpus(data, training)))
        texts, pairs = {text_of(document)[0] for document in trained_on}, pairs_in(trained_on)
        assert len(trained_on) > 400 and len(pairs) > 2000
        for name in ("redocred/test_revised_first250.json", "semeval2010/TEST_FILE_FULL.TXT", "fewrel/val_wiki.json"):
            tested = read_documents(real_data / name)
            if name.startswith("fewrel"):
                left_out = read_relation_names(str(real_data / few["files"]["leave_out"])) if few else ()
                tested = few_shot.first_of_each(tested, None, "report", left_out)
            assert not {document.title for document in trained_on} & {document.title for document in tested}
            assert not texts & {text_of(document)[0] for document in tested}
            assert not pairs & pairs_in(tested), name
            if few and name.startswith("fewrel"):
                seen = {fact.relation for document in trained_on for fact in document.relations}
                assert not seen & {document.label for document in tested}


def pairs_in(documents):
    """Names of head and tail of every fact."""
    return {
        (head.name.lower(), tail.name.lower())
        for document in documents
        for fact in document.relations
        for head in document.entities[fact.head]
        for tail in document.entities[fact.tail]
    }


def test_half_a_grid_can_be_compared():
    first = grid(CONFIG)[: len(CONFIG["arms"])]
    assert {cell["arm"] for cell in first} == set(CONFIG["arms"])
    assert len({(cell["task"], cell["seed"]) for cell in first}) == 1


def test_differences_are_paired():
    rng = np.random.default_rng(0)
    other = dict(enumerate(rng.normal(0.5, 0.2, 6)))  # seeds differ more than arms
    one = {seed: value + 0.02 + rng.normal(0, 0.002) for seed, value in other.items() if seed != 3}
    row = paired(one, other)
    assert row["seeds"] == 5 and row["difference"] == pytest.approx(0.02, abs=0.002)
    assert row["interval"][0] < row["difference"] < row["interval"][1] and row["p"] < 0.001
    assert paired({0: 0.5}, {1: 0.5}) == {"seeds": 0, "difference": None, "interval": None, "p": None}
    assert paired({0: 0.5, 1: 0.6}, {0: 0.4, 1: 0.5})["p"] is None


@pytest.fixture
def small(corpus, tmp_path):
    """A grid of one task and two arms, on the generated corpus."""
    silver = read_documents(corpus / "silver.json")
    write_documents(silver, tmp_path / "data" / "silver.json")
    lines = {f"{document.longest_name(fact.head)}\t{fact.relation}\t{document.longest_name(fact.tail)}"
             for document in silver for fact in document.relations}  # fmt: skip
    (tmp_path / "data" / "facts.tsv").write_text("\n".join(sorted(lines)) + "\n")
    write_documents(silver[:1], tmp_path / "data" / "held_out.json")
    sentences = [{"tokens": ["Ada", str(i), word, "London"], "h": ["a", "Q1", [[0]]], "t": ["l", "Q2", [[3]]]}
                 for word in ("born", "died") for i in range(4)]  # fmt: skip
    (tmp_path / "data" / "fewrel.json").write_text(json.dumps({"P1": sentences[:4], "P2": sentences[4:]}))
    (tmp_path / "data" / "seen.json").write_text('{"P9": "a relation of the pre-training corpus"}')
    config = {
        "model": "tiny", "seeds": [0],
        "corpora": {"c": {"documents": ["silver.json"], "facts": "facts.tsv", "exclude_file": "held_out.json"}},
        "denoise": {"num_train_epochs": 1, "learning_rate": 1e-3},
        "pretrain": {"max_steps": 1, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 1,
                     "max_seq_length": 64},
        "arms": {"none": {}, "evidence": {"pretrain": {"weight_by": "evidence"}}}, "references": ["none"],
        "tasks": {"few": {"script": "few_shot.py", "documents": "fewrel.json", "figure": ["results", 0, "accuracy"],
                          "files": {"leave_out": "seen.json"},
                          "flags": {"ways": 2, "shots": 1, "queries": 2, "episodes": 20}}},
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


@pytest.mark.slow
def test_a_grid(small, bert_folder, capsys, monkeypatch):
    words = [
        "--config",
        str(small / "config.json"),
        "--cells",
        str(small / "cells"),
        "--documents",
        str(small / "data"),
    ]
    words += ["--work", str(small / "work"), "--model", bert_folder]
    rows = evidence.main(words)
    assert [(row["arm"], row["seeds"]) for row in rows] == [("none", [0]), ("evidence", [0])]
    assert all(0 <= row["mean"] <= 1 for row in rows) and rows[1]["to none"]["difference"] is not None
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == rows
    assert len(list((small / "cells").iterdir())) == 2 and not list((small / "work").glob("*.begun"))
    monkeypatch.setattr(evidence.Grid, "task", lambda *args: pytest.fail("a cell was run twice"))
    assert evidence.main(words) == rows == evidence.main([*words[:4], "--table"])
    assert "| few | evidence | 1 |" in capsys.readouterr().out


def test_cells_need_their_data(tmp_path, capsys):
    with pytest.raises(SystemExit):
        evidence.main(["--cells", str(tmp_path)])
    assert "--table" in capsys.readouterr().err


def test_a_grid_that_is_stopped_leaves_no_script_behind(tmp_path, monkeypatch):
    script = tmp_path / "hours.py"
    script.write_text("import os, signal\nos.kill(os.getppid(), signal.SIGTERM)\nsignal.pause()")
    monkeypatch.setattr(os, "_exit", sys.exit)
    todo = evidence.Grid(SimpleNamespace(cells=tmp_path, work=tmp_path), CONFIG)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit), evidence.stopping(todo.stop):
        todo._python(script, {})
    (child,) = todo._running
    assert child.returncode == -signal.SIGTERM and signal.getsignal(signal.SIGTERM) is before


def test_a_cell_that_fails_keeps_nobody_from_running(small, monkeypatch, capsys):
    """Of three arms one fails, and one needs an encoder that cannot be made: that is tried once for both its tasks."""
    config = json.loads((small / "config.json").read_text())
    few = config["tasks"]["few"]
    config["tasks"]["other"] = {**few, "flags": {**few["flags"], "queries": 1}}
    config["arms"] = {
        "odd": {"flags": {"ways": 3}},
        **config["arms"],
        "uniform": {"pretrain": {"weight_scheme": "uniform"}},
    }
    (small / "config.json").write_text(json.dumps(config))
    called = []

    def run(self, script, flags):
        called.append((script.name, flags.get("weight_scheme")))
        if flags.get("weight_scheme") == "uniform" or script.name == "run_denoise.py":
            raise subprocess.CalledProcessError(2, ["python", str(script)])
        return "{}" if flags.get("ways") == 3 else 'progress\n{"results": [{"accuracy": 0.5}]}\n'

    monkeypatch.setattr(evidence.Grid, "_python", run)
    words = ["--config", small / "config.json", "--cells", small / "cells", "--documents", small / "data"]
    words += ["--work", small / "work", "--model", "m", "--jobs", "2"]
    with pytest.raises(SystemExit) as ended:
        evidence.main([str(word) for word in words])
    told = str(ended.value).splitlines()
    assert told[0] == "6 of 8 cells failed:" and len(list((small / "cells").iterdir())) == 2
    assert any("few, c, odd, seed 0" in line and "results > 0 > accuracy" in line for line in told)
    assert any("other, c, evidence, seed 0: run_denoise.py ended with status 2" in line for line in told)
    assert called.count(("run_denoise.py", None)) == called.count(("run_pretrain.py", "uniform")) == 1


@pytest.mark.parametrize(
    "printed", ["", "text", "[]", '{"f1": {}}', '{"f1": [null]}', '{"f1": [NaN]}', '{"f1": [true]}']
)
def test_scripts_that_give_no_figure(printed):
    with pytest.raises(FineCLError, match=r"review\.py.* f1 > 0"):
        evidence.figure_of(f"progress\n{printed}", {"script": "review.py", "figure": ["f1", 0]})


def test_tables_of_nothing(tmp_path):
    words = ["--cells", str(tmp_path), "--table"]
    with pytest.raises(SystemExit, match="holds no cell"):
        evidence.main(words)
    with pytest.raises(SystemExit, match="--only unheard of"):  # a typing error beside a name that is known
        evidence.main([*words, "--only", "paper", "unheard of"])
    with pytest.raises(SystemExit, match="there is no such page"):
        evidence.main([*words, "--write", str(tmp_path / "page.md")])


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"figure": null}', '{"figure": "x"}', '{"figure": NaN}'])
def test_damaged_cells(tmp_path, content):
    path = tmp_path / f"{name_of(settings_of(grid(CONFIG)[0], CONFIG))}.json"
    path.write_text(content)
    with pytest.raises(SystemExit, match="holds no figure"):
        evidence.main(["--cells", str(tmp_path), "--table"])


ROWS = [
    {"task": "t", "corpus": "c", "arm": arm, "seeds": [0, 1, 2], "mean": 0.5, "sd": 0.01, **others}
    for arm, others in (
        ("none", {}),
        ("better", {"to none": {"seeds": 3, "difference": 0.02, "interval": [0.01, 0.03], "p": 0.01}}),
        ("once", {"to none": {"seeds": 1, "difference": -0.02, "interval": None, "p": None}}),
    )
]


def test_a_page_has_the_table_between_its_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- x.json -->\nold\n<!-- end -->\nb\n<!-- y.json -->\nother\n<!-- end -->\n")
    for _ in range(2):
        evidence.write_between(page, "x.json", evidence.markdown(ROWS, ["none"]))
    text = page.read_text()
    assert text.startswith("a\n<!-- x.json -->\n\n| task | arm |") and "old" not in text and "\nother\n" in text
    assert "+2.0 (+1.0 to +3.0, p = 0.010)" in text and "| -2.0 |" in text
    with pytest.raises(SystemExit, match="has no lines"):
        evidence.write_between(page, "z.json", "text")


def test_the_mean_over_tasks():
    tasks = [
        {"none": {0: 0.2, 1: 0.4}, "better": {0: 0.3, 1: 0.6}, "once": {0: 0.1}},
        {"none": {0: 0.6, 1: 0.4}, "better": {1: 0.8}},
    ]
    assert evidence.mean_of(tasks) == {"none": {0: 0.4, 1: 0.4}, "better": {1: pytest.approx(0.7)}}
    assert evidence.mean_of([]) == evidence.mean_of([{}, tasks[0]]) == {}


def test_a_wide_table_has_a_column_for_each_task():
    other = {"task": "u", "corpus": "c", "arm": "none", "seeds": [0], "mean": 0.25, "sd": None}
    better = {**ROWS[1], "mean": 0.5123}
    lines = evidence.wide_markdown([ROWS[0], better, other]).splitlines()
    assert lines == [
        "|  | t | u |",
        "| --- | --- | --- |",
        "| none | 50.0 ± 1.0 | **25.0** (n = 1) |",
        "| better | **51.2 ± 1.0** |  |",
    ]
    assert "| t, c | t, d |" in evidence.wide_markdown([ROWS[0], {**ROWS[0], "corpus": "d"}])


@pytest.mark.parametrize("grid_name", ["pretraining", "longer", "remedies", "wrong_labels", "review"])
def test_the_pages_hold_what_the_cells_say(tmp_path, grid_name):
    """`make evidence-table` was run after the last cell."""
    page = evidence.ROOT / "docs" / "evidence.md"
    (tmp_path / "page.md").write_bytes(page.read_bytes())
    config = str(evidence.ROOT / "benchmarks" / "configs" / f"{grid_name}.json")
    cells = str(evidence.ROOT / "benchmarks" / "cells")
    evidence.main(["--config", config, "--cells", cells, "--table", "--write", str(tmp_path / "page.md")])
    assert (tmp_path / "page.md").read_text() == page.read_text()


def test_several_corpora_are_named():
    assert "corpus" not in evidence.markdown(ROWS, ["none"])
    assert "| t | d | none |" in evidence.markdown([*ROWS, {**ROWS[0], "corpus": "d"}], ["none"])


def test_differences_are_drawn(tmp_path):
    evidence.draw_differences(ROWS, "none", tmp_path / "chart.svg")
    text = (tmp_path / "chart.svg").read_text()
    assert all(word in text for word in ("none 50.0", "better", "once"))
    evidence.draw_differences(ROWS[:1], "none", tmp_path / "nothing.svg")
    assert not (tmp_path / "nothing.svg").exists()
