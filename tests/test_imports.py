"""The layers of the library: imports run downwards only, and the first layers start without torch."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import finecl_hf


PACKAGE = Path(finecl_hf.__file__).parent

# Lower layers first. A module may import from its own layer and those below.
LAYERS = [
    layer.split()
    for layer in (
        "errors markdown coverage writing presets",
        "report_pages",
        "hashing columns distances json_stream training_log",
        "documents",
        "plausibility",
        "fact_chunks scores",
        "hub_files sentence_formats order_files order_merging excerpts relation_names label_noise triples",
        "records distant table_join layout",
        "readers learning_order metrics ranking synthetic_templates synthetic_world synthetic plots",
        "cleaning charts projection noise",
        "report",
        "pooling losses contrast configuration small_encoder gathering token_loss",
        "features collators corpus encoders",
        "pretrain_collator sampling packing sharding",
        "modeling masked_lm predictions",
        "contrastive_step sharding",
        "arguments callbacks divergence model_card lora resuming stopping",
        "survival loading",
        "stream_weights",
        "streaming",
        "trainers",
        "publishing pipeline confident_learning",
        "cli",
    )
]
LAYER = {module: number for number, layer in enumerate(LAYERS) for module in layer}


def _imports(path):
    """Modules of the library, and scripts, that a file imports anywhere: inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.name} has a relative import"
            found.update([f"{node.module}.{alias.name}" for alias in node.names])
    own = {name.split(".")[1] for name in found if name.startswith("finecl_hf.")}
    return {name for name in own if (PACKAGE / f"{name}.py").exists()} | {
        name.split(".")[0] for name in found if name.startswith("run_")
    }


IMPORTS = {path.stem: _imports(path) for path in PACKAGE.glob("*.py") if path.stem != "__init__"}


def test_every_module_has_a_layer():
    assert set(IMPORTS) <= set(LAYER)


def test_the_graph_is_read_from_the_code():
    assert {"documents", "hashing", "errors"} <= IMPORTS["features"]
    assert "synthetic_templates" in IMPORTS["synthetic_world"]
    assert "readers" in IMPORTS["cli"]


def test_imports_have_no_cycle():
    list(TopologicalSorter(IMPORTS).static_order())  # raises CycleError


@pytest.mark.parametrize("module", sorted(IMPORTS))
def test_imports_run_downwards(module):
    upwards = {name for name in IMPORTS[module] if LAYER.get(name, len(LAYERS)) > LAYER[module]}
    assert not upwards


def test_nothing_imports_the_scripts():
    files = [*PACKAGE.rglob("*.py"), *PACKAGE.parent.glob("run_*.py")]
    assert not [path.name for path in files if any(name.startswith("run_") for name in _imports(path))]


@pytest.mark.parametrize(
    "module",
    ["documents", "readers", "learning_order", "metrics", "distant", "synthetic", "cleaning", "report", "projection"],
)
def test_data_modules_import_no_torch(module):
    code = f"import sys, finecl_hf.{module}; assert not {{'torch', 'transformers'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_names_exist_and_load_on_first_use():
    code = "import sys, finecl_hf; finecl_hf.Document; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert all(getattr(finecl_hf, name).__name__ == name for name in finecl_hf.__all__)
    assert set(finecl_hf.__all__) <= set(dir(finecl_hf))
    with pytest.raises(AttributeError, match="no attribute 'Documents'"):
        finecl_hf.Documents  # noqa: B018
