"""The notebooks of examples/ are kept without outputs, and their cells run, one notebook after the other."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))


def code_of(notebook):
    """The code cells as one program; what a cell ends with is shown, as in a notebook."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


# Cells one by one, so that a traceback names theirs
RUN = """
import ast, json, sys

names = {"__name__": "__main__"}
for number, cell in enumerate(json.load(sys.stdin), 1):
    tree = ast.parse(cell)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, f"cell {number}", "exec"), names)
    if last is not None:
        print(eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names))
"""


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_kept_without_outputs(notebook):
    book = json.loads(notebook.read_text(encoding="utf-8"))
    assert book["nbformat"] == 4 and len(book["cells"]) > 8
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
            compile("".join(cell["source"]), notebook.name, "exec")


@pytest.mark.slow
def test_the_notebooks_run_one_after_the_other(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}
    said = {}
    for notebook in NOTEBOOKS:
        done = subprocess.run([sys.executable, "-c", RUN], input=json.dumps(code_of(notebook)), cwd=tmp_path,
                              env=environment, capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 0, f"{notebook.name}:\n{done.stderr[-3000:]}"
        said[notebook.name] = done.stdout
    assert "WRONG" in said["1_denoise.ipynb"] and "after stage 2" in said["2_pretrain.ipynb"]
    assert "intra_f1" in said["3_finetune.ipynb"]
    assert (tmp_path / "notebook_output" / "extractor" / "model.safetensors").exists()
