"""Localized contexts equal the definition, pair by pair and token by token."""

import pytest
import torch

from finecl_hf.extraction.heads import local_context
from finecl_hf.extraction.heads.local_context import couples_of, local_contexts
from tests.helpers.head_inputs import random_inputs


def by_loops(inputs):
    """(P, D)"""
    row = [row for row, count in enumerate(inputs.pair_counts) for _ in range(count)]
    base = [sum(inputs.entity_counts[:row]) for row in range(len(inputs.entity_counts))]
    contexts = []
    for number, (head, tail) in enumerate(inputs.pairs.tolist()):
        document = row[number]
        ours = inputs.attention[document]  # (L, H, n)
        weights = (ours[:, :, head - base[document]] * ours[:, :, tail - base[document]]).sum(dim=1)
        weights = weights / weights.sum()
        contexts.append(sum(w * h for w, h in zip(weights, inputs.hidden[document], strict=True)))
    return torch.stack(contexts)


@pytest.mark.parametrize("chunk", [1, 100, 2**24])
@pytest.mark.parametrize("counts", [(4, 0, 1, 6), (3,), (2, 2)])
def test_contexts_equal_the_definition(counts, chunk, monkeypatch):
    monkeypatch.setattr(local_context, "CHUNK", chunk)
    inputs = random_inputs(counts)
    inputs.hidden.requires_grad_()
    inputs.attention.requires_grad_()
    couples = couples_of(inputs)
    ours = local_contexts(inputs, couples)[couples.of_pair]
    expected = by_loops(inputs)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)
    direction = torch.randn_like(expected)
    for leaf in (inputs.hidden, inputs.attention):
        fast, slow = (torch.autograd.grad((v * direction).sum(), leaf, retain_graph=True)[0] for v in (ours, expected))
        torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("long", "stretch"), [(1024, 256), (5, 4), (5, 1)])
def test_entities_that_attend_to_some_windows_only(long, stretch, monkeypatch):
    monkeypatch.setattr(local_context, "LONG", long)
    monkeypatch.setattr(local_context, "STRETCH", stretch)
    inputs = random_inputs((4, 5))
    for entity in range(5):  # each sees ten tokens; the first and the last have nothing in common
        seen = (torch.arange(23) >= 3 * entity) & (torch.arange(23) < 3 * entity + 10)
        inputs.attention[:, :, :, entity] *= seen[:, None]
    couples = couples_of(inputs)
    ours = local_contexts(inputs, couples)[couples.of_pair]
    expected = by_loops(inputs).nan_to_num(0.0)  # where nothing is shared
    assert expected.any()
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)


def test_both_directions_share_a_couple():
    inputs = random_inputs((5, 3))
    couples = couples_of(inputs)
    found = {}
    for pair, couple in zip(inputs.pairs.tolist(), couples.of_pair.tolist(), strict=True):
        assert found.setdefault(couple, {*pair}) == {*pair}
    assert len(couples.row) == len(found) < len(inputs.pairs)
    assert couples.most == max(torch.bincount(couples.row).tolist())


def test_no_pair_at_all():
    inputs = random_inputs((1, 1))
    couples = couples_of(inputs)
    assert local_contexts(inputs, couples).shape == (0, inputs.hidden.shape[2])
