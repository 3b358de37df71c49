"""The attention of entities is that of the encoder's own attention maps; windows that overlap are averaged."""

import pytest
import torch
from transformers import AutoModel

from finecl_hf.encoding.attention import EntityAttention
from finecl_hf.encoding.packing import PACKED, Windows, enable_packing, encode
from tests.encoding.test_packing import CONFIGS, LENGTHS, OTHERS, build, padded_batch


ENTITIES = [  # (document, tokens of each mention)
    (0, [[1, 2], [30]]), (0, [[5]]), (2, [[58, 59]]), (2, [[3], [3, 4, 5]]), (2, [[7]]), (3, [[0, 1, 2]]),
]  # fmt: skip
COUNTS = [2, 0, 3, 1, 0, 0]


def entity_attention(shape):
    index, weight, offsets = [], [], []
    for row, mentions in ENTITIES:
        offsets.append(len(index))
        for tokens in mentions:
            index += [row * shape[1] + token for token in tokens]
            weight += [1 / len(tokens) / len(mentions)] * len(tokens)
    tensors = torch.tensor(index), torch.tensor(weight), torch.tensor(offsets)
    return EntityAttention.of_entities(*tensors, COUNTS, shape)


def by_loops(model, ids, mask):
    """(B, L, H, n) from whole attention maps, document by document, mention by mention."""
    model.set_attn_implementation("eager")
    heads = model.config.num_attention_heads
    result = torch.zeros(*ids.shape, heads, max(COUNTS))
    slots = [0] * len(ids)
    for row, mentions in ENTITIES:
        length = int(mask[row].sum())
        maps = model(input_ids=ids[row : row + 1, :length], output_attentions=True).attentions[-1][0]
        rows = torch.stack([maps[:, tokens].mean(dim=1) for tokens in mentions])  # (mentions, H, l)
        result[row, :length, :, slots[row]] = rows.mean(dim=0).T
        slots[row] += 1
    return result


@pytest.mark.parametrize("name", [*CONFIGS, *OTHERS])
def test_attention_of_entities_equals_the_maps(name):
    model = build((CONFIGS | OTHERS)[name], AutoModel)
    enable_packing(model, reads_attention=True)
    assert (model.config._attn_implementation == PACKED) is (name in CONFIGS)
    ids, mask = padded_batch(LENGTHS, model.config.pad_token_id or 0)
    attention = entity_attention(ids.shape)
    encode(model, model.config, ids, mask, attention=attention)
    torch.testing.assert_close(attention.result(), by_loops(model, ids, mask), rtol=1e-4, atol=1e-5)


def test_gradients_reach_queries_and_keys():
    model = build(CONFIGS["bert"])
    enable_packing(model, reads_attention=True)
    ids, mask = padded_batch()
    attention = entity_attention(ids.shape)
    encode(model, model.config, ids, mask, attention=attention)
    direction = torch.linspace(-1, 1, attention.result().numel()).view_as(attention.result())
    (attention.result() * direction).sum().backward()
    ours = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    (by_loops(model, ids, mask) * direction).sum().backward()
    theirs = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    assert "encoder.layer.1.attention.self.key.weight" in ours
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize("name", ["bert", "roberta", "modernbert", "deberta-v2"])
def test_windows_equal_documents_encoded_part_by_part(name):
    model = build((CONFIGS | OTHERS)[name])
    enable_packing(model, reads_attention=True)
    ids, mask = padded_batch(LENGTHS, model.config.pad_token_id or 0)
    length = ids.shape[1]
    parts = [(0, [0, *range(1, 25), 39]), (0, [0, *range(15, 39), 39])]  # the special tokens stand in both
    parts += [(row, list(range(int(mask[row].sum())))) for row in range(1, len(ids))]
    index = torch.tensor([row * length + token for row, tokens in parts for token in tokens])
    attention = entity_attention(ids.shape)
    windows = Windows(index, [len(tokens) for _, tokens in parts])
    hidden, _ = encode(model, model.config, ids, mask, windows, attention)

    found = [model(input_ids=ids[row, tokens][None], output_attentions=False)[0][0] for row, tokens in parts]
    for token in range(40):
        vectors = [found[part][parts[part][1].index(token)] for part in (0, 1) if token in parts[part][1]]
        torch.testing.assert_close(hidden[0, token], torch.stack(vectors).mean(0), rtol=1e-4, atol=2e-5)
    torch.testing.assert_close(hidden[2, :60], found[3], rtol=1e-4, atol=2e-5)
    assert not hidden[mask == 0].any()

    # Entity 0 of document 0: one mention in the first window (its tokens 1 and 2), one in the second (token 30)
    model.set_attn_implementation("eager")
    first, second = (
        model(input_ids=ids[0, tokens][None], output_attentions=True).attentions[-1][0] for _, tokens in parts[:2]
    )
    expected = torch.zeros(length, first.shape[0])
    expected[parts[0][1]] += first[:, [1, 2]].mean(dim=1).T / 2
    expected[parts[1][1]] += second[:, parts[1][1].index(30)].T / 2
    torch.testing.assert_close(attention.result()[0, :, :, 0], expected, rtol=1e-4, atol=1e-5)


def test_documents_without_entities_attend_to_nothing():
    model = build(CONFIGS["bert"])
    enable_packing(model, reads_attention=True)
    ids, mask = padded_batch()
    none = torch.zeros(0, dtype=torch.long)
    attention = EntityAttention.of_entities(none, torch.zeros(0), none, [0] * len(ids), ids.shape)
    encode(model, model.config, ids, mask, attention=attention)
    assert attention.result().shape == (*ids.shape, 2, 1) and not attention.result().any()
