"""Packed documents have the hidden states and gradients of padded ones, whatever the architecture."""

from copy import deepcopy

import pytest
import torch
from transformers import (
    CONFIG_MAPPING,
    AlbertConfig,
    AutoModel,
    AutoModelForMaskedLM,
    BertConfig,
    CamembertConfig,
    Data2VecTextConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    MPNetConfig,
    RobertaConfig,
    RobertaPreLayerNormConfig,
    XLMRobertaConfig,
)

from finecl_hf.encoding import packing
from finecl_hf.encoding.packing import PACKABLE, PACKED, draw_kept, enable_packing, encode


SIZE = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "vocab_size": 80,
    "max_position_embeddings": 64,
}  # fmt: skip
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
CONFIGS = {
    "albert": AlbertConfig(**SIZE, embedding_size=8),
    "bert": BertConfig(**SIZE),
    "camembert": CamembertConfig(**SIZE),
    "data2vec-text": Data2VecTextConfig(**SIZE),
    "distilbert": DistilBertConfig(
        dim=16, n_layers=2, n_heads=2, hidden_dim=24, vocab_size=80, max_position_embeddings=64
    ),
    "electra": ElectraConfig(**SIZE, embedding_size=8),
    "modernbert": ModernBertConfig(**{**SIZE, "num_hidden_layers": 4}, local_attention=8, **SPECIAL),
    "roberta": RobertaConfig(**SIZE),
    "roberta-prelayernorm": RobertaPreLayerNormConfig(**SIZE),
    "xlm-roberta": XLMRobertaConfig(**SIZE),
}
if "nomic_bert" in CONFIG_MAPPING:  # newer than the oldest transformers that we support
    CONFIGS["nomic_bert"] = CONFIG_MAPPING["nomic_bert"](**SIZE)
OTHERS = {"deberta-v2": DebertaV2Config(**SIZE), "mpnet": MPNetConfig(**SIZE)}
LENGTHS = [40, 3, 60, 17, 17, 1]


def build(config, auto=AutoModel):
    torch.manual_seed(0)
    return auto.from_config(deepcopy(config)).eval()  # a model changes the attention that its configuration names


def padded_batch(lengths=LENGTHS, pad=0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(5, 80, mask.shape, generator=generator)
    return torch.where(mask.bool(), ids, pad), mask


def both_ways(model, lengths=LENGTHS):
    """Hidden states (T, D) of the real tokens: padded, and by [`encode`], with the gradients of all parameters."""
    ids, mask = padded_batch(lengths, model.config.pad_token_id or 0)
    results = []
    for hidden in (model(input_ids=ids, attention_mask=mask)[0], encode(model, model.config, ids, mask)[0]):
        model.zero_grad()
        hidden = hidden[mask.bool()]
        (hidden * torch.linspace(-1, 1, hidden.numel()).view_as(hidden)).sum().backward()
        gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        results.append((hidden.detach(), gradients))
    return results


def assert_equal(padded, ours):
    torch.testing.assert_close(ours[0], padded[0], rtol=1e-4, atol=2e-5)
    assert padded[1].keys() == ours[1].keys() and len(ours[1]) > 10
    for name, gradient in padded[1].items():
        torch.testing.assert_close(ours[1][name], gradient, rtol=1e-3, atol=1e-4, msg=name)


def test_every_packable_architecture_is_tested():
    assert PACKABLE - {"nomic_bert"} == CONFIGS.keys() - {"nomic_bert"}


@pytest.mark.parametrize("attend", ["one by one", "padded"])
@pytest.mark.parametrize("name", CONFIGS)
def test_packed_equals_padded(name, attend, monkeypatch):
    if attend == "padded":  # what GPUs do
        monkeypatch.setattr(packing, "_attend_one_by_one", packing._attend_padded)
    model = build(CONFIGS[name])
    padded, _ = both_ways(model)
    enable_packing(model)
    assert model.config._attn_implementation == PACKED
    calls = []
    split = packing.packed_attention.__globals__["_attend"]
    monkeypatch.setattr(packing, "_attend", lambda *args: calls.append(args) or split(*args))
    assert_equal(padded, both_ways(model)[1])
    assert len(calls) >= 2


@pytest.mark.parametrize("attend", ["_attend_one_by_one", "_attend_padded"])
def test_documents_shorter_than_the_window(attend, monkeypatch):
    """ModernBERT's local layers see all of them."""
    monkeypatch.setattr(packing, "_attend_one_by_one", getattr(packing, attend))
    model = build(CONFIGS["modernbert"])
    padded, _ = both_ways(model, [4, 2, 3])
    enable_packing(model)
    assert_equal(padded, both_ways(model, [4, 2, 3])[1])


@pytest.mark.parametrize("name", OTHERS)
def test_other_architectures_get_rows_of_similar_length(name, monkeypatch):
    monkeypatch.setitem(packing.PADDED_TOKENS, "cpu", 64)
    model = build(OTHERS[name])
    enable_packing(model)
    assert model.config._attn_implementation != PACKED
    shapes = []
    model.register_forward_pre_hook(lambda module, args, kwargs: shapes.append(kwargs["input_ids"].shape),
                                    with_kwargs=True)  # fmt: skip
    padded, ours = both_ways(model)
    assert_equal(padded, ours)
    assert shapes == [(6, 60), (1, 60), (1, 40), (3, 17), (1, 1)]


def test_rows_of_equal_length_need_neither(monkeypatch):
    model = build(OTHERS["deberta-v2"])
    ids, mask = padded_batch([9, 9])
    assert torch.equal(encode(model, model.config, ids, mask)[0], model(input_ids=ids, attention_mask=mask)[0])


def test_a_row_without_a_token():
    model = build(CONFIGS["bert"])
    enable_packing(model)
    ids, mask = padded_batch([5, 3])
    mask[1] = 0
    hidden, _ = encode(model, model.config, ids, mask)
    alone, _ = encode(model, model.config, ids[:1], mask[:1])
    torch.testing.assert_close(hidden[:1], alone)
    assert not hidden[1].any()


def test_padding_has_zeros():
    model = build(CONFIGS["bert"])
    enable_packing(model)
    ids, mask = padded_batch()
    hidden, _ = encode(model, model.config, ids, mask)
    assert not hidden[mask == 0].any() and hidden[mask == 1].any(dim=1).all()


def test_documents_are_independent_of_their_company():
    model = build(CONFIGS["roberta"])
    enable_packing(model)
    ids, mask = padded_batch(pad=1)
    together, _ = encode(model, model.config, ids, mask)
    for row, length in enumerate(LENGTHS):
        alone, _ = encode(model, model.config, ids[row : row + 1, :length], mask[row : row + 1, :length])
        torch.testing.assert_close(together[row, :length], alone[0], rtol=1e-4, atol=1e-5)


def test_a_model_that_packs_can_be_called_as_any_other(tmp_path):
    plain, packs = (build(CONFIGS["bert"], AutoModelForMaskedLM) for _ in range(2))
    enable_packing(packs)
    ids, mask = padded_batch()
    real = mask.bool()
    torch.testing.assert_close(
        packs(input_ids=ids, attention_mask=mask).logits[real], plain(input_ids=ids, attention_mask=mask).logits[real]
    )
    packs.save_pretrained(tmp_path)
    assert PACKED not in (tmp_path / "config.json").read_text()
    assert AutoModel.from_pretrained(tmp_path).config._attn_implementation == "sdpa"


def test_another_attention_is_left_alone():
    config = BertConfig(**SIZE)
    config._attn_implementation = "eager"
    model = build(config)
    enable_packing(model)
    assert model.config._attn_implementation == "eager"
    assert_equal(*both_ways(model))


def test_bfloat16_autocast():
    model = build(CONFIGS["bert"])
    enable_packing(model)
    ids, mask = padded_batch()
    exact, _ = encode(model, model.config, ids, mask)
    for training in (False, True):
        model.train(training)
        with torch.autocast("cpu", torch.bfloat16):
            hidden, _ = encode(model, model.config, ids, mask)
        assert hidden.isfinite().all()
        if not training:
            torch.testing.assert_close(hidden.float(), exact, rtol=0.1, atol=0.1)


# Dropout ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dropout", [0.1, 0.25, 0.9])
@pytest.mark.parametrize("size", [1, 3, 4, 4001])
def test_dropout_keeps_the_share_and_the_mean(dropout, size):
    torch.manual_seed(0)
    kept, scale = zip(*(draw_kept(torch.empty(size), dropout) for _ in range(80_000 // size)), strict=True)
    kept = torch.cat(kept).double()
    assert abs(kept.mean() - (1 - dropout)) < 5 * (dropout * (1 - dropout) / len(kept)) ** 0.5
    assert scale[0] == pytest.approx(1 / (1 - dropout), rel=1e-3)
    if size > 1:
        pairs = kept[: len(kept) // 2 * 2].view(-1, 2)
        assert abs((pairs[:, 0] * pairs[:, 1]).mean() - (1 - dropout) ** 2) < 0.01  # independent


@pytest.mark.parametrize("window", [None, 4])
def test_attention_with_dropout_equals_its_definition(window):
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 2, 9, 4, dtype=torch.double) for _ in range(3))
    mask = packing._near(9, window, query.device)
    torch.manual_seed(1)
    found = packing._attend_with_dropout(query, key, value, mask, 0.3, None)
    torch.manual_seed(1)
    kept, scale = draw_kept(torch.empty(1, 2, 9, 9), 0.3)
    assert 0 < kept.double().mean() < 1
    weights = torch.zeros(1, 2, 9, 9, dtype=torch.double)
    for head in range(2):
        for i in range(9):
            near = [j for j in range(9) if window is None or abs(i - j) < window]
            scores = torch.stack([query[0, head, i] @ key[0, head, j] / 4**0.5 for j in near])
            weights[0, head, i, near] = scores.softmax(0)
    torch.testing.assert_close(found, (weights * kept * scale) @ value)


def test_dropout_follows_the_seed_and_is_off_in_evaluation():
    model = build(BertConfig(**SIZE, attention_probs_dropout_prob=0.5, hidden_dropout_prob=0.0))
    enable_packing(model)
    ids, mask = padded_batch()

    def run(seed):
        torch.manual_seed(seed)
        return encode(model, model.config, ids, mask)[0]

    assert torch.equal(run(0), run(1))
    model.train()
    assert torch.equal(run(0), run(0)) and not torch.equal(run(0), run(1))


@pytest.mark.parametrize("name", [*CONFIGS, *OTHERS])
def test_layers_are_mixed_by_their_weights(name):
    model = build((CONFIGS | OTHERS)[name])
    enable_packing(model)
    ids, mask = padded_batch(LENGTHS, model.config.pad_token_id or 0)
    weights = torch.tensor([0.7, 0.3])
    hidden, _ = encode(model, model.config, ids, mask, layer_weights=weights)
    for row, length in enumerate(LENGTHS):
        output = model(input_ids=ids[row : row + 1, :length], output_hidden_states=True)
        expected = 0.7 * output.hidden_states[-2][0] + 0.3 * output[0][0]
        torch.testing.assert_close(hidden[row, :length], expected, rtol=1e-4, atol=2e-5)
