"""Grids that cannot be run or told: said before the first cell costs anything."""

import json
from copy import deepcopy

import pytest

from benchmarks.evidence import ROOT
from benchmarks.evidence_config import NOT_IN_EVERY_GRID, REQUIRED, read_config
from finecl_hf.errors import FineCLError


SCRIPTS = ROOT / "benchmarks"
CONFIG = json.loads((SCRIPTS / "configs" / "pretraining.json").read_text())
TASK = next(iter(CONFIG["tasks"]))


def read(folder, config):
    (folder / "grid.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return read_config(folder / "grid.json", SCRIPTS)


@pytest.mark.parametrize("path", sorted((SCRIPTS / "configs").glob("*.json")), ids=lambda path: path.stem)
def test_the_grids_that_are_here(path):
    assert read_config(path, SCRIPTS) == NOT_IN_EVERY_GRID | json.loads(path.read_text())


@pytest.mark.parametrize("name", sorted(REQUIRED.keys() - NOT_IN_EVERY_GRID.keys()))
def test_a_missing_key(tmp_path, name):
    with pytest.raises(FineCLError, match=f"grid.json: {name} is missing"):
        read(tmp_path, {key: value for key, value in CONFIG.items() if key != name})


def test_what_not_every_grid_needs(tmp_path):
    config = {key: value for key, value in CONFIG.items() if key not in NOT_IN_EVERY_GRID}
    assert read(tmp_path, config) == config | NOT_IN_EVERY_GRID


@pytest.mark.parametrize(
    "place, value, told",
    [
        (["seeds"], [0, "1"], "whole numbers"),
        (["seeds"], [0, 0], "each once"),
        (["arms"], {}, "arms is empty"),
        (["arms"], ["none"], "arms is an object"),
        (["arms", "none"], None, "none is an object"),
        (["arms", "none"], {"pretrain": None}, "arm none: pretrain is an object"),
        (["arms", "none"], {"order": "gold"}, "order is"),
        (["arms", "none"], {"order": "oracle"}, "needs wrong_share"),
        (["corpora", "projection"], {"documents": ["a.json"]}, "either facts"),
        (["references"], ["nobody"], "references names 'nobody'"),
        (["references"], "none", "references is a list"),
        (["together"], ["nothing"], "together names 'nothing'"),
        (["tasks", TASK, "script"], "no_such.py", "there is no script no_such.py"),
        (["tasks", TASK], {"script": "few_shot.py"}, "documents is missing"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, place, value, told):
    config = deepcopy(CONFIG)
    part = config
    for step in place[:-1]:
        part = part[step]
    part[place[-1]] = value
    with pytest.raises(FineCLError, match=told):
        read(tmp_path, config)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"seeds": [0], "seeds": [1]}'])
def test_no_grid(tmp_path, text):
    with pytest.raises(FineCLError, match="--config"):
        read(tmp_path, text)
