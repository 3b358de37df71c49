"""Classifiers over entity pairs: what lies between an encoder's hidden states and the logits of relations.

One file a head. A head is chosen by its name in the configuration, and its module is imported when it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn

from finecl_hf.encoding.pooling import logsumexp_within, pool_entities, pool_mentions
from finecl_hf.errors import FineCLError


if TYPE_CHECKING:
    from finecl_hf.extraction.configuration import FineCLConfig


HEADS = ("bilinear", "atlop", "context", "evidence", "linear", "prototypes", "sentence")  # each in its module


def head_class(name: str) -> type[RelationHead]:
    """The class of a head.

    Raises:
        FineCLError: there is none of that name.
    """
    match name:  # which may be a list, in a damaged configuration
        case "bilinear":
            from finecl_hf.extraction.heads.bilinear import BilinearHead as head
        case "atlop":
            from finecl_hf.extraction.heads.atlop import AtlopHead as head
        case "context":
            from finecl_hf.extraction.heads.context import ContextHead as head
        case "evidence":
            from finecl_hf.extraction.heads.evidence import EvidenceHead as head
        case "linear":
            from finecl_hf.extraction.heads.linear import LinearHead as head
        case "prototypes":
            from finecl_hf.extraction.heads.prototypes import PrototypesHead as head
        case "sentence":
            from finecl_hf.extraction.heads.sentence import SentenceHead as head
        case _:
            raise FineCLError(f'there is no head "{name}"; heads: {", ".join(HEADS)}.')
    return head


@dataclass
class HeadInputs:
    """What heads read: hidden states, and where entities and pairs are in them.

    B documents, L tokens, D hidden size, E entities over all documents, M mentions, P pairs, H heads of attention.

    Attributes:
        hidden: (B, L, D) in the encoder's precision.
        token_index, token_weight, entity_offsets, mention_offsets, mention_entity, entity_type, pairs, distances,
            pair_counts, entity_counts: see [`~finecl_hf.encoding.batches.RelationBatch`].
        attention: (B, L, H, n) float32, what the entities of each document attend to, see
            [`~finecl_hf.encoding.attention.EntityAttention`]; for heads that ask for it.
        sentence: (B, L) the sentence of each token, -1 before the first.
        evidence: (P, S) how likely each sentence of its document shows a pair's relation; set by heads that tell.
    """

    hidden: torch.Tensor
    token_index: torch.Tensor
    token_weight: torch.Tensor
    entity_offsets: torch.Tensor
    mention_offsets: torch.Tensor | None
    mention_entity: torch.Tensor | None
    entity_type: torch.Tensor | None
    pairs: torch.Tensor
    distances: torch.Tensor
    pair_counts: list[int]
    entity_counts: list[int]
    attention: torch.Tensor | None = None
    sentence: torch.Tensor | None = None
    evidence: torch.Tensor | None = None

    @cached_property
    def entities(self) -> torch.Tensor:
        """(E, D) the mean over an entity's mentions of the mean over their tokens."""
        return pool_entities(self.hidden, self.token_index, self.token_weight, self.entity_offsets)

    @cached_property
    def highest(self) -> torch.Tensor:
        """(E, D) the log-sum-exp over an entity's mentions: a smooth maximum (ATLOP, Zhou et al., AAAI 2021)."""
        return logsumexp_within(self.mentions, self.mention_entity, len(self.entity_offsets))

    @cached_property
    def mentions(self) -> torch.Tensor:
        """(M, D) the mean over a mention's tokens."""
        return pool_mentions(self.hidden, self.token_index, self.mention_offsets)


class RelationHead(nn.Module):
    """Base of all heads: `forward` makes the logits (P, R) of a batch's pairs from [`HeadInputs`]; column 0 is NA.

    Attributes:
        reads_attention: whether `HeadInputs.attention` is needed.
    """

    reads_attention: ClassVar[bool] = False

    def __init__(self, config: FineCLConfig):
        super().__init__()
        self.config = config
        layers = min(config.mixed_layers, getattr(config.text_config, "num_hidden_layers", None) or 1)
        self.layer_logits = nn.Parameter(torch.zeros(layers)) if layers > 1 else None

    @property
    def layer_weights(self) -> torch.Tensor | None:
        """(N,) learned weights of the encoder's last N layers, of sum 1; None where only the last one is read."""
        return self.layer_logits.softmax(dim=0) if self.layer_logits is not None else None

    def reset_parameters(self) -> None:
        """Sets parameters that are not in layers of torch, which transformers initialises; nothing here."""

    def forward(self, inputs: HeadInputs) -> torch.Tensor:
        raise NotImplementedError


CHUNK = 2**24  # numbers that heads make of pairs at a time: 64 MB in float32


def chunks(pairs: int, numbers: int) -> Iterator[slice]:
    """Parts of the pairs, so that `numbers` for each pair of a part are no more than `CHUNK`; one at least."""
    size = max(1, CHUNK // max(numbers, 1))
    yield from (slice(start, start + size) for start in range(0, max(pairs, 1), size))
