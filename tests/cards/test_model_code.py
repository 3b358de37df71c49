"""Which folders carry the code of their model, and what config.json says of it."""

import json

import pytest

from finecl_hf.cards.model_code import FOLDER, REFERENCES, without_references, write_model_code


CONFIG = {"model_type": "finecl", "loss": "bce", "architectures": ["FineCLForRelationExtraction"]}


def saved(folder, config):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_the_code_lies_beside_the_model_that_names_it(tmp_path):
    folder = saved(tmp_path / "model", CONFIG)
    write_model_code(folder)
    found = json.loads((folder / "config.json").read_text())
    assert found == CONFIG | REFERENCES and without_references(found) == CONFIG
    classes = [*found["auto_map"].values(), found["custom_pipelines"]["relation-extraction"]["impl"]]
    for reference in classes:
        file, _, name = reference.rpartition(".")
        assert name in (folder / f"{file}.py").read_text()
    before = {path.name: path.read_bytes() for path in (folder / FOLDER).iterdir()}
    (folder / FOLDER / "model.py").write_text("import os")  # what lies there is never trusted
    write_model_code(folder)
    assert {path.name: path.read_bytes() for path in (folder / FOLDER).iterdir()} == before


def test_links_are_replaced(tmp_path):
    folder = saved(tmp_path / "model", CONFIG)
    (folder / FOLDER).mkdir()
    (tmp_path / "mine.py").write_text("mine")
    (folder / FOLDER / "model.py").symlink_to(tmp_path / "mine.py")
    write_model_code(folder)
    assert (tmp_path / "mine.py").read_text() == "mine" and not (folder / FOLDER / "model.py").is_symlink()


@pytest.mark.parametrize("name, config", [("encoder", {"model_type": "bert"}), ("checkpoint-12", CONFIG)])
def test_folders_that_need_none(tmp_path, name, config):
    folder = saved(tmp_path / name, config)
    write_model_code(folder)
    assert [path.name for path in folder.iterdir()] == ["config.json"]
    assert json.loads((folder / "config.json").read_text()) == config


def test_an_adapter_needs_none(tmp_path):
    folder = saved(tmp_path / "adapter", CONFIG)
    (folder / "adapter_config.json").write_text("{}")
    write_model_code(folder)
    write_model_code(tmp_path)  # no model at all
    assert not (folder / FOLDER).exists() and not (tmp_path / FOLDER).exists()
