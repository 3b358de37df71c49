"""The heads of sentences equal their definitions, pair by pair."""

import pytest
import torch
from transformers import AutoConfig

from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.heads.linear import LinearHead
from finecl_hf.extraction.heads.sentence import SentenceHead
from tests.helpers.head_inputs import assert_equals_definition, assert_keeps_its_weights_without_pairs, random_inputs


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
    assert_equals_definition(head, inputs, by_loops)


@pytest.mark.parametrize("kind", [LinearHead, SentenceHead])
def test_without_pairs_every_weight_has_a_gradient(kind):
    assert_keeps_its_weights_without_pairs(build(kind), random_inputs((1, 1)))


@pytest.mark.parametrize("kind", [LinearHead, SentenceHead])
def test_direction_matters(kind):
    head, inputs = build(kind), random_inputs((2,))
    inputs.pairs, inputs.pair_counts = torch.tensor([[0, 1], [1, 0]]), [2]
    forth, back = head(inputs)
    assert not torch.allclose(forth, back)
