"""The notebook of docs/python.md runs as it is, on a tiny encoder; and what trainers say to notebook users."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from transformers import AutoModel, AutoModelForMaskedLM

from finecl_hf import (
    DenoiseArguments,
    DenoiseTrainer,
    DocumentEncoder,
    FineCLConfig,
    FineCLForRelationExtraction,
    FinetuneArguments,
    FinetuneTrainer,
    LearningOrder,
    PretrainArguments,
    PretrainTrainer,
    RelationExtractionPipeline,
)
from finecl_hf.errors import FineCLError


PAGE = (Path(__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8")
NOTEBOOK = PAGE[PAGE.index("## In a notebook") :]
RECORDS, FINETUNE, DENOISE, PRETRAIN, SEARCH = re.findall(r"```python\n(.*?)```", NOTEBOOK, re.DOTALL)[:5]
LABELS = {"NA": 0, "born in": 1, "works for": 2}
needs_optuna = pytest.mark.skipif(find_spec("optuna") is None, reason="optuna is not installed")


@pytest.fixture
def cell(bert_folder, tmp_path, monkeypatch):
    """Runs a block of the page in one namespace, with the tiny encoder, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    names = {}

    def run(code):
        exec(code.replace("bert-base-uncased", str(bert_folder)), names)
        return names

    return run


@pytest.fixture
def records(cell):
    return cell(RECORDS)["records"]


@pytest.fixture
def encoder(bert_tokenizer):
    return DocumentEncoder(bert_tokenizer, LABELS, 64)


@pytest.fixture
def relation_model(bert_folder, encoder):
    def make(**settings):
        return FineCLForRelationExtraction.from_encoder(bert_folder, FineCLConfig.for_encoder(encoder, **settings))

    return make


@pytest.mark.parametrize("code", [FINETUNE, DENOISE, PRETRAIN])
def test_no_trainer_needs_more_than_fifteen_lines(code):
    assert len([line for line in code.splitlines() if line.strip()]) <= 15


def test_the_notebook_of_the_page(cell, records, tmp_path):
    trainer = cell(FINETUNE)["trainer"]
    assert trainer.state.epoch == 3 and 0 <= trainer.evaluate()["eval_f1"] <= 1
    assert trainer.evaluate()["eval_ign_f1"] < trainer.evaluate()["eval_f1"] or trainer.evaluate()["eval_f1"] == 0
    found = RelationExtractionPipeline.from_pretrained("outputs/extractor")(trainer.eval_dataset.documents)
    assert len(found) == 4 and {triple["relation"] for triples in found for triple in triples} <= LABELS.keys()
    cell(DENOISE)
    assert LearningOrder.read("outputs/denoise/learning_order.parquet").num_epochs == 3
    cell(PRETRAIN)
    for kind in (AutoModel, AutoModelForMaskedLM):
        kind.from_pretrained("outputs/encoder")


@needs_optuna
def test_the_search_of_the_page(cell, records):
    cell(FINETUNE)
    names = cell(SEARCH)
    assert 1e-5 <= names["trainer"].args.learning_rate <= 1e-3


def space(trial):
    return {"learning_rate": trial.suggest_float("learning_rate", 1e-3, 2e-3)}


@needs_optuna
@pytest.mark.parametrize("stage", [pytest.param("denoise", marks=pytest.mark.slow), "pretrain"])
def test_other_stages_search_for_the_lowest_loss(stage, bert_folder, relation_model, encoder, records, tmp_path):
    sets = {"train_dataset": encoder.dataset(records[:12]), "eval_dataset": encoder.dataset(records[12:])}
    common = {"save_strategy": "no", "report_to": [], "max_steps": 2}
    if stage == "denoise":
        args = DenoiseArguments(str(tmp_path), **common)
        trainer = DenoiseTrainer(model_init=lambda trial=None: relation_model(loss="softmax"), args=args, **sets)
    else:
        args = PretrainArguments(str(tmp_path), weight_scheme="uniform", gradient_accumulation_steps=1, **common)
        model_init = lambda trial=None: AutoModelForMaskedLM.from_pretrained(bert_folder)  # noqa: E731
        trainer = PretrainTrainer(model_init=model_init, args=args, **sets)
    best = trainer.hyperparameter_search(space, backend="optuna", n_trials=2)
    assert best.objective > 0 and 1e-3 <= best.hyperparameters["learning_rate"] <= 2e-3


def test_a_second_training_starts_a_new_order(relation_model, encoder, records, tmp_path):
    """As in a search, where one trainer trains several times."""
    args = DenoiseArguments(str(tmp_path), num_train_epochs=2, save_strategy="no", report_to=[])
    trainer = DenoiseTrainer(
        model_init=lambda: relation_model(loss="softmax"), args=args, train_dataset=encoder.dataset(records)
    )
    trainer.train()
    first = trainer.learning_order.order.to_table()
    trainer.train()
    assert trainer.learning_order.order.num_epochs == 2
    assert trainer.learning_order.order.to_table().equals(first)  # the same seed, the same model
    assert LearningOrder.read(tmp_path / "learning_order.parquet").to_table().equals(first)


def test_the_evaluation_of_stage_2_gives_its_loss(bert_folder, encoder, records, tmp_path):
    args = PretrainArguments(str(tmp_path), weight_scheme="uniform", temperature=0.1, max_negatives=3, report_to=[])
    sets = {"train_dataset": encoder.dataset(records[:12]), "eval_dataset": encoder.dataset(records[12:])}
    trainer = PretrainTrainer(AutoModelForMaskedLM.from_pretrained(bert_folder), args, **sets)
    assert (trainer.temperature, trainer.max_negatives) == (0.1, 3)
    assert trainer.usable is not None and trainer.data_collator.relation_tokens[1]
    assert trainer.evaluate()["eval_loss"] > 0


# What users get wrong -----------------------------------------------------------------------------


def change(record, **values):
    return {**record, **values}


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda records: [], "there is no document"),
        (lambda records: [records[0], records[0]], "document 1.*same title"),
        (lambda records: [change(records[0], vertexSet=[])], "document 0"),
        (lambda records: [change(records[0], labels=[{"h": 0, "t": 1, "r": "spouse"}])], '"spouse" is not among'),
    ],
)
def test_documents_are_checked(spoil, words, encoder, records):
    with pytest.raises(FineCLError, match=words):
        encoder.dataset(spoil(records))


def test_documents_of_another_label_set_are_refused(bert_tokenizer, relation_model, encoder, records, tmp_path):
    swapped = DocumentEncoder(bert_tokenizer, {"NA": 0, "works for": 1, "born in": 2}, 64)
    args, model = FinetuneArguments(str(tmp_path), report_to=[]), relation_model()
    with pytest.raises(FineCLError, match="another order.*model.config.label2id"):
        FinetuneTrainer(model, args, train_dataset=swapped.dataset(records))
    trainer = FinetuneTrainer(model, args, train_dataset=encoder.dataset(records))
    with pytest.raises(FineCLError, match="another order.*model.config.label2id"):
        trainer.evaluate(swapped.dataset(records))
    shorter = DocumentEncoder(bert_tokenizer, LABELS, 32)
    with pytest.raises(FineCLError, match="max_length=32.*max_seq_length=64.*for_encoder"):
        trainer.predict(shorter.dataset(records))


def test_an_empty_set_is_a_sentence(relation_model, encoder, records, tmp_path):
    trainer = FinetuneTrainer(relation_model(), FinetuneArguments(str(tmp_path)), processing_class=encoder.tokenizer)
    empty = encoder.dataset(records)
    empty.features, empty.documents = empty.features.select([]), []
    with pytest.raises(FineCLError, match="no document to evaluate on or to predict"):
        trainer.predict(empty)


@pytest.mark.parametrize("what", ["arguments", "tokenizer", "order", "loss", "collator"])
def test_what_is_missing_is_named(what, bert_folder, relation_model, encoder, records, tmp_path):
    model, args, plain = relation_model(), FinetuneArguments(str(tmp_path)), encoder.dataset(records).features
    denoise = DenoiseArguments(str(tmp_path), loss="adaptive_threshold")
    pretrain = PretrainArguments(str(tmp_path), weight_scheme="uniform")
    wrong = {
        "arguments": (lambda: FinetuneTrainer(model), "give it.*FinetuneArguments"),
        "tokenizer": (lambda: FinetuneTrainer(model, args, train_dataset=plain), "processing_class=tokenizer"),
        "order": (
            lambda: DenoiseTrainer(model, denoise, train_dataset=plain, processing_class=encoder.tokenizer),
            "learning_order is missing",
        ),
        "loss": (
            lambda: DenoiseTrainer(model, DenoiseArguments(str(tmp_path)), train_dataset=encoder.dataset(records)),
            "loss='softmax'.*for_encoder",
        ),
        "collator": (
            lambda: PretrainTrainer(
                AutoModelForMaskedLM.from_pretrained(bert_folder), pretrain, train_dataset=plain,
                processing_class=encoder.tokenizer,
            ),
            "no label set.*DocumentEncoder.dataset",
        ),
    }  # fmt: skip
    make, words = wrong[what]
    with pytest.raises(FineCLError, match=words):
        make()
