"""One step of stage 2: documents encoded in chunks that fit memory, contrasted all together, over all processes.

More negatives make a better encoder, and accumulating gradients adds none. So the chunks of a step are encoded without
their activations being kept, contrasted together, and encoded once more, with the same random numbers, when the
gradient comes back (GradCache: Gao et al., RepL4NLP 2021; gradient checkpointing does just that). The gradient is that
of all documents in one batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.distributed.nn.functional import all_gather
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from finecl_hf.encoding.pooling import pool_entities, take_rows
from finecl_hf.losses import entity_discrimination_terms, relation_discrimination_terms
from finecl_hf.pretraining.contrast import Instances, contrast_masks
from finecl_hf.pretraining.masked_lm import calling, masked_lm_forward, token_loss


@dataclass
class Sums:
    """What a loss is the mean of: the sum of its terms and how many there are."""

    total: torch.Tensor
    count: int


@dataclass
class EncodedChunks:
    """What a step needs of its documents.

    Attributes:
        pairs: (N, 2 D) embedding [e_head; e_tail] of each relation instance and NA pair.
        entity_loss, mlm_loss: of the documents themselves.
    """

    pairs: torch.Tensor
    entity_loss: Sums
    mlm_loss: Sums


def encode_chunks(
    model: nn.Module, unwrapped: PreTrainedModel, chunks: list[dict[str, Any]], temperature: float
) -> EncodedChunks:
    """Encodes the chunks of a step in one forward pass of the (possibly wrapped) model.

    Args:
        chunks: fields of a `PretrainBatch` each. Of several chunks, no activations are kept.
    """

    def forward(**_: Any) -> list[tuple[torch.Tensor, ...]]:
        if len(chunks) == 1 or not torch.is_grad_enabled():
            return [_encode_chunk(plain, unwrapped, chunk, temperature) for chunk in chunks]
        return [
            checkpoint(_encode_chunk, plain, unwrapped, chunk, temperature, use_reentrant=False) for chunk in chunks
        ]

    with calling(unwrapped, forward) as plain:
        pairs, entity_loss, mlm_loss = zip(*model(), strict=True)
    return EncodedChunks(
        torch.cat(pairs),
        Sums(torch.stack(entity_loss).sum(), sum(len(chunk["queries"]) for chunk in chunks)),
        Sums(torch.stack(mlm_loss).sum(), sum(len(chunk["masked_labels"]) for chunk in chunks)),
    )


def _encode_chunk(
    forward: Callable, unwrapped: PreTrainedModel, chunk: dict[str, Any], temperature: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pair embeddings (N, 2 D), and the sums of the entity and MLM losses."""
    inputs = (chunk[name] for name in ("input_ids", "attention_mask", "masked"))
    hidden, token_logits = masked_lm_forward(forward, *inputs, unwrapped)
    entities = pool_entities(hidden, *(chunk[name] for name in ("token_index", "token_weight", "entity_offsets")))
    entity_terms = entity_discrimination_terms(
        take_rows(entities, chunk["queries"]), entities, chunk["positives"], chunk["candidate_mask"], temperature
    )
    pairs = take_rows(entities, chunk["pairs"]).flatten(1)
    return pairs, entity_terms.sum(), token_loss(token_logits, chunk["masked_labels"])


@dataclass
class Contrast:
    """Facts that meet in a step, and which of them are this process's anchors.

    Attributes:
        embeddings: (N, D); weights: (N,); anchors: (A,) rows of this process's learned instances.
        positive_mask, negative_mask: (A, N) bool.
    """

    embeddings: torch.Tensor
    weights: torch.Tensor
    anchors: torch.Tensor
    positive_mask: torch.Tensor
    negative_mask: torch.Tensor

    @classmethod
    def of(
        cls,
        pairs: torch.Tensor,
        chunks: list[dict[str, Any]],
        max_negatives: int | None,
        max_partners: int = 1,
        num_processes: int = 1,
    ) -> Contrast:
        """The instances of all chunks of all processes, with `pairs` (N, 2 D) the embeddings of this process's."""
        parts = [
            Instances(chunk["relation"], *chunk["pairs"].unbind(1), chunk["pair"], chunk["instance_key"])
            for chunk in chunks
        ]
        instances = Instances.together(parts, [len(chunk["entity_offsets"]) for chunk in chunks])
        weights = torch.cat([chunk["weights"] for chunk in chunks])
        anchors = _anchors(chunks).to(pairs.device, non_blocking=True)
        if num_processes > 1:
            counts = gather_counts(len(instances), pairs.device)
            entities = gather_counts(sum(len(chunk["entity_offsets"]) for chunk in chunks), pairs.device)
            pairs, weights = gather_rows(pairs, counts), gather_rows(weights, counts)
            columns = gather_rows(torch.stack(list(vars(instances).values()), dim=1), counts).split(counts)
            instances = Instances.together([Instances(*part.unbind(1)) for part in columns], entities)
            anchors = anchors + sum(counts[: torch.distributed.get_rank()])
        masks = contrast_masks(instances, chunks[0]["num_relations"], anchors, max_negatives, max_partners)
        return cls(pairs, weights, anchors, *masks)

    def loss(self, temperature: float) -> Sums:
        """Relation discrimination of this process's anchors."""
        terms = relation_discrimination_terms(
            self.embeddings, self.weights, self.positive_mask, self.negative_mask, self.anchors, temperature
        )
        return Sums(terms.sum(), len(terms))


def _anchors(chunks: list[dict[str, Any]]) -> torch.Tensor:
    """(A,) rows of the learned instances: the first ones of each chunk."""
    rows, first = [], 0
    for chunk in chunks:
        rows.append(torch.arange(first, first + chunk["learned"]))
        first += len(chunk["weights"])
    return torch.cat(rows)


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
    padded = F.pad(rows, (0, 0) * (rows.dim() - 1) + (0, max(counts) - len(rows)))
    everyone = all_gather(padded.contiguous())
    return torch.cat([part[:count] for part, count in zip(everyone, counts, strict=True)])
