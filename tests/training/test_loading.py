"""From arguments to corpora, label sets, features and weights."""

import logging
import random
from dataclasses import replace
from itertools import islice

import pytest

from finecl_hf.data.corpus import documents_of, load_corpus, relation_counts
from finecl_hf.data.documents import Document
from finecl_hf.data.readers import write_documents
from finecl_hf.denoising.arguments import DenoiseArguments
from finecl_hf.errors import FineCLError
from finecl_hf.training.arguments import DataArguments, ModelArguments
from finecl_hf.training.loading import (
    label_set,
    load_encoder,
    load_features,
    load_training_corpus,
    training_data,
)
from tests.helpers.small_documents import silver_documents


LABELS = {"NA": 0, "born in": 1, "capital of": 2, "died in": 3, "located in": 4}


@pytest.fixture
def silver(ada, curie):
    return silver_documents(ada, curie)


@pytest.fixture
def train_file(silver, tmp_path):
    write_documents(silver, tmp_path / "train.json")
    return str(tmp_path / "train.json")


@pytest.fixture
def data(train_file, tmp_path):
    return lambda **kwargs: DataArguments(**{"train_file": train_file, "cache_dir": str(tmp_path / "cache"), **kwargs})


@pytest.fixture
def denoise(tmp_path):
    return DenoiseArguments(output_dir=str(tmp_path / "out"))


# Label sets ---------------------------------------------------------------------------------------


def test_the_label_set_depends_on_no_order():
    relations = ["P1", "P10", "P2", "born in", "NA", "é"]
    for seed in range(5):
        shuffled = random.Random(seed).sample(relations, len(relations))
        assert label_set(dict.fromkeys(shuffled, 1), {}, fixed=False) == (
            {"NA": 0, "P1": 1, "P10": 2, "P2": 3, "born in": 4, "é": 5}
        )


def test_rel_info_adds_relations_or_fixes_them():
    counts, names = {"a": 1, "b": 2}, {"b": "bee", "c": "sea"}
    assert list(label_set(counts, names, fixed=False)) == ["NA", "a", "b", "c"]
    assert list(label_set(counts, names, fixed=True)) == ["NA", "b", "c"]
    assert list(label_set(counts, {}, fixed=True)) == ["NA", "a", "b"]


@pytest.mark.parametrize("counts, names", [({}, {}), ({"NA": 3}, {}), ({}, {"NA": "none"})])
def test_an_empty_label_set(counts, names):
    with pytest.raises(FineCLError, match="The label set is empty"):
        label_set(counts, names, fixed=False)
    with pytest.raises(FineCLError, match="train.json: the label set is empty"):
        label_set(counts, names, fixed=True, source="train.json")


# Training documents -------------------------------------------------------------------------------


def test_the_order_of_the_file_has_no_influence(silver, data, denoise, tmp_path):
    write_documents(silver[::-1], tmp_path / "backwards.json")
    one = load_training_corpus(data(), denoise)
    two = load_training_corpus(data(train_file=str(tmp_path / "backwards.json")), denoise)
    assert documents_of(one) == documents_of(two) and len(one) == 7


def test_shards_in_any_arrangement_are_the_same_corpus(silver, data, denoise, tmp_path):
    for folder, sizes in (("a", [3, 3, 1]), ("b", [1, 5, 1])):
        documents = iter(silver if folder == "a" else silver[::-1])
        for number, size in enumerate(sizes):
            write_documents(islice(documents, size), tmp_path / folder / f"silver-{number}.jsonl")
    one = load_training_corpus(data(), denoise)
    shards = [
        load_training_corpus(data(train_file=str(tmp_path / name), preprocessing_num_workers=2), denoise)
        for name in ("a", "b", "b/silver-*.jsonl")
    ]
    assert all(documents_of(corpus) == documents_of(one) for corpus in shards)
    with pytest.raises(FineCLError, match="no file has a name like this"):
        load_training_corpus(data(train_file=str(tmp_path / "c" / "*.json")), denoise)
    assert training_data(data(train_file=f"{tmp_path}/a/"), one, {}).name == "a"


def test_max_train_samples_and_an_empty_rest(data, denoise):
    assert len(load_training_corpus(data(max_train_samples=3), denoise)) == 3
    with pytest.raises(FineCLError, match="--max_train_samples 0 is out of range; give a number of at least 1"):
        data(max_train_samples=0)


def test_exclude_file_drops_the_held_out_pairs(silver, data, denoise, curie, tmp_path, caplog):
    held_out = replace(curie, title="test", relations=curie.relations[:1])  # Marie Curie, Warsaw
    write_documents([held_out], tmp_path / "test.json")
    with caplog.at_level(logging.INFO, "finecl_hf"):
        corpus = load_training_corpus(data(exclude_file=str(tmp_path / "test.json")), denoise)
    found = {document.title: document for document in documents_of(corpus)}
    assert found.keys() == {document.title for document in silver}  # the documents stay, the facts go
    for document in silver:
        kept = [fact for fact in document.relations if fact.relation != "born in" or document.title == "d1"]
        assert found[document.title] == replace(document, relations=kept)
    assert "1 facts about entity pairs of" in caplog.text
    assert list(corpus["key"]) == list(load_training_corpus(data(), denoise)["key"])


def test_exclude_file_that_leaves_nothing(data, denoise, tmp_path):
    sentence = Document.from_dict(
        {
            "title": "s",
            "sents": [["a", "b"]],
            "vertexSet": [[{"sent_id": 0, "pos": [0, 1]}], [{"sent_id": 0, "pos": [1, 2]}]],
            "labels": [{"h": 0, "t": 1, "r": "r"}],
            "pairs": [[0, 1]],
        }
    )
    write_documents([sentence], tmp_path / "s.json")
    with pytest.raises(FineCLError, match="s.json: no fact is left to train on, because --exclude_file .*s.json"):
        load_training_corpus(data(train_file=str(tmp_path / "s.json"), exclude_file=str(tmp_path / "s.json")), denoise)


def test_training_data_for_the_card(data, train_file, tmp_path):
    corpus = load_corpus(train_file, cache_dir=str(tmp_path))
    card = training_data(data(), corpus, relation_counts(corpus))
    assert (card.name, card.documents, card.on_hub) == ("train.json", 7, False)
    hub = training_data(data(train_file=None, dataset_name="user/corpus"), corpus, relation_counts(corpus))
    assert (hub.name, hub.split, hub.on_hub) == ("user/corpus", "train", True)


# Encoder and features -----------------------------------------------------------------------------


def test_encoder_tokenizer_and_length(bert_folder, roberta_folder):
    encoder = load_encoder(ModelArguments(roberta_folder, entity_markers="asterisk"), LABELS)
    assert encoder.max_length == 128 and encoder.entity_markers == "asterisk"
    assert encoder.tokenizer(["a"], is_split_into_words=True).word_ids()[1] == 0
    assert load_encoder(ModelArguments(bert_folder, max_seq_length=32), LABELS).max_length == 32
    with pytest.raises(FineCLError, match="--max_seq_length 4000 is out of range"):
        load_encoder(ModelArguments(bert_folder, max_seq_length=4000), LABELS)


def test_an_encoder_that_is_not_there(tmp_path):
    with pytest.raises(FineCLError, match="nobody/nothing: no such folder, and it cannot be loaded") as error:
        load_encoder(ModelArguments("nobody/nothing"), LABELS)
    assert "\n" not in str(error.value)
    for name in (str(tmp_path / "nowhere"), "./nowhere", "../nowhere", "outputs/of/nothing"):
        with pytest.raises(
            FineCLError, match=f"--model_name_or_path {name}: no such folder, and no such model on the"
        ):
            load_encoder(ModelArguments(name), LABELS)
    with pytest.raises(FineCLError, match="cannot be loaded"):
        load_encoder(ModelArguments(str(tmp_path)), LABELS)


def test_features_tell_what_truncation_cost(data, denoise, bert_folder, train_file, tmp_path, caplog):
    encoder = load_encoder(ModelArguments(bert_folder, max_seq_length=12), LABELS)
    corpus = load_corpus(train_file, cache_dir=str(tmp_path))
    with caplog.at_level(logging.INFO, "finecl_hf"):
        features, truncation = load_features(corpus, encoder, data(), denoise)
    assert len(features) == 7 and truncation.lost_facts == sum(features["lost_facts"]) > 0
    assert f"Training documents: 7. {truncation}" in caplog.text
