"""Evaluation through the Trainer's own loop: its flags, several sets, early stopping, metrics of users."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import EarlyStoppingCallback

from finecl_hf import FineCLConfig, FineCLForRelationExtraction, FinetuneTrainer
from finecl_hf.data.corpus import documents_of, load_corpus, relation_counts
from finecl_hf.data.documents import Document
from finecl_hf.encoding.batches import RelationCollator
from finecl_hf.encoding.encoders import load_tokenizer
from finecl_hf.encoding.features import DocumentEncoder, LabelledFeatures
from finecl_hf.errors import FineCLError
from finecl_hf.extraction import relation_thresholds
from finecl_hf.extraction.arguments import FinetuneArguments
from finecl_hf.extraction.predictions import JudgedCandidates, best_threshold, document_candidates, score_documents
from finecl_hf.training.loading import label_set


@pytest.fixture
def make(bert_folder, corpus, tmp_path):
    """`make(**flags)` gives a trainer whose `dev` and `test` are evaluation sets."""

    def make(eval_dataset="dev", compute_metrics=None, callbacks=None, **flags):
        tokenizer = load_tokenizer(bert_folder)
        cache = str(tmp_path / "cache")
        sets = {name: load_corpus(str(corpus / f"gold_{name}.json"), cache_dir=cache)
                for name in ("train", "validation", "test")}  # fmt: skip
        labels = label_set(relation_counts(sets["train"]) | relation_counts(sets["test"])
                           | relation_counts(sets["validation"]), {}, fixed=False)  # fmt: skip
        encoder = DocumentEncoder(tokenizer, labels, 64)
        dev, test = (LabelledFeatures(encoder.encode_corpus(sets[name]), documents_of(sets[name]))
                     for name in ("validation", "test"))  # fmt: skip
        flags = {"num_train_epochs": 1, "per_device_eval_batch_size": 2, "report_to": [], "seed": 3, **flags}
        torch.manual_seed(0)  # of the head
        config = FineCLConfig.for_labels(labels, head=flags.get("head", "bilinear"))
        trainer = FinetuneTrainer(
            model=FineCLForRelationExtraction.from_encoder(bert_folder, config),
            args=FinetuneArguments(output_dir=str(tmp_path / "out"), save_strategy="no", **flags)
            if "load_best_model_at_end" not in flags
            else FinetuneArguments(output_dir=str(tmp_path / "out"), **flags),
            train_dataset=encoder.encode_corpus(sets["train"]).with_format("numpy"),
            eval_dataset={"dev": dev, "test": {"dev": dev, "more": test}}.get(eval_dataset),
            data_collator=RelationCollator(tokenizer.pad_token_id),
            processing_class=tokenizer,
            compute_metrics=compute_metrics,
            callbacks=callbacks,
        )
        trainer.dev, trainer.test = dev, test
        return trainer

    return make


def expected(trainer, dataset, threshold=None):
    """The figures document by document, without the Trainer."""
    model, collator = trainer.model.eval(), RelationCollator(0)
    candidates = []
    for i in range(len(dataset)):
        batch = collator([dataset[i]])
        candidates += document_candidates(model(**batch).logits.detach(), batch, model.config)
    config = model.config
    judged = JudgedCandidates.of(dataset.documents, candidates, config)
    config.threshold = best_threshold(judged) if threshold is None else threshold
    return score_documents(dataset.documents, candidates, config), config.threshold


@pytest.mark.parametrize(
    "flags",
    [{}, {"batch_eval_metrics": True}, {"eval_do_concat_batches": True}, {"eval_accumulation_steps": 1},
     {"train_sampling_strategy": "group_by_length"}],
)  # fmt: skip
def test_figures_are_those_of_a_loop_over_documents(flags, make):
    trainer = make(**flags)
    metrics = trainer.evaluate()  # of a model that was never trained
    figures, threshold = expected(trainer, trainer.dev)
    assert metrics["eval_threshold"] == pytest.approx(threshold, rel=1e-4)
    assert metrics["eval_f1"] == pytest.approx(figures["f1"], abs=1e-6)
    output = trainer.predict(trainer.test)
    assert (
        len(output.predictions) == len(trainer.test)
        and output.metrics["test_threshold"] == trainer.model.config.threshold
    )
    figures, _ = expected(trainer, trainer.test, trainer.model.config.threshold)
    assert output.metrics["test_f1"] == pytest.approx(figures["f1"], abs=1e-6)


def test_the_loss_is_a_mean_over_pairs(make):
    trainer = make(per_device_eval_batch_size=1)
    one = trainer.evaluate()["eval_loss"]
    trainer = make(per_device_eval_batch_size=4)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(one, rel=1e-4)


@pytest.mark.parametrize("head", ["bilinear", "evidence"])
def test_documents_that_are_judged_twice_leave_the_loss_as_it_is(make, head, monkeypatch):
    """With several processes the sampler repeats some, in batches with others."""
    trainer = make(per_device_eval_batch_size=2, head=head)
    expected = trainer.evaluate()["eval_loss"]
    load = trainer.get_eval_dataloader

    def repeated(*args):
        loader = load(*args)
        order = [*range(len(loader.dataset)), 0, 2, 1, 0]
        return DataLoader(loader.dataset, sampler=order, batch_size=3, collate_fn=loader.collate_fn)

    monkeypatch.setattr(trainer, "get_eval_dataloader", repeated)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(expected, rel=1e-5)


def test_of_several_sets_the_first_fits_the_threshold(make):
    trainer = make(eval_dataset="test")
    metrics = trainer.evaluate()
    assert metrics["eval_dev_threshold"] == metrics["eval_more_threshold"]
    assert make().evaluate()["eval_threshold"] == pytest.approx(metrics["eval_dev_threshold"])


def test_only_the_validation_set_fits_the_threshold(make):
    """Whatever it is called, and never another set."""
    trainer = make(eval_dataset="test")
    trainer.evaluate(metric_key_prefix="dev")
    fitted = trainer.model.config.threshold
    assert fitted == pytest.approx(make().evaluate()["eval_threshold"])
    trainer.model.config.threshold = 0.5
    assert trainer.evaluate(trainer.test)["eval_threshold"] == 0.5
    assert trainer.predict(trainer.dev).metrics["test_threshold"] == 0.5
    trainer.evaluate(trainer.dev, metric_key_prefix="dev")
    assert trainer.model.config.threshold == fitted


def test_a_validation_set_without_facts_fits_nothing(make, caplog):
    trainer = make()
    trainer.model.config.threshold = 0.25
    for document in trainer.dev.documents:
        document.relations = []
    assert trainer.evaluate()["eval_threshold"] == 0.25
    assert "No validation document has a fact" in caplog.text


def test_flags_of_precision(make, monkeypatch):
    monkeypatch.setattr(relation_thresholds, "LEAST_FACTS", 1)
    trainer = make(relation_thresholds=True, na_sampling="hard", na_ratio=1.0)
    trainer.evaluate()
    gold = {fact.relation for document in trainer.dev.documents for fact in document.relations}
    config = trainer.model.config
    assert set(config.relation_thresholds) == gold and config.temperature > 0
    fitted = dict(config.relation_thresholds)
    trainer.predict(trainer.test)
    assert config.relation_thresholds == fitted
    assert trainer.data_collator.type_pairs.tolist() == []  # nobody gave training documents
    trainer.train()


@pytest.mark.parametrize("kind", ["dataset", "subset"])
def test_other_sets_are_refused(make, kind):
    trainer = make()
    other = trainer.train_dataset if kind == "dataset" else torch.utils.data.Subset(trainer.dev, [0])
    with pytest.raises(FineCLError, match="LabelledFeatures"):
        trainer.evaluate(other)


@pytest.mark.parametrize("argument", ["compute_loss_func", "preprocess_logits_for_metrics"])
def test_arguments_without_effect_are_refused(make, argument):
    trainer = make()
    with pytest.raises(FineCLError, match=argument):
        FinetuneTrainer(trainer.model, trainer.args, **{argument: lambda *args: None})


def test_dropping_the_last_batch_is_for_training_only(make):
    trainer = make(dataloader_drop_last=True, per_device_train_batch_size=4)
    assert set(trainer.evaluate()) == set(make().evaluate())
    assert trainer.args.dataloader_drop_last
    with pytest.raises(FineCLError, match="dataloader_drop_last"):
        make(dataloader_drop_last=True, per_device_train_batch_size=400).train()


def test_metrics_of_users_stand_beside_ours(make):
    def count(prediction):
        return {
            "predicted": sum(len(part.score) for part in prediction.predictions),
            "asked": len(prediction.label_ids),
        }

    metrics = make(compute_metrics=count).evaluate()
    assert metrics["eval_asked"] == 5 and metrics["eval_predicted"] > 0 and "eval_f1" in metrics


def test_early_stopping(make):
    stopping = EarlyStoppingCallback(early_stopping_patience=1, early_stopping_threshold=1.0)
    trainer = make(
        callbacks=[stopping], num_train_epochs=8, eval_strategy="epoch", save_strategy="epoch", learning_rate=0.0,
        load_best_model_at_end=True,
    )  # fmt: skip
    trainer.train()
    assert trainer.state.epoch == 2 and np.isfinite(trainer.state.best_metric)


def test_a_dataset_without_documents_is_refused(make):
    trainer = make()
    with pytest.raises(FineCLError, match="LabelledFeatures"):
        trainer.evaluate(Dataset.from_list(trainer.dev.features.to_list()))


def test_only_the_loss(make):
    metrics = make(prediction_loss_only=True).evaluate()
    assert metrics["eval_loss"] > 0 and "eval_f1" not in metrics


def test_sentences_are_calibrated_on_the_validation_set(bert_folder, tmp_path):
    gold = [read_sentence(f"Ada {verb} Rome {i} .", relation) for i in range(8)
            for verb, relation in (("left", "left"), ("saw", "NA"), ("likes", "left" if i % 2 else "NA"))]  # fmt: skip
    tokenizer = load_tokenizer(bert_folder)
    encoder = DocumentEncoder(tokenizer, {"NA": 0, "left": 1, "likes": 2}, 32)
    config = FineCLConfig.for_encoder(encoder, task="sentence", loss="softmax", head="sentence")
    torch.manual_seed(0)
    trainer = FinetuneTrainer(
        model=FineCLForRelationExtraction.from_encoder(bert_folder, config),
        args=FinetuneArguments(output_dir=str(tmp_path), task="sentence", learning_rate=3e-3, num_train_epochs=3,
                               save_strategy="no", report_to=[]),
        train_dataset=encoder.dataset(gold),
        eval_dataset=encoder.dataset(gold),
        processing_class=tokenizer,
    )  # fmt: skip
    trainer.train()
    before = trainer.predict(encoder.dataset(gold)).metrics["test_ece"]
    metrics = trainer.evaluate()
    config = trainer.model.config
    assert (config.temperature, config.score_bias) != (1.0, 0.0) and config.threshold == 0.0
    assert metrics["eval_ece"] < before and trainer.predict(encoder.dataset(gold)).metrics["test_ece"] < before


def read_sentence(text, relation):
    words = text.split()
    vertex_set = [[{"name": words[p], "sent_id": 0, "pos": [p, p + 1], "type": "X"}] for p in (0, 2)]
    labels = [{"h": 0, "t": 1, "r": relation}] if relation != "NA" else []
    return Document.from_dict(
        {"title": text, "sents": [words], "vertexSet": vertex_set, "labels": labels, "pairs": [[0, 1]]}
    )
