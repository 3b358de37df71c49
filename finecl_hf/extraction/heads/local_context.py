"""Localized context: what head and tail of a pair both attend to (ATLOP, Zhou et al., AAAI 2021, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.checkpoint import checkpoint

from finecl_hf.encoding.pooling import rank_within
from finecl_hf.extraction.heads import CHUNK, HeadInputs
from finecl_hf.losses import at_least_float32


LONG = 1024  # tokens; in longer documents most couples meet in few places
STRETCH = 256


@dataclass
class Couples:
    """The unordered pairs of a batch: (a, b) and (b, a) have one context, so it is made once.

    Attributes:
        row: (U,) document of each; first, second: (U,) entities, numbered within their document.
        rank: (U,) how many couples of the same document stand before it; most: U', the most that a document has.
        of_pair: (P,) the couple of each pair.
    """

    row: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor
    rank: torch.Tensor
    most: int
    of_pair: torch.Tensor


def couples_of(inputs: HeadInputs) -> Couples:
    """The unordered pairs among a batch's pairs."""
    device = inputs.pairs.device
    counts = torch.tensor(inputs.entity_counts, device=device)
    base = counts.cumsum(0) - counts
    row = torch.arange(len(counts), device=device).repeat_interleave(torch.tensor(inputs.pair_counts, device=device))
    local = inputs.pairs - base[row][:, None]
    low, high = local.min(dim=1).values, local.max(dim=1).values
    slots = max([1, *inputs.entity_counts])
    distinct, of_pair = ((row * slots + low) * slots + high).unique(return_inverse=True)
    row, rest = distinct // slots**2, distinct % slots**2
    rank = rank_within(row)
    most = int(rank.max()) + 1 if len(rank) else 0
    return Couples(row, rest // slots, rest % slots, rank, most, of_pair)


def local_contexts(inputs: HeadInputs, couples: Couples, values: torch.Tensor | None = None) -> torch.Tensor:
    """`sum_l q_l h_l` with `q_l` proportional to `sum_heads A_first[l] A_second[l]`.

    Made a stretch of tokens at a time, so that no (couples x tokens) map of long documents exists; and in documents of
    several windows for those couples alone of which both attend to the stretch.

    Args:
        values: (B, L, D) of the tokens; the hidden states by default.

    Returns:
        (U, D) in the precision of the values; zeros where the two attend to nothing in common.
    """
    values, attention = inputs.hidden if values is None else values, inputs.attention
    rows, length, _, slots = attention.shape
    used = couples.row, couples.rank
    places = torch.zeros(2, rows, couples.most, dtype=torch.long, device=values.device)
    places[:, couples.row, couples.rank] = torch.stack([couples.first, couples.second])
    stretch = min(length if length <= LONG else STRETCH, max(1, CHUNK // (rows * slots**2)))
    exact = at_least_float32(values)
    total = exact.new_zeros(rows, couples.most, exact.shape[2])
    mass = total.new_zeros(rows, couples.most)
    recompute = stretch < length and torch.is_grad_enabled()
    for start in range(0, length, stretch):
        part = attention[:, start : start + stretch], exact[:, start : start + stretch], places
        which, contexts, weights = checkpoint(_stretch, *part, use_reentrant=False) if recompute else _stretch(*part)
        total.index_add_(1, which, contexts)
        mass.index_add_(1, which, weights)
    return (total / (mass + 1e-30)[..., None])[used].to(values.dtype)


def _stretch(
    attention: torch.Tensor, values: torch.Tensor, places: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Contexts over some tokens, for those of the couples that both attend to one of them.

    Args:
        attention: (B, l, H, n); values: (B, l, D).
        places: (2, B, U') entities of each couple.

    Returns:
        (V,) which couples; their unnormalised contexts (B, V, D), and the sums of their weights (B, V).
    """
    attends = (attention > 0).flatten(0, 2).any(dim=0)  # (n,)
    first, second = places
    which = (attends[first] & attends[second]).any(dim=0).nonzero().squeeze(1)
    busy = attends.nonzero().squeeze(1)
    number = (attends.cumsum(0) - 1).clamp(min=0)  # of those that are left; the others get weights of zero
    column = number[first[:, which]] * len(busy) + number[second[:, which]]
    with torch.autocast(values.device.type, enabled=False):
        common = shared_attention(attention[..., busy], column)  # (B, l, V)
        common = common * (attends[first[:, which]] & attends[second[:, which]])[:, None, :]
        return which, common.transpose(1, 2) @ values, common.sum(dim=1)


def shared_attention(attention: torch.Tensor, column: torch.Tensor) -> torch.Tensor:
    """What two entities both attend to.

    Args:
        attention: (B, L, H, n) of the entities of each document.
        column: (B, U) first * n + second of each couple.

    Returns:
        (B, L, U) sum over heads of the products.
    """
    products = attention.transpose(2, 3) @ attention  # (B, L, n, n)
    return products.flatten(2).gather(2, column[:, None, :].expand(-1, attention.shape[1], -1))
