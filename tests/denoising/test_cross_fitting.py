"""Every label is judged once, by a model that did not learn from its document, and cleanlab ranks the judgements."""

import math
import sys
import weakref

import numpy as np
import pytest
import torch
from cleanlab.rank import get_label_quality_scores
from hypothesis import given, settings
from hypothesis import strategies as st

from finecl_hf import LearningOrder, write_documents
from finecl_hf.denoising.cross_fitting import (
    FOLDS,
    JUDGEMENTS,
    NA_THRESHOLD,
    FoldTrainer,
    Judgements,
    error_rates,
    fold_of,
    label_probabilities,
    quality_scores,
)
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.modeling import FineCLForRelationExtraction
from finecl_hf.learning_order.trust import unit_score
from tests.denoising.test_recorder import easy_document
from tests.helpers.script_runs import run, same_weights, weights


class TestFolds:
    @settings(max_examples=50, deadline=None)
    @given(st.sets(st.integers(-(2**63), 2**63 - 1), min_size=5, max_size=40), st.integers(2, 5), st.randoms())
    def test_equal_in_size_and_independent_of_the_order(self, keys, folds, random):
        keys = np.array(list(keys))
        fold = fold_of(keys, folds, seed=0)
        sizes = np.bincount(fold, minlength=folds)
        assert len(sizes) == folds and np.ptp(sizes) <= 1
        shuffle = random.sample(range(len(keys)), len(keys))
        np.testing.assert_array_equal(fold_of(keys[shuffle], folds, seed=0), fold[shuffle])

    def test_the_seed_decides(self):
        keys = np.arange(200)
        agree = (fold_of(keys, 2, seed=0) == fold_of(keys, 2, seed=1)).mean()
        assert 0.3 < agree < 0.7

    def test_more_folds_than_documents(self):
        assert sorted(fold_of(np.arange(3), 3, seed=0)) == [0, 1, 2]
        with pytest.raises(FineCLError, match="--cross_fit_folds 4 is more than the 3 training documents; give fewer"):
            fold_of(np.arange(3), 4, seed=0)


LABELS = [(0, 1), (0, 3), (2, 4), (3, 1), (3, 2), (3, 3), (5, 2)]  # pairs 0 and 3 have several


@pytest.mark.parametrize("loss", ["softmax", "bce", "adaptive_threshold"])
def test_label_probabilities_against_loops(loss):
    logits = 3 * torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    pair, relation = torch.tensor(LABELS).T
    probabilities = label_probabilities(logits, pair, relation, loss)
    assert probabilities.dtype == torch.float32
    for (p, r), row in zip(LABELS, probabilities.tolist(), strict=True):
        odds = [1 / (1 + math.exp(-x)) if loss == "bce" else math.exp(x) for x in logits[p].tolist()]
        competing = [0.0 if other != r and (p, other) in LABELS else odds[other] for other in range(5)]
        assert row == pytest.approx([value / sum(competing) for value in competing], abs=1e-6)


def test_probabilities_of_extreme_logits_and_of_no_label():
    one = torch.tensor([0])
    for loss in ("softmax", "bce"):
        probabilities = label_probabilities(torch.tensor([[-500.0, -400.0, -600.0]]), one, one + 2, loss)
        assert probabilities[0].tolist() == pytest.approx([0.0, 1.0, 0.0])
        half = label_probabilities(torch.tensor([[0.0, 0.0]], dtype=torch.bfloat16), one, one, loss)
        assert half.dtype == torch.float32 and half.tolist() == [[0.5, 0.5]]
        assert label_probabilities(torch.randn(3, 4), one[:0], one[:0], loss).shape == (0, 4)


def random_judgements(seed=0, labels=300, relations=7, absent=(0, 5)):
    """Probabilities with other gold labels left out, and labels; NA and one relation never occur."""
    rng = np.random.default_rng(seed)
    relation = rng.choice([r for r in range(relations) if r not in absent], labels)
    logits = rng.normal(0, 2, (labels, relations))
    logits[np.arange(labels), relation] += rng.choice([0, 4], labels) + (relation == 1)
    other_gold = rng.integers(1, relations, labels)
    rows = other_gold != relation
    logits[rows, other_gold[rows]] = -np.inf
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return probabilities.astype(np.float32), relation


class TestQuality:
    @pytest.mark.parametrize("absent", [(), (0,), (0, 5), (0, 2, 3, 4, 5, 6)], ids=str)
    def test_is_cleanlabs_and_orders_by_confidence_less_what_is_usual(self, absent):
        probabilities, relation = random_judgements(absent=absent)
        scores = quality_scores(probabilities, relation)
        direct = get_label_quality_scores(relation, probabilities, adjust_pred_probs=True)
        np.testing.assert_array_equal(scores, direct.astype(np.float32))
        assert scores.dtype == np.float32 and (scores >= 0).all() and (scores <= 1).all()
        own = probabilities[np.arange(len(relation)), relation].astype(np.float64)
        usual = np.array([own[relation == r].mean() for r in relation])
        slope, shift = np.polyfit(own - usual, scores, 1)  # the same shift and scale for all, whatever is absent
        assert slope > 0
        np.testing.assert_allclose(scores, slope * (own - usual) + shift, atol=1e-5 * slope)

    def test_na_competes_though_no_label_is_na(self):
        probabilities = np.array([[0.8, 0.2, 0.0], [0.1, 0.9, 0.0], [0.1, 0.0, 0.9]], np.float32)
        scores = quality_scores(probabilities, np.array([1, 1, 2]))
        assert scores[0] < scores[2] < scores[1]

    def test_no_label(self):
        none = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
        assert quality_scores(*none).shape == (0,) and error_rates(*none) == {}


class TestErrorRates:
    def test_against_loops(self):
        probabilities, relation = random_judgements()
        threshold = {r: probabilities[relation == r, r].mean() for r in np.unique(relation)} | {0: NA_THRESHOLD}
        right, confident = dict.fromkeys(threshold, 0), dict.fromkeys(threshold, 0)
        for row, r in zip(probabilities, relation, strict=True):
            above = [k for k, limit in threshold.items() if row[k] >= limit - 1e-6]
            if above:
                confident[r] += 1
                right[r] += (above[0] if len(above) == 1 else row.argmax()) == r
        rates = error_rates(probabilities, relation)
        assert rates == pytest.approx({r: 1 - right[r] / confident[r] for r in np.unique(relation)})

    def test_finds_the_share_of_flipped_labels(self):
        rng = np.random.default_rng(0)
        truth = rng.integers(0, 4, 4000)  # 0: the text states nothing
        relation = np.where(truth == 0, rng.integers(1, 4, 4000), truth)
        logits = rng.normal(0, 1, (4000, 4))
        logits[np.arange(4000), truth] += 6
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        for r, rate in error_rates(probabilities, relation).items():
            assert rate == pytest.approx((truth[relation == r] == 0).mean(), abs=0.05)


def test_each_label_counts_once(tmp_path):
    parts = [
        Judgements(np.array(rows), np.array(rows) + 10, np.array(rows, np.float32)[:, None])
        for rows in ([3, 1, -1], [1, 0])
    ]
    merged = Judgements.of(parts)
    assert merged.instance.tolist() == [0, 1, 3] and merged.relation.tolist() == [10, 11, 13]
    merged.write(tmp_path / JUDGEMENTS)
    again = Judgements.read(tmp_path / JUDGEMENTS)
    assert all((vars(again)[name] == vars(merged)[name]).all() for name in vars(merged))


@pytest.fixture
def judged(monkeypatch):
    """Collects (trainer's training keys, held-out keys, judgements) of each fold that is trained."""
    calls = []
    judge = FoldTrainer.judge

    def watch(self, dataset):
        judgements = judge(self, dataset)
        keys = [[int(row["key"]) for row in rows] for rows in (self.train_dataset, dataset)]
        calls.append((*keys, judgements))
        return judgements

    monkeypatch.setattr(FoldTrainer, "judge", watch)
    return calls


SHORT = {"num_train_epochs": 1, "cross_fit_folds": 3}


def test_no_model_has_seen_what_it_judges(bert_folder, corpus, tmp_path, trainers, judged):
    order = run("denoise", bert_folder, corpus, tmp_path, **SHORT)
    *folds, main = trainers
    assert [type(trainer) for trainer in folds] == [FoldTrainer] * 3 and len(judged) == 3
    every = sorted(int(row["key"]) for row in main.train_dataset)
    for seen, held_out, judgements in judged:
        assert not set(seen) & set(held_out) and sorted(seen + held_out) == every
        labels = [i for row in main.train_dataset if int(row["key"]) in held_out for i in row["instance"].tolist()]
        assert judgements.instance.tolist() == sorted(labels)
        relation = {i: r for row in main.train_dataset for i, r in zip(row["instance"], row["relation"], strict=True)}
        assert judgements.relation.tolist() == [relation[i] for i in judgements.instance]
        np.testing.assert_allclose(judgements.probabilities.sum(axis=1), 1, rtol=1e-5)
    together = np.concatenate([judgements.instance for *_, judgements in judged])
    assert len(np.unique(together)) == len(together)
    assert (~np.isnan(order.confident_learning)).tolist() == np.isin(np.arange(len(order)), together).tolist()


def test_the_rest_of_the_run_is_as_without_folds(bert_folder, corpus, tmp_path, capsys):
    plain = run("denoise", bert_folder, corpus, tmp_path / "plain", num_train_epochs=1)
    order = run("denoise", bert_folder, corpus, tmp_path / "folds", score="confident_learning", **SHORT)
    assert same_weights(weights(tmp_path / "plain"), weights(tmp_path / "folds"))
    assert np.isnan(plain.confident_learning).all()
    assert (
        order.to_table()
        .drop_columns(["confident_learning"])
        .equals(plain.to_table().drop_columns(["confident_learning"]))
    )
    written = LearningOrder.read(tmp_path / "folds" / "learning_order.parquet")
    assert written.to_table().equals(order.to_table())
    left = {
        path.relative_to(tmp_path / "folds" / FOLDS).as_posix() for path in (tmp_path / "folds" / FOLDS).rglob("*")
    }
    assert {"1_of_3/judgements.npz", "2_of_3/judgements.npz", "3_of_3/judgements.npz"} <= left
    assert not [path for path in left if "checkpoint" in path or path.endswith((".safetensors", "README.md"))]
    weighted, kept = written.weights(written.instance_id, weight_by="confident_learning")
    np.testing.assert_allclose(weighted[kept], unit_score("confident_learning", order)[kept])


def test_one_model_at_a_time(bert_folder, corpus, tmp_path, monkeypatch):
    alive = []
    build = FineCLForRelationExtraction.from_encoder.__func__

    def watched(cls, *args, **kwargs):
        assert not [model for model in alive if model() is not None]
        model = build(cls, *args, **kwargs)
        alive.append(weakref.ref(model))
        return model

    monkeypatch.setattr(FineCLForRelationExtraction, "from_encoder", classmethod(watched))
    run("denoise", bert_folder, corpus, tmp_path, **SHORT)
    assert len(alive) == 4


class Killed(Exception):
    """Stands for the end of a process."""


@pytest.mark.parametrize("fold, step", [(1, 3), (2, 2)])
def test_a_killed_run_goes_on(fold, step, bert_folder, corpus, tmp_path, monkeypatch, trainers):
    options = {**SHORT, "save_strategy": "steps", "save_steps": 1}
    whole = run("denoise", bert_folder, corpus, tmp_path / "whole", **options)
    training_step = FoldTrainer.training_step
    seen = []

    def kill(self, *args, **kwargs):
        if f"{fold}_of_3" in self.args.output_dir and self.state.global_step == step - 1:
            raise Killed
        seen.append((self.args.output_dir[-6:], self.state.global_step))
        return training_step(self, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(FoldTrainer, "training_step", kill)
        with pytest.raises(Killed):
            run("denoise", bert_folder, corpus, tmp_path / "resumed", **options)
    before = list(seen)

    def watch(self, *args, **kwargs):
        seen.append((self.args.output_dir[-6:], self.state.global_step))
        return training_step(self, *args, **kwargs)

    monkeypatch.setattr(FoldTrainer, "training_step", watch)
    resumed = run("denoise", bert_folder, corpus, tmp_path / "resumed", **options)
    assert len(seen) > len(before) and len(set(seen)) == len(seen)  # no step of any fold was taken twice
    assert resumed.to_table().equals(whole.to_table())
    trained = len(seen)
    again = run("denoise", bert_folder, corpus, tmp_path / "resumed", **options)
    assert len(seen) == trained and again.to_table().equals(whole.to_table())


def test_folds_can_be_asked_of_a_finished_run(bert_folder, corpus, tmp_path, trainers):
    plain = run("denoise", bert_folder, corpus, tmp_path, num_train_epochs=1)
    order = run("denoise", bert_folder, corpus, tmp_path, score="confident_learning_within_relation", **SHORT)
    assert [type(trainer) for trainer in trainers[1:-1]] == [FoldTrainer] * 3
    assert (order.probability == plain.probability).all() and (order.confident_learning > 0).any()
    assert LearningOrder.read(tmp_path / "learning_order.parquet").to_table().equals(order.to_table())


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"learning_rate": 3e-4}, r"--learning_rate \(0.001, now 0.0003\)"),
        ({"num_train_epochs": 2}, r"--num_train_epochs \(1.0, now 2.0\)"),
    ],
)
def test_finished_folds_of_another_run_are_refused(changed, message, bert_folder, corpus, tmp_path):
    options = {**SHORT, "cross_fit_folds": 2}
    run("denoise", bert_folder, corpus, tmp_path, **options)
    with pytest.raises(FineCLError, match=rf"1_of_2 belongs to another run: {message} changed.*--output_dir"):
        run("denoise", bert_folder, corpus, tmp_path, **{**options, **changed})


def test_without_cleanlab_the_message_comes_before_the_training(corpus, tmp_path, monkeypatch, trainers):
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    message = r'needs cleanlab, .*pip install "finecl_hf\[confident_learning\]"'
    with pytest.raises(FineCLError, match=message):
        run("denoise", tmp_path / "no such encoder", corpus, tmp_path / "out", **SHORT)
    assert not trainers and not (tmp_path / "out").exists()
    for function in (quality_scores, error_rates):
        with pytest.raises(FineCLError, match=message):
            function(*random_judgements())


@pytest.mark.parametrize("loss", ["softmax", "bce"])
def test_wrong_labels_of_an_easy_corpus_score_lower(loss, bert_folder, corpus, tmp_path):
    rng = np.random.default_rng(0)
    write_documents([easy_document(i, rng) for i in range(80)], tmp_path / "easy.json")
    order = run(
        "denoise", bert_folder, corpus, tmp_path / "out", train_file=tmp_path / "easy.json", rel_info=None, loss=loss,
        num_train_epochs=6 if loss == "softmax" else 12, per_device_train_batch_size=8, learning_rate=2e-3,
        cross_fit_folds=2,
    )  # fmt: skip
    scores = unit_score("confident_learning", order)
    flipped = np.array([int(title) % 5 == 0 for title in order.title.to_pylist()])
    assert (scores[~flipped][:, None] > scores[flipped]).mean() > 0.8
