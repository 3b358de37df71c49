"""What holds for every head."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoConfig

from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.heads import HEADS, head_class
from tests.helpers.head_inputs import random_inputs


@pytest.mark.parametrize("name", HEADS)
def test_gradients_are_the_same_in_every_run_on_several_threads(name, two_threads):
    torch.manual_seed(0)
    config = FineCLConfig(
        num_labels=5, num_prototypes=7, entity_size=64, head_size=64, block_size=8, head_dropout=0.0,
        text_config=AutoConfig.for_model("bert", hidden_size=64),
    )  # fmt: skip
    head = head_class(name)(config)
    for weight in head.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    inputs = random_inputs((60, 50), length=80, size=64, dtype=torch.float32)  # enough to be shared among threads
    inputs.sentence = torch.arange(80).expand(2, 80) // 20
    leaves = [inputs.hidden.requires_grad_(), *(weight for weight in head.parameters() if weight.requires_grad)]
    direction = torch.randn(len(inputs.pairs), 5)

    def gradients():
        fresh = replace(inputs)  # its vectors of entities are not made yet
        return torch.autograd.grad((head(fresh) * direction).sum(), leaves, allow_unused=True)

    first = gradients()
    for _ in range(5):
        for one, other in zip(first, gradients(), strict=True):
            assert one is other is None or torch.equal(one, other)
