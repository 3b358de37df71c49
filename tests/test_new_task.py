"""docs/new_task.md runs as it stands there; only the encoder is another one."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

import run_finetune
from finecl_hf import FineCLConfig
from tests.helpers.script_runs import program


ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "new_task.md").read_text(encoding="utf-8")
TABLE, TRAIN, PREDICT, SWITCH = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"python run_finetune.py (.*?[^\\])\n", PAGE, re.DOTALL)
RELATIONS = {"NA", "acquired", "founded", "located in", "works for"}


@pytest.fixture
def cell(bert_folder, tmp_path, monkeypatch):
    """Runs a block of the page with the tiny encoder, in a folder that holds the table."""
    shutil.copy(ROOT / "examples" / "new_task" / "sentences.csv", tmp_path)
    monkeypatch.chdir(tmp_path)
    names = {}

    def run(code):
        exec(code.replace("bert-base-uncased", str(bert_folder)), names)
        return names

    run(TABLE)
    return run


def test_from_a_table_to_an_adapter_and_to_another_beside_it(cell, tmp_path, capsys):
    assert len((tmp_path / "train.csv").read_text().splitlines()) == 49
    trainer = cell(TRAIN.replace("num_train_epochs=20", "num_train_epochs=2, use_cpu=True"))["trainer"]
    assert len([line for line in TRAIN.splitlines() if line and "import" not in line]) <= 12
    assert trainer.state.log_history[-1]["train_loss"] > 0
    assert not (tmp_path / "outputs" / "new_task").exists()  # the commands' folder, with a card and its facts
    written = tmp_path / "outputs" / "new_task_python"
    assert set(FineCLConfig.from_pretrained(written).label2id) == RELATIONS
    assert (written / "adapter_model.safetensors").exists()
    written.rename(tmp_path / "outputs" / "new_task")
    capsys.readouterr()
    cell(PREDICT)
    assert len(capsys.readouterr().out.splitlines()) == 12
    model = cell(SWITCH)["model"]
    assert model.active_adapters() == ["default"] and "founded" in capsys.readouterr().out


@pytest.mark.slow
def test_as_commands_and_predictions_in_a_fresh_process(cell, tmp_path, bert_folder):
    train, predict = (shlex.split(command.replace("\\\n", " ")) for command in COMMANDS)
    run_finetune.main([word.replace("bert-base-uncased", str(bert_folder)) for word in [*train, "--use_cpu", "true"]])
    run_finetune.main([*predict, "--use_cpu", "true"])
    answers = (tmp_path / "outputs" / "predictions" / "predictions.txt").read_text().splitlines()
    assert len(answers) == 12 and {line.split("\t")[1] for line in answers} <= RELATIONS | {"Other"}
    scores = json.loads((tmp_path / "outputs" / "predictions" / "test_results.json").read_text())
    assert 0 <= scores["test_accuracy"] <= 1
    assert len(program(PREDICT, cwd=tmp_path).splitlines()) == 12
