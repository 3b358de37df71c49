"""Rows of all processes in one tensor, with gradients that find their way back."""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(context, rows: torch.Tensor, counts: list[int]) -> torch.Tensor:
        context.counts = counts
        padded = F.pad(rows, (0, 0) * (rows.dim() - 1) + (0, max(counts) - len(rows)))
        everyone = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(everyone, padded.contiguous())
        return torch.cat([part[:count] for part, count in zip(everyone, counts, strict=True)])

    @staticmethod
    def backward(context, gradient: torch.Tensor):
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient)  # each process's loss depends on each process's rows
        return gradient.split(context.counts)[dist.get_rank()], None


def gather_counts(count: int, device: torch.device) -> list[int]:
    """How many rows each process has."""
    counts = [torch.zeros(1, dtype=torch.long, device=device) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, torch.tensor([count], device=device))
    return torch.cat(counts).tolist()


def gather_rows(rows: torch.Tensor, counts: list[int]) -> torch.Tensor:
    """The rows of all processes, in their order.

    The gradient of a row is the sum of what all processes' losses make of it. Every process must call this, and every
    loss must depend on the result, or the others wait for it in vain.

    Args:
        rows: (n, ...), n this process's entry in `counts`.

    Returns:
        (sum of counts, ...).
    """
    return _AllGather.apply(rows, counts)
