"""Short runs of the three scripts, for tests that need what a run leaves behind."""

import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import run_denoise
import run_finetune
import run_pretrain
from finecl_hf.training.trainer import FineCLTrainer


ROOT = Path(__file__).parents[2]
MAIN = {"denoise": run_denoise.main, "pretrain": run_pretrain.main, "finetune": run_finetune.main}


def arguments(stage, model, corpus, output, *flags, **options):
    """A command line of a few steps on the `corpus` fixture; later words win."""
    options = {"model_name_or_path": model, "rel_info": corpus / "rel_info.json", "output_dir": output, **options}
    options.setdefault("train_file", corpus / ("gold_train.json" if stage == "finetune" else "silver.json"))
    options.setdefault("per_device_train_batch_size", 4)
    options.setdefault("learning_rate", 1e-3)
    if stage == "pretrain":
        options.setdefault("gradient_accumulation_steps", 1)
        options.setdefault("max_steps", 4)
        if "learning_order" not in options:
            options.setdefault("weight_scheme", "uniform")
    else:
        options.setdefault("num_train_epochs", 2)
    if stage == "denoise":
        options.setdefault("report", "false")  # its charts take longer than these runs
    words = [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]
    return [*words, "--use_cpu", "true", "--disable_tqdm", "true", *flags]


def run(stage, *args, **options):
    """Runs a script's `main` and returns what it returns."""
    return MAIN[stage](arguments(stage, *args, **options))


def when_built(monkeypatch, action):
    """Hands every trainer that a script builds to `action`."""
    build = FineCLTrainer.__init__

    def built(self, *args, **kwargs):
        build(self, *args, **kwargs)
        action(self)

    monkeypatch.setattr(FineCLTrainer, "__init__", built)


@contextmanager
def trainers_of_scripts():
    """Collects the trainers that scripts build meanwhile."""
    built = []
    with pytest.MonkeyPatch.context() as patch:
        when_built(patch, built.append)
        yield built


def program(code, *args, **kwargs):
    """Runs Python code in a process of its own, away from the checkout; fails with its output."""
    result = subprocess.run([sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, **kwargs)
    assert result.returncode == 0, result.stderr[-4000:]
    return result.stdout


def launched(script, processes=1):
    """The words that start a script in one process, or in several that talk through gloo.

    With `--cpu`, accelerate 1.15 starts a single process; `--multi_gpu` starts two, which `--use_cpu` keeps off GPUs.
    """
    words = [sys.executable]
    if processes > 1:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        words += ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(processes),
                  "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
                  "--main_process_port", str(port)]  # fmt: skip
    return [*words, str(ROOT / script)]


def weights(folder):
    name = "adapter_model" if (Path(folder) / "adapter_model.safetensors").exists() else "model"
    return load_file(Path(folder) / f"{name}.safetensors")


def same_weights(left, right):
    """Whether two state dicts are equal bit for bit."""
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)
