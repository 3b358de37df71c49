"""The private hooks that we override are still there, and are called as we expect."""

import inspect

import pytest
from transformers import Trainer

from finecl_hf.training import private_hooks


OVERRIDDEN = [name for name in vars(private_hooks.PrivateHooks) if name.startswith("_") and not name.startswith("__")]


def test_hooks_are_those_that_are_known():
    assert sorted(OVERRIDDEN) == ["_push_from_checkpoint", "_run_epoch", "_save_rng_state"]


@pytest.mark.parametrize(
    "name, parameter",
    [("_run_epoch", "model"), ("_save_rng_state", "output_dir"), ("_push_from_checkpoint", "checkpoint_folder")],
)
def test_the_trainer_still_has_the_hook(name, parameter):
    hook = getattr(Trainer, name, None)
    assert hook is not None, f"transformers no longer has Trainer.{name}: read private_hooks and find another way"
    assert parameter in inspect.signature(hook).parameters


@pytest.mark.parametrize(
    "caller, name",
    [
        ("_save_checkpoint", "_save_rng_state"),
        ("_save_checkpoint", "_push_from_checkpoint"),
        ("_inner_training_loop", "_run_epoch"),
    ],
)
def test_the_trainer_still_calls_it(caller, name):
    assert f"self.{name}(" in inspect.getsource(getattr(Trainer, caller)), f"Trainer.{caller} no longer calls {name}"


def test_the_mark_of_a_whole_checkpoint_is_still_written_after_the_random_states():
    source = inspect.getsource(Trainer._save_checkpoint)
    assert source.index("_save_rng_state") < source.index("save_to_json")
