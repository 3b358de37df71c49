"""The relation model: an encoder, sparse entity pooling and a classifier over entity pairs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AutoModel, PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from finecl_hf.data.distances import NUM_DISTANCES
from finecl_hf.encoding.packing import enable_packing, encode
from finecl_hf.encoding.pooling import pool_entities
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.losses import RELATION_LOSSES, relation_targets


@dataclass
class RelationExtractionOutput(ModelOutput):
    """Output of [`FineCLForRelationExtraction`].

    Attributes:
        loss: scalar, where labels were given.
        logits: (P, R) for the batch's pairs; column 0 is NA.
        entities: (E, D) entity vectors.
    """

    loss: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None
    entities: torch.FloatTensor | None = None


class BilinearHead(nn.Module):
    """The paper's classifier: `[e_h; d_ht]^T W_r [e_t; d_th] + b_r` with projected entities and distance embeddings.

    Computed without any (pairs x relations x size) tensor: the bilinear form splits into entity x entity, entity x
    distance and distance x distance terms, so that all products with W are made once per entity, not once per pair.
    """

    def __init__(self, config: FineCLConfig):
        super().__init__()
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

    def forward(self, entities: torch.Tensor, pairs: torch.Tensor, distances: torch.Tensor) -> torch.Tensor:
        """
        Args:
            entities: (E, D).
            pairs: (P, 2) entity rows of head and tail.
            distances: (P,) bucket of the distance from head to tail; from tail to head it is the mirrored one.

        Returns:
            (P, R) logits.
        """
        entities = self.project(entities)  # (E, K)
        head, tail = pairs.unbind(dim=1)
        distance = self.distance.weight  # (S, k)
        back = NUM_DISTANCES - distances
        split = [self.entity_size, distance.shape[1]]
        (w_ee, w_ed), (w_de, w_dd) = (half.split(split, dim=2) for half in self.weight.split(split, dim=1))
        by_head = torch.einsum("ei,rij,sj->esr", entities, w_ed, distance)  # (E, S, R)
        by_tail = torch.einsum("si,rij,ej->esr", distance, w_de, entities)
        by_distance = torch.einsum("si,rij,uj->sur", distance, w_dd, distance)  # (S, S, R)
        logits = by_head[head, back] + by_tail[tail, distances] + by_distance[distances, back] + self.bias
        return logits + self._entity_products(entities, w_ee, head, tail)

    def _entity_products(
        self, entities: torch.Tensor, weight: torch.Tensor, head: torch.Tensor, tail: torch.Tensor
    ) -> torch.Tensor:
        """(P, R) values `e_h^T W_r e_t`: W applied once per head, then one product per head with all of its tails."""
        if len(head) == 0:
            return entities.new_zeros(0, len(weight))
        heads, row = head.unique(return_inverse=True)  # (H,), (P,)
        column = _rank_within(row)
        tails = torch.zeros(len(heads), int(column.max()) + 1, dtype=torch.long, device=head.device)
        tails[row, column] = tail
        projected = torch.einsum("hi,rij->hrj", entities[heads], weight)  # (H, R, K)
        products = projected @ entities[tails].transpose(1, 2)  # (H, R, T)
        return products.transpose(1, 2)[row, column]


def _rank_within(group: torch.Tensor) -> torch.Tensor:
    """(P,) how many earlier entries have the same value."""
    order = group.argsort(stable=True)
    counts = group.bincount()
    first = counts.cumsum(0) - counts
    rank = torch.empty_like(group)
    rank[order] = torch.arange(len(group), device=group.device) - first[group[order]]
    return rank


HEADS = {"bilinear": BilinearHead}


class FineCLPreTrainedModel(PreTrainedModel):
    config_class = FineCLConfig
    base_model_prefix = "encoder"
    supports_gradient_checkpointing = True
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = _supports_attention_backend = True

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, BilinearHead):
            module.reset_parameters()


class FineCLForRelationExtraction(FineCLPreTrainedModel):
    """Classifies entity pairs of documents or sentences; any encoder that `AutoModel` loads.

    Use [`from_encoder`] to start from an encoder, [`from_pretrained`] to load a fine-tuned model.
    """

    def __init__(self, config: FineCLConfig, encoder: PreTrainedModel | None = None):
        super().__init__(config)
        if config.head not in HEADS or config.loss not in RELATION_LOSSES:
            raise FineCLError(
                f'there is no head "{config.head}" with loss "{config.loss}"; '
                f"heads: {', '.join(HEADS)}; losses: {', '.join(RELATION_LOSSES)}."
            )
        self.encoder = encoder if encoder is not None else AutoModel.from_config(config.text_config)
        enable_packing(self.encoder)
        self.relation_head = HEADS[config.head](config)
        self.make_trainable()
        self.post_init()

    @classmethod
    def from_encoder(
        cls,
        name_or_path: str,
        config: FineCLConfig,
        dtype: torch.dtype = torch.float32,
        **kwargs,
    ) -> FineCLForRelationExtraction:
        """A relation model with a new head on a pre-trained encoder (a plain one, or one with an MLM head).

        Args:
            name_or_path: folder or Hub id of the encoder.
            config: label set and head; its `text_config` is replaced by the encoder's own.
            dtype: float32 by default, whatever precision the checkpoint is stored in.
            kwargs: see [`~finecl_hf.extraction.loading.load_encoder`], such as `revision`.
        """
        from finecl_hf.extraction.base_encoder import describe_base
        from finecl_hf.extraction.loading import load_encoder

        encoder = load_encoder(name_or_path, dtype, **kwargs)
        config.text_config = encoder.config
        config.base_encoder = describe_base(name_or_path, kwargs.get("revision"), encoder)
        return cls(config, encoder=encoder).to(dtype)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | None, *args: Any, **kwargs: Any):
        """As of any model of transformers.

        Raises:
            FineCLError: no relation model lies there.
        """
        if pretrained_model_name_or_path is not None and kwargs.get("config") is None:
            FineCLConfig.of_relation_model(os.fspath(pretrained_model_name_or_path), **kwargs)
        return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)

    def make_trainable(self) -> None:
        """Lets all weights learn but those of the encoder's pooler, which has no part in this: DDP and FSDP take a
        parameter without a gradient for a mistake."""
        self.requires_grad_(True)
        if isinstance(getattr(self.encoder, "pooler", None), nn.Module):
            self.encoder.pooler.requires_grad_(False)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_index: torch.Tensor,
        token_weight: torch.Tensor,
        entity_offsets: torch.Tensor,
        pairs: torch.Tensor,
        distances: torch.Tensor,
        label_pair: torch.Tensor | None = None,
        label_relation: torch.Tensor | None = None,
        fact_key: torch.Tensor | None = None,
        pair_counts: list[int] | None = None,
        entity_counts: list[int] | None = None,
        keys: torch.Tensor | None = None,
    ) -> RelationExtractionOutput:
        """Arguments: see [`~finecl_hf.encoding.batches.RelationBatch`]. A whole batch may be passed: what comes after
        the labels is for hooks and callbacks, and without influence here."""
        hidden, _ = encode(self.encoder, self.encoder.config, input_ids, attention_mask)  # (B, L, D)
        entities = pool_entities(hidden, token_index, token_weight, entity_offsets)
        logits = self.relation_head(entities, pairs, distances)
        loss = None
        if label_pair is not None:
            targets = relation_targets(label_pair, label_relation, *logits.shape)
            loss = RELATION_LOSSES[self.config.loss](logits, targets)
        return RelationExtractionOutput(loss=loss, logits=logits, entities=entities)


AutoModel.register(FineCLConfig, FineCLForRelationExtraction)
