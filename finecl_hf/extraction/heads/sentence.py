"""A hidden layer over the two arguments of a sentence, their product and the sentence itself."""

from __future__ import annotations

import torch
from torch import nn

from finecl_hf.encoding.pooling import take_rows
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.heads import HeadInputs, RelationHead


class SentenceHead(RelationHead):
    """`W gelu(V [e_h; e_t; e_h * e_t; s])`, with `s` the sentence's first token (as R-BERT, Wu and He, CIKM 2019)."""

    def __init__(self, config: FineCLConfig):
        super().__init__(config)
        self.dropout = nn.Dropout(config.head_dropout)
        self.combine = nn.Linear(4 * config.text_config.hidden_size, config.head_size)
        self.classify = nn.Linear(config.head_size, config.num_labels)

    def forward(self, inputs: HeadInputs) -> torch.Tensor:
        head, tail = take_rows(inputs.entities, inputs.pairs).unbind(dim=1)
        counts = torch.tensor(inputs.pair_counts, device=head.device)
        sentence = inputs.hidden[:, 0].repeat_interleave(counts, dim=0)
        known = self.dropout(torch.cat([head, tail, head * tail, sentence], dim=1))
        return self.classify(self.dropout(nn.functional.gelu(self.combine(known))))
