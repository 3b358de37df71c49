"""ATLOP's classifier (Zhou et al., AAAI 2021)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from finecl_hf.encoding.pooling import take_rows
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.heads import HeadInputs, RelationHead, chunks
from finecl_hf.extraction.heads.local_context import couples_of, local_contexts


class AtlopHead(RelationHead):
    """`z_h^T W_r z_t` in blocks, with `z = tanh(W_e e + W_c c)`, `e` the log-sum-exp over an entity's mentions and `c`
    the pair's localized context (equations 3 to 5 and 9 to 12)."""

    reads_attention: ClassVar[bool] = True

    def __init__(self, config: FineCLConfig):
        super().__init__(config)
        size = config.text_config.hidden_size
        self.block = min(config.block_size, size)
        self.size = size // self.block * self.block
        self.of_head, self.of_tail = nn.Linear(size, self.size), nn.Linear(size, self.size)
        self.context_of_head = nn.Linear(size, self.size, bias=False)
        self.context_of_tail = nn.Linear(size, self.size, bias=False)
        self.classify = nn.Linear(self.size * self.block, config.num_labels)

    def forward(self, inputs: HeadInputs) -> torch.Tensor:
        pairs = inputs.pairs
        entities = inputs.highest
        couples = couples_of(inputs)
        contexts = local_contexts(inputs, couples)
        heads, tails = self.of_head(entities), self.of_tail(entities)  # once per entity, once per couple
        head_contexts, tail_contexts = self.context_of_head(contexts), self.context_of_tail(contexts)
        parts = list(chunks(len(pairs), self.size * self.block))
        logits = []
        for part in parts:
            head, tail = pairs[part].unbind(dim=1)
            couple = couples.of_pair[part]
            states = (
                take_rows(heads, head) + take_rows(head_contexts, couple),
                take_rows(tails, tail) + take_rows(tail_contexts, couple),
            )
            if len(parts) > 1 and torch.is_grad_enabled():
                logits.append(checkpoint(self._classify, *states, use_reentrant=False))
            else:
                logits.append(self._classify(*states))
        return torch.cat(logits)

    def _classify(self, head: torch.Tensor, tail: torch.Tensor) -> torch.Tensor:
        """(P, R) from (P, K) states of heads and tails before the non-linearity."""
        head = head.tanh().unflatten(1, (-1, self.block))
        tail = tail.tanh().unflatten(1, (-1, self.block))
        products = head[..., :, None] * tail[..., None, :]  # (P, K / b, b, b)
        return self.classify(products.flatten(1))
