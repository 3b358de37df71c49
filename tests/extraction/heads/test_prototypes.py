"""The votes of prototypes equal their equation, pair by pair."""

import pytest
import torch
from transformers import AutoConfig

from finecl_hf.extraction import heads
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.heads.prototypes import PrototypesHead
from tests.helpers.head_inputs import random_inputs


RELATION = [1, 3, 1, 0, 2, 3, 3]


def build(**settings):
    torch.manual_seed(0)
    config = FineCLConfig(
        num_labels=5, num_prototypes=7, text_config=AutoConfig.for_model("bert", hidden_size=12), **settings
    )
    head = PrototypesHead(config)
    torch.nn.init.normal_(head.prototypes)
    torch.nn.init.normal_(head.weight)
    torch.nn.init.normal_(head.center)
    head.relation.copy_(torch.tensor(RELATION))
    return head


def by_loops(head, inputs, neighbours, document):
    rows = []
    for h, t in inputs.pairs.tolist():
        halves = [inputs.entities[e] - c for e, c in zip((h, t), head.center, strict=True)]
        pair = torch.cat([half / half.norm() for half in halves])
        cosines = [float(pair @ p.flatten() / pair.norm() / p.norm()) for p in head.prototypes]
        voters = sorted(range(7), key=lambda i: -cosines[i])[:neighbours]
        total = [0.0] * 5
        for i in voters:
            total[RELATION[i]] += torch.tensor(cosines[i] / 0.1 + float(head.weight[i])).exp().item()
        total[0] += document
        rows.append(total)
    return torch.tensor(rows)


@pytest.mark.parametrize("task", ["document", "sentence"])
@pytest.mark.parametrize("neighbours", [0, 3, 9])
@pytest.mark.parametrize("chunk", [1, 2**24])
def test_equals_the_equation(task, neighbours, chunk, monkeypatch):
    monkeypatch.setattr(heads, "CHUNK", chunk)
    head, inputs = build(num_neighbours=neighbours, task=task), random_inputs(dtype=torch.float)
    with torch.no_grad():
        found = head(inputs)
        expected = by_loops(head, inputs, neighbours or 7, task == "document")
    assert found.isfinite().all() and found.shape == (len(inputs.pairs), 5)
    torch.testing.assert_close(found.exp(), expected, atol=1e-4, rtol=1e-3)
    assert (found[:, 4] < found[:, :4].amax(dim=1) - 50).all()  # no prototype speaks for it


def test_float32_under_autocast_and_gradients():
    head, inputs = build(), random_inputs(dtype=torch.float)
    expected = head(inputs)
    with torch.autocast("cpu", torch.bfloat16):
        found = head(inputs)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)
    expected.logsumexp(1).sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in head.parameters())


def test_without_pairs():
    head, inputs = build(), random_inputs(counts=(1, 0), dtype=torch.float)
    assert head(inputs).shape == (0, 5)


def test_a_new_head_has_a_prototype_for_each_relation():
    head = PrototypesHead(FineCLConfig(num_labels=4, text_config=AutoConfig.for_model("bert", hidden_size=12)))
    head.reset_parameters()
    assert head.relation.tolist() == [1, 2, 3] and (head.weight == 0).all()
    assert head(random_inputs(dtype=torch.float)).isfinite().all()
