"""From arguments to corpora, label sets, features and weights."""

import json
import logging
import random
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from finecl_hf.data.corpus import documents_of, load_corpus, relation_counts
from finecl_hf.data.documents import Document
from finecl_hf.data.readers import write_documents
from finecl_hf.data.relation_names import read_relation_names
from finecl_hf.denoising.arguments import DenoiseArguments
from finecl_hf.encoding.features import encode_corpus, instance_ids, with_fact_column
from finecl_hf.errors import DocumentError, FineCLError
from finecl_hf.extraction.arguments import FinetuneArguments
from finecl_hf.extraction.evaluation import load_evaluation_set
from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.pretraining.arguments import PretrainArguments
from finecl_hf.pretraining.fact_weights import fact_weights, usable_facts
from finecl_hf.training.arguments import DataArguments, ModelArguments
from finecl_hf.training.loading import (
    label_set,
    load_encoder_tokenizer,
    load_features,
    load_training_corpus,
    training_data,
)


LABELS = {"NA": 0, "born in": 1, "capital of": 2, "died in": 3, "located in": 4}


@pytest.fixture
def silver(ada, curie):
    """Documents with and without facts, also at either end and next to each other."""
    bare = replace(ada, relations=[])
    order = [bare, ada, bare, bare, curie, replace(curie, relations=curie.relations[1:]), bare]
    return [replace(document, title=f"d{i}") for i, document in enumerate(order)]


@pytest.fixture
def train_file(silver, tmp_path):
    write_documents(silver, tmp_path / "train.json")
    return str(tmp_path / "train.json")


@pytest.fixture
def features(train_file, bert_tokenizer, tmp_path):
    return encode_corpus(load_corpus(train_file, cache_dir=str(tmp_path)), bert_tokenizer, LABELS, 128)


@pytest.fixture
def data(train_file, tmp_path):
    return lambda **kwargs: DataArguments(**{"train_file": train_file, "cache_dir": str(tmp_path / "cache"), **kwargs})


@pytest.fixture
def denoise(tmp_path):
    return DenoiseArguments(output_dir=str(tmp_path / "out"))


def pretrain(tmp_path, **kwargs):
    return PretrainArguments(output_dir=str(tmp_path / "out"), **kwargs)


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


def test_relation_names_leave_na_out(tmp_path):
    assert read_relation_names(None) == {}
    (tmp_path / "rel_info.json").write_text('{"NA": "no relation", "P19": "place of birth", "é": "\\u00e9t\\u00e9"}')
    assert read_relation_names(str(tmp_path / "rel_info.json")) == {"P19": "place of birth", "é": "été"}


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "cannot be read as JSON"),
        ('["P19"]', 'expected an object such as {"P19"'),
        ('{"P19": 19}', 'expected an object such as {"P19"'),
        ('{"P19": null}', 'expected an object such as {"P19"'),
        ("{}", "the label set is empty"),
        ('{"NA": "none"}', "the label set is empty"),
    ],
)
def test_unusable_relation_names(text, message, tmp_path):
    path = tmp_path / "rel_info.json"
    path.write_text(text)
    with pytest.raises(FineCLError) as error:
        read_relation_names(str(path))
    assert str(error.value).startswith(f"--rel_info {path}: ") and message in str(error.value)


def test_relation_names_that_are_not_there_or_not_text(tmp_path):
    with pytest.raises(FineCLError, match="--rel_info .*nowhere.json: there is no such file"):
        read_relation_names(str(tmp_path / "nowhere.json"))
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FineCLError, match="cannot be read as JSON"):
        read_relation_names(str(tmp_path / "binary.json"))


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
    tokenizer, length = load_encoder_tokenizer(ModelArguments(roberta_folder))
    assert length == 128 and tokenizer(["a"], is_split_into_words=True).word_ids()[1] == 0
    assert load_encoder_tokenizer(ModelArguments(bert_folder, max_seq_length=32))[1] == 32
    with pytest.raises(FineCLError, match="--max_seq_length 4000 is out of range"):
        load_encoder_tokenizer(ModelArguments(bert_folder, max_seq_length=4000))


def test_an_encoder_that_is_not_there(tmp_path):
    with pytest.raises(FineCLError, match="nobody/nothing: no such folder, and it cannot be loaded") as error:
        load_encoder_tokenizer(ModelArguments("nobody/nothing"))
    assert "\n" not in str(error.value)
    for name in (str(tmp_path / "nowhere"), "./nowhere", "../nowhere", "outputs/of/nothing"):
        with pytest.raises(
            FineCLError, match=f"--model_name_or_path {name}: no such folder, and no such model on the"
        ):
            load_encoder_tokenizer(ModelArguments(name))
    with pytest.raises(FineCLError, match="cannot be loaded"):
        load_encoder_tokenizer(ModelArguments(str(tmp_path)))


def test_features_tell_what_truncation_cost(data, denoise, bert_folder, train_file, tmp_path, caplog):
    model = ModelArguments(bert_folder, max_seq_length=12)
    tokenizer, length = load_encoder_tokenizer(model)
    corpus = load_corpus(train_file, cache_dir=str(tmp_path))
    with caplog.at_level(logging.INFO, "finecl_hf"):
        features, truncation = load_features(corpus, tokenizer, LABELS, length, model, data(), denoise)
    assert len(features) == 7 and truncation.lost_facts == sum(features["lost_facts"]) > 0
    assert f"Training documents: 7. {truncation}" in caplog.text


def test_evaluation_sets_are_checked(data, bert_folder, train_file, tmp_path, silver):
    args, model = FinetuneArguments(output_dir=str(tmp_path / "out")), ModelArguments(bert_folder)
    tokenizer, length = load_encoder_tokenizer(model)
    encode = (tokenizer, LABELS, length, model, data(), args)
    assert load_evaluation_set(None, None, "validation", *encode) is None
    validation = load_evaluation_set(train_file, 3, "validation", *encode)
    assert validation.documents == silver[:3]
    assert [row["instance_id"] for row in validation] == [
        [document.instance_id(fact) for fact in document.relations] for document in silver[:3]
    ]
    fewer = {relation: i for relation, i in LABELS.items() if relation != "died in"}
    with pytest.raises(DocumentError, match='the relation "died in" is not among'):
        load_evaluation_set(train_file, None, "test", tokenizer, fewer, length, model, data(), args)
    with pytest.raises(DocumentError, match="--task sentence needs exactly one judged pair"):
        args.task = "sentence"
        load_evaluation_set(train_file, None, "test", *encode)


# Columns of facts ---------------------------------------------------------------------------------


def test_instance_ids_are_all_facts_row_by_row(features, silver):
    expected = [document.instance_id(fact) for document in silver for fact in document.relations]
    assert instance_ids(features).to_pylist() == expected and len(expected) == 6


@pytest.mark.parametrize("rows", [slice(None), slice(None, None, -1), [2, 3], [1], [6, 4, 0, 5]])
def test_fact_columns_fit_the_facts(features, rows):
    features = features.select(np.arange(len(features))[rows])
    ids = instance_ids(features).to_pylist()
    joined = with_fact_column(features, "number", np.arange(len(ids), dtype=np.int64))
    assert instance_ids(joined).to_pylist() == ids
    for row in joined:
        assert [ids[number] for number in row["number"]] == row["instance_id"]
    assert joined.remove_columns("number").to_dict() == features.to_dict()


def test_usable_facts_leave_out_the_nan(features):
    weights = np.array([0.5, np.nan, 1.0, np.nan, 0.0, 0.25], np.float32)
    weighted = with_fact_column(features, "weight", weights)
    document, relation = usable_facts(weighted)
    expected = [
        (i, relation)
        for i, row in enumerate(weighted)
        for relation, weight in zip(row["relation"], row["weight"], strict=True)
        if not np.isnan(weight)
    ]
    assert list(zip(document.tolist(), relation.tolist(), strict=True)) == expected and len(expected) == 4


def test_usable_facts_in_several_files(features, silver, bert_tokenizer, tmp_path):
    """Features that several processes wrote lie in several chunks."""
    from datasets import concatenate_datasets

    parts = concatenate_datasets([features.select(range(3)), features.select(range(3, 7))])
    document, relation = usable_facts(with_fact_column(parts, "weight", np.zeros(6, np.float32)))
    assert document.tolist() == [1, 1, 1, 4, 4, 5]
    assert relation.tolist() == [LABELS[fact.relation] for d in silver for fact in d.relations]


# Weights ------------------------------------------------------------------------------------------


def order_file(path, ids, epochs):
    LearningOrder(list(ids), first_epoch=list(epochs)).write(path)
    return str(path)


def test_without_an_order_all_labels_weigh_nothing_extra(features, tmp_path):
    weights, coverage = fact_weights(features, pretrain(tmp_path, weight_scheme="uniform"))
    assert weights.tolist() == [0.0] * 6 and weights.dtype == np.float32 and coverage is None


def test_weights_follow_the_ids_whatever_their_order(features, tmp_path):
    ids = instance_ids(features).to_pylist()
    epochs = dict(zip(ids, [0, 1, 2, 4, 5, -1], strict=True))
    shuffled = random.Random(1).sample(ids, 6)
    path = order_file(tmp_path / "order.parquet", shuffled, [epochs[i] for i in shuffled])
    weights, coverage = fact_weights(features, pretrain(tmp_path, learning_order=path))
    np.testing.assert_allclose(weights, [1.0, 0.8, 0.6, 0.2, 0.0, np.nan], atol=1e-6)
    assert (coverage.known, coverage.unknown, coverage.unused) == (6, 0, 0)


def test_ids_that_the_order_lacks_are_left_out_and_reported(features, tmp_path, caplog):
    ids = instance_ids(features).to_pylist()
    path = order_file(tmp_path / "order.parquet", [*ids[:4], "elsewhere#0#1#r"], [0, 0, 1, 1, 0])
    with caplog.at_level(logging.INFO, "finecl_hf"):
        weights, coverage = fact_weights(features, pretrain(tmp_path, learning_order=path))
    assert np.isnan(weights).tolist() == [False] * 4 + [True] * 2
    assert (coverage.known, coverage.unknown, coverage.unused) == (4, 2, 1)
    assert "the learning order knows 4 of 6 instances (66.7%); 1 of its rows belong to none of them" in caplog.text
    assert "4 of 6 labels take part" in caplog.text


def test_an_order_that_lacks_labels_warns_with_the_consequence(features, tmp_path, caplog):
    ids = instance_ids(features).to_pylist()
    path = order_file(tmp_path / "order.parquet", ids[:3], [0, 0, 1])
    weights, _ = fact_weights(features, pretrain(tmp_path, learning_order=path))
    assert np.isnan(weights).tolist() == [False] * 3 + [True] * 3
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert record.getMessage() == (
        f'{path}: it does not know 3 of 6 labels (50.0%), such as "{ids[3]}". They take no part in stage 2.'
    )


def test_an_order_that_knows_less_than_half_is_refused_unless_allowed(features, tmp_path, caplog):
    ids = instance_ids(features).to_pylist()
    path = order_file(tmp_path / "order.parquet", ids[4:], [0, 1])
    with pytest.raises(
        FineCLError, match="not know 4 of 6 labels.*run stage 1 on.*--allow_partial_order true"
    ) as said:
        fact_weights(features, pretrain(tmp_path, learning_order=path))
    assert f'such as "{ids[0]}"' in str(said.value) and "\n" not in str(said.value)
    weights, _ = fact_weights(features, pretrain(tmp_path, learning_order=path, allow_partial_order=True))
    assert np.isnan(weights).tolist() == [True] * 4 + [False] * 2
    assert "does not know 4 of 6 labels" in caplog.text
    caplog.clear()
    weights, _ = fact_weights(features, pretrain(tmp_path, learning_order=path, weight_scheme="uniform"))
    assert weights.tolist() == [0.0] * 6 and "does not know" not in caplog.text  # the baseline trusts all alike


def test_labels_that_stage_1_never_judged_are_counted(features, tmp_path, caplog):
    order = LearningOrder(instance_ids(features).to_pylist())
    for _ in range(2):
        order.record_epoch(np.full(6, 0.5), np.ones(6), [True] * 3 + [False] * 3, [True] * 4 + [False] * 2)
    order.write(tmp_path / "order.parquet")
    with caplog.at_level(logging.INFO, "finecl_hf"):
        _, coverage = fact_weights(features, pretrain(tmp_path, learning_order=str(tmp_path / "order.parquet")))
    assert coverage.unjudged == 2  # not the one that was judged and never learned
    assert "order.parquet: stage 1 never judged 2 of 6 labels (33.3%), which lie past the length" in caplog.text
    assert "(100.0%); 0 of its rows belong to none of them; 2 known ones were never judged" in caplog.text


def test_the_order_of_another_corpus_is_refused(features, tmp_path):
    path = order_file(tmp_path / "order.parquet", ["elsewhere#0#1#r"], [0])
    with pytest.raises(FineCLError, match="order.parquet: the learning order knows none of the 6 instances"):
        fact_weights(features, pretrain(tmp_path, learning_order=path))


def test_an_order_in_which_nothing_was_learned_is_refused(features, tmp_path):
    path = order_file(tmp_path / "order.parquet", instance_ids(features).to_pylist(), [-1] * 6)
    with pytest.raises(FineCLError, match="no label of this corpus was ever learned"):
        fact_weights(features, pretrain(tmp_path, learning_order=path))


@pytest.mark.parametrize("content, message", [(None, "there is no such file"), ("{", "no JSON, or damaged")])
def test_unreadable_orders(content, message, features, tmp_path):
    if content is not None:
        (tmp_path / "order.json").write_text(content)
    with pytest.raises(FineCLError, match=f"order.json: {message}"):
        fact_weights(features, pretrain(tmp_path, learning_order=str(tmp_path / "order.json")))


def test_the_originals_json_serves_as_an_order(features, tmp_path):
    ids = instance_ids(features).to_pylist()
    (tmp_path / "order.json").write_text(json.dumps({ids[0]: 0, ids[5]: 3}))
    args = pretrain(tmp_path, learning_order=str(tmp_path / "order.json"), allow_partial_order=True)
    weights, _ = fact_weights(features, args)
    assert weights[0] == 1.0 and np.flatnonzero(~np.isnan(weights)).tolist() == [0, 5]


def test_unknown_schemes_and_scores(features, tmp_path):
    path = order_file(tmp_path / "order.parquet", instance_ids(features).to_pylist(), range(6))
    for kwargs in (
        {"weight_scheme": "cubic"},
        {"weight_by": "mood"},
        {"weight_by": "mood", "weight_scheme": "uniform"},
    ):
        with pytest.raises(FineCLError):
            fact_weights(features, pretrain(tmp_path, learning_order=path, **kwargs))
    with pytest.raises(FineCLError, match='no score "mood"'):
        fact_weights(features, pretrain(tmp_path, weight_scheme="uniform", weight_by="mood"))
