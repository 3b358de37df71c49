"""`--torch_compile true` changes nothing but the time, whatever lengths come."""

import os
import subprocess

import pytest
import torch

from tests.helpers.script_runs import ROOT, arguments, launched, run, weights
from tests.helpers.tiny_models import build_bert


@pytest.mark.slow
@pytest.mark.parametrize("stage, processes", [("denoise", 1), ("pretrain", 2)])
def test_compiled_models_learn_the_same_and_are_compiled_once(stage, processes, corpus, tmp_path):
    """The backend stops before code is generated: tracing and gradients are what our code can break."""
    encoder = build_bert(tmp_path / "encoder", dropout=0.0)
    options = {"optim": "sgd", "learning_rate": 1e-2, "warmup_steps": 0, "max_steps": 5, "save_strategy": "no"}
    if stage == "denoise":  # batches with windows have graphs of their own
        options["long_documents"] = "truncate"
    words = arguments(stage, encoder, corpus, tmp_path / "compiled", **options, torch_compile_backend="aot_eager")
    if processes == 2:
        options["per_device_train_batch_size"] = 8
    result = subprocess.run(
        [*launched("tests/helpers/compiled_run.py", processes), stage, *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-4000:]
    graphs = [int(line.split()[1]) for line in result.stdout.splitlines() if line.startswith("graphs ")]
    assert len(graphs) == 5 and graphs[0] > 0
    assert graphs[-1] <= graphs[0] + 4  # not some for each step
    run(stage, encoder, corpus, tmp_path / "plain", **options)
    compiled, plain = weights(tmp_path / "compiled"), weights(tmp_path / "plain")
    assert compiled.keys() == plain.keys()
    for name, weight in plain.items():
        torch.testing.assert_close(compiled[name], weight, rtol=1e-3, atol=2e-6, msg=name)
