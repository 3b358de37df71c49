"""Gathering in processes of its own; what it is for is tested in test_step."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from finecl_hf.pretraining.step import gather_counts, gather_rows


COUNTS = [3, 0, 2]


def _check(rank, file):
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=len(COUNTS))
    parts = [torch.arange(n * 2.0).view(n, 2) + 10 * i for i, n in enumerate(COUNTS)]
    own = parts[rank].clone().requires_grad_()
    counts = gather_counts(len(own), own.device)
    assert counts == COUNTS
    gathered = gather_rows(own, counts)
    assert torch.equal(gathered, torch.cat(parts))
    assert gather_rows(torch.full((COUNTS[rank],), rank), counts).tolist() == [0, 0, 0, 2, 2]
    (gathered * gathered.detach() * (rank + 1)).sum().backward()  # each process weighs the rows differently
    torch.testing.assert_close(own.grad, parts[rank] * (1 + 2 + 3))
    dist.destroy_process_group()


@pytest.mark.slow
def test_rows_of_all_processes_and_their_gradients(tmp_path):
    mp.spawn(_check, (str(tmp_path / "meeting"),), nprocs=len(COUNTS))
