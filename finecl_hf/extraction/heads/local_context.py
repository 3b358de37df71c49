"""Localized context: what head and tail of a pair both attend to (ATLOP, Zhou et al., AAAI 2021, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.checkpoint import checkpoint

from finecl_hf.extraction.heads import CHUNK, HeadInputs
from finecl_hf.extraction.heads.bilinear import rank_within
from finecl_hf.losses import at_least_float32


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

    Made a stretch of tokens at a time, so that no (couples x tokens) map of long documents exists.

    Args:
        values: (B, L, D) of the tokens; the hidden states by default.

    Returns:
        (U, D) in the precision of the values; zeros where the two attend to nothing in common.
    """
    hidden, attention = inputs.hidden if values is None else values, inputs.attention
    rows, length, _, slots = attention.shape
    used = couples.row, couples.rank
    column = torch.zeros(rows, couples.most, dtype=torch.long, device=hidden.device)
    column[used] = couples.first * slots + couples.second
    stretch = max(1, CHUNK // (rows * slots**2))
    parts = [(attention[:, start : start + stretch], hidden[:, start : start + stretch], column)
             for start in range(0, length, stretch)]  # fmt: skip
    total = mass = None
    for part in parts:
        recompute = len(parts) > 1 and torch.is_grad_enabled()
        values, weights = checkpoint(_stretch, *part, use_reentrant=False) if recompute else _stretch(*part)
        total = values if total is None else total + values
        mass = weights if mass is None else mass + weights
    contexts = total / (mass + 1e-30)[..., None]
    return contexts[used].to(hidden.dtype)


def _stretch(attention: torch.Tensor, hidden: torch.Tensor, column: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Unnormalised contexts (B, U', D) and their weights' sums (B, U') over some tokens."""
    with torch.autocast(hidden.device.type, enabled=False):
        common = shared_attention(attention, column)  # (B, l, U')
        return common.transpose(1, 2) @ at_least_float32(hidden), common.sum(dim=1)


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
