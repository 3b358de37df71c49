"""The context head equals its definition, pair by pair."""

import pytest
import torch
from transformers import AutoConfig

from finecl_hf.data.documents import Document, Mention, entity_types
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.heads import HEADS, head_class
from finecl_hf.extraction.heads.context import ContextHead, type_rows
from finecl_hf.hashing import type_key
from tests.extraction.heads.test_local_context import by_loops as contexts_of
from tests.helpers.head_inputs import assert_equals_definition, assert_keeps_its_weights_without_pairs, random_inputs


TYPES = ["PER", "LOC"]


def build():
    torch.manual_seed(0)
    config = FineCLConfig(
        num_labels=5, entity_size=6, head_size=8, type_size=3, entity_types=TYPES,
        text_config=AutoConfig.for_model("bert", hidden_size=12),
    )  # fmt: skip
    head = ContextHead(config)
    head.reset_parameters()
    return head.double().eval()


def typed_inputs(counts):
    inputs = random_inputs(counts)
    inputs.entity_type = torch.tensor([0, type_key("PER"), type_key("LOC"), type_key("ORG")])[inputs.entity_type]
    return inputs


def by_loops(head, inputs):
    contexts = contexts_of(inputs)
    offsets = [*inputs.mention_offsets.tolist(), len(inputs.token_index)]
    flat = inputs.hidden.flatten(0, 1)
    mentions = [flat[inputs.token_index[a:b]].mean(0) for a, b in zip(offsets, offsets[1:], strict=False)]
    known = sorted(map(type_key, TYPES))

    def entity(number):
        own = [m for m, e in zip(mentions, inputs.mention_entity.tolist(), strict=True) if e == number]
        key = int(inputs.entity_type[number])
        row = known.index(key) + 1 if key in known else 0
        return torch.cat([torch.stack(own).exp().sum(0).log(), head.entity_type.weight[row]])

    rows = []
    for (h, t), context, distance in zip(inputs.pairs.tolist(), contexts, inputs.distances.tolist(), strict=True):
        e_h, e_t = entity(h), entity(t)
        hidden = head.of_head(e_h) + head.of_tail(e_t) + head.of_context(context) + head.distance.weight[distance]
        logits = head.classify(torch.nn.functional.gelu(hidden))
        p_h, p_t = head.project(e_h), head.project(e_t)
        rows.append(logits + torch.stack([p_h @ weight @ p_t for weight in head.weight]))
    return torch.stack(rows)


def test_equals_the_definition_with_gradients():
    head, inputs = build(), typed_inputs((4, 0, 1, 6))
    assert_equals_definition(head, inputs, by_loops)


def test_without_pairs_every_weight_has_a_gradient():
    assert_keeps_its_weights_without_pairs(build(), typed_inputs((1, 1)))


def test_types_that_training_had_not_share_a_row():
    keys = torch.tensor([type_key(name) for name in ("ORG", "PER", "", "LOC", "PER")])
    rows = type_rows(keys, ["PER", "LOC"]).tolist()
    assert rows[0] == rows[2] == 0 and rows[1] == rows[4] and {rows[1], rows[3]} == {1, 2}
    assert type_rows(keys, ["LOC", "PER"]).tolist() == rows and not type_rows(keys, []).any()


def test_types_of_a_corpus():
    def document(*types):
        return Document("d", [["w"]], [[Mention("w", 0, 0, 1, entity_type)] for entity_type in types])

    assert entity_types([document("ORG", ""), document("LOC", "ORG")]) == ["LOC", "ORG"]
    assert len(entity_types([document(*(f"T{i}" for i in range(250)), "T249")])) == 200


@pytest.mark.parametrize("name", HEADS)
def test_heads_are_found_by_name(name):
    assert head_class(name).__module__.endswith(f".{name}")


def test_a_head_that_there_is_none_of():
    with pytest.raises(FineCLError, match="bilinear"):
        head_class("linaer")
