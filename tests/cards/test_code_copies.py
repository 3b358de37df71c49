import ast
import re
import sys

import pytest
from transformers.dynamic_module_utils import get_imports

from finecl_hf import __version__
from finecl_hf.cards.code_copies import CLASSES, ENTRY, INSTALLED, ROOTS, code_copies, copy_of


MODULES = {
    "finecl_hf.errors",
    "finecl_hf.data.text",
    "finecl_hf.extraction.heads",
    "finecl_hf.extraction.heads.linear",
}


def copied(source, module="finecl_hf.data.text"):
    """The copy of a text without its first line, which says where it is from."""
    header, rest = copy_of(module, MODULES, source).split("\n", 1)
    assert header.startswith("# finecl_hf/") and __version__ in header and "Apache-2.0" in header
    return rest


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("from finecl_hf.errors import FineCLError", "from .errors import FineCLError"),
        ("from finecl_hf.errors import (\n    A as B,  # why\n    C,\n)", "from .errors import A as B, C"),
        ("from finecl_hf.extraction.heads import X", "from .extraction_heads import X"),
        ("import os, re\nfrom pathlib import Path", "import os, re\nfrom pathlib import Path"),
        ("import torch.nn.functional as F", "import torch.nn.functional as F"),
        ("from transformers.utils import x", "from transformers.utils import x"),
        ("AutoModel.register(A, B)\nx = 1", "\nx = 1"),
        ("PIPELINE_REGISTRY.register_pipeline(\n    'x', y\n)", ""),
        ("AttentionInterface.register('x', f)", "AttentionInterface.register('x', f)"),
        ("x = 1\nif TYPE_CHECKING:\n    from finecl_hf.far.away import X\n    import peft\n", "x = 1\n\n"),
        ("'''from finecl_hf.errors import X'''", "'''from finecl_hf.errors import X'''"),
    ],
)
def test_imports(line, expected):
    assert copied(line) == expected


def test_all_else_stays_byte_for_byte():
    source = "é = '“ö”'; from finecl_hf.errors import X  # ü\n\n\ndef f( a ):   return  {a:X}\n"
    assert copied(source) == source.replace("from finecl_hf.errors", "from .errors")


def test_inside_functions():
    source = """
class A:
    def f(self):
        from finecl_hf.errors import X
        from finecl_hf.training.trainer import (
            Y,
            Z,
        )

        if X:
            import spacy
        return Y
"""
    code = copied(source)
    assert "        from .errors import X\n        raise ImportError(" in code and "training" not in code
    assert (
        "            try:\n                import spacy\n            except ImportError:\n                raise"
        in code
    )
    ast.parse(code)


@pytest.mark.parametrize(
    "line",
    [
        "import finecl_hf.errors",
        "from finecl_hf import __version__",
        "from finecl_hf.data import text",
        "import pandas",
        "from datasets import Dataset",
    ],
)
def test_what_no_copy_can_import(line):
    with pytest.raises(ValueError, match=r"finecl_hf\.data\.text, line 2: "):
        copied(f"x = 1\n{line}")


def test_copies_name_each_other_and_nothing_else():
    """Every file is reached from the entry by the lines that transformers looks for, and only needs what is there."""
    files = code_copies()
    found, waiting = set(), [f"{ENTRY}.py"]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            pattern = r"^\s*from\s+\.(\S+)\s+import"
            waiting += [f"{module}.py" for module in re.findall(pattern, files[name], re.MULTILINE)]
    assert found == files.keys() and len(files) < 60
    for name, text in files.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                assert not [alias.name for alias in node.names if alias.name.startswith("finecl_hf")], name
            if isinstance(node, ast.ImportFrom) and not node.level:
                assert node.module.split(".")[0] != "finecl_hf", name


def test_transformers_asks_for_no_other_package(tmp_path):
    """It does for each that it sees imported outside of a `try`."""
    for name, text in code_copies().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert set(get_imports(tmp_path / name)) <= {*INSTALLED, *sys.stdlib_module_names}, name


def test_nothing_of_training_is_copied():
    names = " ".join(code_copies())
    assert not re.findall("training|trainer|denoising|metrics|corpus|reader|feature_table|card_file|report", names)
    assert len(set(ROOTS)) == len(CLASSES) + 1
