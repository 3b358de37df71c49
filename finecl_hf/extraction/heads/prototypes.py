"""Relations by likeness to examples: what `RelationPrototypes` fits without training, and what may be trained on."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from transformers import initialization as init

from finecl_hf.encoding.pooling import take_rows
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.heads import HeadInputs, RelationHead, chunks


NO_VOTE = 1e-30  # in place of no vote at all: the logarithm stays finite


class PrototypesHead(RelationHead):
    """Each prototype votes for its relation by its cosine with the pair, and votes add up:
    `logit_r = log sum_{i of r} exp(cos(z, p_i) / t + weight_i)`, over the pair's nearest neighbours or all prototypes.

    A prototype stands for one example (neighbours, weighted as by Khandelwal et al., ICLR 2020) or for the mean of a
    relation's (Snell et al., NeurIPS 2017). A pair is `z = [e_h - c_h; e_t - c_t]`, each half of equal length: with
    their mean c, all vectors of an encoder that is not trained for this look alike. In documents NA also has the vote
    of one example that has nothing in common with the pair.

    Attributes:
        prototypes: (S, 2, D) head and tail part of each prototype, of length 1 together.
        weight: (S,) log weight of each.
        center: (2, D) the mean head and the mean tail.
        relation: (S,) relation id of each.
    """

    def __init__(self, config: FineCLConfig):
        super().__init__(config)
        size, hidden = config.num_prototypes or config.num_labels - 1, config.text_config.hidden_size
        self.prototypes = nn.Parameter(torch.empty(size, 2, hidden))
        self.weight = nn.Parameter(torch.empty(size))
        self.center = nn.Parameter(torch.empty(2, hidden))
        self.register_buffer("relation", torch.ones(size, dtype=torch.long))

    def reset_parameters(self) -> None:
        init.normal_(self.prototypes, std=(2 * self.prototypes.shape[2]) ** -0.5)
        init.zeros_(self.weight)
        init.zeros_(self.center)
        init.copy_(self.relation, 1 + torch.arange(len(self.relation)) % (self.config.num_labels - 1))

    def forward(self, inputs: HeadInputs) -> torch.Tensor:
        return self.score(inputs.entities, inputs.pairs)

    def score(self, entities: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
        """Logits of pairs, in float32 under any autocast.

        Args:
            entities: (E, D).
            pairs: (P, 2) rows of head and tail.

        Returns:
            (P, R); column 0 is NA.
        """
        with torch.autocast(entities.device.type, enabled=False):
            halves = center_entities(entities, self.center)  # (2, E, D)
            prototypes = F.normalize(self.prototypes.float().flatten(1), dim=1).view_as(self.prototypes)
            scale = 2**-0.5 / self.config.prototype_temperature
            by_head, by_tail = (halves @ prototypes.permute(1, 2, 0) * scale).unbind()  # (E, S): once an entity
            head, tail = pairs.unbind(dim=1)
            parts = [
                self._votes(take_rows(by_head, head[part]) + take_rows(by_tail, tail[part]))
                for part in chunks(len(pairs), len(self.relation) + self.config.num_labels)
            ]
        return torch.cat(parts)

    def _votes(self, similarity: torch.Tensor) -> torch.Tensor:
        """(P, R) logits from cosines over temperature (P, S)."""
        relation, weight = self.relation.expand_as(similarity), self.weight.float().expand_as(similarity)
        if 0 < self.config.num_neighbours < similarity.shape[1]:
            similarity, nearest = similarity.topk(self.config.num_neighbours, dim=1)
            relation, weight = relation.gather(1, nearest), weight.gather(1, nearest)
        votes = similarity + weight
        most = votes.amax(dim=1, keepdim=True).detach()
        total = votes.new_zeros(len(votes), self.config.num_labels).scatter_add(1, relation, (votes - most).exp())
        logits = (total + NO_VOTE).log() + most
        if self.config.task == "document":
            na = torch.logaddexp(logits[:, :1], torch.zeros_like(most))
            logits = torch.cat([na, logits[:, 1:]], dim=1)
        return logits


def center_entities(entities: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
    """Entity vectors as head and as tail, without the mean head and tail, each of length 1.

    Args:
        entities: (E, D).
        center: (2, D).

    Returns:
        (2, E, D) float32.
    """
    return F.normalize(entities.float() - center.float()[:, None], dim=2)
