"""What stage 1 begins with and leaves."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest
from datasets import Dataset

from finecl_hf.data.corpus import row_of
from finecl_hf.data.readers import read_documents, write_documents
from finecl_hf.denoising.arguments import DenoiseArguments
from finecl_hf.denoising.outputs import check_reach, new_order, write_denoising
from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.missing_labels import MissingLabel, read_missing
from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.learning_order.verdicts import Verdict, Verdicts, with_verdicts
from finecl_hf.training.arguments import DataArguments


@pytest.fixture
def left(tmp_path, ada, curie, capsys):
    """Writes what is left of a run in which the model was unsure of Ada's first label only."""
    write_documents([ada, curie], tmp_path / "silver.json")
    corpus = Dataset.from_list([row_of(document, "silver.json", i) for i, document in enumerate((ada, curie))])

    def written(missing=None, verdicts=None, **options):
        order = LearningOrder.for_documents([ada, curie])
        probability = np.array([0.1, 0.9, 0.8, 0.7, 0.6])
        order.record_epoch(probability, 2 * probability - 1, probability > 0.5)
        order = with_verdicts(order, verdicts) if verdicts else order
        args = DenoiseArguments(str(tmp_path), use_cpu=True, score="probability", **options)
        data = DataArguments(train_file=str(tmp_path / "silver.json"))
        write_denoising(order, corpus, {}, data, args, verdicts, missing)
        return capsys.readouterr().out

    return written


def test_files_and_words(left, tmp_path, ada):
    row = MissingLabel("Ada#0#3#born in", "Ada", 0, 3, "born in", "Ada Lovelace", "Charles Babbage", *[0.5] * 5)
    said = left([row])
    assert "No self-test: of --probe_share 0.05, fewer than 20" in said and "5 facts, 1 epoch" in said
    assert len(LearningOrder.read(tmp_path / "learning_order.parquet")) == 5
    assert read_missing(tmp_path / "missing_labels.parquet") == [row]
    assert "Charles Babbage" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert all(f"Wrote {tmp_path / name}" in said for name in ("learning_order.parquet", "report.html"))


def test_what_nobody_asked_for(left, tmp_path):
    said = left(None, report=False, probe_share=0.0)
    assert {path.name for path in tmp_path.iterdir()} == {"silver.json", "learning_order.parquet"}
    assert "self-test" not in said


def test_the_least_trusted_labels_leave_the_corpus(left, tmp_path, ada):
    left(None, write_clean=str(tmp_path / "clean.json"), clean_share=0.8)
    kept = {document.title: document.relations for document in read_documents(tmp_path / "clean.json")}
    assert kept["Ada"] == ada.relations[1:] and len(kept["Curie"]) == 2
    assert (tmp_path / "report.html").exists()  # of the same pass over the source


def test_without_an_estimate_all_labels_stay(left, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        left(None, write_clean=str(tmp_path / "clean.json"), report=False)
    assert "all are kept; give a --clean_share" in caplog.text
    assert sum(len(document.relations) for document in read_documents(tmp_path / "clean.json")) == 5


def test_a_corrected_corpus_is_cleaned(left, tmp_path, ada, curie):
    """The order speaks of the labels that were trained on, not of those in the file."""
    fact = ada.relations[2]
    ids = [document.instance_id(fact) for document in (ada, curie) for fact in document.relations]
    wrong = Verdict(ada.instance_id(fact), "Ada", fact.head, fact.tail, fact.relation, "wrong")
    for share, kept in ((1.0, {0, 1, 3, 4}), (0.75, {1, 3, 4})):  # of the four labels that are left
        left(None, Verdicts([wrong]), write_clean=str(tmp_path / "clean.json"), clean_share=share, report=False)
        documents = read_documents(tmp_path / "clean.json")
        found = {document.instance_id(fact) for document in documents for fact in document.relations}
        assert found == {name for i, name in enumerate(ids) if i in kept}


def test_a_new_order_has_the_labels_that_people_call_wrong(tmp_path, ada, curie):
    silver = SimpleNamespace(corpus=Dataset.from_list([row_of(curie, "f", 0)]))
    args = DenoiseArguments(str(tmp_path), use_cpu=True)
    wrong = Verdict("Ada#0#1#born in", "Ada", 0, 1, "born in", "wrong")
    order = new_order(silver, DataArguments(), args, Verdicts([wrong]))
    assert dict(zip(order.instance_id.to_pylist(), order.verdict.tolist(), strict=True)) == {
        "Curie#0#1#born in": 0, "Curie#0#2#died in": 0, "Ada#0#1#born in": -1,
    }  # fmt: skip
    assert len(new_order(silver, DataArguments(), args)) == 2 and order.num_epochs == 0


@pytest.mark.parametrize("keys, reached", [([[], [7]], True), ([[], []], False)])
def test_labels_out_of_reach(keys, reached):
    features = Dataset.from_dict({"fact_key": keys})
    silver = SimpleNamespace(features=features, encoder=SimpleNamespace(max_length=16))
    if reached:
        check_reach(silver)
    else:
        with pytest.raises(FineCLError, match="within 16 tokens .* raise --max_seq_length"):
            check_reach(silver)
