"""`--help` is a page; `--help_all` is all there is."""

from dataclasses import fields

import pytest

import run_denoise
import run_finetune
import run_pretrain
from finecl_hf.denoising.arguments import DenoiseArguments
from finecl_hf.extraction.arguments import EvaluationArguments, FinetuneArguments
from finecl_hf.pretraining.arguments import PretrainArguments
from finecl_hf.training.arguments import DataArguments, ModelArguments


STAGES = [
    (run_denoise, DenoiseArguments, []),
    (run_pretrain, PretrainArguments, []),
    (run_finetune, FinetuneArguments, [EvaluationArguments]),
]


def shown(script, flag, capsys):
    with pytest.raises(SystemExit) as end:
        script.main([flag])
    assert end.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("script, own, more", STAGES)
def test_help_is_our_flags_in_groups(script, own, more, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    page = shown(script, "--help", capsys)
    lines = [line for line in page.splitlines() if line.startswith("  --")]
    assert all(len(line) <= 120 for line in page.splitlines()) and len(lines) < 85
    names = [line.split()[0].removeprefix("--") for line in lines]
    assert len(set(names)) == len(names)
    for group in (ModelArguments, DataArguments, own, *more):
        assert set(vars(group)["__annotations__"]) & {field.name for field in fields(group)} <= set(names)
    assert {"output_dir", "seed", "push_to_hub"} <= set(names) and "adam_beta1" not in names
    assert "  --no_" not in page  # its help would say that it does what it does not
    assert ("do_eval" in names) is not own.only_trains
    assert page.index("Model:") < page.index("Documents:") < page.index("Stage ") < page.index("Training, the")


def test_help_all_is_every_flag(capsys):
    page = shown(run_finetune, "--help_all", capsys)
    assert all(f"--{field.name}" in page for field in fields(FinetuneArguments) if field.init)
