"""The code beside a relation model, by which transformers loads it where finecl_hf is not installed."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any


FOLDER = "finecl_code"
# What config.json says of it. The package has code of its own, and leaves both out of account.
REFERENCES = {
    "auto_map": {
        "AutoConfig": f"{FOLDER}/model.FineCLConfig",
        "AutoModel": f"{FOLDER}/model.FineCLForRelationExtraction",
    },
    "custom_pipelines": {
        "relation-extraction": {"impl": f"{FOLDER}/model.RelationExtractionPipeline", "pt": ["AutoModel"]},
    },
}
MODEL_TYPE = "finecl"
_CHECKPOINT = re.compile(r"checkpoint-\d+")


def write_model_code(folder: str | os.PathLike) -> None:
    """Puts the code beside a saved relation model, and its names into config.json.

    Encoders and adapters need none, ONNX exports load with the package only, and checkpoints get none: a run goes on
    from them with the package.
    """
    folder = Path(folder)
    path = folder / "config.json"
    if _CHECKPOINT.fullmatch(folder.name) or (folder / "adapter_config.json").exists() or not path.is_file():
        return
    config = json.loads(path.read_text(encoding="utf-8"))
    if config.get("model_type") != MODEL_TYPE or config.get("onnx"):
        return
    (folder / FOLDER).mkdir(exist_ok=True)
    for name, text in _files().items():
        (folder / FOLDER / name).unlink(missing_ok=True)  # it may be a link to somewhere else
        (folder / FOLDER / name).write_text(text, encoding="utf-8", newline="\n")
    text = json.dumps({**config, **REFERENCES}, indent=2, sort_keys=True)  # as transformers writes it
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


def without_references(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration as config.json has it, without what it says of code."""
    return {name: value for name, value in config.items() if name not in REFERENCES}


def _files() -> dict[str, str]:
    """The code by the names of its files; of a copy, itself and those beside it."""
    if not __name__.startswith("finecl_hf."):
        found = sorted(Path(__file__).parent.glob("*.py"))
        return {path.name: path.read_text(encoding="utf-8") for path in found if path.name != "__init__.py"}
    from finecl_hf.cards.code_copies import code_copies

    return code_copies()
