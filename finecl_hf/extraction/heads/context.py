"""A bilinear form over entities, and a hidden layer over what else is known of a pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import nn
from transformers import initialization as init

from finecl_hf.data.distances import NUM_DISTANCES
from finecl_hf.encoding.pooling import places_in, take_rows
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.heads import HeadInputs, RelationHead, chunks
from finecl_hf.extraction.heads.bilinear import entity_products
from finecl_hf.extraction.heads.dropout import FastDropout
from finecl_hf.extraction.heads.local_context import Couples, couples_of, local_contexts
from finecl_hf.hashing import type_key


class ContextHead(RelationHead):
    """`e_h^T W_r e_t + V_r gelu(U_h x_h + U_t x_t + U_c c + U_d d)`."""

    reads_attention: ClassVar[bool] = True

    def __init__(self, config: FineCLConfig):
        super().__init__(config)
        size, wide = config.text_config.hidden_size, config.head_size
        self.project = nn.Linear(size + config.type_size, config.entity_size)
        self.weight = nn.Parameter(torch.empty(config.num_labels, config.entity_size, config.entity_size))
        self.of_head, self.of_tail = (nn.Linear(size + config.type_size, wide) for _ in range(2))
        self.of_context = nn.Linear(size, wide, bias=False)
        self.distance = nn.Embedding(NUM_DISTANCES, wide)
        self.entity_type = nn.Embedding(len(config.entity_types or ()) + 1, config.type_size)
        self.dropout = FastDropout(config.head_dropout)
        self.classify = nn.Linear(wide, config.num_labels)

    def reset_parameters(self) -> None:
        bound = self.weight.shape[-1] ** -0.5  # as nn.Bilinear
        init.uniform_(self.weight, -bound, bound)

    def forward(self, inputs: HeadInputs) -> torch.Tensor:
        pairs = inputs.pairs
        entities = inputs.highest
        types = self.entity_type(type_rows(inputs.entity_type, self.config.entity_types or ()))
        entities = torch.cat([entities, types.to(entities.dtype)], dim=1)
        head, tail = pairs.unbind(dim=1)
        couples = couples_of(inputs)
        contexts = self.of_context(self.dropout(self.contexts(inputs, couples)))
        heads, tails = self.of_head(entities), self.of_tail(entities)
        logits = []
        for part in chunks(len(pairs), 4 * contexts.shape[1]):  # what stays in the caches of a CPU
            hidden = take_rows(heads, head[part]) + take_rows(tails, tail[part])
            hidden = hidden + take_rows(contexts, couples.of_pair[part])
            hidden = nn.functional.gelu(hidden + self.distance(inputs.distances[part]))
            logits.append(self.classify(self.dropout(hidden)))
        logits = torch.cat(logits)
        projected = self.project(self.dropout(entities))
        return logits + entity_products(projected, self.weight, head, tail)

    def contexts(self, inputs: HeadInputs, couples: Couples) -> torch.Tensor:
        """(U, D) what both entities of each unordered pair attend to."""
        return local_contexts(inputs, couples)


def type_rows(keys: torch.Tensor, known: Sequence[str]) -> torch.Tensor:
    """The row of each entity's type in an embedding of the known types; 0 for any other.

    Args:
        keys: (E,) see [`~finecl_hf.hashing.type_key`].
        known: types, in any order.
    """
    table = torch.tensor(sorted(map(type_key, known)) or [-1], device=keys.device)
    place, is_known = places_in(table, keys)
    return torch.where(is_known, place + 1, 0)
