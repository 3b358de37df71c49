"""What the mentions of each entity attend to in the encoder's last layer, and nothing else of its attention.

No layer's attention map is ever made in whole where the encoder encodes without padding: queries and keys of the last
layer are kept, and multiplied for the tokens of mentions alone.
"""

from __future__ import annotations

import torch

from finecl_hf.encoding.pooling import rank_within, take_rows


class EntityAttention:
    """Collects, call by call of the encoder, the attention of the last layer from entities to tokens.

    An entity attends as its mentions do on average, and a mention as its tokens do: the weights are those that
    [`~finecl_hf.encoding.pooling.pool_entities`] takes. Where windows overlap, the mean over them counts.

    Args:
        token_index, token_weight: (T,) tokens of mentions in the flattened (B * L) tokens, and their weights.
        slot: (T,) the entity of each, numbered within its document.
        slots: n, the most entities that a document has.
        shape: (B, L).
    """

    def __init__(
        self,
        token_index: torch.Tensor,
        token_weight: torch.Tensor,
        slot: torch.Tensor,
        slots: int,
        shape: tuple[int, int],
    ):
        self.token_index, order = token_index.sort(stable=True)
        self.token_weight, self.slot = token_weight[order], slot[order]
        self.slots, self.shape = slots, shape
        self._last: tuple | None = None  # queries and keys of the last layer that ran
        self._parts: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._seen = token_weight.new_zeros(shape[0] * slots)  # (B * n,) weight that the windows so far held

    @classmethod
    def of_entities(
        cls,
        token_index: torch.Tensor,
        token_weight: torch.Tensor,
        entity_offsets: torch.Tensor,
        entity_counts: list[int],
        shape: tuple[int, int],
    ) -> EntityAttention:
        """For the entities of a batch, see [`~finecl_hf.encoding.batches.RelationBatch`]."""
        device = token_index.device
        counts = torch.tensor(entity_counts, device=device)
        slot = rank_within(torch.arange(len(counts), device=device).repeat_interleave(counts))
        places = torch.arange(len(token_index), device=device)
        entity = torch.searchsorted(entity_offsets, places, right=True) - 1  # of equal offsets the last has the tokens
        return cls(token_index, token_weight, slot[entity], max([1, *entity_counts]), tuple(shape))

    def offer(self, query: torch.Tensor, key: torch.Tensor, scaling: float | None, window: int | None) -> None:
        """Called by each layer's attention with its queries and keys (1, H, T, d); the last one's stay."""
        self._last = (query, key, scaling, window)

    def add_packed(self, index: torch.Tensor, lengths: list[int]) -> None:
        """Takes the attention of what was encoded in one row.

        Args:
            index: (T,) place of each token in the flattened (B * L); the tokens of a window follow one another.
            lengths: (W,) tokens of each window.
        """
        query, key, scaling, near = self._last
        self._last = None
        sizes = torch.tensor(lengths, device=index.device)
        first = sizes.cumsum(0) - sizes
        row, slot, weight = self._mention_tokens(index)
        window = torch.searchsorted(first, row, right=True) - 1
        rank = rank_within(window)
        most, longest = int(rank.max()) + 1 if len(row) else 1, max(lengths)
        place = torch.arange(longest, device=index.device)
        real = place < sizes[:, None]  # (W, l)
        keys = take_rows(key[0].transpose(0, 1), (first[:, None] + place).clamp(max=len(index) - 1))  # (W, l, H, d)
        queries = query.new_zeros(len(lengths), most, *query.shape[1::2])  # (W, m, H, d)
        queries = queries.index_put((window, rank), take_rows(query[0].transpose(0, 1), row))
        with torch.autocast(index.device.type, enabled=False):
            scale = query.shape[-1] ** -0.5 if scaling is None else scaling
            scores = torch.einsum("wmhd,wlhd->whml", queries.float() * scale, keys.float())
            hidden_from = ~real[:, None, None, :]
            if near is not None:
                own = torch.zeros(len(lengths), most, dtype=torch.long, device=index.device)
                own[window, rank] = row - first[window]
                hidden_from = hidden_from | ((own[:, :, None] - place).abs() >= near)[:, None]
            attention = scores.masked_fill(hidden_from, -torch.inf).softmax(dim=-1)
            attention = attention.masked_fill(hidden_from, 0.0)
            mixing = attention.new_zeros(len(lengths), self.slots, most)
            mixing[window, slot, rank] = weight.to(attention.dtype)
            entities = torch.einsum("wnm,whml->wlhn", mixing, attention)
        self._keep(entities[real], index)

    def add_padded(self, attention: torch.Tensor, index: torch.Tensor, mask: torch.Tensor) -> None:
        """Takes the attention map of the last layer of a padded call.

        Args:
            attention: (W, H, l, l).
            index: (T,) as above, row by row; mask: (W, l) bool, the real tokens.
        """
        row, slot, weight = self._mention_tokens(index)
        window, place = mask.nonzero(as_tuple=True)
        mixing = attention.new_zeros(len(mask), self.slots, mask.shape[1], dtype=torch.float32)
        mixing.index_put_((window[row], slot, place[row]), weight.float(), accumulate=True)
        with torch.autocast(index.device.type, enabled=False):
            entities = torch.einsum("wnm,whml->wlhn", mixing, attention.float())
        self._keep(entities[mask], index)

    def result(self) -> torch.Tensor:
        """(B, L, H, n) float32; zeros where there is no entity, and for padding."""
        rows, length = self.shape
        heads = self._parts[0][0].shape[1]
        total = self._parts[0][0].new_zeros(rows * length, heads, self.slots)
        for values, index in self._parts:
            total = total.index_add(0, index, values)
        seen = self._seen.view(rows, 1, 1, self.slots).clamp(min=1e-6)
        return total.view(rows, length, heads, self.slots) / seen

    def _mention_tokens(self, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Which rows of a call are tokens of mentions: the row, the entity's slot and the weight, for each."""
        low = torch.searchsorted(self.token_index, index)
        count = torch.searchsorted(self.token_index, index, right=True) - low  # nested mentions share tokens
        row = torch.arange(len(index), device=index.device).repeat_interleave(count)
        before = (count.cumsum(0) - count)[row]
        entry = low[row] + torch.arange(len(row), device=index.device) - before
        slot, weight = self.slot[entry], self.token_weight[entry]
        document = index[row] // self.shape[1]
        self._seen = self._seen.index_add(0, document * self.slots + slot, weight)
        return row, slot, weight

    def _keep(self, values: torch.Tensor, index: torch.Tensor) -> None:
        self._parts.append((values, index))
