"""What of an output folder goes to the Hub, and the way there: files by name, nothing else that lies beside them."""

from __future__ import annotations

import json
import logging
import os
import shlex
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from textwrap import shorten
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.errors import HFValidationError

from finecl_hf.cards.card_file import FACTS
from finecl_hf.cards.model_card import FineCLCardData, base_folder
from finecl_hf.cards.model_code import write_model_code
from finecl_hf.cards.private_paths import without_folders
from finecl_hf.errors import FineCLError, UploadError


logger = logging.getLogger(__name__)

WEIGHTS = ("model.safetensors", "adapter_model.safetensors")
INDEX = "model.safetensors.index.json"  # names the parts of large weights
GRAPH, HEAD = "model.onnx", "head.safetensors"  # of an ONNX export; that of an encoder has no head
CONFIGURATIONS = ("config.json", "adapter_config.json")
ARGUMENTS = "training_args.json"  # in place of the Trainer's training_args.bin, a pickle
# What a run writes beside weights and tokenizer. Files that quote documents are pushed when asked for only.
WRITTEN = (
    *CONFIGURATIONS, "README.md", "trainer_state.json", "all_results.json", "train_results.json",
    "eval_results.json", "test_results.json", "predictions.json", "predictions.txt",
    "per_relation.csv", "precision_recall.svg", "confusion.csv", "confusion.svg", "train_documents.json", ARGUMENTS,
)  # fmt: skip
QUOTING = ("report.html", "report.md")
_OF_DOCUMENTS = ("predictions.json", "train_documents.json", "tokenizer.json")  # what looks like a path is a name


@dataclass(frozen=True)
class Destination:
    """A repository of the Hub.

    Args:
        repo_id: with or without the user or organisation that it belongs to; without, it is one's own.
        repo_type: "model" or "dataset".
        private: whether it is, where it is made by this; None leaves it to the organisation's default.
        revision: a branch, made where there is none; "main" by default.
        token: by default the one that `hf auth login` noted.
    """

    repo_id: str
    repo_type: str = "model"
    private: bool | None = None
    revision: str | None = None
    token: str | None = field(default=None, repr=False)

    def opened(self) -> Destination:
        """The same by its full id, once it is there: repository and branch are made where there are none."""
        options = {"repo_type": self.repo_type, "token": self.token, "exist_ok": True}
        name = HfApi().create_repo(self.repo_id, private=self.private, **options).repo_id
        if self.revision not in (None, "main") and not self.revision.startswith("refs/"):
            HfApi().create_branch(name, branch=self.revision, **options)
        return replace(self, repo_id=name)

    def upload(self, folder: Path, message: str) -> Future:
        """Begins to commit all files of a folder; the result is what `HfApi.upload_folder` returns."""
        return HfApi().upload_folder(
            repo_id=self.repo_id, repo_type=self.repo_type, folder_path=folder, commit_message=message,
            run_as_future=True, token=self.token, revision=self.revision,
        )  # fmt: skip

    def command(self, folder: str, quoting: bool = False) -> str:
        """The command that uploads an output folder there."""
        words = ["finecl-hf", "push", folder, "--hub_model_id", self.repo_id]
        words += ["--hub_private_repo"] if self.private else []
        words += ["--hub_revision", self.revision] if self.revision else []
        words += ["--push_report"] if quoting else []
        return shlex.join(words)


@contextmanager
def uploading(command: str) -> Iterator[None]:
    """Turns whatever the Hub, or the way there, answers into one sentence with the command that tries it again.

    Raises:
        UploadError: it was not uploaded.
    """
    try:
        yield
    except Exception as error:  # the HTTP client's own exceptions change with the release of huggingface_hub
        is_name = isinstance(error, HFValidationError)
        mended = "; no repository can be called so, so give another --hub_model_id" if is_name else ""
        raise UploadError(
            f"the upload failed ({reason_of(error)}){mended}. The run has finished, and its folder is whole. This "
            f"uploads it later (`hf auth login` logs in): {command}"
        ) from error


def warn_of_local_base(card: FineCLCardData) -> None:
    """An adapter is pushed without its base model, which others have to find somewhere."""
    if card.kind == "lora_adapter" and (folder := base_folder(card)):
        path = shlex.quote(card.base_model)
        ours = os.path.isfile(os.path.join(card.base_model, FACTS))  # where `hf` would upload checkpoints, too
        push = f"finecl-hf push {path} --hub_model_id user/{folder}" if ours else f"hf upload user/{folder} {path}"
        logger.warning(
            "The base model of this adapter is a folder of this machine, %s, so that nobody can load it elsewhere by "
            "its name alone: push that folder, too (`%s`), and name it with base_model, or --base_model, wherever the "
            'adapter is loaded (base_model="user/%s").', card.base_model, push, folder,
        )  # fmt: skip


def reason_of(error: BaseException) -> str:
    """What an error says, on one short line."""
    said = " ".join(str(error).split()) or "no reason given"
    return shorten(f"{type(error).__name__}: {said}", 250, placeholder="...")


def stage_model(output: Path, weights: Path, staged: Path, tokenizer: Any = None, quoting: bool = False) -> None:
    """Puts what is to be uploaded of a model into an empty folder; of paths of this machine, the last part is left.

    Args:
        output: the folder of the run.
        weights: where the weights lie, the same folder or a checkpoint's.
        tokenizer: of transformers.
        quoting: the report goes with it.
    """
    copy_named(output, staged, (*WRITTEN, *(QUOTING if quoting else ())))
    of_weights = (*WEIGHTS, GRAPH, HEAD, INDEX, *_parts(weights))
    copy_named(weights, staged, (*of_weights, *CONFIGURATIONS))  # these last: a threshold is among them
    if tokenizer is not None:
        tokenizer.save_pretrained(staged)
        for path in staged.glob("*token*.json"):
            _copy(path, path)
    write_model_code(staged)  # not that of the folder, in which anything may lie


def copy_named(folder: Path, staged: Path, names: Iterable[str]) -> None:
    """Copies those files of a folder that have one of the names; what is a link is passed over."""
    for name in names:
        path = folder / name
        if path.is_file() and not path.is_symlink():
            _copy(path, staged / name)


def write_arguments(arguments: dict[str, Any], folder: Path) -> None:
    """Writes the arguments of a run as JSON, without folders of this machine."""
    _write_json(json.loads(json.dumps(arguments, default=str)), folder / ARGUMENTS)


def read_arguments(folder: Path) -> dict[str, Any]:
    """The inverse of [`write_arguments`]; empty where there are none.

    Raises:
        FineCLError: they cannot be read.
    """
    path = folder / ARGUMENTS
    found = _read_json(path) if path.is_file() else {}
    return found if isinstance(found, dict) else {}


def _parts(weights: Path) -> list[str]:
    """Names of the files that large weights are spread over."""
    if not (weights / INDEX).is_file():
        return []
    try:
        names = set(_read_json(weights / INDEX)["weight_map"].values())
    except (TypeError, KeyError, AttributeError) as error:
        raise FineCLError(f"{weights / INDEX}: names no files of weights; repeat the run.") from error
    return sorted(name for name in names if Path(name).name == name and name.endswith(".safetensors"))


def _copy(path: Path, target: Path) -> None:
    if path.suffix == ".json" and path.name not in _OF_DOCUMENTS:
        _write_json(_read_json(path), target)
    elif path != target:
        shutil.copyfile(path, target)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # UTF-8 raises one, too
        raise FineCLError(f"{path}: is no JSON ({error}); remove the file, or repeat the run.") from error


def _write_json(value: Any, path: Path) -> None:
    path.write_text(json.dumps(without_folders(value), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
