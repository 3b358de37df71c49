"""The paper's classifier of sentences."""

from __future__ import annotations

import torch
from torch import nn

from finecl_hf.encoding.pooling import take_rows
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.heads import HeadInputs, RelationHead


class LinearHead(RelationHead):
    """`W [e_h; e_t] + b` (FineCL, section 3). Its code's dropout is not published; ours is `head_dropout`."""

    def __init__(self, config: FineCLConfig):
        super().__init__(config)
        self.dropout = nn.Dropout(config.head_dropout)
        self.classify = nn.Linear(2 * config.text_config.hidden_size, config.num_labels)

    def forward(self, inputs: HeadInputs) -> torch.Tensor:
        head, tail = take_rows(inputs.entities, inputs.pairs).unbind(dim=1)
        return self.classify(self.dropout(torch.cat([head, tail], dim=1)))
