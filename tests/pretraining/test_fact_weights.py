"""Weights of facts in stage 2 by a learning order, for a corpus on disk and for a stream."""

import json
import logging
import random

import numpy as np
import pytest

from finecl_hf import LearningOrder, read_documents
from finecl_hf.data.corpus import load_corpus
from finecl_hf.data.readers import write_documents
from finecl_hf.encoding.feature_table import with_fact_column
from finecl_hf.encoding.features import DocumentEncoder
from finecl_hf.errors import FineCLError
from finecl_hf.pretraining.arguments import PretrainArguments
from finecl_hf.pretraining.fact_weights import check_order, read_weights, usable_facts, weigh_corpus
from tests.helpers.script_runs import run
from tests.helpers.small_documents import silver_documents


LABELS = {"NA": 0, "born in": 1, "capital of": 2, "died in": 3, "located in": 4}


@pytest.fixture
def silver(ada, curie):
    return silver_documents(ada, curie)


@pytest.fixture
def documents(silver, tmp_path):
    write_documents(silver, tmp_path / "train.json")
    return load_corpus(str(tmp_path / "train.json"), cache_dir=str(tmp_path / "cache"))


@pytest.fixture
def features(documents, bert_tokenizer):
    return DocumentEncoder(bert_tokenizer, LABELS, 128).encode_corpus(documents)


def pretrain(tmp_path, **kwargs):
    return PretrainArguments(output_dir=str(tmp_path / "out"), **kwargs)


def ids_of(documents):
    return [document.instance_id(fact) for document in documents for fact in document.relations]


def weights_of(features, documents, args):
    weighed, coverage = weigh_corpus(features, documents, args)
    return np.array([weight for row in weighed["weight"] for weight in row], np.float32), coverage


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


def test_without_an_order_all_labels_weigh_nothing_extra(features, documents, silver, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "finecl_hf"):
        weights, coverage = weights_of(features, documents, pretrain(tmp_path, weight_scheme="uniform"))
    assert "6 of 6 labels take part, all with the same weight." in caplog.text
    assert weights.tolist() == [0.0] * 6 and weights.dtype == np.float32 and coverage is None


def test_weights_follow_the_ids_whatever_their_order(features, documents, silver, tmp_path):
    ids = ids_of(silver)
    epochs = dict(zip(ids, [0, 1, 2, 4, 5, -1], strict=True))
    shuffled = random.Random(1).sample(ids, 6)
    path = order_file(tmp_path / "order.parquet", shuffled, [epochs[i] for i in shuffled])
    weights, coverage = weights_of(features, documents, pretrain(tmp_path, learning_order=path))
    np.testing.assert_allclose(weights, [1.0, 0.8, 0.6, 0.2, 0.0, np.nan], atol=1e-6)
    assert (coverage.known, coverage.unknown, coverage.unused) == (6, 0, 0)


def test_ids_that_the_order_lacks_are_left_out_and_reported(features, documents, silver, tmp_path, caplog):
    ids = ids_of(silver)
    path = order_file(tmp_path / "order.parquet", [*ids[:4], "elsewhere#0#1#r"], [0, 0, 1, 1, 0])
    with caplog.at_level(logging.INFO, "finecl_hf"):
        weights, coverage = weights_of(features, documents, pretrain(tmp_path, learning_order=path))
    assert np.isnan(weights).tolist() == [False] * 4 + [True] * 2
    assert (coverage.known, coverage.unknown, coverage.unused) == (4, 2, 1)
    assert "the learning order knows 4 of 6 facts (66.7%); 1 of its rows belong to none of them" in caplog.text
    assert "4 of 6 labels take part" in caplog.text


def test_an_order_that_lacks_labels_warns_with_the_consequence(features, documents, silver, tmp_path, caplog):
    ids = ids_of(silver)
    path = order_file(tmp_path / "order.parquet", ids[:3], [0, 0, 1])
    weights, _ = weights_of(features, documents, pretrain(tmp_path, learning_order=path))
    assert np.isnan(weights).tolist() == [False] * 3 + [True] * 3
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "does not know 3 of 6 labels (50.0%)" in record.getMessage() and '"d4"' in record.getMessage()


def test_an_order_that_knows_less_than_half_is_refused_unless_allowed(features, documents, silver, tmp_path, caplog):
    ids = ids_of(silver)
    path = order_file(tmp_path / "order.parquet", ids[4:], [0, 1])
    with pytest.raises(
        FineCLError, match="not know 4 of 6 labels.*run stage 1 on.*--allow_partial_order true"
    ) as said:
        weights_of(features, documents, pretrain(tmp_path, learning_order=path))
    assert '"d1"' in str(said.value) and "\n" not in str(said.value)
    weights, _ = weights_of(features, documents, pretrain(tmp_path, learning_order=path, allow_partial_order=True))
    assert np.isnan(weights).tolist() == [True] * 4 + [False] * 2
    assert "does not know 4 of 6 labels" in caplog.text
    caplog.clear()
    weights, _ = weights_of(features, documents, pretrain(tmp_path, learning_order=path, weight_scheme="uniform"))
    assert weights.tolist() == [0.0] * 6 and "does not know" not in caplog.text  # the baseline trusts all alike


@pytest.mark.parametrize("known, words", [([], "another corpus"), ([0], "not know 5 of 6 labels.*allow_partial")])
def test_an_order_that_does_not_fit_is_refused_before_anything_is_encoded(known, words, documents, silver, tmp_path):
    ids = ["elsewhere#0#1#r", *(ids_of(silver)[place] for place in known)]
    args = pretrain(tmp_path, learning_order=order_file(tmp_path / "order.parquet", ids, [0] * len(ids)))
    with pytest.raises(FineCLError, match=words):
        check_order(documents, read_weights(args), args)
    allowed = pretrain(tmp_path, learning_order=args.learning_order, allow_partial_order=True)
    for args in (allowed, pretrain(tmp_path, weight_scheme="uniform")):
        check_order(documents, read_weights(args), args)


def test_labels_that_stage_1_never_judged_are_counted(features, documents, silver, tmp_path, caplog):
    order = LearningOrder(ids_of(silver))
    for _ in range(2):
        order.record_epoch(np.full(6, 0.5), np.ones(6), [True] * 3 + [False] * 3, [True] * 4 + [False] * 2)
    order.write(tmp_path / "order.parquet")
    with caplog.at_level(logging.INFO, "finecl_hf"):
        _, coverage = weights_of(
            features, documents, pretrain(tmp_path, learning_order=str(tmp_path / "order.parquet"))
        )
    assert coverage.unjudged == 2  # not the one that was judged and never learned
    assert "order.parquet: stage 1 never judged 2 of 6 labels (33.3%), which lie past the length" in caplog.text
    assert "(100.0%); 0 of its rows belong to none of them; 2 known ones were never judged" in caplog.text


def test_the_order_of_another_corpus_is_refused(features, documents, silver, tmp_path):
    path = order_file(tmp_path / "order.parquet", ["elsewhere#0#1#r"], [0])
    with pytest.raises(FineCLError, match="order.parquet.*another corpus"):
        weights_of(features, documents, pretrain(tmp_path, learning_order=path))


def test_an_order_in_which_nothing_was_learned_is_refused(features, documents, silver, tmp_path):
    path = order_file(tmp_path / "order.parquet", ids_of(silver), [-1] * 6)
    with pytest.raises(FineCLError, match="ever learned"):
        weights_of(features, documents, pretrain(tmp_path, learning_order=path))


@pytest.mark.parametrize("content, message", [(None, "there is no such file"), ("{", "cannot be read as JSON")])
def test_unreadable_orders(content, message, features, documents, tmp_path):
    if content is not None:
        (tmp_path / "order.json").write_text(content)
    with pytest.raises(FineCLError, match=f"order.json: {message}"):
        weights_of(features, documents, pretrain(tmp_path, learning_order=str(tmp_path / "order.json")))


def test_the_originals_json_serves_as_an_order(features, documents, silver, tmp_path):
    ids = ids_of(silver)
    (tmp_path / "order.json").write_text(json.dumps({ids[0]: 0, ids[5]: 3}))
    args = pretrain(tmp_path, learning_order=str(tmp_path / "order.json"), allow_partial_order=True)
    weights, _ = weights_of(features, documents, args)
    assert weights[0] == 1.0 and np.flatnonzero(~np.isnan(weights)).tolist() == [0, 5]


def test_unknown_schemes_and_scores(features, documents, silver, tmp_path):
    path = order_file(tmp_path / "order.parquet", ids_of(silver), range(6))
    for kwargs in (
        {"weight_scheme": "cubic"},
        {"weight_by": "mood"},
        {"weight_by": "mood", "weight_scheme": "uniform"},
    ):
        with pytest.raises(FineCLError):
            weights_of(features, documents, pretrain(tmp_path, learning_order=path, **kwargs))
    with pytest.raises(FineCLError, match='no score "mood"'):
        weights_of(features, documents, pretrain(tmp_path, weight_scheme="uniform", weight_by="mood"))


# A stream -----------------------------------------------------------------------------------------


def test_a_stream_refuses_the_order_of_another_corpus(bert_folder, corpus, tmp_path):
    options = {"streaming": "true", "learning_order": tmp_path / "order.parquet"}
    ids = [
        document.instance_id(fact)
        for document in read_documents(corpus / "silver.json")
        for fact in document.relations
    ]
    LearningOrder(["x#0#1#r"], first_epoch=[0]).write(tmp_path / "order.parquet")
    with pytest.raises(FineCLError, match="belongs to another corpus"):
        run("pretrain", bert_folder, corpus, tmp_path / "out", **options)
    LearningOrder(ids[:20], first_epoch=[0] * 20).write(tmp_path / "order.parquet")
    with pytest.raises(FineCLError, match="--allow_partial_order true"):
        run("pretrain", bert_folder, corpus, tmp_path / "out", **options)
    run("pretrain", bert_folder, corpus, tmp_path / "out", **options, allow_partial_order="true", max_steps=1)
    LearningOrder(ids, first_epoch=[-1] * len(ids)).write(tmp_path / "order.parquet")
    with pytest.raises(FineCLError, match="no label was ever learned"):
        run("pretrain", bert_folder, corpus, tmp_path / "none", **options)
