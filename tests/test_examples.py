"""The quickstart runs, in small."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from finecl_hf import LearningOrder
from finecl_hf.extraction.recognition.raw_text import TextReader
from finecl_hf.learning_order.trust import unit_trust
from finecl_hf.synthetic.corpus import generate_corpus


ROOT = Path(__file__).parent.parent


def load_example(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    return example


@pytest.mark.slow
def test_quickstart(tmp_path):
    command = [sys.executable, str(ROOT / "examples" / "quickstart.py"), "--output_dir", str(tmp_path / "out")]
    command += ["--documents", "60", "--gold_documents", "20", "--pretrain_steps", "4"]
    output = subprocess.check_output(command, text=True)
    assert "first predicted" in output and "Results on the gold test documents" in output
    assert "first fifth" in output and "the recommended score" in output
    assert re.search(r"In the raw text of all 100 test documents: \d+ of \d+ facts found, \d+ wrong", output)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert set(results) == {"no pre-training", "FineCL weights", "uniform weights"}
    assert (tmp_path / "out" / "learning_order.png").exists()


def test_quickstart_names_and_text(tmp_path):
    """Its list of names finds, in the plain text of its documents, the entities that they mark."""
    quickstart = load_example("quickstart")
    documents = generate_corpus(num_documents=0, num_train=0, num_validation=0, num_test=20).gold_test
    quickstart.write_names(documents, tmp_path / "names.tsv")
    reader = TextReader(str(tmp_path / "names.tsv"))
    for document, source in zip(documents, reader.read(map(quickstart.plain_text, documents)), strict=True):
        marked, found = ([[m.name for m in e] for e in d.entities] for d in (document, source.document))
        assert found == marked


def test_quickstart_shares_of_right_labels(capsys):
    groups = {"epoch 0": np.array([True, True, False, False]), "never": np.array([False] * 4)}
    load_example("quickstart").show_shares("first predicted", groups, np.array([True, False, True, True]))
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line]
    assert lines == [["first", "predicted", "labels", "right"], ["epoch", "0", "2", "50%"], ["all", "4", "75%"]]


def test_confident_learning(bert_folder, corpus, tmp_path):
    pytest.importorskip("cleanlab")
    example = load_example("confident_learning")
    order = example.main(
        ["--model_name_or_path", bert_folder, "--train_file", str(corpus / "silver.json"), "--folds", "2",
         "--output", str(tmp_path / "order.parquet"), "--output_dir", str(tmp_path / "f"), "--max_seq_length", "64",
         "--num_train_epochs", "1"]
    )  # fmt: skip
    assert order.num_epochs == 1 and order.observed.any() and (order.probability[order.observed] > 0).all()
    assert np.isfinite(unit_trust("probability", LearningOrder.read(tmp_path / "order.parquet"))).all()
