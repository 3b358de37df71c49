"""The learning order is observed as the paper says, once for each label and epoch."""

import math
import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import Trainer, TrainerControl, TrainerState, TrainingArguments

from finecl_hf import (
    Document,
    FineCLConfig,
    FineCLForRelationExtraction,
    LearningOrder,
    LearningOrderCallback,
    write_documents,
)
from finecl_hf.data.corpus import load_corpus, relation_counts
from finecl_hf.denoising.recorder import TABLE, judge_labels
from finecl_hf.encoding.batches import RelationCollator
from finecl_hf.encoding.encoders import load_tokenizer
from finecl_hf.encoding.features import DocumentEncoder
from finecl_hf.hashing import text_key
from finecl_hf.training.loading import label_set
from tests.helpers.script_runs import run, same_weights, weights
from tests.helpers.tiny_models import build_bert


@pytest.mark.parametrize("loss", ["softmax", "bce", "adaptive_threshold"])
def test_judge_labels_against_loops(loss):
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(6, 5, generator=generator)
    labels = [(0, 1), (0, 3), (2, 4), (3, 1), (3, 2), (3, 3), (5, 2)]  # pairs 0 and 3 have several
    pair, relation = torch.tensor(labels).T
    label_loss, margin = judge_labels(logits, pair, relation, loss)
    for i, (p, r) in enumerate(labels):
        others = [logits[p, other].item() for other in range(5) if (p, other) not in labels]
        label = logits[p, r].item()
        softmax = math.exp(label) / (math.exp(label) + sum(map(math.exp, others)))
        probability = 1 / (1 + math.exp(-label)) if loss == "bce" else softmax
        assert label_loss[i].item() == pytest.approx(-math.log(probability), 1e-4)
        assert margin[i].item() == pytest.approx(label - max(others), 1e-4)


def test_other_gold_labels_do_not_compete():
    logits = torch.tensor([[0.0, 5.0, 4.0, 1.0]])
    pair, relation = torch.tensor([0, 0]), torch.tensor([1, 2])
    loss, margin = judge_labels(logits, pair, relation, "softmax")
    assert margin.tolist() == [4.0, 3.0]
    assert loss[1].item() == pytest.approx(-math.log(math.exp(4) / (math.exp(4) + math.exp(0) + math.exp(1))))


@pytest.mark.parametrize("loss", ["pu_bce", "pu_ranking"])
def test_only_na_competes_where_labels_are_missing(loss):
    logits = torch.tensor([[1.0, 5.0, 9.0], [2.0, 1.0, 0.0]])
    label_loss, margin = judge_labels(logits, torch.tensor([0, 1]), torch.tensor([1, 1]), loss)
    assert margin.tolist() == [4.0, -1.0]
    assert label_loss.tolist() == pytest.approx([math.log(1 + math.exp(-4)), math.log(1 + math.exp(1))])


def test_no_label_to_judge():
    none = torch.zeros(0, dtype=torch.long)
    loss, margin = judge_labels(torch.randn(3, 4), none, none, "softmax")
    assert loss.shape == margin.shape == (0,)


def order_of(size):
    return LearningOrder([f"fact {i}" for i in range(size)])


def observe(callback, rows, correct):
    margin = torch.where(torch.tensor(correct), 1.0, -1.0)
    keys = [text_key(f"fact {row}") for row in rows]
    callback.observe(torch.tensor(keys), torch.full((len(rows),), 0.5), margin)


class Run:
    """Calls a callback as a trainer would."""

    def __init__(self, callback, folder):
        self.callback, self.folder = callback, folder
        self.args = SimpleNamespace(output_dir=str(folder), num_train_epochs=3, learning_rate=1e-5)
        self.state, self.control = TrainerState(epoch=0.0), TrainerControl()

    def call(self, event, epoch):
        self.state.epoch = epoch
        getattr(self.callback, event)(self.args, self.state, self.control)


def test_first_judgement_of_an_epoch_counts_and_unknown_rows_are_passed_over(tmp_path):
    callback = LearningOrderCallback(order_of(4))
    epochs = Run(callback, tmp_path)
    observe(callback, [0, 1, -1], [True, False, True])
    observe(callback, [1, 0], [True, False])
    epochs.call("on_epoch_end", 1.0)
    observe(callback, [1, 2], [True, False])
    epochs.call("on_epoch_end", 2.0)
    assert callback.order.observed.tolist() == [[True, False], [True, True], [False, True], [False, False]]
    assert callback.order.first_epoch.tolist() == [0, 1, -1, -1]


def test_table_is_written_whole_at_each_epoch(tmp_path, monkeypatch):
    callback = LearningOrderCallback(order_of(3))
    epochs = Run(callback, tmp_path)
    replaced = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda source, target: (replaced.append(str(target)), replace(source, target)))
    for epoch in (1, 2):
        observe(callback, [0, 1, 2], [True, False, False])
        epochs.call("on_epoch_end", float(epoch))
        assert LearningOrder.read(tmp_path / TABLE).num_epochs == epoch
        assert replaced == [str(tmp_path / TABLE)] * epoch
    assert [path.name for path in tmp_path.iterdir()] == [TABLE]


def test_an_epoch_that_training_stopped_in_is_closed_at_the_end_only(tmp_path):
    callback = LearningOrderCallback(order_of(2))
    stopped = Run(callback, tmp_path)
    observe(callback, [0], [True])
    stopped.call("on_epoch_end", 0.5)
    assert callback.order.num_epochs == 0  # a checkpoint written now can be resumed
    stopped.call("on_train_end", 0.5)
    assert callback.order.observed.tolist() == [[True], [False]]


def test_an_epoch_is_closed_after_a_resume_at_its_edge(tmp_path):
    callback = LearningOrderCallback(order_of(2))
    observe(callback, [0, 1], [True, False])
    callback.save(tmp_path)
    resumed = LearningOrderCallback(order_of(2))
    resumed.load(tmp_path)
    Run(resumed, tmp_path).call("on_epoch_begin", 1.0)
    assert resumed.order.first_epoch.tolist() == [0, -1]
    Run(resumed, tmp_path).call("on_epoch_begin", 1.0)
    assert resumed.order.num_epochs == 1


@pytest.mark.parametrize("learned, warned", [(0, True), (1, True), (3, False), (20, False)])
def test_warns_if_hardly_anything_was_learned(learned, warned, tmp_path, caplog):
    callback = LearningOrderCallback(order_of(20))
    observe(callback, list(range(20)), [i < learned for i in range(20)])
    run_of_one = Run(callback, tmp_path)
    run_of_one.call("on_epoch_end", 1.0)
    run_of_one.call("on_train_end", 1.0)
    assert ("were ever predicted" in caplog.text) == warned
    assert not warned or "--num_train_epochs" in caplog.text


@pytest.mark.parametrize("mode", ["batch", "epoch"])
def test_each_label_once_an_epoch(mode, bert_folder, corpus, tmp_path, trainers, monkeypatch):
    """With gradient accumulation, a ragged last batch and a ragged last step."""
    seen = []
    watched = LearningOrderCallback.observe

    def watch(self, keys, *judgements):
        seen.append(keys.tolist())
        watched(self, keys, *judgements)

    monkeypatch.setattr(LearningOrderCallback, "observe", watch)
    order = run(
        "denoise", bert_folder, corpus, tmp_path, order_mode=mode, num_train_epochs=2, gradient_accumulation_steps=2,
        per_device_train_batch_size=3, per_device_eval_batch_size=3,
    )  # fmt: skip
    assert trainers[0].state.global_step == 2 * 3  # 5 batches of 14 documents an epoch, 2 a step
    labels = sorted(i for row in trainers[0].train_dataset for i in row["fact_key"].tolist())
    for epoch in (seen[:5], seen[5:]):
        assert len(epoch) == 5
        assert sorted(i for batch in epoch for i in batch) == labels
    assert (order.observed.sum(axis=1) == np.isin(order.key, labels) * 2).all()


def test_epoch_mode_is_an_evaluation_pass(bert_folder, corpus, tmp_path, trainers):
    order = run("denoise", bert_folder, corpus, tmp_path, order_mode="epoch", loss="bce", num_train_epochs=1)
    dataset = trainers[0].train_dataset
    model = FineCLForRelationExtraction.from_pretrained(tmp_path).eval()
    collator = RelationCollator(pad_token_id=0)
    for row in (dataset[i] for i in range(len(dataset))):
        batch = collator([row])
        with torch.no_grad():
            logits = model(**batch).logits
        rows = order.rows_of(row["fact_key"]).tolist()
        for pair, relation, fact in zip(batch["label_pair"].tolist(), row["relation"].tolist(), rows, strict=True):
            gold = {
                r for p, r in zip(batch["label_pair"].tolist(), row["relation"].tolist(), strict=True) if p == pair
            }
            best_other = max(value for r, value in enumerate(logits[pair].tolist()) if r not in gold)
            label = logits[pair, relation].item()
            assert order.probability[fact, 0] == pytest.approx(1 / (1 + math.exp(-label)), abs=1e-3)
            assert order.margin[fact, 0] == pytest.approx(label - best_other, abs=1e-2)
            assert order.correct[fact, 0] == (label > best_other)


def test_without_updates_and_dropout_both_modes_agree(corpus, tmp_path):
    """So batch mode judges before the step's update, with the very same measure."""
    encoder = build_bert(tmp_path / "encoder", dropout=0.0)
    batch, epoch = (
        run("denoise", encoder, corpus, tmp_path / mode, order_mode=mode, learning_rate=0.0, num_train_epochs=1)
        for mode in ("batch", "epoch")
    )
    assert (batch.observed == epoch.observed).all()
    assert (batch.correct == epoch.correct).all()
    np.testing.assert_allclose(batch.margin, epoch.margin, atol=1e-3)


def plain_trainer(encoder, corpus, folder, mode="batch", **arguments):
    """transformers' own Trainer, with nothing of ours but the model, the batches and the callback."""
    torch.manual_seed(0)
    silver = load_corpus(str(corpus / "silver.json"), cache_dir=str(folder / "cache"))
    labels = label_set(relation_counts(silver), {}, fixed=False)
    tokenizer = load_tokenizer(encoder)
    config = FineCLConfig.for_labels(labels, max_seq_length=64)
    order = LearningOrder.for_documents(map(Document.from_json, silver["document"]))
    arguments = {
        "num_train_epochs": 2,
        "per_device_train_batch_size": 4,
        "report_to": [],
        **arguments,
    }
    return Trainer(
        FineCLForRelationExtraction.from_encoder(encoder, config),
        TrainingArguments(str(folder), remove_unused_columns=False, save_strategy="epoch", **arguments),
        train_dataset=DocumentEncoder(tokenizer, labels, 64).encode_corpus(silver).with_format("numpy"),
        data_collator=RelationCollator(tokenizer.pad_token_id, na_ratio=3.0),
        callbacks=[LearningOrderCallback(order, mode)],
    )


def recorded(trainer):
    (callback,) = [one for one in trainer.callback_handler.callbacks if isinstance(one, LearningOrderCallback)]
    return callback.order


@pytest.mark.parametrize("mode", ["batch", "epoch"])
def test_a_plain_trainer_records(mode, bert_folder, corpus, tmp_path):
    trainer = plain_trainer(bert_folder, corpus, tmp_path, mode)
    trainer.train()
    order = recorded(trainer)
    within_reach = {key for row in trainer.train_dataset for key in row["fact_key"].tolist()}
    assert order.observed.all(axis=1).tolist() == [key in within_reach for key in order.key.tolist()]
    assert order.num_epochs == 2 and len(np.unique(order.margin[order.observed])) > 20
    assert (LearningOrder.read(tmp_path / TABLE).margin == order.margin).all()
    assert not trainer.model._forward_hooks


def test_a_plain_trainer_resumes(bert_folder, corpus, tmp_path):
    first = plain_trainer(bert_folder, corpus, tmp_path / "b", max_steps=6, lr_scheduler_type="constant")
    first.train()
    straight = plain_trainer(bert_folder, corpus, tmp_path / "c", lr_scheduler_type="constant")
    straight.train()
    resumed = plain_trainer(bert_folder, corpus, tmp_path / "b", lr_scheduler_type="constant")
    resumed.train(resume_from_checkpoint=True)
    assert (recorded(resumed).margin == recorded(straight).margin).all()
    assert (recorded(resumed).observed == recorded(straight).observed).all()


def test_judging_does_not_change_training(bert_folder, corpus, tmp_path):
    for mode in ("batch", "epoch"):
        run("denoise", bert_folder, corpus, tmp_path / mode, order_mode=mode)
    assert same_weights(weights(tmp_path / "batch"), weights(tmp_path / "epoch"))


PATTERNS = {"born in": "was born in", "died in": "died in", "works for": "works for", "author": "is the author of"}


def easy_document(number, rng):
    """One sentence that says one relation; every fifth document is labelled with another one."""
    relations = list(PATTERNS)
    stated = relations[number % 4]
    label = rng.choice([r for r in relations if r != stated]) if number % 5 == 0 else stated
    words = ["Ada", "Lovelace", *PATTERNS[stated].split(), rng.choice(["London", "Warsaw", "Manchester"]), "."]
    return Document.from_dict(
        {
            "title": f"{number}",
            "sents": [words],
            "vertexSet": [
                [{"name": "Ada Lovelace", "sent_id": 0, "pos": [0, 2], "type": "PER"}],
                [{"name": words[-2], "sent_id": 0, "pos": [len(words) - 2, len(words) - 1], "type": "LOC"}],
            ],
            "labels": [{"h": 0, "t": 1, "r": label, "evidence": []}],
        }
    )


@pytest.mark.parametrize("mode", ["batch", "epoch"])
def test_clean_labels_are_learned_earlier_than_flipped_ones(mode, bert_folder, corpus, tmp_path, caplog):
    rng = np.random.default_rng(0)
    write_documents([easy_document(i, rng) for i in range(80)], tmp_path / "easy.json")
    order = run(
        "denoise", bert_folder, corpus, tmp_path / mode, train_file=tmp_path / "easy.json", rel_info=None,
        num_train_epochs=6, per_device_train_batch_size=8, learning_rate=2e-3, order_mode=mode,
    )  # fmt: skip
    first = np.where(order.first_epoch < 0, order.num_epochs, order.first_epoch)
    flipped = np.array([int(title) % 5 == 0 for title in order.title.to_pylist()])
    assert first[~flipped].mean() + 1 < first[flipped].mean()
    assert order.probability[~flipped, -1].mean() > 2 * order.probability[flipped, -1].mean()
    assert "were ever predicted" not in caplog.text
