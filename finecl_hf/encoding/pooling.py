"""From token vectors to entity vectors, as one sparse gather: no (pairs x tokens) map exists anywhere."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from finecl_hf.losses import at_least_float32


def pool_entities(
    hidden: torch.Tensor, token_index: torch.Tensor, token_weight: torch.Tensor, entity_offsets: torch.Tensor
) -> torch.Tensor:
    """Weighted sum of each entity's token vectors.

    With the weights of [`mention_weights`] an entity is the mean over its mentions of the mean over their tokens
    (FineCL, section 3).

    Args:
        hidden: (B, L, D) token vectors of the encoder.
        token_index: (T,) positions in the flattened (B * L) tokens, entity by entity.
        token_weight: (T,) weight of each of these tokens.
        entity_offsets: (E,) where each entity's tokens start in `token_index`.

    Returns:
        (E, D) entity vectors; zeros for an entity without tokens.
    """
    flat = hidden.flatten(0, 1)
    return F.embedding_bag(
        token_index, flat, entity_offsets, mode="sum", per_sample_weights=token_weight.to(flat.dtype)
    )


def mention_weights(
    start: np.ndarray, end: np.ndarray, entity: np.ndarray, num_entities: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens, weights and offsets for [`pool_entities`] from the mentions' token spans.

    Args:
        start, end: (M,) token span [start, end) of each mention.
        entity: (M,) entity of each mention, in any order.
        num_entities: E; entities without a mention get an empty bag.

    Returns:
        token_index (T,), token_weight (T,) float32 summing to 1 over an entity, entity_offsets (E,).
    """
    order = np.argsort(entity, kind="stable")
    start, length, entity = start[order], (end - start)[order], entity[order]
    mentions = np.bincount(entity, minlength=num_entities)
    tokens = np.bincount(entity, weights=length, minlength=num_entities).astype(np.int64)
    before = np.cumsum(length) - length
    token_index = np.arange(length.sum()) + np.repeat(start - before, length)
    token_weight = np.repeat(1.0 / (length * mentions[entity]), length).astype(np.float32)
    return token_index, token_weight, np.cumsum(tokens) - tokens


def pool_mentions(hidden: torch.Tensor, token_index: torch.Tensor, mention_offsets: torch.Tensor) -> torch.Tensor:
    """Mean over each mention's token vectors.

    Args:
        hidden: (B, L, D).
        token_index: (T,) positions in the flattened (B * L) tokens, mention by mention.
        mention_offsets: (M,) where each mention's tokens start in `token_index`.

    Returns:
        (M, D).
    """
    return F.embedding_bag(token_index, hidden.flatten(0, 1), mention_offsets, mode="mean")


def logsumexp_within(values: torch.Tensor, group: torch.Tensor, groups: int) -> torch.Tensor:
    """Log-sum-exp over the rows of each group, in float32: a smooth maximum.

    Args:
        values: (M, D); group: (M,) in [0, groups).

    Returns:
        (groups, D) in the precision of `values`; zeros for a group without rows.
    """
    with torch.autocast(values.device.type, enabled=False):
        exact = at_least_float32(values)
        index = group[:, None].expand_as(exact)
        highest = exact.detach().new_zeros(groups, values.shape[1])
        highest = highest.scatter_reduce(0, index, exact.detach(), "amax", include_self=False)
        total = exact.new_zeros(groups, values.shape[1]).index_add(0, group, (exact - highest[group]).exp())
        empty = torch.bincount(group, minlength=groups)[:, None] == 0
        return ((total + empty).log() + highest).to(values.dtype)


def take_rows(table: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """`table[index]`, for gradients that are the same in every run.

    On several CPU threads the gradient of indexing by a tensor adds up rows that are taken more than once in whatever
    order the threads come; that of an embedding has one order, and is several times as fast.

    Args:
        table: (N, ...); index: of any shape.

    Returns:
        (*index.shape, ...).
    """
    return F.embedding(index, table.flatten(1)).unflatten(-1, table.shape[1:])


def rank_within(group: torch.Tensor) -> torch.Tensor:
    """(P,) how many earlier entries have the same value."""
    order = group.argsort(stable=True)
    counts = group.bincount()
    first = counts.cumsum(0) - counts
    rank = torch.empty_like(group)
    rank[order] = torch.arange(len(group), device=group.device) - first[group[order]]
    return rank


def places_in(known: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where values stand in a sorted tensor that is not empty.

    Returns:
        (N,) places, and whether they do stand there; some place where they do not.
    """
    place = torch.searchsorted(known, values).clamp(max=len(known) - 1)
    return place, known[place] == values
