"""How a script begins: folders that cannot be used, links, flags that nothing could come of."""

import json
import logging
import shutil

import pytest

import run_denoise
import run_finetune
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.arguments import FinetuneArguments
from finecl_hf.training.arguments import parse_arguments, run_script
from finecl_hf.training.lock import unlock_folder
from finecl_hf.training.scripts import start_run
from tests.helpers.script_runs import arguments, run


@pytest.mark.parametrize("name", ["predictions.json", "config.json", "model.safetensors", "learning_order.parquet"])
def test_links_in_the_folder_are_not_written_through(name, bert_folder, corpus, tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).symlink_to(tmp_path / "precious")
    with pytest.raises(FineCLError, match=f"{name}: is a link"):
        run("finetune", bert_folder, corpus, tmp_path / "out", max_steps=1)
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_linked_checkpoint_is_refused_and_other_links_are_left_alone(bert_folder, corpus, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes").symlink_to(tmp_path / "elsewhere")
    run("finetune", bert_folder, corpus, tmp_path / "out", max_steps=1)
    (tmp_path / "out" / "checkpoint-7").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FineCLError, match="checkpoint-7: is a link"):
        run("finetune", bert_folder, corpus, tmp_path / "out", max_steps=1)


LATE = {
    "--metric_for_best_model": ["accuracy", "--load_best_model_at_end", "true", "--eval_strategy", "epoch",
                                "--save_strategy", "epoch"],
    "--optim": ["lomo"],
    "--torch_compile_backend": ["nosuch"],
    "--hub_strategy": ["checkpoint", "--push_to_hub", "true"],
    "--hub_model_id": ["not/a/name", "--push_to_hub", "true"],
    "--label_smoothing_factor": ["0.1"],
    "--dataloader_drop_last": ["true", "--per_device_train_batch_size", "400"],
    "--cache_dir": ["/proc/none"],
    "--resume_from_checkpoint": ["/nowhere/checkpoint-1"],
}  # fmt: skip


@pytest.mark.parametrize("flag", LATE)
def test_what_cannot_be_is_said_before_the_first_step(flag, bert_folder, corpus, tmp_path, capsys):
    words = arguments("finetune", bert_folder, corpus, tmp_path / "out", flag, *LATE[flag],
                      validation_file=corpus / "gold_validation.json", max_steps=1)  # fmt: skip
    with pytest.raises(SystemExit) as end:
        run_script(lambda: run_finetune.main(words))
    out, err = capsys.readouterr()
    assert end.value.code == 2
    (told,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert flag.strip("-") in told or LATE[flag][0] in told.lower()
    assert "'loss'" not in out


def test_a_configuration_s_dates_are_named(tmp_path, capsys):
    (tmp_path / "c.yaml").write_text("output_dir: out\neval_strategy: {start: 2024-01-01}\n")
    with pytest.raises(SystemExit):
        run_script(lambda: run_denoise.main([str(tmp_path / "c.yaml")]))
    assert "eval_strategy" in capsys.readouterr().err


def test_nothing_is_left_of_the_lock(bert_folder, corpus, tmp_path):
    run("finetune", bert_folder, corpus, tmp_path / "out", max_steps=1)
    assert not [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]
    assert json.loads((tmp_path / "out" / "all_results.json").read_text())


@pytest.mark.parametrize("flag", ["--do_train", "--do_eval", "--do_predict"])
def test_flags_need_no_value(flag, tmp_path):
    (args,) = parse_arguments((FinetuneArguments,), ["--output_dir", str(tmp_path), flag])
    assert getattr(args, flag.strip("-")) is True


def test_a_finished_run_keeps_its_figures(bert_folder, corpus, tmp_path):
    run("finetune", bert_folder, corpus, tmp_path, max_steps=2, save_strategy="steps", save_steps=1)
    before = (tmp_path / "train_results.json").read_text()
    assert json.loads(before)["train_loss"] > 0
    run("finetune", bert_folder, corpus, tmp_path, max_steps=2, save_strategy="steps", save_steps=1)
    assert (tmp_path / "train_results.json").read_text() == before


def test_a_resumed_run_says_so_and_claims_no_figures_of_a_part(bert_folder, corpus, tmp_path, caplog):
    options = {"max_steps": 3, "save_strategy": "steps", "save_steps": 1}
    run("finetune", bert_folder, corpus, tmp_path, **options)
    assert "Going on from" not in caplog.text
    shutil.rmtree(tmp_path / "checkpoint-3")
    run("finetune", bert_folder, corpus, tmp_path, **options)
    assert f"Going on from {tmp_path / 'checkpoint-2'}." in caplog.text
    assert "train_loss" not in json.loads((tmp_path / "train_results.json").read_text())
    assert "Training time" not in (tmp_path / "README.md").read_text()


def test_lines_of_the_hub_come_once(tmp_path, monkeypatch):
    hub = logging.getLogger("huggingface_hub")
    monkeypatch.setattr(hub, "propagate", True)
    start_run(FinetuneArguments(str(tmp_path), use_cpu=True))
    unlock_folder(str(tmp_path))
    assert hub.handlers and not hub.propagate
