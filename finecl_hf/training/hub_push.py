"""What of a run goes to the Hub: the files that it wrote, by name, and nothing else that lies in its folder."""

from __future__ import annotations

import json
import shutil
import tempfile
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from transformers import Trainer

from finecl_hf.cards.model_code import write_model_code
from finecl_hf.cards.private_paths import without_folders


WEIGHTS = ("model.safetensors", "adapter_model.safetensors")
INDEX = "model.safetensors.index.json"  # names the parts of large weights
CONFIGURATIONS = ("config.json", "adapter_config.json")
ARGUMENTS = "training_args.json"  # in place of the Trainer's training_args.bin, a pickle
# What a run writes beside weights and tokenizer. Files that quote documents are pushed when asked for only.
WRITTEN = (
    *CONFIGURATIONS, "README.md", "trainer_state.json", "all_results.json", "train_results.json",
    "eval_results.json", "test_results.json", "learning_order.parquet", "predictions.json", "predictions.txt",
    "per_relation.csv", "precision_recall.svg", "confusion.csv", "confusion.svg", "train_documents.json",
)  # fmt: skip
QUOTING = ("report.html", "report.md")


class HubPush:
    """Uploads of one run; at most one is under way."""

    def __init__(self):
        self._running: Future | None = None

    def push(
        self,
        trainer: Trainer,
        folder: str,
        message: str,
        wait: bool,
        token: str | None = None,
        revision: str | None = None,
    ) -> Any:
        """Uploads what a run wrote.

        Args:
            folder: where its weights lie; everything else is taken from the output folder.
            wait: for the end of the upload. Otherwise an upload that is under way is left to end, and nothing is done,
                unless `--hub_always_push` asks for it.

        Returns:
            What `HfApi.upload_folder` returns; None where nothing was done.
        """
        if self._running is not None and not self._running.done() and not wait and not trainer.args.hub_always_push:
            return None
        if self._running is not None:
            self._running.result()
        staged = Path(tempfile.mkdtemp(prefix="finecl_hf_push_"))
        try:
            stage(trainer, Path(folder), staged)
            self._running = HfApi().upload_folder(
                repo_id=trainer.hub_model_id, folder_path=staged, commit_message=message, run_as_future=True,
                token=token or trainer.args.hub_token, revision=revision or trainer.args.hub_revision,
            )  # fmt: skip
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        self._running.add_done_callback(lambda _: shutil.rmtree(staged, ignore_errors=True))
        return self._running.result() if wait else self._running


def stage(trainer: Trainer, weights: Path, staged: Path) -> None:
    """Puts what is to be uploaded into an empty folder; paths of this machine are reduced to their last part."""
    output = Path(trainer.args.output_dir)
    quoting = QUOTING if getattr(trainer.args, "push_report", False) else ()
    of_weights = (*WEIGHTS, INDEX, *_parts(weights), *CONFIGURATIONS)  # these last: a threshold is among them
    for folder, names in ((output, (*WRITTEN, *quoting)), (weights, of_weights)):
        for name in names:
            path = folder / name
            if path.is_file() and not path.is_symlink():
                _copy(path, staged / name)
    if trainer.processing_class is not None:
        trainer.processing_class.save_pretrained(staged)
        for path in staged.glob("*token*.json"):
            _copy(path, path)
    write_model_code(staged)  # not that of the folder, in which anything may lie
    arguments = json.loads(json.dumps(trainer.args.to_dict(), default=str))
    _write_json(arguments, staged / ARGUMENTS)


def _parts(weights: Path) -> list[str]:
    """Names of the files that large weights are spread over."""
    try:
        names = set(json.loads((weights / INDEX).read_bytes())["weight_map"].values())
    except FileNotFoundError:
        return []
    return sorted(name for name in names if Path(name).name == name and name.endswith(".safetensors"))


def _copy(path: Path, target: Path) -> None:
    if path.suffix == ".json" and path.name not in ("predictions.json", "train_documents.json", "tokenizer.json"):
        _write_json(json.loads(path.read_bytes()), target)
    elif path != target:
        shutil.copyfile(path, target)


def _write_json(value: Any, path: Path) -> None:
    path.write_text(json.dumps(without_folders(value), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
