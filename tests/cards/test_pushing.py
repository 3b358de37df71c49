"""What of an output folder goes to the Hub, and how a failed upload ends."""

import json
import shlex

import pytest

from finecl_hf.cards.pushing import (
    Destination,
    copy_named,
    read_arguments,
    reason_of,
    stage_model,
    uploading,
    write_arguments,
)  # fmt: skip
from finecl_hf.errors import FineCLError, UploadError


def test_files_by_name_and_no_links(tmp_path):
    run, staged = tmp_path / "run", tmp_path / "staged"
    run.mkdir(), staged.mkdir()
    secret = tmp_path / "secret.json"
    secret.write_text("{}")
    (run / "config.json").symlink_to(secret)
    (run / "train_results.json").write_text(json.dumps({"file": str(tmp_path / "silver.json")}))
    (run / "notes.txt").write_text("mine")
    (run / "report.html").write_text("quotes documents")
    copy_named(run, staged, ["config.json", "train_results.json", "missing.json"])
    assert {path.name for path in staged.iterdir()} == {"train_results.json"}
    assert json.loads((staged / "train_results.json").read_text()) == {"file": "silver.json"}
    for quoting, more in ((False, set()), (True, {"report.html"})):
        stage_model(run, run, staged, quoting=quoting)
        assert {path.name for path in staged.iterdir()} == {"train_results.json", *more}


def test_arguments(tmp_path):
    assert read_arguments(tmp_path) == {}
    write_arguments({"seed": 1, "output_dir": str(tmp_path / "run"), "dtype": object}, tmp_path)
    found = read_arguments(tmp_path)
    assert found["seed"] == 1 and found["output_dir"] == "run"
    (tmp_path / "training_args.json").write_text("[]")
    assert read_arguments(tmp_path) == {}
    (tmp_path / "training_args.json").write_text("{")
    with pytest.raises(FineCLError, match="training_args.json: is no JSON"):
        read_arguments(tmp_path)


def test_the_command_names_all_that_was_asked():
    told = shlex.split(Destination("org/name", private=True, revision="v 1", token="hf_x").command("a run", True))
    assert told[:3] == ["finecl-hf", "push", "a run"]
    assert told[3:] == ["--hub_model_id", "org/name", "--hub_private_repo", "--hub_revision", "v 1", "--push_report"]
    assert Destination("name").command("run") == "finecl-hf push run --hub_model_id name"


def test_whatever_goes_wrong_is_one_sentence():
    with pytest.raises(UploadError, match=r"TimeoutError: no answer\). .* later .*: finecl-hf push run$") as caught:
        with uploading("finecl-hf push run"):
            raise TimeoutError("no\nanswer")
    assert isinstance(caught.value.__cause__, TimeoutError)
    with pytest.raises(UploadError, match="give another --hub_model_id. The run has finished"):
        with uploading("finecl-hf push run --hub_model_id a/b/c"):
            Destination("a/b/c").opened()  # refused before the Hub is asked
    assert reason_of(ValueError()) == "ValueError: no reason given" and len(reason_of(ValueError("a b " * 999))) <= 250


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe{"])
def test_damaged_files_are_named(tmp_path, content):
    (tmp_path / "all_results.json").write_bytes(content)
    with pytest.raises(FineCLError, match="all_results.json: is no JSON"):
        copy_named(tmp_path, tmp_path, ["all_results.json"])


@pytest.mark.parametrize("index", ["[]", "null", "{}", '{"weight_map": 3}', "{"])
def test_damaged_indexes_of_weights(tmp_path, index):
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(FineCLError, match="model.safetensors.index.json: "):
        stage_model(tmp_path, tmp_path, tmp_path / "staged")
