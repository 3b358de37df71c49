"""The three trainers: losses as the paper says, resumes that change nothing, thresholds fitted where they may be."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM

from finecl_hf import FineCLConfig, FineCLForRelationExtraction, LearningOrder, read_documents
from finecl_hf.errors import FineCLError
from finecl_hf.pretraining.arguments import PretrainArguments
from finecl_hf.pretraining.trainer import PretrainTrainer
from finecl_hf.training.arguments import run_script
from tests.helpers.script_runs import program, run, same_weights, trainers_of_scripts, weights
from tests.helpers.tiny_models import build_bert


COMPONENTS = ("loss_rd", "loss_ed", "loss_mlm")


@pytest.fixture(scope="session")
def still_bert(tmp_path_factory):
    """A tiny BERT without dropout."""
    return build_bert(tmp_path_factory.mktemp("still_bert"), dropout=0.0)


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_a_diverged_run_is_an_error_and_leaves_no_model(stage, bert_folder, corpus, tmp_path):
    with pytest.raises(FineCLError, match="Training has diverged.*another --output_dir"):
        run(stage, bert_folder, corpus, tmp_path, learning_rate=1e30, save_strategy="no")
    assert not (tmp_path / "model.safetensors").exists()


def test_a_reporter_that_is_not_installed(bert_folder, corpus, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("transformers.integrations.integration_utils.is_wandb_available", lambda: False)
    with pytest.raises(SystemExit) as end:
        run_script(lambda: run("pretrain", bert_folder, corpus, tmp_path, report_to="wandb"))
    assert end.value.code == 2 and "wandb" in capsys.readouterr().err


@pytest.mark.parametrize("kwargs", ['{"foo": 1}', "[1]"])
def test_arguments_that_a_schedule_does_not_know(kwargs, bert_folder, corpus, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        run_script(lambda: run("pretrain", bert_folder, corpus, tmp_path, lr_scheduler_kwargs=kwargs))
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert end.value.code == 2 and "schedule" in error


# The relation model


@pytest.mark.parametrize("stage", ["denoise", "finetune"])
def test_the_head_has_a_learning_rate_of_its_own(stage, still_bert, corpus, tmp_path, trainers):
    flags = {"num_train_epochs": 1, "learning_rate": 0.0, "weight_decay": 0.1, "head_learning_rate": 1e-3}
    run(stage, still_bert, corpus, tmp_path / "out", **flags)
    groups = trainers[0].optimizer.param_groups
    assert sorted({group["initial_lr"] for group in groups}) == [0.0, 1e-3]
    named = {id(weight): name for name, weight in trainers[0].model.named_parameters() if weight.requires_grad}
    for group in groups:
        assert {"relation_head" in named[id(weight)] for weight in group["params"]} == {group["initial_lr"] > 0}
    assert sum(len(group["params"]) for group in groups) == len(named)
    before, after = weights(still_bert), weights(tmp_path / "out")
    encoder = {name: weight for name, weight in after.items() if name.startswith("encoder.")}
    assert all(torch.equal(weight, before[name.replace("encoder.", "bert.", 1)]) for name, weight in encoder.items()
               if name.replace("encoder.", "bert.", 1) in before)  # fmt: skip


def test_a_faster_head_resumes_exactly(bert_folder, corpus, tmp_path):
    flags = {"head_learning_rate": 3e-3, "save_strategy": "epoch", "num_train_epochs": 2}
    run("finetune", bert_folder, corpus, tmp_path / "whole", **flags)
    run("finetune", bert_folder, corpus, tmp_path / "halves", **flags)
    for name in ("model.safetensors", "checkpoint-6"):
        path = tmp_path / "halves" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    run("finetune", bert_folder, corpus, tmp_path / "halves", **flags)
    assert same_weights(weights(tmp_path / "whole"), weights(tmp_path / "halves"))


# Stage 2


def test_all_components_are_logged_and_make_the_loss(bert_folder, corpus, order_file, tmp_path, trainers):
    run("pretrain", bert_folder, corpus, tmp_path / "out", learning_order=order_file, logging_steps=1, max_steps=6)
    history = [entry for entry in trainers[0].state.log_history if "loss" in entry]
    assert len(history) == 6
    for entry in history:
        assert entry["loss"] == pytest.approx(sum(entry[name] for name in COMPONENTS), rel=1e-4)
        assert all(entry[name] > 0 for name in COMPONENTS)
        assert 0 < entry["mean_weight"] < 1
        assert 0 < entry["positives_per_anchor"] <= 1
        assert 0 < entry["negatives_per_anchor"] <= 64


@pytest.mark.parametrize("ed_weight", [0.0, 0.25])
def test_the_losses_have_weights(bert_folder, corpus, order_file, tmp_path, trainers, ed_weight):
    shares = {"rd_weight": 0.5, "ed_weight": ed_weight, "mlm_weight": 2.0}
    run("pretrain", bert_folder, corpus, tmp_path / "out", learning_order=order_file, logging_steps=1, max_steps=2,
        **shares)  # fmt: skip
    for entry in [entry for entry in trainers[0].state.log_history if "loss" in entry]:
        expected = sum(share * entry[name] for name, share in zip(COMPONENTS, shares.values(), strict=True))
        assert entry["loss"] == pytest.approx(expected, rel=1e-4)
        assert (entry["loss_ed"] > 0) == (ed_weight > 0)  # without it, its rows are not even encoded
    with pytest.raises(FineCLError, match="all 0"):
        PretrainArguments(str(tmp_path), weight_scheme="uniform", **dict.fromkeys(shares, 0.0))


def test_gradient_accumulation_averages_the_micro_batches(
    still_bert, corpus, order_file, tmp_path, trainers, monkeypatch
):
    batches = []
    compute = PretrainTrainer.compute_loss

    def watch(self, model, inputs, *args, **kwargs):
        batches.append(inputs)
        return compute(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(PretrainTrainer, "compute_loss", watch)
    run(
        "pretrain", still_bert, corpus, tmp_path / "out", learning_order=order_file, max_steps=1, logging_steps=1,
        gradient_accumulation_steps=2, per_device_train_batch_size=6, learning_rate=0.0,
    )  # fmt: skip
    assert len(batches) == 2
    trainer = trainers[0]
    logged = trainer.state.log_history[0]
    losses, gradients = [], []
    for batch in batches:
        trainer.model.zero_grad()
        loss = compute(trainer, trainer.model, batch)
        loss.backward()
        losses.append(loss.item())
        gradients.append(torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None]))
    assert losses[0] != losses[1]
    assert logged["loss"] == pytest.approx(np.mean(losses), rel=1e-3)
    assert logged["grad_norm"] == pytest.approx(((gradients[0] + gradients[1]) / 2).norm().item(), rel=1e-3)


def test_weights_by_the_order_change_the_loss_and_uniform_ones_are_zeros(still_bert, corpus, tmp_path, trainers):
    ids = list(json.loads((corpus / "truth.json").read_text()))
    learned = LearningOrder(ids, first_epoch=np.arange(len(ids)) % 3)
    learned.write(tmp_path / "order.parquet")
    variants = {
        "no order": {},
        "uniform": {"learning_order": tmp_path / "order.parquet", "weight_scheme": "uniform"},
        "all cut off": {"learning_order": tmp_path / "order.parquet", "weight_cutoff": 0, "na_weight": 0.0},
        "linear": {"learning_order": tmp_path / "order.parquet"},
    }
    for name, options in variants.items():
        run("pretrain", still_bert, corpus, tmp_path / name, **options)
    baseline = weights(tmp_path / "no order")
    assert same_weights(baseline, weights(tmp_path / "uniform"))
    assert same_weights(baseline, weights(tmp_path / "all cut off"))
    assert not same_weights(baseline, weights(tmp_path / "linear"))


PLAIN_LOAD = """
import hashlib, sys
from itertools import product
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

for folder, kind in product(sys.argv[1:], (AutoModel, AutoModelForMaskedLM)):
    model, report = kind.from_pretrained(folder, output_loading_info=True)
    assert not {name for name in report["missing_keys"] if "pooler" not in name}, report
    assert not report["mismatched_keys"], report
    for name, weight in sorted(model.base_model.named_parameters()):
        if "pooler" not in name:
            print(name, hashlib.sha256(weight.detach().numpy().tobytes()).hexdigest())
    AutoTokenizer.from_pretrained(folder)
assert "finecl_hf" not in sys.modules
"""


def test_the_encoder_loads_without_this_library(bert_folder, roberta_folder, corpus, tmp_path, trainers):
    expected, folders = [], [tmp_path / "bert", tmp_path / "roberta"]
    for encoder, folder in zip((bert_folder, roberta_folder), folders, strict=True):
        run("pretrain", encoder, corpus, folder, max_steps=2)
        trained = sorted(trainers[-1].model.base_model.named_parameters())
        hashes = [hashlib.sha256(weight.detach().numpy().tobytes()).hexdigest() for _, weight in trained]
        expected += [f"{name} {code}" for (name, _), code in zip(trained, hashes, strict=True)] * 2
    assert program(PLAIN_LOAD, *folders, cwd=tmp_path).splitlines() == expected


def test_every_parameter_of_the_encoder_moves(bert_folder, corpus, tmp_path, trainers):
    run("pretrain", bert_folder, corpus, tmp_path)
    before = AutoModelForMaskedLM.from_pretrained(bert_folder).state_dict()
    after = trainers[0].model.state_dict()
    stuck = [name for name in after if torch.equal(before[name], after[name])]
    assert set(stuck) <= {"bert.embeddings.position_ids", "bert.embeddings.token_type_ids"}


# Stage 3


@pytest.fixture(scope="module")
def fine_tuned(bert_folder, corpus, tmp_path_factory):
    """The trainer of a model that has learned something whatever the processor's roundings are, and its folder."""
    folder = tmp_path_factory.mktemp("fine_tuned")
    with trainers_of_scripts() as built:
        run(
            "finetune", bert_folder, corpus, folder, learning_rate=3e-3, num_train_epochs=12, eval_strategy="no",
            validation_file=corpus / "gold_validation.json", test_file=corpus / "gold_test.json",
        )  # fmt: skip
    return built[0], folder


def test_scores_do_not_depend_on_the_batch_size(fine_tuned, monkeypatch):
    trainer, _ = fine_tuned
    scores = []
    for size in (1, 2, 3, 4, 7):
        monkeypatch.setattr(trainer.args, "per_device_eval_batch_size", size)
        metrics = trainer.evaluate()
        kept = ("eval_f1", "eval_ign_f1", "eval_precision", "eval_recall", "eval_intra_f1", "eval_inter_f1")
        scores.append({name: metrics[name] for name in kept} | {"threshold": round(metrics["eval_threshold"], 4)})
    assert scores[0]["eval_f1"] > 0
    assert all(score == scores[0] for score in scores)


def test_predictions_come_in_the_order_of_the_documents(fine_tuned, corpus, monkeypatch):
    trainer, _ = fine_tuned
    monkeypatch.setattr(trainer.args, "per_device_eval_batch_size", 3)
    everything = trainer.predict(trainer.eval_dataset)
    for document, found in zip(read_documents(corpus / "gold_validation.json"), everything.predictions, strict=True):
        assert found.head.max(initial=0) < len(document.entities)
        assert (found.head != found.tail).all() and (found.relation > 0).all()


def test_evaluation_does_not_change_training(bert_folder, corpus, tmp_path):
    validation = {"validation_file": corpus / "gold_validation.json"}
    for strategy in ("no", "steps"):
        run("finetune", bert_folder, corpus, tmp_path / strategy, eval_strategy=strategy, eval_steps=1, **validation)
    assert same_weights(weights(tmp_path / "no"), weights(tmp_path / "steps"))


def test_threshold_is_saved_with_the_model(fine_tuned):
    trainer, folder = fine_tuned
    results = json.loads((folder / "all_results.json").read_text())
    assert FineCLConfig.from_pretrained(folder).threshold == results["eval_threshold"] == results["test_threshold"]
    assert FineCLForRelationExtraction.from_pretrained(folder).config.threshold == results["eval_threshold"]


def test_threshold_is_never_fitted_on_the_test_set(fine_tuned):
    trainer, _ = fine_tuned
    trainer.relation_model.config.threshold = 1e6
    metrics = trainer.predict(trainer.eval_dataset).metrics
    assert trainer.relation_model.config.threshold == metrics["test_threshold"] == 1e6
    assert metrics["test_f1"] == 0
    assert trainer.evaluate()["eval_f1"] > 0


def test_every_parameter_moves(fine_tuned, bert_folder):
    trainer, folder = fine_tuned
    trained = trainer.model.state_dict()
    assert same_weights(trained, weights(folder))
    before = AutoModelForMaskedLM.from_pretrained(bert_folder).base_model.state_dict()
    stuck = [name for name, weight in before.items() if torch.equal(weight, trained[f"encoder.{name}"])]
    assert set(stuck) <= {"embeddings.position_ids", "embeddings.token_type_ids"}
