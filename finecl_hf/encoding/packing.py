"""Encoding without padding: the documents of a batch in one row, each attending to itself alone.

Everything in an encoder but its attention treats tokens one by one, so that only the attention needs to know where a
document begins. The attention implementation `packed`, registered here, does; encoders that take it (see [`PACKABLE`])
get no padding at all, others get rows of similar length together. Both give the hidden states of a padded batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from zlib import crc32

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedConfig, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from finecl_hf.encoding.attention import EntityAttention
from finecl_hf.encoding.encoders import SHIFTED_POSITIONS


# A copy of this file beside a model, see `cards.code_copies`, may be of another version: it has a name of its own
PACKED = "packed" if __name__.startswith("finecl_hf.") else f"packed_{crc32(__name__.encode()):08x}"
# Architectures whose layers hand their attention what it is called with, and take positions; each one is tested.
PACKABLE = {
    "albert", "bert", "camembert", "data2vec-text", "distilbert", "electra", "modernbert", "nomic_bert", "roberta",
    "roberta-prelayernorm", "xlm-roberta",
}  # fmt: skip
PADDING_FREE = {PACKED, "flash_attention_2", "flash_attention_3"}
# Tokens of one call of the encoder: what stays in the caches of a CPU; GPUs are faster the more they get. Without
# packing, rows of similar length share a call, so that little is padded.
PACKED_TOKENS = {"cpu": 4096}
PADDED_TOKENS = {"cpu": 2048, "cuda": 16384}


class Packing:
    """Where the documents of a packed row lie.

    No dataclass: FSDP would make a copy of it, to cast what is in it, on the way into each layer.

    Args:
        lengths: tokens of each document.
        index: (T,) place of each token in the flattened padded batch (B * L).
        mask: (B, L) bool, the padded batch's real tokens.
        attention: is offered the queries and keys of each layer.
    """

    def __init__(
        self, lengths: list[int], index: torch.Tensor, mask: torch.Tensor, attention: EntityAttention | None = None
    ):
        self.lengths, self.index, self.mask, self.attention = lengths, index, mask, attention
        self.positions = index % mask.shape[1]  # (T,) place of each token in its document

    @cached_property
    def padded_source(self) -> torch.Tensor:
        """(B * L,) token of each place of the padded batch; 0 for padding."""
        source = torch.zeros(self.mask.numel(), dtype=torch.long, device=self.index.device)
        source[self.index] = torch.arange(len(self.index), device=self.index.device)
        return source

    @cached_property
    def bounds(self) -> torch.Tensor:
        """(B + 1,) int32, where each document begins, and the end: what FlashAttention asks for."""
        bounds = torch.tensor([0, *self.lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32)
        return bounds.to(self.index.device, non_blocking=True)


def enable_packing(model: PreTrainedModel, reads_attention: bool = False) -> None:
    """Lets an encoder, with or without a head, encode without padding, where its architecture allows.

    Where it does not, and `reads_attention`, its layers give their attention maps.

    A choice other than the default attention (`attn_implementation="eager"`, say) is left as it is. The choice is not
    saved with the model: elsewhere it is loaded with the attention that transformers takes for it.
    """
    config = model.config.get_text_config()
    if config.model_type in PACKABLE and config._attn_implementation == "sdpa":
        model.set_attn_implementation(PACKED)
    elif reads_attention and config._attn_implementation not in (PACKED, "eager"):
        model.set_attn_implementation("eager")


@dataclass
class Windows:
    """The parts that documents are encoded in, where some are longer than the encoder reads at a time.

    Attributes:
        index: (T,) place of each part's tokens in the flattened batch (B * L), part by part; where parts overlap, a
            token stands there more than once.
        lengths: tokens of each part.
    """

    index: torch.Tensor
    lengths: list[int]


def encode(
    encoder: Callable[..., Any],
    config: PreTrainedConfig,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    windows: Windows | None = None,
    attention: EntityAttention | None = None,
    layer_weights: torch.Tensor | None = None,
) -> tuple[torch.Tensor, Any]:
    """Hidden states of all real tokens.

    Args:
        encoder: called with keyword arguments, once or several times; returns an output whose first entry are hidden
            states.
        config: the encoder's own.
        input_ids, attention_mask: (B, L); padding lies behind the text.
        windows: what is encoded together; each document as a whole by default. A token in several windows has the mean
            of its hidden states there.
        attention: filled with the last layer's attention, where given.
        layer_weights: (N,) of the last N layers, whose weighted sum the hidden states are; by default the last one's.

    Returns:
        (B, L, D) hidden states, zeros for padding, and the encoder's last output.
    """
    lengths = windows.lengths if windows else attention_mask.sum(dim=1).tolist()
    packs = config._attn_implementation in PADDING_FREE and min(lengths) > 0
    wanted = {"output_hidden_states": True} if layer_weights is not None else {}
    if not packs and not windows and attention is None and min(lengths) == input_ids.shape[1]:
        output = encoder(input_ids=input_ids, attention_mask=attention_mask, **wanted)
        return _mixed(output, layer_weights), output
    flat_index = windows.index if windows else attention_mask.flatten().nonzero().squeeze(1)
    parts = flat_index.split(lengths)
    hidden, index = [], []
    for rows in group_rows(lengths, packs, input_ids.device.type):
        sizes = [lengths[row] for row in rows]
        tokens = torch.cat([parts[row] for row in rows])
        place = torch.arange(max(1, max(sizes)), device=tokens.device)
        mask = place < torch.tensor(sizes, device=tokens.device)[:, None]
        if packs:
            packing = Packing(sizes, mask.flatten().nonzero().squeeze(1), mask, attention)
            output = encoder(**packed_inputs(config, input_ids.flatten()[tokens], packing), **wanted)
            hidden.append(_mixed(output, layer_weights)[0])
            if attention is not None:
                attention.add_packed(tokens, sizes)
        else:
            padding = input_ids.new_full(mask.shape, config.pad_token_id or 0)
            ids = padding.masked_scatter(mask, input_ids.flatten()[tokens])
            maps = {} if attention is None else {"output_attentions": True}
            output = encoder(input_ids=ids, attention_mask=mask.to(attention_mask.dtype), **maps, **wanted)
            hidden.append(_mixed(output, layer_weights)[mask])
            if attention is not None:
                attention.add_padded(output.attentions[-1], tokens, mask)
        index.append(tokens)
    merge = _average if windows else _scatter
    return merge(torch.cat(hidden), torch.cat(index), attention_mask), output


def group_rows(lengths: list[int], packs: bool, device_type: str) -> list[list[int]]:
    """Rows that are encoded together: so many that they fill the device, in the order given, or by length.

    Args:
        lengths: tokens of each row.
        packs: padding costs nothing, so that the order may stay.
    """
    most = (PACKED_TOKENS if packs else PADDED_TOKENS).get(device_type, 2**20)
    order = range(len(lengths)) if packs else sorted(range(len(lengths)), key=lambda row: -lengths[row])
    groups: list[list[int]] = []
    tokens = most + 1
    for row in order:
        cost = lengths[row] if packs else lengths[groups[-1][0] if groups else row]  # the longest row comes first
        if tokens + cost > most:
            groups.append([])
            tokens, cost = 0, lengths[row]
        groups[-1].append(row)
        tokens += cost
    return groups


def packed_inputs(config: PreTrainedConfig, tokens: torch.Tensor, packing: Packing) -> dict[str, Any]:
    """What an encoder is called with, so that it sees documents, whose tokens (T,) follow one another, in one row."""
    first = config.pad_token_id + 1 if config.model_type in SHIFTED_POSITIONS else 0
    return {
        "input_ids": tokens[None],
        "position_ids": (packing.positions + first)[None],
        "packing": packing,
        "cu_seq_lens_q": packing.bounds,
        "cu_seq_lens_k": packing.bounds,
        "max_length_q": max(packing.lengths),
        "max_length_k": max(packing.lengths),
    }


def _mixed(output: Any, layer_weights: torch.Tensor | None) -> torch.Tensor:
    """The hidden states of an encoder's output, or the weighted sum of those of its last layers."""
    if layer_weights is None:
        return output[0]
    layers = (*output.hidden_states[:-1], output[0])[-len(layer_weights) :]
    return sum(weight * states for weight, states in zip(layer_weights.to(output[0].dtype), layers, strict=True))


def _scatter(hidden: torch.Tensor, index: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(T, D) vectors at their places in a padded batch (B, L, D)."""
    padded = hidden.new_zeros(mask.numel(), hidden.shape[-1])
    return padded.index_copy(0, index, hidden).unflatten(0, mask.shape)


def _average(hidden: torch.Tensor, index: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """As [`_scatter`], for tokens of which there may be several vectors: their mean."""
    count = torch.bincount(index, minlength=mask.numel()).to(hidden.dtype)
    padded = hidden.new_zeros(mask.numel(), hidden.shape[-1]).index_add(0, index, hidden)
    return (padded / count.clamp(min=1)[:, None]).unflatten(0, mask.shape)


def packed_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    packing: Packing | None = None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of each document of a packed row to itself; without `packing`, transformers' own SDPA.

    Args:
        query, key, value: (1, H, T, d).
        sliding_window: tokens that far apart, or farther, do not attend to each other.

    Returns:
        (1, T, H, d), and no attention weights.
    """
    if packing is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    return _attend_packed(query, key, value, packing, dropout, scaling, sliding_window), None


@torch.compiler.disable  # kernels of its own, and shapes that change with each batch; torch 2.13 compiles it wrongly
def _attend_packed(query, key, value, packing, dropout, scaling, window):
    if packing.attention is not None:
        packing.attention.offer(query, key, scaling, window)
    attend = _attend_one_by_one if query.device.type == "cpu" else _attend_padded
    return attend(query, key, value, packing, dropout, scaling, window)


def _attend_one_by_one(query, key, value, packing, dropout, scaling, window):
    """On CPUs a kernel a document costs nothing, and there is no padding at all."""
    attend = _attend_with_dropout if dropout else _attend
    parts = zip(*(states.split(packing.lengths, dim=2) for states in (query, key, value)), strict=True)
    outputs = [attend(q, k, v, _near(q.shape[2], window, q.device), dropout, scaling) for q, k, v in parts]
    return torch.cat([output.transpose(1, 2) for output in outputs], dim=1)


def _attend_padded(query, key, value, packing, dropout, scaling, window):
    """On GPUs one kernel for all documents: padded for the attention alone, a small part of an encoder's work."""
    rows, longest = packing.mask.shape
    padded = [
        states[0].index_select(1, packing.padded_source).unflatten(1, (rows, longest)).transpose(0, 1)
        for states in (query, key, value)
    ]  # (B, H, L, d)
    mask = packing.mask[:, None, None, :]
    near = _near(longest, window, query.device)
    if near is not None:
        mask = mask & near
        mask = mask | torch.eye(longest, dtype=torch.bool, device=query.device)  # padding attends to itself: no NaN
    output = _attend(*padded, mask, dropout, scaling).transpose(1, 2)  # (B, L, H, d)
    return output.flatten(0, 1).index_select(0, packing.index)[None]


def _near(length: int, window: int | None, device: torch.device) -> torch.Tensor | None:
    """(L, L) bool, which tokens are less than `window` apart; None where all are."""
    if window is None or length <= window:
        return None
    place = torch.arange(length, device=device)
    return (place[:, None] - place).abs() < window


def _attend(query, key, value, mask, dropout, scaling):
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, scale=scaling)


def _attend_with_dropout(query, key, value, mask, dropout, scaling):
    """As SDPA. On CPUs that has no fast kernel with dropout, and most of its time goes into drawing what to drop."""
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = (query * scaling) @ key.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    probabilities = scores.softmax(dim=-1)
    kept, scale = draw_kept(probabilities, dropout)
    return (probabilities * kept).to(value.dtype) @ (value * scale)


def draw_kept(like: torch.Tensor, dropout: float) -> tuple[torch.Tensor, float]:
    """Which entries dropout keeps, of the shape of `like`, and what to multiply these by so that the mean stays.

    Four draws from each random number of 64 bits, several times as fast on CPUs as a draw for each entry; `dropout` is
    rounded to 16 bits.
    """
    draws = torch.empty(-(-like.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    dropped = round(dropout * 2**16)
    kept = draws[: like.numel()].view(like.shape) >= dropped - 2**15
    return kept, 2**16 / (2**16 - dropped)


AttentionInterface.register(PACKED, packed_attention)
AttentionMaskInterface.register(PACKED, sdpa_mask)
