import json

import pytest

from finecl_hf.cards.card_file import read_card, write_card
from finecl_hf.cards.model_card import KINDS, render_model_card
from finecl_hf.cli import main
from tests.cards.test_model_card import NASTY, TOKEN, full


def written(folder, data):
    """An output folder as the end of a run leaves it, as far as cards are concerned."""
    write_card(data, folder)
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": data.log_history}), encoding="utf-8")
    return (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_the_card_is_made_again_as_it_was(kind, tmp_path, capsys):
    before = written(tmp_path, full(kind))
    assert main(["card", str(tmp_path)]) == 0
    assert capsys.readouterr().out == before
    (tmp_path / "README.md").write_text("mine")
    assert main(["card", str(tmp_path), "--write"]) == 0
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == before


@pytest.mark.parametrize(
    "kind, loads",
    [
        ("relation_model", 'RelationExtractionPipeline("out/int8", backend="onnx")'),
        ("encoder", 'RelationEmbedder("out/int8")'),
    ],
)
def test_the_card_of_an_onnx_export_says_so_again(kind, loads, tmp_path):
    before = written(tmp_path, full(kind, repo="out/int8", onnx="int8"))
    assert "**ONNX export** (int8)" in before and "\n- onnx\n" in before and "library_name: finecl_hf" in before
    assert loads in before and "AutoModel.from_pretrained" not in before
    assert main(["card", str(tmp_path), "--write"]) == 0
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == before


def test_what_lies_on_the_disk_by_then_changes_nothing(tmp_path, monkeypatch):
    """At the time of the run these were folders and files, whose last part is shown; later they are not there."""
    for name in ("outputs/encoder", "data"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "data" / "train.json").write_text("[]")
    monkeypatch.chdir(tmp_path)
    before = written(
        tmp_path,
        full(
            "lora_adapter", base_model="outputs/encoder", base_model_id=None,
            hyperparameters={"learning_order": "data/train.json"},
            command=["python", "run_finetune.py", "--train_file", "data/train.json"],
        ),
    )  # fmt: skip
    assert "`encoder`" in before and "data/train.json" not in before
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert str(render_model_card(read_card(tmp_path))) == before


@pytest.mark.parametrize(
    "command",
    [
        ["python", "x.py", f"--hub_token={TOKEN}", "--hub_token", TOKEN, TOKEN],
        f"python x.py --hub_token={TOKEN} --name 'a b",
        None,
        NASTY,
    ],
)
def test_tokens_are_not_kept(command, tmp_path):
    arguments = {"hub_token": TOKEN, "learning_rate": 1e-3}
    before = written(tmp_path, full("encoder", command=command, hyperparameters=arguments))
    assert TOKEN not in (tmp_path / "card.json").read_text(encoding="utf-8")
    assert str(render_model_card(read_card(tmp_path))) == before


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda folder: (folder / "card.json").unlink(), "there is no card.json, from which the card is made"),
        (lambda folder: (folder / "trainer_state.json").unlink(), "there is no trainer_state.json"),
        (lambda folder: (folder / "card.json").write_text("{"), "do not hold the facts of a card"),
        (lambda folder: (folder / "card.json").write_text("[]"), "do not hold the facts of a card"),
        (lambda folder: (folder / "trainer_state.json").write_text("{}"), "do not hold the facts of a card"),
    ],
)
def test_what_is_lacking_is_one_sentence(spoil, words, tmp_path, capsys):
    written(tmp_path, full("encoder"))
    spoil(tmp_path)
    assert main(["card", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and words in error and error.count("\n") == 1


def test_a_folder_that_is_none(tmp_path, capsys):
    assert main(["card", str(tmp_path / "nowhere")]) == 2
    assert "there is no such folder" in capsys.readouterr().err
