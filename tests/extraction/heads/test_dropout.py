import pytest
import torch

from finecl_hf.extraction.heads.dropout import FastDropout


def test_drops_the_share_keeps_the_mean_and_the_gradient():
    torch.manual_seed(0)
    values = torch.ones(400, 50, requires_grad=True)
    dropped = FastDropout(0.25)(values)
    dropped.sum().backward()
    dropped = dropped.detach()
    assert sorted(dropped.unique().tolist()) == pytest.approx([0, 4 / 3])
    assert dropped.mean() == pytest.approx(1, abs=0.03)
    torch.testing.assert_close(values.grad, dropped)  # of ones


@pytest.mark.parametrize(("rate", "training"), [(0.25, False), (0.0, True)])
def test_leaves_values_as_they_are_otherwise(rate, training):
    values = torch.randn(5, 3)
    assert torch.equal(FastDropout(rate).train(training)(values), values)
