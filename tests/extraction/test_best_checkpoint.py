"""Which checkpoint stage 3 keeps, and what it says where it cannot choose."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from transformers import TrainerControl, TrainerState

from finecl_hf.errors import FineCLError
from finecl_hf.extraction.arguments import FinetuneArguments
from finecl_hf.extraction.best_checkpoint import EveryFewEpochs, choose_best_checkpoint, tell_which_is_kept


@pytest.fixture
def arguments(tmp_path):
    return lambda **flags: FinetuneArguments(str(tmp_path), **flags)


def strategies(args):
    return str(args.eval_strategy.value), str(args.save_strategy.value), args.load_best_model_at_end


@pytest.mark.parametrize(
    "flags, expected",
    [
        ({}, ("epoch", "epoch", True)),
        ({"save_strategy": "epoch"}, ("epoch", "epoch", True)),
        ({"save_strategy": "steps", "save_steps": 7}, ("steps", "steps", True)),
        ({"save_strategy": "best"}, ("epoch", "best", True)),
        ({"save_strategy": "no"}, ("no", "no", False)),
        ({"eval_strategy": "no"}, ("no", "steps", False)),
        ({"eval_strategy": "epoch"}, ("epoch", "steps", False)),
        ({"load_best_model_at_end": False}, ("no", "steps", False)),
        ({"load_best_model_at_end": True}, ("epoch", "epoch", True)),
        ({"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 5}, ("steps", "steps", True)),
        ({"do_train": False}, ("no", "steps", False)),
    ],
)
def test_what_is_not_given_is_chosen(flags, expected, arguments, ada):
    args = arguments(**flags)
    assert choose_best_checkpoint(args, [ada]) == []
    assert strategies(args) == expected
    if expected[0] == "steps" and "eval_steps" not in flags:
        assert args.eval_steps == 7
    if expected[2]:
        assert args.metric_for_best_model == "f1" and args.greater_is_better


def test_without_validation_documents_nothing_changes(arguments):
    args = arguments()
    assert choose_best_checkpoint(args, None) == [] and strategies(args) == ("no", "steps", False)


def test_documents_without_facts_choose_nothing(arguments, ada, caplog):
    empty = [replace(ada, relations=[])]
    args = arguments()
    assert choose_best_checkpoint(args, empty) == [] and strategies(args) == ("no", "steps", False)
    assert "no validation document has a fact" in caplog.text
    with pytest.raises(FineCLError, match="no validation document has a fact.*--metric_for_best_model loss"):
        choose_best_checkpoint(arguments(load_best_model_at_end=True), empty)
    choose_best_checkpoint(arguments(load_best_model_at_end=True, metric_for_best_model="eval_loss"), empty)


def test_no_checkpoints_are_said(arguments, ada, caplog):
    choose_best_checkpoint(arguments(save_strategy="no"), [ada])
    assert "--save_strategy no" in caplog.text


def test_sharded_weights_have_to_be_asked_for(arguments, ada, caplog, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    args = arguments()
    choose_best_checkpoint(args, [ada])
    assert strategies(args) == ("no", "steps", False) and "with FSDP" in caplog.text


def test_a_loss_is_better_where_it_is_lower(arguments, ada):
    args = arguments(metric_for_best_model="loss")
    choose_best_checkpoint(args, [ada])
    assert args.load_best_model_at_end and args.greater_is_better is False


def test_long_runs_are_evaluated_now_and_then(arguments, ada):
    (callback,) = choose_best_checkpoint(arguments(num_train_epochs=400), [ada])
    assert isinstance(callback, EveryFewEpochs) and callback.distance == 14
    asked = []
    for epoch in range(1, 401):
        control = TrainerControl(should_evaluate=True, should_save=True)
        state = SimpleNamespace(epoch=float(epoch), global_step=epoch * 3, max_steps=1200)
        callback.on_epoch_end(None, state, control)
        assert control.should_evaluate == control.should_save
        asked += [epoch] * control.should_save
    assert asked == [*range(14, 400, 14), 400]


@pytest.mark.parametrize("figures, said", [([0.5, 0.7, 0.6], []), ([0.5, 0.7, 0.7], ["1 later one", "loss"])])
def test_which_is_kept_is_told(figures, said, arguments, ada, caplog):
    caplog.set_level("INFO")
    args = arguments()
    tell_which_is_kept(args, TrainerState())
    assert not caplog.text
    choose_best_checkpoint(args, [ada])
    log = [{"step": 4 * number, "eval_f1": figure} for number, figure in enumerate(figures, 1)]
    state = TrainerState(global_step=12, best_global_step=8, best_metric=0.7, log_history=[{"step": 4}, *log])
    tell_which_is_kept(args, state)  # of a step without a checkpoint
    assert not caplog.text
    state.best_model_checkpoint = "out/checkpoint-8"
    tell_which_is_kept(args, state)
    told = caplog.text
    assert "step 8 of 12" in told and "f1 0.7000" in told
    assert all(word in told for word in said) and ("later" in told) == bool(said)
