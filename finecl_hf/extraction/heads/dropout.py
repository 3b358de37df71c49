"""Dropout for what is made of each pair, where drawing takes longer than computing."""

from __future__ import annotations

import torch
from torch import nn

from finecl_hf.encoding.packing import draw_kept


class FastDropout(nn.Dropout):
    """As `nn.Dropout`; on CPUs with the draws of [`draw_kept`], four from each random number."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        if not self.training or self.p == 0 or values.device.type != "cpu":
            return super().forward(values)
        kept, scale = draw_kept(values, self.p)
        return values * kept * scale
