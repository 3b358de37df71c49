"""Documents encoded in chunks, or by several processes, have the gradients of one batch."""

import os
import subprocess

import pytest
import torch

from finecl_hf.pretraining import step as contrastive_step
from finecl_hf.pretraining.collator import PretrainCollator
from finecl_hf.pretraining.masked_lm import load_masked_lm
from finecl_hf.pretraining.step import Contrast, encode_chunks
from tests.helpers.feature_rows import random_rows
from tests.helpers.script_runs import ROOT, arguments, launched, weights
from tests.helpers.tiny_models import build_bert
from tests.pretraining.test_collator import _weighted


def rows(count=9):
    """Features whose tokens are among the tiny encoder's."""
    made = _weighted(random_rows(count))
    for row in made:
        row["input_ids"] = [2 + token % 50 for token in row["input_ids"]]
    return made


def collator(**settings):
    names = [[10 + i] for i in range(6)]
    return PretrainCollator(0, 2, 3, 4, [0, 2, 3, 4], vocab_size=50, relation_tokens=names, max_length=100, **settings)


def step(model, chunks):
    """Loss of all three terms, as the trainer computes it, and the gradients it makes."""
    model.zero_grad()
    encoded = encode_chunks(model, model, chunks, 0.05)
    contrast = Contrast.of(encoded.pairs, chunks, max_negatives=8).loss(0.05)
    assert contrast.count > 3 and encoded.entity_loss.count > 3 and encoded.mlm_loss.count > 3
    loss = sum(term.total / term.count for term in (contrast, encoded.entity_loss, encoded.mlm_loss))
    loss.backward()
    return loss.item(), {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def assert_same_step(found, expected, **tolerance):
    assert found[0] == pytest.approx(expected[0], rel=1e-6)
    assert found[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        assert gradient.any() or "key.bias" in name, name
        torch.testing.assert_close(found[1][name], gradient, msg=name, **tolerance)


@pytest.mark.parametrize("encoder", ["bert", "roberta"])
@pytest.mark.parametrize("chunk_documents", [1, 2, 4])
def test_chunks_have_the_gradient_of_the_whole_batch(encoder, chunk_documents, request):
    model = load_masked_lm(request.getfixturevalue(f"{encoder}_folder"))[0].double().eval()
    whole = step(model, [collator()(rows())])
    chunks = collator(chunk_documents=chunk_documents)(rows())["chunks"]
    assert len(chunks) == -(-9 // chunk_documents)
    assert_same_step(step(model, chunks), whole, rtol=1e-7, atol=1e-9)


def test_cached_gradients_are_those_of_kept_activations_with_dropout_on(bert_folder, monkeypatch):
    model = load_masked_lm(bert_folder)[0].double().train()
    chunks = collator(chunk_documents=2)(rows())["chunks"]
    torch.manual_seed(3)
    cached = step(model, chunks)
    torch.manual_seed(4)
    assert step(model, chunks)[0] != pytest.approx(cached[0], rel=1e-6)  # dropout is on
    monkeypatch.setattr(contrastive_step, "checkpoint", lambda function, *args, use_reentrant: function(*args))
    torch.manual_seed(3)
    assert_same_step(cached, step(model, chunks), rtol=1e-9, atol=1e-11)


def test_gradients_are_the_same_in_every_run_on_several_threads(bert_folder, two_threads):
    model = load_masked_lm(bert_folder)[0].eval()
    chunks = [collator()(rows(200))]
    assert chunks[0]["pairs"].numel() * model.config.hidden_size > 2**15  # which torch shares among threads
    first = step(model, chunks)
    for _ in range(3):
        again = step(model, chunks)
        assert all(torch.equal(gradient, again[1][name]) for name, gradient in first[1].items())


def test_activations_of_chunks_are_not_kept(bert_folder):
    """Saved for backward: inputs and outputs of the chunks, not what lies between."""
    model = load_masked_lm(bert_folder)[0].train()

    def kept(chunks):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
            encode_chunks(model, model, chunks, 0.05)
        return sum(sizes)

    assert kept(collator(chunk_documents=3)(rows())["chunks"]) < kept([collator()(rows())]) / 20


def test_chunks_meet_in_the_contrast():
    """An anchor of one chunk has partners and negatives in the others."""
    chunks = collator(chunk_documents=3)(rows())["chunks"]
    contrast = Contrast.of(torch.zeros(sum(len(chunk["pairs"]) for chunk in chunks), 2), chunks, max_negatives=None)
    sizes = torch.tensor([len(chunk["pairs"]) for chunk in chunks])
    chunk_of = torch.repeat_interleave(torch.arange(len(chunks)), sizes)
    for mask in (contrast.positive_mask, contrast.negative_mask):
        row, column = mask.nonzero(as_tuple=True)
        assert (chunk_of[contrast.anchors[row]] != chunk_of[column]).any()


def test_a_chunk_without_anything_to_contrast(bert_folder):
    model = load_masked_lm(bert_folder)[0].eval()
    bare = [{**row, **{name: row[name][:0] for name in ("head", "tail", "relation", "weight")}} for row in rows(4)]
    chunks = collator(chunk_documents=2, na_pairs=0, mask_share=0.0)(bare)["chunks"]
    encoded = encode_chunks(model, model, chunks, 0.05)
    contrast = Contrast.of(encoded.pairs, chunks, max_negatives=8).loss(0.05)
    assert contrast.count == encoded.entity_loss.count == encoded.mlm_loss.count == 0
    loss = contrast.total + encoded.entity_loss.total + encoded.mlm_loss.total
    loss.backward()
    assert loss == 0 and all(parameter.grad is not None for parameter in model.parameters())


# Several processes ------------------------------------------------------------------------------------------------


def gradients(folder, processes, encoder, corpus, **options):
    """First gradients and last weights of a short run."""
    folder.mkdir()
    words = arguments("pretrain", encoder, corpus, folder / "out", max_steps=2, **options)
    result = subprocess.run(
        [*launched("tests/helpers/gradient_run.py", processes), str(folder / "gradients"), *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-4000:]
    return torch.load(folder / "gradients"), weights(folder / "out")


def assert_same_run(found, expected):
    for left, right in zip(found, expected, strict=True):
        assert left.keys() == right.keys()
        for name, value in right.items():
            torch.testing.assert_close(left[name], value, rtol=1e-3, atol=2e-6, msg=name)


@pytest.mark.parametrize(
    "documents, options",
    [
        pytest.param(4, {}, marks=pytest.mark.slow),
        pytest.param(2, {"contrastive_batch_size": 8}, marks=pytest.mark.slow),
        pytest.param(4, {"pair_documents": "false"}, marks=pytest.mark.slow),
    ],
)
def test_two_processes_have_the_gradients_of_one_with_twice_the_batch(
    documents, options, corpus, order_file, tmp_path
):
    encoder = build_bert(tmp_path / "encoder", dropout=0.0)
    options = {"learning_order": order_file, "optim": "sgd", **options}
    one = gradients(tmp_path / "one", 1, encoder, corpus, **{**options, "contrastive_batch_size": None},
                    per_device_train_batch_size=8)  # fmt: skip
    two = gradients(tmp_path / "two", 2, encoder, corpus, per_device_train_batch_size=documents, **options)
    assert all(gradient.any() for name, gradient in one[0].items() if "key.bias" not in name)
    assert_same_run(two, one)
