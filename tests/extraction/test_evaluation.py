"""What stage 3 evaluates on."""

from dataclasses import replace

import pytest

from finecl_hf.data.readers import write_documents
from finecl_hf.errors import DocumentError, FineCLError
from finecl_hf.extraction.arguments import FinetuneArguments
from finecl_hf.extraction.evaluation import load_evaluation_set
from finecl_hf.training.arguments import DataArguments, ModelArguments
from finecl_hf.training.loading import load_encoder


LABELS = {"NA": 0, "born in": 1, "capital of": 2, "died in": 3, "located in": 4}


def test_evaluation_sets_are_checked(ada, curie, bert_folder, tmp_path):
    path = str(tmp_path / "documents.json")
    write_documents([ada, curie], path)
    args = FinetuneArguments(output_dir=str(tmp_path / "out"))
    data = DataArguments(train_file=path, cache_dir=str(tmp_path / "cache"))
    encoder = load_encoder(ModelArguments(bert_folder), LABELS)
    assert load_evaluation_set(None, None, "validation", encoder, data, args) is None
    validation = load_evaluation_set(path, 1, "validation", encoder, data, args)
    assert validation.documents == [ada]
    assert [row["fact_key"] for row in validation] == [[ada.fact_key(fact) for fact in ada.relations]]
    fewer = {relation: i for relation, i in LABELS.items() if relation != "died in"}
    with pytest.raises(DocumentError, match='the relation "died in" is not among'):
        load_evaluation_set(path, None, "test", replace(encoder, label2id=fewer), data, args)
    with pytest.raises(DocumentError, match="--task sentence needs exactly one judged pair"):
        args.task = "sentence"
        load_evaluation_set(path, None, "test", encoder, data, args)


def test_validation_needs_labels(ada, bert_folder, tmp_path):
    path = str(tmp_path / "documents.json")
    write_documents([replace(ada, relations=[], labelled=False)], path)
    data = DataArguments(train_file=path, cache_dir=str(tmp_path / "cache"))
    encoder = load_encoder(ModelArguments(bert_folder), LABELS)
    args = FinetuneArguments(output_dir=str(tmp_path / "out"))
    with pytest.raises(FineCLError, match="--test_file"):
        load_evaluation_set(path, None, "validation", encoder, data, args)
    assert len(load_evaluation_set(path, None, "test", encoder, data, args)) == 1
