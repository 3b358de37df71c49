import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoModel

from finecl_hf.encoding.feature_table import token_counts
from finecl_hf.pretraining.masked_lm import load_masked_lm, masked_lm_forward, start_head


@pytest.fixture(params=["bert", "roberta"])
def folder(request):
    return request.getfixturevalue(f"{request.param}_folder")


def _inputs(seed=0):
    generator = torch.Generator().manual_seed(seed)
    input_ids = torch.randint(5, 60, (3, 11), generator=generator)
    attention_mask = torch.ones_like(input_ids)
    attention_mask[1, 7:] = 0
    masked = (torch.rand(3, 11, generator=generator) < 0.3) & attention_mask.bool()
    return input_ids, attention_mask, masked


def test_hidden_states_and_masked_logits_equal_a_full_pass(folder):
    model, _ = load_masked_lm(folder)
    model.eval()
    input_ids, attention_mask, masked = _inputs()
    assert masked.any(1).sum() > 1
    hidden, logits = masked_lm_forward(model, input_ids, attention_mask, masked, model)
    full = model(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True)
    real = attention_mask.bool()
    torch.testing.assert_close(hidden[real], full.hidden_states[-1][real])
    assert not hidden[~real].any()
    torch.testing.assert_close(logits, full.logits[masked])
    assert full.logits.shape[:2] == (3, 11)  # the encoder is called as before


def test_gradients_equal_a_full_pass(folder):
    model, _ = load_masked_lm(folder)
    model.double().eval()
    input_ids, attention_mask, masked = _inputs()
    generator = torch.Generator().manual_seed(1)
    on_hidden = torch.randn(3, 11, 32, dtype=torch.double, generator=generator) * attention_mask[:, :, None]
    on_logits = torch.randn(3, 11, model.config.vocab_size, dtype=torch.double, generator=generator)

    def gradients(hidden, logits):
        model.zero_grad()
        ((hidden * on_hidden).sum() + (logits * on_logits[masked]).sum()).backward()
        return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}

    fast = gradients(*masked_lm_forward(model, input_ids, attention_mask, masked, model))
    full = model(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True)
    slow = gradients(full.hidden_states[-1], full.logits[masked])
    assert fast.keys() == slow.keys()
    for name, gradient in fast.items():
        assert gradient.any() or name.endswith("key.bias"), name  # softmax ignores the keys' bias
        torch.testing.assert_close(gradient, slow[name], rtol=1e-9, atol=1e-9, msg=name)


def test_nothing_masked_keeps_the_graph_whole(folder):
    model, _ = load_masked_lm(folder)
    input_ids, attention_mask, masked = _inputs()
    hidden, logits = masked_lm_forward(model, input_ids, attention_mask, torch.zeros_like(masked), model)
    assert logits.shape == (0, model.config.vocab_size)
    (hidden.sum() + logits.sum()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_works_through_a_wrapper_and_cleans_up_after_an_error(folder):
    class Wrapper(torch.nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, **inputs):
            return self.module(**inputs)

    model, _ = load_masked_lm(folder)
    model.eval()
    inputs = _inputs()
    direct = masked_lm_forward(model, *inputs, model)
    wrapped = masked_lm_forward(Wrapper(model), *inputs, model)
    assert all(torch.equal(a, b) for a, b in zip(direct, wrapped, strict=True))
    with pytest.raises(IndexError):
        masked_lm_forward(model, *inputs[:2], inputs[2][:, :5], model)  # the mask does not fit
    assert model(input_ids=inputs[0]).logits.shape[:2] == (3, 11)


def test_load_masked_lm_says_whether_there_was_a_head(folder, tmp_path):
    model, has_head = load_masked_lm(folder)
    assert has_head
    AutoModel.from_pretrained(folder, dtype=torch.float16).save_pretrained(tmp_path / "bare")
    model, has_head = load_masked_lm(tmp_path / "bare")
    assert not has_head
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    model.save_pretrained(tmp_path / "again")
    assert load_masked_lm(tmp_path / "again")[1]


def test_encoder_weights_that_are_missing_are_said(folder, tmp_path, caplog):
    encoder = AutoModel.from_pretrained(folder)
    encoder.save_pretrained(tmp_path, state_dict=dict(list(encoder.state_dict().items())[1:]))
    caplog.clear()
    load_masked_lm(folder)
    assert not caplog.records
    load_masked_lm(tmp_path)
    assert "lacks 1 weights of its encoder" in caplog.text and "LOAD REPORT" not in caplog.text


def test_a_new_head_begins_with_the_frequencies(folder):
    model, _ = load_masked_lm(folder)
    counts = np.random.default_rng(0).integers(0, 50, model.config.vocab_size)
    start_head(model, counts)
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.LayerNorm) and not name.startswith(model.base_model_prefix):
            torch.nn.init.zeros_(module.weight)  # so that nothing but the bias speaks
    probability = model(input_ids=_inputs()[0]).logits.softmax(dim=-1)[0, 0]
    np.testing.assert_allclose(probability.detach().numpy(), (counts + 1) / (counts + 1).sum(), rtol=1e-4)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_tokens_are_counted():
    rows = [[1, 2, 2], [], [4, 1]]
    assert token_counts(Dataset.from_dict({"input_ids": rows}), 6).tolist() == [0, 2, 2, 0, 1, 0]
