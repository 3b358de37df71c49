"""The wings of the library: which may import which, and which start without torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import finecl_hf


PACKAGE = Path(finecl_hf.__file__).parent
ROOT = {"errors", "hashing", "losses", "metrics"}

# Earlier storeys first: a wing may import from itself and from earlier storeys.
STOREYS = [
    ROOT,
    {"data", "cards"},
    {"distant", "learning_order", "encoding"},
    {"synthetic", "training"},
    {"extraction", "pretraining"},
    {"denoising"},
    {"review"},
    {"cli"},
]
STOREY = {wing: number for number, wings in enumerate(STOREYS) for wing in wings}
FORBIDDEN = {("cards", "data"), ("synthetic", "learning_order"), ("cli", "training"), ("distant", "learning_order")}
WITHOUT_TORCH = (
    "data distant learning_order cards metrics synthetic.corpus synthetic.world synthetic.templates "
    "synthetic.label_flips denoising.report denoising.cleaning denoising.charts denoising.excerpts "
    "denoising.correcting denoising.publishing review"
).split()


def _imports(path):
    """Modules of the library, and scripts, that a file imports anywhere: inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _wing(name):
    """`data` for "finecl_hf.data.readers.read_documents"; None for what the package itself gives."""
    part = name.split(".")[1]
    return part if (PACKAGE / part).is_dir() or (PACKAGE / f"{part}.py").exists() else None


FILES = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE}
FILES |= {f"{wing}.py": PACKAGE / f"{wing}.py" for wing in (*ROOT, "cli")}


def _pairs():
    """(file, its wing, a module that it imports, that one's wing)"""
    for file, path in FILES.items():
        here = file.split("/")[0].removesuffix(".py")
        for name in _imports(path):
            if name.startswith("finecl_hf.") and _wing(name):
                yield file, here, name, _wing(name)


def test_every_wing_has_a_storey_and_says_what_it_is_for():
    wings = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()} - {"evaluate_modules"}
    assert wings <= set(STOREY)
    for wing in wings:
        assert len(ast.get_docstring(ast.parse((PACKAGE / wing / "__init__.py").read_text())).splitlines()) >= 3


def test_imports_go_to_earlier_storeys():
    pairs = [pair for pair in _pairs() if pair[1] != "evaluate_modules" and pair[1] != pair[3]]
    assert len(pairs) > 100  # the graph is read from the code
    allowed = {("metrics", "data")}
    upwards = [
        p
        for p in pairs
        if STOREY[p[3]] >= STOREY[p[1]] and (p[1], p[3]) not in allowed | {(r, s) for r in ROOT for s in ROOT}
    ]
    assert not upwards
    assert not [pair for pair in pairs if (pair[1], pair[3]) in FORBIDDEN]


def test_inference_needs_no_training_code():
    needed = {f"extraction/{name}.py" for name in ("configuration", "modeling", "predictions", "pipeline")}
    needed |= {"extraction/embedder.py", "extraction/prototypes.py", "extraction/heads/prototypes.py"}
    needed |= {file for file in FILES if file.startswith("extraction/recognition/")}
    needed |= {f"extraction/{name}.py" for name in ("parts", "triples", "extractions")}
    assert not [pair for pair in _pairs() if pair[0] in needed and pair[3] == "training"]


def test_nothing_imports_the_scripts():
    assert not [file for file, path in FILES.items() for name in _imports(path) if name.startswith("run_")]


def test_what_reads_data_imports_no_torch():
    wings = [f"finecl_hf.{wing}" for wing in WITHOUT_TORCH] + [
        f"finecl_hf.{file.removesuffix('.py').replace('/', '.')}"
        for file in FILES for wing in WITHOUT_TORCH if file.startswith(f"{wing}/")
    ]  # fmt: skip
    code = (
        "import importlib, sys\n"
        f"for name in {wings}:\n"
        "    importlib.import_module(name)\n"
        "    assert not {'torch', 'transformers'} & set(sys.modules), name"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_names_exist_and_load_on_first_use():
    code = "import sys, finecl_hf; finecl_hf.Document; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert all(getattr(finecl_hf, name).__name__ == name for name in finecl_hf.__all__)
    assert set(finecl_hf.__all__) <= set(dir(finecl_hf))
    with pytest.raises(AttributeError, match="no attribute 'Documents'"):
        finecl_hf.Documents  # noqa: B018


@pytest.mark.parametrize(
    ("module", "most"),
    [
        pytest.param("extraction.modeling", 11, marks=pytest.mark.slow),
        pytest.param("pretraining.step", 10, marks=pytest.mark.slow),
        pytest.param("training.checkpoints", 2, marks=pytest.mark.slow),
    ],
)
def test_imports_are_few(module, most):
    """Modules of ours that a module needs, itself counted; packages that only say what they are for are not."""
    code = (
        f"import sys, finecl_hf.{module}\n"
        "own = [m for n, m in sys.modules.items() if n.startswith('finecl_hf.') and not hasattr(m, '__path__')]\n"
        f"assert len(own) <= {most}, sorted(m.__name__ for m in own)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
