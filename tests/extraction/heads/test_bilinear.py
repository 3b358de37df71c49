"""The paper's head equals its definition, pair by pair."""

import pytest
import torch
from transformers import AutoConfig

from finecl_hf.data.distances import NUM_DISTANCES
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.heads.bilinear import BilinearHead
from tests.helpers.head_inputs import inputs_of_entities


def _config(**settings):
    return FineCLConfig(num_labels=5, entity_size=12, distance_size=4, **settings)


def _run(head, entities, pairs, distances):
    return head(inputs_of_entities(entities, pairs, distances))


def _head(seed=0):
    torch.manual_seed(seed)
    config = _config(text_config=AutoConfig.for_model("bert", hidden_size=10))
    head = BilinearHead(config)
    head.reset_parameters()
    return head.double()


def _plain_bilinear(head, entities, pairs, distances):
    """The paper's head, pair by pair: `[e_h; d_ht]^T W [e_t; d_th] + b`."""
    entities = entities @ head.project.weight.T + head.project.bias
    rows = []
    for (h, t), bucket in zip(pairs.tolist(), distances.tolist(), strict=True):
        left = torch.cat([entities[h], head.distance.weight[bucket]])
        right = torch.cat([entities[t], head.distance.weight[NUM_DISTANCES - bucket]])
        rows.append(torch.nn.functional.bilinear(left, right, head.weight, head.bias))
    return torch.stack(rows)


def _pairs(seed):
    """Pairs in random order, one of them twice; some entities in no pair."""
    generator = torch.Generator().manual_seed(seed)
    entities = torch.randn(9, 10, dtype=torch.double, generator=generator)
    every = torch.tensor([(h, t) for h in range(7) for t in range(7) if h != t])
    pairs = every[torch.randperm(len(every), generator=generator)[:35]]
    pairs = torch.cat([pairs, pairs[:1]])
    return entities, pairs, torch.randint(1, NUM_DISTANCES, (36,), generator=generator)


@pytest.mark.parametrize("seed", range(10))
def test_bilinear_head_equals_plain_bilinear(seed):
    head, (entities, pairs, distances) = _head(seed), _pairs(seed)
    logits = _run(head, entities, pairs, distances)
    torch.testing.assert_close(logits, _plain_bilinear(head, entities, pairs, distances), rtol=0, atol=1e-10)


def test_gradients_of_the_bilinear_head():
    head, (entities, pairs, distances) = _head(), _pairs(0)
    entities.requires_grad_()
    leaves = {"entities": entities, **dict(head.named_parameters())}
    direction = torch.randn(36, 5, dtype=torch.double)
    fast = torch.autograd.grad((_run(head, entities, pairs, distances) * direction).sum(), leaves.values())
    slow = torch.autograd.grad((_plain_bilinear(head, entities, pairs, distances) * direction).sum(), leaves.values())
    for name, ours, theirs in zip(leaves, fast, slow, strict=True):
        assert ours.any(), name
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10, msg=name)


def test_bilinear_head_without_pairs_keeps_the_graph():
    head, (entities, _, _) = _head(), _pairs(0)
    none = torch.zeros(0, dtype=torch.long)
    for some in (entities, entities[:0]):
        logits = _run(head, some, torch.zeros(0, 2, dtype=torch.long), none)
        assert logits.shape == (0, 5)
        head.zero_grad()
        logits.sum().backward()
        assert all(parameter.grad is not None and not parameter.grad.any() for parameter in head.parameters())
