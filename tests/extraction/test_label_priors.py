"""The priors of positive-unlabelled losses: counted, given, estimated, and kept with the model."""

import json
from collections import Counter

import pytest
import torch

from finecl_hf import FineCLConfig
from finecl_hf.data.documents import Document, Fact, Mention
from finecl_hf.denoising.arguments import DenoiseArguments
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.arguments import FinetuneArguments
from finecl_hf.extraction.label_priors import (
    DEFAULT_FACTOR,
    SHRINKAGE,
    check_label_prior,
    estimated_factors,
    label_priors,
    labelled_facts,
)
from finecl_hf.losses import adaptive_threshold_loss, pu_bce_loss, pu_ranking_loss, relation_loss
from tests.helpers.script_runs import run, same_weights, weights


LABELS = {"NA": 0, "born in": 1, "knows": 2, "lies in": 3}


def document(facts, size=3, pairs=None):
    entities = [[Mention("a", 0, i, i + 1, "PER")] for i in range(size)]
    return Document(f"{facts}{size}{pairs}", [["a"] * size], entities, [Fact(*fact) for fact in facts], pairs=pairs)


DOCUMENTS = [
    document([(0, 1, "knows"), (0, 1, "knows"), (1, 0, "knows"), (0, 1, "born in")]),
    document([(0, 1, "knows")], pairs=[(0, 1), (1, 0)]),
    document([], size=1),
]


def test_labelled_facts_count_once_and_pairs_are_those_that_are_judged():
    assert labelled_facts(iter(DOCUMENTS)) == (Counter({"knows": 3, "born in": 1}), 8)


def test_factors_that_are_given(tmp_path):
    shares = {"born in": 1 / 8, "knows": 3 / 8}
    for wanted, factors in ((None, [DEFAULT_FACTOR] * 2), ("1.5", [1.5, 1.5]), ("1", [1, 1])):
        priors = label_priors(wanted, iter(DOCUMENTS))
        expected = [[share, min(1, share * f)] for share, f in zip(shares.values(), factors, strict=True)]
        assert list(priors.values()) == [pytest.approx(pair) for pair in expected] and list(priors) == list(shares)
    file = tmp_path / "factors.json"
    file.write_text(json.dumps({"knows": 2}))
    assert label_priors(str(file), DOCUMENTS)["knows"] == pytest.approx([3 / 8, 6 / 8])
    assert label_priors(str(file), DOCUMENTS)["born in"] == pytest.approx([1 / 8, DEFAULT_FACTOR / 8])


def test_factors_that_validation_documents_tell():
    complete = [document([(0, 1, "knows"), (1, 2, "knows"), (2, 1, "knows"), (0, 2, "lies in")])] * 2
    labelled, pairs = labelled_facts(DOCUMENTS)
    factors = estimated_factors(labelled, pairs, *labelled_facts(complete))
    share = 12 / 8
    common = 8 / (4 * share)
    assert factors == {
        "knows": pytest.approx((6 + SHRINKAGE * common) / (3 * share + SHRINKAGE)),
        "born in": 1.0,  # fewer facts than labels would make less than 1 here: (0 + 3 x 1.33) / (1.5 + 3)
    }
    priors = label_priors("validation", DOCUMENTS, complete)
    assert priors["knows"][1] == pytest.approx(factors["knows"] * 3 / 8)


@pytest.mark.parametrize(
    "content", ['{"knows": 0.5}', '{"knows": true}', '{"knows": "x"}', "[1]", '{"likes": 2}', "{"]
)
def test_files_of_factors_that_mean_nothing(content, tmp_path):
    file = tmp_path / "factors.json"
    file.write_text(content)
    with pytest.raises(FineCLError, match="--label_prior"):
        label_priors(str(file), DOCUMENTS)


@pytest.mark.parametrize("wanted", ["0.9", "nan", "inf", "-3", "nowhere.json", "validation"])
def test_factors_that_mean_nothing(wanted):
    with pytest.raises(FineCLError, match="--label_prior"):
        label_priors(wanted, DOCUMENTS)


def test_validation_documents_without_these_relations():
    with pytest.raises(FineCLError, match="no fact of a relation that is trained on"):
        label_priors("validation", DOCUMENTS, [document([]), document([(0, 1, "another")])])


def test_sentences_have_nothing_unlabelled():
    sentences = [document([(0, 1, "knows")], pairs=[(0, 1)])] * 3
    with pytest.raises(FineCLError, match="are sentences"):
        label_priors(None, sentences)
    assert label_priors(None, [*sentences, *DOCUMENTS])


def test_losses_are_told_the_priors_of_their_relations():
    torch.manual_seed(0)
    logits, targets = torch.randn(20, 4), torch.rand(20, 4) < 0.3
    targets[:, 0] = ~targets[:, 1:].any(1)
    priors = {"knows": [0.2, 0.6], "born in": [0.25, 0.25]}
    table = torch.tensor([[0, 0.25, 0.2, 0], [0, 0.25, 0.6, 0]])
    weight = torch.rand(20) + 1
    for name, loss in (("pu_bce", pu_bce_loss), ("pu_ranking", pu_ranking_loss)):
        config = FineCLConfig.for_labels(LABELS, loss=name, label_priors=priors)
        assert torch.equal(
            relation_loss(config.loss, logits, targets, config.shares, weight), loss(logits, targets, table, weight)
        )
    config = FineCLConfig.for_labels(LABELS, loss="adaptive_threshold")
    assert torch.equal(
        relation_loss(config.loss, logits, targets, config.shares, weight), adaptive_threshold_loss(logits, targets)
    )


@pytest.mark.parametrize(
    "arguments, message",
    [(("bce", "3"), "--label_prior is for the losses pu_bce"), (("pu_bce", None, "sentence"), "is for documents"),
     (("pu_bce", None, "document", 0), "na_ratio 0"), (("pu_ranking", None, None, 3.0, "hard"), "na_sampling hard")],
)  # fmt: skip
def test_what_positive_unlabelled_losses_cannot_do(arguments, message):
    with pytest.raises(FineCLError, match=message):
        check_label_prior(*arguments)


def test_arguments_are_checked_before_any_work(tmp_path):
    check_label_prior("pu_bce", "3", "document", 3.0)
    for options in ({"task": "sentence"}, {"na_ratio": 0.0}, {"loss": "bce", "label_prior": "2"}, {"label_prior": "0"},
                    {"label_prior": str(tmp_path / "none.json")}):  # fmt: skip
        arguments = FinetuneArguments(str(tmp_path), **{"loss": "pu_bce", **options})
        with pytest.raises(FineCLError):
            arguments.complete(None)
    with pytest.raises(FineCLError, match="is for run_finetune"):
        DenoiseArguments(str(tmp_path), loss="pu_bce", label_prior="validation")


@pytest.mark.parametrize("loss", ["pu_bce", "pu_ranking"])
def test_training_keeps_its_priors_and_resumes_exactly(loss, bert_folder, corpus, tmp_path):
    options = {
        "loss": loss, "label_prior": "validation", "validation_file": corpus / "gold_test.json", "max_steps": 4,
        "eval_strategy": "no", "load_best_model_at_end": False, "save_strategy": "steps",
    }  # fmt: skip
    run("finetune", bert_folder, corpus, tmp_path / "whole", save_steps=4, **options)
    priors = FineCLConfig.from_pretrained(tmp_path / "whole").label_priors
    assert priors and all(0 < labelled <= true <= 1 for labelled, true in priors.values())
    run("finetune", bert_folder, corpus, tmp_path / "parts", save_steps=2, **options)
    (tmp_path / "parts" / "checkpoint-4").rename(tmp_path / "gone")
    run("finetune", bert_folder, corpus, tmp_path / "parts", save_steps=2, **options)
    assert same_weights(weights(tmp_path / "parts"), weights(tmp_path / "whole"))
    with pytest.raises(FineCLError, match="the label priors changed"):
        changed = {**options, "validation_file": corpus / "gold_train.json"}
        (tmp_path / "parts" / "model.safetensors").unlink()
        run("finetune", bert_folder, corpus, tmp_path / "parts", save_steps=2, **changed)


def test_a_relation_model_is_used_and_goes_on_with_its_loss(bert_folder, corpus, tmp_path):
    run("finetune", bert_folder, corpus, tmp_path / "a", loss="pu_bce", label_prior=2, max_steps=2)
    before = FineCLConfig.from_pretrained(tmp_path / "a")
    run("finetune", tmp_path / "a", corpus, tmp_path / "b", max_steps=1)
    after = FineCLConfig.from_pretrained(tmp_path / "b")
    assert (after.loss, set(after.label_priors)) == ("pu_bce", set(before.label_priors))
    options = {"do_train": False, "do_predict": True, "test_file": corpus / "gold_test.json"}
    figures = run("finetune", tmp_path / "a", corpus, tmp_path / "c", **options)
    assert "test_f1" in figures


@pytest.mark.parametrize("mode", ["batch", "epoch"])
def test_stage_1_learns_with_it(mode, bert_folder, corpus, tmp_path):
    order = run("denoise", bert_folder, corpus, tmp_path, loss="pu_bce", num_train_epochs=1, order_mode=mode)
    assert order.num_epochs == 1 and order.judged.any()
    assert FineCLConfig.from_pretrained(tmp_path).label_priors
