"""docs/architecture.md says what is so: its picture, its paths, its names."""

import importlib.util
import re
from pathlib import Path


ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_the_picture_is_drawn_from_the_imports():
    spec = importlib.util.spec_from_file_location("draw_wings", ROOT / "docs" / "draw_wings.py")
    draw_wings = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(draw_wings)
    assert draw_wings.drawing() in PAGE, "run `python docs/draw_wings.py`"


def test_files_that_the_page_names_exist():
    paths = set(re.findall(r"`(?:finecl_hf/)?([a-z_]+/[a-z_]+\.py)`", PAGE)) | set(
        re.findall(r"`([a-z_]+\.py)`", PAGE)
    )
    assert len(paths) > 20
    missing = [path for path in paths if not any((ROOT / base / path).exists() for base in ("", "finecl_hf"))]
    assert not missing


def test_names_that_the_page_gives_are_defined():
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "finecl_hf").rglob("*.py"))
    names = set(re.findall(r"`([A-Z][A-Za-z]+)`", PAGE)) - {"AutoModelForMaskedLM", "TrainingArguments"}
    names |= {"unit_trust", "order_weights", "run_script", "compute_loss", "prediction_step"}
    assert not [name for name in names if not re.search(rf"(?:class|def) {name}\b|^{name}\b", code, re.MULTILINE)]
