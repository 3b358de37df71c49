import pytest
import torch
import torch.nn.functional as F

from finecl_hf.pretraining import masked_lm as module
from finecl_hf.pretraining.masked_lm import token_loss


def gradients(function, hidden, weight, labels):
    """Loss and gradients of a head on top of hidden states."""
    hidden, weight = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
    loss = 3 * function(hidden @ weight, labels)
    loss.backward()
    return loss.detach(), hidden.grad, weight.grad


@pytest.mark.parametrize("block", [1, 150, 2**21])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_cross_entropy(block, dtype, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)
    torch.manual_seed(0)
    hidden, weight, labels = torch.randn(11, 5), 4 * torch.randn(5, 50), torch.randint(50, (11,))
    case = hidden.to(dtype), weight.to(dtype), labels
    found = gradients(token_loss, *case)
    expected = gradients(lambda logits, labels: F.cross_entropy(logits, labels, reduction="sum"), *case)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.double(), theirs.double(), rtol=1e-5, atol=1e-5)
        assert theirs.any()


def test_half_precision_is_summed_in_float32():
    torch.manual_seed(0)
    logits, labels = (10 * torch.randn(300, 50)).bfloat16().requires_grad_(), torch.randint(50, (300,))
    exact = logits.detach().double().requires_grad_()
    F.cross_entropy(exact, labels, reduction="sum").backward()
    loss = token_loss(logits, labels)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), F.cross_entropy(exact, labels, reduction="sum"), rtol=1e-5, atol=0)
    loss.backward()
    assert logits.grad.dtype == torch.bfloat16
    torch.testing.assert_close(logits.grad.double(), exact.grad, rtol=1e-2, atol=1e-2)


def test_large_logits_and_infinite_ones():
    logits = torch.tensor([[1e4, -1e4, 0.0], [0.0, -torch.inf, 1.0]], requires_grad=True)
    loss = token_loss(logits + 0, torch.tensor([0, 2]))
    torch.testing.assert_close(loss, F.cross_entropy(logits, torch.tensor([0, 2]), reduction="sum"))
    loss.backward()
    assert logits.grad.isfinite().all() and logits.grad[1, 1] == 0


def test_nothing_to_predict_keeps_the_graph():
    logits = torch.zeros(0, 7, requires_grad=True)
    loss = token_loss(logits, torch.zeros(0, dtype=torch.long))
    loss.backward()
    assert loss == 0 and logits.grad.shape == (0, 7)
