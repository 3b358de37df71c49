"""Paths of this machine: their last part at the most."""

import pytest

from finecl_hf.cards.private_paths import command_without_folders, last_part, line_without_folders, without_folders


@pytest.mark.parametrize(
    "path, last",
    [
        ("/home/ada/data/train.json", "train.json"),
        ("~/data/train.json", "train.json"),
        ("../secret/train.json", "train.json"),
        ("C:\\Users\\ada\\train.json", "train.json"),
        ("/home/ada/", "ada"),
        ("/", "/"),
        ("user/encoder", "user/encoder"),
        ("F1 / Ign F1", "F1 / Ign F1"),
        ("", ""),
    ],
)
def test_last_part(path, last):
    assert last_part(path) == last


def test_relative_paths_that_exist(tmp_path, monkeypatch):
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "encoder").touch()
    monkeypatch.chdir(tmp_path)
    assert last_part("user/encoder") == "encoder"


def test_values_of_json():
    value = {"a": ["/x/y", 1, None, {"/k/l": "~/m"}], "b": ("/p/q",)}
    assert without_folders(value) == {"a": ["y", 1, None, {"l": "m"}], "b": ["q"]}


def test_commands():
    words = ["python", "/opt/run_x.py", "--train_file", "/data/a b.json", "--output_dir=/home/ada/out"]
    assert command_without_folders(words) == ["python", "run_x.py", "--train_file", "a b.json", "--output_dir=out"]
    assert line_without_folders("run '/data/a b.json'") == "run 'a b.json'"
    assert line_without_folders("run /data/it's.json") == "run it's.json"
