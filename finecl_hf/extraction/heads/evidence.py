"""The context head, with attention that evidence sentences teach; it tells them (DREEAM, Ma et al., EACL 2023)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from finecl_hf.encoding.pooling import take_rows
from finecl_hf.extraction.heads import HeadInputs
from finecl_hf.extraction.heads.context import ContextHead
from finecl_hf.extraction.heads.local_context import Couples, local_contexts
from finecl_hf.losses import at_least_float32


class EvidenceHead(ContextHead):
    """As [`ContextHead`]; what the two entities of a pair both attend to, summed over each sentence, is how likely the
    sentence is evidence. Where training documents name evidence, the model's loss pulls it there."""

    def contexts(self, inputs: HeadInputs, couples: Couples) -> torch.Tensor:
        sentences = int(inputs.sentence.max()) + 1 if inputs.sentence.numel() else 0
        belongs = F.one_hot(inputs.sentence + 1, sentences + 1)[..., 1:]  # (B, L, S); special tokens to none
        hidden = at_least_float32(inputs.hidden)
        both = local_contexts(inputs, couples, torch.cat([hidden, belongs.to(hidden.dtype)], dim=2))
        contexts, evidence = both.split([hidden.shape[2], sentences], dim=1)
        inputs.evidence = take_rows(evidence, couples.of_pair)
        return contexts.to(inputs.hidden.dtype)
