"""The file of a grid: read, and what is wrong with it said before the first cell costs anything."""

from __future__ import annotations

import os
from typing import Any

from finecl_hf.data.json_stream import read_json
from finecl_hf.errors import FineCLError


Settings = dict[str, Any]

REQUIRED = {"model": str, "seeds": list, "corpora": dict, "denoise": dict, "pretrain": dict, "arms": dict,
            "tasks": dict, "references": list, "together": list}  # fmt: skip
NOT_IN_EVERY_GRID: Settings = {"denoise": {}, "pretrain": {}, "together": []}
OF_TASK = {"script": str, "documents": str, "flags": dict, "figure": list}
KINDS = {str: "a text", list: "a list", dict: "an object"}
ORACLE = "oracle"


def read_config(path: str | os.PathLike, scripts: str | os.PathLike) -> Settings:
    """The settings of a grid.

    Args:
        scripts: the folder of the tasks' scripts.

    Raises:
        FineCLError: the file cannot be read, or the grid could not be run or told as it says.
    """
    config = read_json(path, "--config")
    where = f"--config {path}"
    if not isinstance(config, dict):
        raise FineCLError(f"{where}: expected an object with {', '.join(REQUIRED)}.")
    config = NOT_IN_EVERY_GRID | config
    _check_kinds(config, REQUIRED, where)
    for part in ("seeds", "corpora", "arms", "tasks"):
        if not config[part]:
            raise FineCLError(f"{where}: {part} is empty, so the grid has no cell; name at least one.")
    seeds = config["seeds"]
    if any(type(seed) is not int for seed in seeds) or len(set(seeds)) < len(seeds):
        raise FineCLError(f"{where}: seeds are whole numbers, each once; correct {seeds}.")
    _check_arms(config, where)
    _check_tasks(config, where, scripts)
    for part, known in (("references", "arms"), ("together", "tasks")):
        for name in config[part]:
            if name not in config[known]:
                raise FineCLError(f"{where}: {part} names {name!r}, which is none of the {known}; correct the name.")
    return config


def _check_arms(config: Settings, where: str) -> None:
    for name, arm in config["arms"].items():
        _check_kinds({name: arm}, {name: dict}, f"{where}, arms")
        _check_kinds(arm, {key: dict for key in ("pretrain", "flags") if key in arm}, f"{where}, arm {name}")
        if arm.get("order", ORACLE) != ORACLE:
            raise FineCLError(f'{where}, arm {name}: order is "{ORACLE}", or is left away.')
    for name, corpus in config["corpora"].items():
        _check_kinds({name: corpus}, {name: dict}, f"{where}, corpora")
        _check_kinds(corpus, {"documents": list}, f"{where}, corpus {name}")
        if ("facts" in corpus) == ("wrong_share" in corpus):
            raise FineCLError(f"{where}, corpus {name}: give either facts (a table) or wrong_share (a share to flip).")
        if "wrong_share" not in corpus and any(arm.get("order") == ORACLE for arm in config["arms"].values()):
            raise FineCLError(f"{where}, corpus {name}: an oracle order needs wrong_share, whose truth is known.")


def _check_tasks(config: Settings, where: str, scripts: str | os.PathLike) -> None:
    for name, task in config["tasks"].items():
        _check_kinds({name: task}, {name: dict}, f"{where}, tasks")
        _check_kinds(task, OF_TASK, f"{where}, task {name}")
        if not os.path.isfile(os.path.join(scripts, task["script"])):
            raise FineCLError(f"{where}, task {name}: there is no script {task['script']} in {scripts}.")


def _check_kinds(settings: Settings, kinds: dict[str, type], where: str) -> None:
    for name, kind in kinds.items():
        if name not in settings:
            raise FineCLError(f"{where}: {name} is missing; add it, as {KINDS[kind]}.")
        if not isinstance(settings[name], kind):
            raise FineCLError(f"{where}: {name} is {KINDS[kind]}, not {settings[name]!r:.60}.")
