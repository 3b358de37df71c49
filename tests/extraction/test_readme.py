"""Blocks on spreadsheets (README), scores and raw text (docs/extraction.md) run as they are, with another encoder."""

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import run_finetune
from finecl_hf import FineCLConfig, cli
from tests.extraction.test_pipeline import build


ROOT = Path(__file__).parents[2]
README, EXTRACTION = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/extraction.md"))


def blocks(page, title, language):
    """The code of a section, block by block."""
    section = re.split(r"\n##+ ", page[page.index(f"## {title}") + 3 :])[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def test_from_a_spreadsheet_to_triples(bert_folder, tmp_path, monkeypatch, capsys):
    shutil.copy(ROOT / "examples" / "new_task" / "sentences.csv", tmp_path)
    monkeypatch.chdir(tmp_path)
    (commands,), (code,) = (
        blocks(README, "From a spreadsheet to triples", language) for language in ("bash", "python")
    )
    assert len([line for line in (commands + code).splitlines() if line]) <= 10
    encoder = "sentence-transformers/all-MiniLM-L6-v2"
    train, *files, predict = commands.replace(encoder, str(bert_folder)).replace("\\\n", " ").splitlines()
    few_steps = ["--max_steps", "4", "--use_cpu", "true", "--disable_tqdm", "true"]
    run_finetune.main([*shlex.split(train)[2:], *few_steps])
    for line in files:
        subprocess.run(line, shell=True, check=True, env={"PATH": os.environ["PATH"]})
    assert cli.main(shlex.split(predict)[1:]) == 0
    (found,) = map(json.loads, Path("triples.jsonl").read_text(encoding="utf-8").splitlines())
    assert [entity[0]["text"] for entity in found["entities"]] == ["Tessera Software", "Oslo", "Zephyr Air"]
    exec(code, {})
    config = FineCLConfig.from_pretrained("outputs/companies")
    assert set(config.label2id) == {"NA", "acquired", "founded", "located in", "works for"}
    assert config.entity_markers == "punct"  # the table has no types, and those of names.tsv would be new to the model
    assert cli.main(["card", "outputs/companies"]) == 0
    assert capsys.readouterr().out.endswith(Path("outputs/companies/README.md").read_text(encoding="utf-8"))


def test_raw_text_to_triples(bert_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    build(bert_folder, "outputs/extractor")
    for code in blocks(EXTRACTION, "Raw text", "python"):
        exec(code, {})
        assert "Marie Curie" in capsys.readouterr().out


def test_predictions_are_scored_by_the_evaluate_module(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    document = {
        "title": "Ada",
        "sents": [["Ada", "was", "born", "in", "London"]],
        "vertexSet": [[{"sent_id": 0, "pos": [0, 1]}], [{"sent_id": 0, "pos": [4, 5]}]],
        "labels": [{"h": 0, "t": 1, "r": "born in"}],
    }
    rows = [{"title": "Ada", "h_idx": 0, "t_idx": 1, "r": "born in", "evidence": [0]}]
    Path("outputs/extractor").mkdir(parents=True)
    Path("test.json").write_text(json.dumps([document]), encoding="utf-8")
    Path("outputs/extractor/predictions.json").write_text(json.dumps(rows), encoding="utf-8")
    exec(blocks(EXTRACTION, "Training, scores, predictions", "python")[1], {})
    assert "'f1': 1.0" in capsys.readouterr().out
