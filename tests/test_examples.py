"""The quickstart runs, in small."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from finecl_hf import LearningOrder
from finecl_hf.learning_order.trust import unit_trust


ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_quickstart(tmp_path):
    command = [sys.executable, str(ROOT / "examples" / "quickstart.py"), "--output_dir", str(tmp_path / "out")]
    output = subprocess.check_output([*command, "--documents", "60", "--pretrain_steps", "4"], text=True)
    assert "first predicted" in output and "Results on the gold test documents" in output
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert set(results) == {"no pre-training", "FineCL weights", "uniform weights"}
    assert (tmp_path / "out" / "learning_order.png").exists()


def test_confident_learning(bert_folder, corpus, tmp_path):
    pytest.importorskip("cleanlab")
    spec = importlib.util.spec_from_file_location("example", ROOT / "examples" / "confident_learning.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    order = example.main(
        ["--model_name_or_path", bert_folder, "--train_file", str(corpus / "silver.json"), "--folds", "2",
         "--output", str(tmp_path / "order.parquet"), "--output_dir", str(tmp_path / "f"), "--max_seq_length", "64",
         "--num_train_epochs", "1"]
    )  # fmt: skip
    assert order.num_epochs == 1 and order.observed.any() and (order.probability[order.observed] > 0).all()
    assert np.isfinite(unit_trust("probability", LearningOrder.read(tmp_path / "order.parquet"))).all()
