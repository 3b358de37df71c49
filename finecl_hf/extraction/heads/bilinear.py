"""The paper's classifier."""

from __future__ import annotations

import torch
from torch import nn
from transformers import initialization as init

from finecl_hf.data.distances import NUM_DISTANCES
from finecl_hf.encoding.pooling import rank_within, take_rows
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.heads import HeadInputs, RelationHead


class BilinearHead(RelationHead):
    """`[e_h; d_ht]^T W_r [e_t; d_th] + b_r` with projected entities and distance embeddings (FineCL, section 3).

    Computed without any (pairs x relations x size) tensor: the bilinear form splits into entity x entity, entity x
    distance and distance x distance terms, so that all products with W are made once per entity, not once per pair.
    """

    def __init__(self, config: FineCLConfig):
        super().__init__(config)
        self.entity_size = config.entity_size
        size = config.entity_size + config.distance_size
        self.project = nn.Linear(config.text_config.hidden_size, config.entity_size)
        self.distance = nn.Embedding(NUM_DISTANCES, config.distance_size)
        self.weight = nn.Parameter(torch.empty(config.num_labels, size, size))
        self.bias = nn.Parameter(torch.empty(config.num_labels))

    def reset_parameters(self) -> None:
        bound = self.weight.shape[-1] ** -0.5  # as nn.Bilinear
        init.uniform_(self.weight, -bound, bound)
        init.uniform_(self.bias, -bound, bound)

    def forward(self, inputs: HeadInputs) -> torch.Tensor:
        entities = self.project(inputs.entities)  # (E, K)
        distances = inputs.distances
        head, tail = inputs.pairs.unbind(dim=1)
        distance = self.distance.weight  # (S, k)
        back = NUM_DISTANCES - distances
        split = [self.entity_size, distance.shape[1]]
        (w_ee, w_ed), (w_de, w_dd) = (half.split(split, dim=2) for half in self.weight.split(split, dim=1))
        by_head = torch.einsum("ei,rij,sj->esr", entities, w_ed, distance)  # (E, S, R)
        by_tail = torch.einsum("si,rij,ej->esr", distance, w_de, entities)
        by_distance = torch.einsum("si,rij,uj->sur", distance, w_dd, distance)  # (S, S, R)
        size = len(distance)
        of_head = take_rows(by_head.flatten(0, 1), head * size + back)
        of_tail = take_rows(by_tail.flatten(0, 1), tail * size + distances)
        of_distance = take_rows(by_distance.flatten(0, 1), distances * size + back)
        return of_head + of_tail + of_distance + self.bias + entity_products(entities, w_ee, head, tail)


def entity_products(
    entities: torch.Tensor, weight: torch.Tensor, head: torch.Tensor, tail: torch.Tensor
) -> torch.Tensor:
    """Bilinear forms of pairs: W applied once per head, then one product per head with all of its tails.

    Args:
        entities: (E, K).
        weight: (R, K, K).
        head, tail: (P,) rows of `entities`.

    Returns:
        (P, R) values `e_h^T W_r e_t`.
    """
    if len(head) == 0:
        return entities.new_zeros(0, len(weight)) + 0 * (entities.sum() + weight.sum())  # keeps the graph
    heads, row = head.unique(return_inverse=True)  # (H,), (P,)
    column = rank_within(row)
    tails = torch.zeros(len(heads), int(column.max()) + 1, dtype=torch.long, device=head.device)
    tails[row, column] = tail
    projected = torch.einsum("hi,rij->hrj", entities[heads], weight)  # (H, R, K)
    products = projected @ take_rows(entities, tails).transpose(1, 2)  # (H, R, T)
    return products.transpose(1, 2)[row, column]
