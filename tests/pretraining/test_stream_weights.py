"""Weights by the hashes of instance ids are those of the learning order."""

import numpy as np
import pytest

from finecl_hf import LearningOrder, read_documents
from finecl_hf.errors import FineCLError
from finecl_hf.pretraining.arguments import PretrainArguments
from finecl_hf.pretraining.fact_weights import StreamWeights
from tests.helpers.script_runs import run
from tests.helpers.small_orders import make


@pytest.mark.parametrize("scheme", ["linear", "exponential"])
def test_weights_are_those_of_the_learning_order(scheme, order_file, tmp_path):
    order = LearningOrder.read(order_file)
    ids = [*order.instance_id.to_pylist()[::-1], "nobody's"]
    args = PretrainArguments(output_dir=str(tmp_path), learning_order=str(order_file), weight_scheme=scheme)
    values, known = StreamWeights.from_arguments(args).of(ids)
    expected, kept = order.weights(ids, scheme)
    assert known.tolist() == [True] * len(order) + [False]
    assert (values == values).tolist() == kept.tolist() and values[kept].tolist() == expected[kept].tolist()
    assert 0 < kept.sum() < len(order)


@pytest.mark.parametrize("name", ["order.parquet", "order.json"])
def test_both_files_of_an_order_give_its_weights(name, tmp_path):
    order = LearningOrder([f"label {i}" for i in range(70)], first_epoch=[i % 4 for i in range(70)])
    order.write(tmp_path / name)
    args = PretrainArguments(output_dir=str(tmp_path), learning_order=str(tmp_path / name))
    weights = StreamWeights.from_arguments(args)
    np.testing.assert_allclose(weights.of(["label 6", "label 1", "label 0"])[0], [1 / 3, 2 / 3, 1], rtol=1e-6)
    assert weights.of([])[0].shape == (0,)


def test_scores_are_weights_too(tmp_path):
    order = make([str(i) for i in range(40)])
    order.write(tmp_path / "order.parquet")
    args = PretrainArguments(
        output_dir=str(tmp_path), learning_order=str(tmp_path / "order.parquet"), weight_by="probability"
    )
    ids = [str(i) for i in range(39, -1, -1)]
    values, _ = StreamWeights.from_arguments(args).of(ids)
    expected, kept = order.weights(ids, weight_by="probability")
    assert (~np.isnan(values)).tolist() == kept.tolist() and values[kept].tolist() == expected[kept].tolist()


def test_uniform_weights_need_no_order(order_file, tmp_path):
    for order in (None, str(order_file)):
        args = PretrainArguments(output_dir=str(tmp_path), learning_order=order, weight_scheme="uniform")
        values, known = StreamWeights.from_arguments(args).of(["anything", "else"])
        assert values.tolist() == [0, 0] and not known.any()


def test_the_digest_tells_weights_apart(order_file, tmp_path):
    args = [
        PretrainArguments(output_dir=str(tmp_path), learning_order=str(order_file), weight_scheme=scheme)
        for scheme in ("linear", "exponential", "linear", "uniform")
    ]
    digests = [StreamWeights.from_arguments(each).digest() for each in args]
    assert digests[0] == digests[2] and len(set(digests)) == 3


def test_an_order_of_another_corpus_is_refused(bert_folder, corpus, tmp_path):
    options = {"streaming": "true", "learning_order": tmp_path / "order.parquet"}
    ids = [
        document.instance_id(fact)
        for document in read_documents(corpus / "silver.json")
        for fact in document.relations
    ]
    LearningOrder(["x#0#1#r"], first_epoch=[0]).write(tmp_path / "order.parquet")
    with pytest.raises(FineCLError, match="knows none of the first .* belongs to another corpus"):
        run("pretrain", bert_folder, corpus, tmp_path / "out", **options)
    LearningOrder(ids[:20], first_epoch=[0] * 20).write(tmp_path / "order.parquet")
    with pytest.raises(FineCLError, match="--allow_partial_order true"):
        run("pretrain", bert_folder, corpus, tmp_path / "out", **options)
    run("pretrain", bert_folder, corpus, tmp_path / "out", **options, allow_partial_order="true", max_steps=1)
    LearningOrder(ids, first_epoch=[-1] * len(ids)).write(tmp_path / "order.parquet")
    with pytest.raises(FineCLError, match="no label was ever learned"):
        run("pretrain", bert_folder, corpus, tmp_path / "none", **options)
