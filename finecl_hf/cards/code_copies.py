"""Copies of those modules that a relation model needs, for processes without this package.

transformers loads code that lies beside a model from flat files that import each other as siblings. Whatever the
roots import when they are imported is copied, and what a package imports of its own modules later. Any other import
inside a function is of something that the copies do not carry: there, they say that this needs the package.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from finecl_hf import __version__


PACKAGE = "finecl_hf"
FOLDER = Path(__file__).parents[1]
ENTRY = "model"  # the module that gives all of `CLASSES`, so that each is loaded once
CLASSES = {
    "FineCLConfig": "finecl_hf.extraction.configuration",
    "FineCLForRelationExtraction": "finecl_hf.extraction.modeling",
    "RelationExtractionPipeline": "finecl_hf.extraction.pipeline",
}
ROOTS = (*CLASSES.values(), "finecl_hf.cards.model_code")
INSTALLED = ("numpy", "torch", "transformers")  # wherever a model is loaded; transformers asks for the rest
REGISTRATIONS = ("AutoConfig.register", "AutoModel.register", "PIPELINE_REGISTRY.register_pipeline")
HEADER = "# {source} of finecl_hf {version}, copied by it for use without it. SPDX-License-Identifier: Apache-2.0\n"
ENTRY_TEXT = '''"""The classes of this model, for transformers."""

from typing import TYPE_CHECKING

{classes}

if TYPE_CHECKING:  # older versions of transformers look for the files that they need in this one only
{others}'''
MISSING = "this needs the package finecl_hf, from which this file was copied; install and import it"


@cache
def code_copies() -> dict[str, str]:
    """The text of each file by its name: the same for all models."""
    modules = _needed()
    files = {f"{_flat(module)}.py": copy_of(module, modules) for module in sorted(modules)}
    if len(files) < len(modules):
        raise ValueError("two modules have the same name when their folders are joined to it")
    classes = "".join(f"from .{_flat(module)} import {name}\n" for name, module in CLASSES.items())
    others = "".join(f"    from .{_flat(module)} import *\n" for module in sorted(modules - {*CLASSES.values()}))
    header = HEADER.format(source="The entry", version=__version__)
    return {f"{ENTRY}.py": header + ENTRY_TEXT.format(classes=classes, others=others), **files}


def _needed() -> set[str]:
    needed, waiting = set(), list(ROOTS)
    while waiting:
        module = waiting.pop()
        if module not in needed:
            needed.add(module)
            statements = _imports(ast.parse(_source_of(module)))
            waiting += [
                node.module
                for node, within in statements
                if isinstance(node, ast.ImportFrom)
                and _is_ours(node.module)
                and (not within or node.module.startswith(f"{module}."))
            ]
    return needed


def copy_of(module: str, modules: set[str], source: str | None = None) -> str:
    """The text of a module with its imports as a flat copy needs them; all other lines stay as they are.

    Args:
        modules: those that are copied.
        source: the module's text, where it is not that of its file.

    Raises:
        ValueError: an import that no copy can have.
    """
    source = _source_of(module) if source is None else source
    tree = ast.parse(source)
    changes = [(node, "") for node in tree.body if _is_for_checkers(node) or _is_registration(node)]
    for node, within in _imports(tree):
        changed = _import(node, within, modules, f"{module}, line {node.lineno}")
        if changed is not None:
            changes.append((node, changed))
    header = HEADER.format(source=_path_of(module).relative_to(FOLDER.parent).as_posix(), version=__version__)
    return header + _replaced(source, changes)


def _import(node: ast.stmt, within: ast.AST | None, modules: set[str], place: str) -> str | None:
    """What stands in place of an import; None where it stays."""
    if isinstance(node, ast.Import):
        if any(_is_ours(alias.name) for alias in node.names):
            raise ValueError(f"{place}: a copy can only import names from a module (from finecl_hf.x import y)")
        names = [alias.name for alias in node.names]
    elif _is_ours(node.module):
        if any(_exists(f"{node.module}.{alias.name}") for alias in node.names) or node.module == PACKAGE:
            raise ValueError(f"{place}: a copy can only import names from a module (from finecl_hf.x import y)")
        if node.module in modules:
            return ast.unparse(ast.ImportFrom(_flat(node.module), node.names, 1))
        return f'raise ImportError("{MISSING}")'
    else:
        names = [node.module]
    if all(name.split(".")[0] in {*INSTALLED, *sys.stdlib_module_names} for name in names):
        return None
    if not within:
        raise ValueError(f"{place}: {', '.join(names)} may be missing where a copy runs; import it where it is used")
    # transformers asks for every package that it sees imported, anywhere but in a `try`
    indent = " " * node.col_offset
    return f"try:\n{indent}    {ast.unparse(node)}\n{indent}except ImportError:\n{indent}    raise"


def _imports(tree: ast.AST, within: ast.AST | None = None) -> Iterator[tuple[ast.stmt, ast.AST | None]]:
    """Each import with the function that it stands in, those for type checkers left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node, within
        elif not _is_for_checkers(node):
            is_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            yield from _imports(node, node if is_function else within)


def _is_for_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _is_registration(node: ast.AST) -> bool:
    """Whether a statement makes a class known to transformers: of a copy, the model's config.json does that."""
    call = node.value if isinstance(node, ast.Expr) else None
    return isinstance(call, ast.Call) and ast.unparse(call.func) in REGISTRATIONS


def _replaced(source: str, changes: list[tuple[ast.stmt, str]]) -> str:
    """A text with statements replaced; `ast` counts lines and bytes of UTF-8."""
    data = source.encode()
    starts = [0]
    for line in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node, text in sorted(changes, key=lambda change: change[0].lineno, reverse=True):
        start, end = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
        data = data[:start] + text.encode() + data[end:]
    return data.decode()


def _is_ours(module: str | None) -> bool:
    return (module or "").split(".")[0] == PACKAGE


def _flat(module: str) -> str:
    """`extraction_modeling` of finecl_hf.extraction.modeling."""
    return module.removeprefix(f"{PACKAGE}.").replace(".", "_")


def _path_of(module: str) -> Path:
    path = FOLDER.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _exists(module: str) -> bool:
    return _path_of(module).is_file()


def _source_of(module: str) -> str:
    return _path_of(module).read_text(encoding="utf-8")
