"""The quickstart runs, in small."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_quickstart(tmp_path):
    command = [sys.executable, str(ROOT / "examples" / "quickstart.py"), "--output_dir", str(tmp_path / "out")]
    output = subprocess.check_output([*command, "--documents", "60", "--pretrain_steps", "4"], text=True)
    assert "first predicted" in output and "Results on the gold test documents" in output
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert set(results) == {"no pre-training", "FineCL weights", "uniform weights"}
    assert (tmp_path / "out" / "learning_order.png").exists()
