"""Which relation instances of a batch attract and which repel each other: masks by tensor operations on any device.

Rows are the relation instances and NA pairs that meet in a step, of all processes together. All draws are hashes of
the rows' own keys (see `hashing`), so the choice does not depend on the order of the rows or on which process holds
them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch

from finecl_hf.hashing import GOLDEN, MULTIPLIERS


BLOCK = 2**23  # entries of a mask that are drawn at a time


@dataclass
class Instances:
    """Facts and NA pairs (N), each field an int64 tensor (N,).

    Attributes:
        relation: relation ids, 0 = NA. NA pairs are never anchors.
        head, tail: entities, numbered through over all rows that meet.
        pair: number of the (head, tail) pair: equal for the labels of one pair, smaller than N.
        key: random key of each row.
    """

    relation: torch.Tensor
    head: torch.Tensor
    tail: torch.Tensor
    pair: torch.Tensor
    key: torch.Tensor

    def __len__(self) -> int:
        return len(self.relation)

    @classmethod
    def together(cls, parts: list[Instances], entities: list[int]) -> Instances:
        """Instances of several batches, numbered through.

        Args:
            entities: at least how many entities each part numbers.
        """
        stacked, first_entity, first_pair = [], 0, 0
        for part, count in zip(parts, entities, strict=True):
            shifts = {"head": first_entity, "tail": first_entity, "pair": first_pair}
            stacked.append([getattr(part, field.name) + shifts.get(field.name, 0) for field in fields(cls)])
            first_entity, first_pair = first_entity + count, first_pair + len(part)
        return cls(*(torch.cat(column) for column in zip(*stacked, strict=True)))


def contrast_masks(
    instances: Instances,
    num_relations: int,
    anchors: torch.Tensor,
    max_negatives: int | None = None,
    max_partners: int = 1,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Partners and negatives of each anchor: [`partner_mask`] and [`negative_mask`], with the draws made once.

    Anchors are taken a block at a time: a random number takes eight times the memory of a mask's entry.

    Args:
        anchors: (A,) rows to be anchors.
    """
    masks = []
    for block in anchors.split(max(1, BLOCK // max(len(instances), 1))):
        draws = _draw(instances.key, block)
        masks.append(
            (
                partner_mask(instances, block, draws, max_partners),
                negative_mask(instances, num_relations, block, max_negatives, draws),
            )
        )
    positive, negative = zip(*masks, strict=True)
    return torch.cat(positive), torch.cat(negative)


def partner_mask(
    instances: Instances,
    anchors: torch.Tensor | slice = slice(None),
    draws: torch.Tensor | None = None,
    max_partners: int = 1,
) -> torch.Tensor:
    """Partners p(a) with the same relation for each anchor that has any; one each in the paper.

    A pair that shares the anchor's head or its tail is no partner: half of its embedding would be the anchor's own.

    Args:
        anchors: (A,) rows to be anchors; all by default.
        draws: (A, N), where they were made before.
        max_partners: at most so many for an anchor, drawn at random.

    Returns:
        (A, N) bool.
    """
    relation = instances.relation[anchors, None]
    mask = (relation == instances.relation) & (relation != 0) & ~_shares_argument(instances, anchors)
    return _keep_lowest(mask, _draw(instances.key, anchors) if draws is None else draws, max_partners)


def negative_mask(
    instances: Instances,
    num_relations: int,
    anchors: torch.Tensor | slice = slice(None),
    max_negatives: int | None = None,
    draws: torch.Tensor | None = None,
) -> torch.Tensor:
    """The set N(a) of each anchor: pairs of other relations and NA pairs.

    Left out: pairs that share the anchor's head or its tail (FineCL, section 3.2), and pairs that hold the anchor's
    relation beside another one.

    Args:
        num_relations: R, NA among them.
        anchors: (A,) rows to be anchors; all by default.
        max_negatives: at most so many for an anchor, drawn at random; None keeps all.
        draws: (A, N), where they were made before.

    Returns:
        (A, N) bool; rows of NA pairs are empty.
    """
    relation = instances.relation[anchors, None]
    holds = torch.zeros(len(instances), num_relations, dtype=torch.bool, device=relation.device)
    holds[instances.pair, instances.relation] = True
    mask = ~holds[instances.pair, relation] & ~_shares_argument(instances, anchors) & (relation != 0)
    if max_negatives is None:
        return mask
    return _keep_lowest(mask, _draw(instances.key, anchors) if draws is None else draws, max_negatives)


def mix_tensors(*parts: torch.Tensor) -> torch.Tensor:
    """`hashing.mix` for int64 tensors: the same bits, read as signed numbers."""
    state = torch.zeros((), dtype=torch.int64, device=parts[0].device)
    for part in parts:
        state = (state ^ part).add_(_signed(GOLDEN))
        for shift, multiplier in zip((30, 27), MULTIPLIERS, strict=True):
            state = state.bitwise_xor_(_shift_right(state, shift)).mul_(_signed(multiplier))
        state = state.bitwise_xor_(_shift_right(state, 31))
    return state


def _signed(number) -> int:
    return int(number) - 2**64 if int(number) >= 2**63 else int(number)


def _shift_right(state: torch.Tensor, bits: int) -> torch.Tensor:
    """A logical shift: torch's own keeps the sign."""
    return (state >> bits).bitwise_and_(2 ** (64 - bits) - 1)


def _shares_argument(instances: Instances, anchors: torch.Tensor | slice) -> torch.Tensor:
    head, tail = instances.head, instances.tail
    return (head[anchors, None] == head) | (tail[anchors, None] == tail)


def _draw(key: torch.Tensor, anchors: torch.Tensor | slice) -> torch.Tensor:
    """(A, N) random numbers from 0 on, one for each anchor and row. An anchor's partners and its negatives are
    different rows, so that the same numbers serve to draw both."""
    return _shift_right(mix_tensors(key[anchors, None], key), 1)


def _keep_lowest(mask: torch.Tensor, draws: torch.Tensor, count: int) -> torch.Tensor:
    """Keeps the `count` True entries of each row whose number is lowest: a uniform draw."""
    count = min(count, mask.shape[1])
    if count == 0 or mask.numel() == 0:
        return torch.zeros_like(mask)
    draws = draws.masked_fill(~mask, torch.iinfo(torch.int64).max)
    lowest = draws.topk(count, dim=1, largest=False, sorted=False).indices
    return torch.zeros_like(mask).scatter_(1, lowest, True) & mask
