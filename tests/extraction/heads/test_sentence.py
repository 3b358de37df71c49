"""The heads of sentences equal their definitions, pair by pair."""

import pytest
import torch
from transformers import AutoConfig

from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.heads.linear import LinearHead
from finecl_hf.extraction.heads.sentence import SentenceHead
from tests.helpers.head_inputs import random_inputs


def build(kind):
    torch.manual_seed(0)
    text = AutoConfig.for_model("bert", hidden_size=12)
    return kind(FineCLConfig(num_labels=5, head_size=8, text_config=text)).double().eval()


def rows_by_loops(inputs):
    """Entity means and the first token of each pair's document."""
    offsets = [*inputs.entity_offsets.tolist(), len(inputs.token_index)]
    flat = inputs.hidden.flatten(0, 1)
    entities = [
        sum(inputs.token_weight[i] * flat[inputs.token_index[i]] for i in range(a, b))
        for a, b in zip(offsets, offsets[1:], strict=False)
    ]
    document = [row for row, count in enumerate(inputs.pair_counts) for _ in range(count)]
    for (h, t), row in zip(inputs.pairs.tolist(), document, strict=True):
        yield entities[h], entities[t], inputs.hidden[row, 0]


def linear_by_loops(head, inputs):
    return torch.stack([head.classify(torch.cat([h, t])) for h, t, _ in rows_by_loops(inputs)])


def sentence_by_loops(head, inputs):
    known = [torch.cat([h, t, h * t, first]) for h, t, first in rows_by_loops(inputs)]
    return torch.stack([head.classify(torch.nn.functional.gelu(head.combine(row))) for row in known])


@pytest.mark.parametrize("kind, by_loops", [(LinearHead, linear_by_loops), (SentenceHead, sentence_by_loops)])
def test_equals_the_definition_with_gradients(kind, by_loops):
    head, inputs = build(kind), random_inputs((4, 0, 1, 6))
    leaves = {"hidden": inputs.hidden.requires_grad_(), **dict(head.named_parameters())}
    ours, expected = head(inputs), by_loops(head, inputs)
    torch.testing.assert_close(ours, expected)
    direction = torch.randn_like(expected)
    fast = torch.autograd.grad((ours * direction).sum(), leaves.values())
    slow = torch.autograd.grad((expected * direction).sum(), leaves.values())
    for name, a, b in zip(leaves, fast, slow, strict=True):
        assert b.any(), name
        torch.testing.assert_close(a, b, msg=name)


@pytest.mark.parametrize("kind", [LinearHead, SentenceHead])
def test_without_pairs_every_weight_has_a_gradient(kind):
    head, inputs = build(kind), random_inputs((1, 1))
    logits = head(inputs)
    assert logits.shape == (0, 5)
    logits.sum().backward()
    assert all(weight.grad is not None and not weight.grad.any() for weight in head.parameters())


@pytest.mark.parametrize("kind", [LinearHead, SentenceHead])
def test_direction_matters(kind):
    head, inputs = build(kind), random_inputs((2,))
    inputs.pairs, inputs.pair_counts = torch.tensor([[0, 1], [1, 0]]), [2]
    forth, back = head(inputs)
    assert not torch.allclose(forth, back)
