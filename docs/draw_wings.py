"""Draws the wings of the library from its imports, into docs/architecture.md: `python docs/draw_wings.py`.

Arrows go from a wing to those that it imports; one that follows from a longer way is left out. A test compares the
picture with the imports.
"""

import ast
from pathlib import Path


ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- drawn by docs/draw_wings.py -->\n", "<!-- end of the drawing -->\n"
SCRIPTS = {"run_denoise": "stage 1", "run_pretrain": "stage 2", "run_finetune": "stage 3"}
EVERYWHERE = {"errors", "hashing"}  # nearly every file imports these: arrows to them would say nothing


def wing_of(path: Path) -> str:
    """`data` for finecl_hf/data/readers.py, `losses` for finecl_hf/losses.py, `run_denoise` for the script."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[1] if parts[0] == "finecl_hf" else parts[0]


def imported_wings(path: Path) -> set[str]:
    """Wings that a file imports anywhere, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("finecl_hf."):
            names.add(node.module.split(".")[1])
    return names


def wing_imports() -> dict[str, set[str]]:
    """Wing -> wings that it imports, for everything but the package's own `__init__`."""
    package = [path for path in (ROOT / "finecl_hf").rglob("*.py") if path.parent.name != "docred_f1"]
    files = [path for path in package if path != ROOT / "finecl_hf" / "__init__.py"]
    imports: dict[str, set[str]] = {}
    for path in [*files, *(ROOT / f"{script}.py" for script in SCRIPTS)]:
        imports.setdefault(wing_of(path), set()).update(imported_wings(path))
    return {wing: used - {wing} - EVERYWHERE for wing, used in imports.items() if wing not in EVERYWHERE}


def reachable(wing: str, imports: dict[str, set[str]]) -> set[str]:
    """All wings that a wing needs, directly or not."""
    found, waiting = set(), [wing]
    while waiting:
        for used in imports.get(waiting.pop(), set()) - found:
            found.add(used)
            waiting.append(used)
    return found


def drawing() -> str:
    """The picture, in Mermaid."""
    imports = wing_imports()
    lines = ["```mermaid", "graph TD"]
    lines += [f"    {script}([{script}.py: {stage}])" for script, stage in SCRIPTS.items()]
    for wing in sorted(imports):
        others = {used: imports[wing] - {used} for used in imports[wing]}
        direct = [used for used in others if not any(used in reachable(other, imports) for other in others[used])]
        lines += [f"    {wing} --> {used}" for used in sorted(direct)]
    return "\n".join([*lines, "```", ""])


def main() -> None:
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(before + BEGIN + drawing() + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
