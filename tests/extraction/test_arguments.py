"""How long stage 3 trains where nobody said so."""

import pytest

from finecl_hf.extraction.arguments import FinetuneArguments


@pytest.mark.parametrize(
    "task, rows, options, epochs",
    [
        ("document", 5, {}, 300),  # a step an epoch
        ("document", 9, {}, 150),
        ("document", 5, {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 1}, 100),
        ("document", 1000, {}, 30),
        ("sentence", 80, {}, 15),
        ("sentence", 8000, {}, 10),
        ("document", 5, {"num_train_epochs": 3}, 3),
        ("document", 5, {"max_steps": 7}, 30),
    ],
)
def test_few_rows_are_trained_on_for_more_epochs(task, rows, options, epochs, tmp_path):
    options = {"per_device_train_batch_size": 8, **options}
    args = FinetuneArguments(str(tmp_path), task=task, use_cpu=True, **options)
    args.complete(None, None)
    args.train_long_enough(rows)
    assert args.num_train_epochs == epochs


def test_the_script_trains_for_so_long(bert_folder, corpus, tmp_path, trainers, monkeypatch):
    from finecl_hf.extraction import arguments
    from tests.helpers.script_runs import run

    monkeypatch.setitem(arguments.MIN_STEPS, "document", 1)
    monkeypatch.setitem(arguments.DEFAULTS["document"], "num_train_epochs", 0.1)
    run("finetune", bert_folder, corpus, tmp_path, num_train_epochs=None)
    assert trainers[0].state.epoch == 1
