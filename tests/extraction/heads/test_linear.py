"""The paper's classifier of sentences equals its definition."""

import torch
from transformers import AutoConfig

from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.heads.linear import LinearHead
from tests.helpers.head_inputs import assert_equals_definition, assert_keeps_its_weights_without_pairs, random_inputs


def head_of():
    torch.manual_seed(0)
    text_config = AutoConfig.for_model("bert", hidden_size=12)
    return LinearHead(FineCLConfig(num_labels=5, text_config=text_config)).double().eval()


def by_loops(head, inputs):
    """`W [e_h; e_t] + b`, an entity being the mean of its mentions, which are the means of their tokens."""
    tokens = inputs.hidden.flatten(0, 1)[inputs.token_index] * inputs.token_weight[:, None]
    ends = [*inputs.entity_offsets.tolist()[1:], len(tokens)]
    entities = [tokens[a:b].sum(dim=0) for a, b in zip(inputs.entity_offsets.tolist(), ends, strict=True)]
    weight, bias = head.classify.weight, head.classify.bias
    return torch.stack([weight @ torch.cat([entities[h], entities[t]]) + bias for h, t in inputs.pairs.tolist()])


def test_equals_the_definition():
    assert_equals_definition(head_of(), random_inputs(), by_loops)


def test_no_pairs():
    assert_keeps_its_weights_without_pairs(head_of(), random_inputs(counts=(1, 0)))
