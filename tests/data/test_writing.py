"""A full disk ends a run with one sentence and leaves the checkpoints before as they were. Real writes fail here."""

import errno
import os
import resource

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models

from finecl_hf import LearningOrder
from finecl_hf.data.files import full_disk, writing
from finecl_hf.denoising.recorder import TABLE
from finecl_hf.errors import FineCLError
from tests.helpers.script_runs import arguments, same_weights, weights
from tests.helpers.survival_runs import finish, hit_at


@pytest.fixture
def full_disk_of():
    """Lets no file of this process grow past some bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def write_text(path):
    with open(path, "w") as file:
        file.write("a" * 300_000)


def write_tokenizer(path):
    Tokenizer(models.WordLevel({f"word{i}": i for i in range(20_000)}, "word0")).save(str(path))


WRITERS = {
    "text": write_text,
    "torch": lambda path: torch.save({"a": torch.zeros(100_000)}, path),
    "safetensors": lambda path: save_file({"a": torch.zeros(100_000)}, path),
    "numpy": lambda path: np.savez(path, a=np.random.default_rng(0).random(100_000)),
    "tokenizers": write_tokenizer,
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("size", [10, 50_000])
def test_every_library_that_writes(name, size, tmp_path, full_disk_of):
    path = tmp_path / "file.npz"
    (tmp_path / "older").write_text("")
    full_disk_of(size)
    file = f"{tmp_path}: the weights" if name == "safetensors" else path
    with pytest.raises(FineCLError, match=f"^{file} could not be written: .*Free some space"):
        with writing(tmp_path):
            WRITERS[name](path)


def test_a_table_is_written_whole_or_not_at_all(tmp_path, full_disk_of):
    path = tmp_path / TABLE
    LearningOrder(["a"]).write(path)
    before = path.read_bytes()
    full_disk_of(1000)
    with pytest.raises(FineCLError, match=f"{TABLE} could not be written: File too large. Free"):
        LearningOrder([f"{i}#{i * i}" for i in range(5000)]).write(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [TABLE]


@pytest.mark.parametrize(
    "error", [OSError(errno.EACCES, "denied"), RuntimeError("shapes differ"), KeyError("a"), FineCLError("mine")]
)
def test_other_failures_pass_through(error, tmp_path):
    assert full_disk(error) is None
    with pytest.raises(type(error)) as found, writing(tmp_path):
        raise error
    assert found.value is error


MODEL, SMALL = "20000", "300"  # room for the first files of a checkpoint, but not for its model; for hardly anything
CASES = [
    ("denoise", MODEL, "before the model of a checkpoint", 7, "checkpoint-7: the weights"),
    ("denoise", SMALL, "before the running epoch of a checkpoint", 7, "checkpoint-7/learning_order_epoch.npz"),
    ("denoise", SMALL, "when an epoch is closed", 8, "a/"),
    ("denoise", SMALL, "before an epoch is closed", 4, TABLE),
    ("pretrain", MODEL, "before the optimizer of a checkpoint", 3, "checkpoint-3/optimizer.pt"),
    ("pretrain", "100", "before the tokenizer of a checkpoint", 1, "checkpoint-1/"),
    ("pretrain", SMALL, "before the state of a checkpoint", 3, "checkpoint-3/trainer_state.json"),
    ("pretrain", SMALL, "before the card", 4, "training_args.json"),
    ("finetune", MODEL, "before the model of a checkpoint", 5, "checkpoint-5: the weights"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("stage, size, moment, step, file", CASES)
def test_a_full_disk(stage, size, moment, step, file, bert_folder, corpus, tmp_path):
    options = {"save_strategy": "steps", "save_steps": 1, "save_total_limit": 1}
    whole, words = (arguments(stage, bert_folder, corpus, tmp_path / name, **options) for name in ("whole", "a"))
    finish(f"run_{stage}.py", whole)
    printed = hit_at(moment, words, size, stage, step, status=2)
    error = next(line for line in printed.splitlines() if line.startswith("error: "))
    assert file in error and "could not be written" in error and "Free some space" in error, error
    assert "Traceback" not in printed
    again = finish(f"run_{stage}.py", words)
    partial = tmp_path / "a" / f"checkpoint-{step}"
    if "checkpoint-" in file:
        assert f"{partial} is incomplete and is ignored" in again
    assert same_weights(*(weights(tmp_path / name) for name in ("whole", "a")))
    if stage == "denoise":
        tables = [LearningOrder.read(tmp_path / name / TABLE).to_table() for name in ("whole", "a")]
        assert tables[0].equals(tables[1])
