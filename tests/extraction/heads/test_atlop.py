"""ATLOP's head equals its equations, pair by pair."""

import pytest
import torch
from transformers import AutoConfig

from finecl_hf.extraction import heads
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.heads.atlop import AtlopHead
from tests.extraction.heads.test_local_context import by_loops as contexts_of
from tests.helpers.head_inputs import assert_equals_definition, assert_keeps_its_weights_without_pairs, random_inputs


def build(size=12, block=4):
    torch.manual_seed(0)
    text_config = AutoConfig.for_model("bert", hidden_size=size)
    return AtlopHead(FineCLConfig(num_labels=5, block_size=block, text_config=text_config)).double()


def by_loops(head, inputs):
    contexts = contexts_of(inputs)
    offsets = [*inputs.mention_offsets.tolist(), len(inputs.token_index)]
    flat = inputs.hidden.flatten(0, 1)
    mentions = [flat[inputs.token_index[a:b]].mean(0) for a, b in zip(offsets, offsets[1:], strict=False)]
    rows = []
    for (h, t), context in zip(inputs.pairs.tolist(), contexts, strict=True):
        e_h, e_t = (
            torch.stack([m for m, e in zip(mentions, inputs.mention_entity.tolist(), strict=True) if e == entity])
            .exp().sum(0).log()
            for entity in (h, t)
        )  # fmt: skip
        z_h = torch.tanh(head.of_head(e_h) + head.context_of_head(context))
        z_t = torch.tanh(head.of_tail(e_t) + head.context_of_tail(context))
        blocks = zip(z_h.split(head.block), z_t.split(head.block), strict=True)
        rows.append(head.classify(torch.cat([torch.outer(a, b).flatten() for a, b in blocks])))
    return torch.stack(rows)


@pytest.mark.parametrize("chunk", [1, 200, 2**24])
def test_equals_the_equations_with_gradients(chunk, monkeypatch):
    monkeypatch.setattr(heads, "CHUNK", chunk)
    head, inputs = build(), random_inputs((4, 0, 1, 6))
    assert_equals_definition(head, inputs, by_loops)


def test_without_pairs_every_weight_has_a_gradient():
    assert_keeps_its_weights_without_pairs(build(), random_inputs((1, 1)))


def test_a_size_that_blocks_do_not_divide():
    assert build(size=14).size == 12 and build(size=3, block=64).block == 3
    assert build(size=14)(random_inputs((3,), size=14)).shape == (3, 5)
