"""Finds and downloads files of datasets on the Hugging Face Hub: those of one split, or one by its name.

Not `load_dataset`: it reads a whole JSON array into memory, fails where documents differ in their keys, and cannot run
the loading scripts that older relation-extraction corpora carry. Their files read well with our own readers.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from textwrap import shorten

from finecl_hf.errors import DocumentError


CONVERTED = "refs/convert/parquet"  # the Hub's own parquet copy of a dataset
_DATA_FILE = re.compile(r"\.(parquet|jsonl?(\.gz)?|txt)$", re.IGNORECASE)
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")
_ALIASES = {"validation": ("dev", "valid", "val"), "dev": ("validation", "valid", "val")}


def looks_like_dataset_id(source: str) -> bool:
    """Whether a source that is no file can be `user/name`, rather than a mistyped path."""
    return bool(re.fullmatch(r"\w[\w.-]*/[\w.-]+", source)) and not _DATA_FILE.search(source)


def hub_files(dataset: str, split: str | None) -> list[tuple[str, Path]]:
    """Downloads the files of one split.

    Parquet files of the dataset come first, then the Hub's own parquet copy, then JSON files named like the split.

    Args:
        dataset: `user/name`.
        split: such as `train`; None takes the only one there is.

    Returns:
        (name for messages, path in the local cache) of each file, in order.

    Raises:
        DocumentError: where the Hub, the dataset or the split cannot be found.
    """
    main = _list_files(dataset, "main")
    parquet = [file for file in main if file.endswith(".parquet")]
    choices = [("main", parquet)]
    if not _choose(parquet, split):
        choices.append((CONVERTED, _list_files(dataset, CONVERTED)))
        choices.append(("main", [file for file in main if file not in parquet]))
    for revision, files in choices:
        if chosen := _choose(files, split):
            return [(f"{dataset}/{file}", _download(dataset, file, revision)) for file in chosen]
    available = sorted({split_of(file) for _, files in choices for file in files if _DATA_FILE.search(file)})
    wanted = "a split must be named" if split is None else f'exactly one split named like "{split}" was expected'
    listed = f"it has: {', '.join(available)}" if available else "it has no parquet or JSON files"
    raise DocumentError(f"{wanted}; {listed}.", "split", dataset)


def file_or_download(source: str | os.PathLike, name: str) -> Path:
    """A file here as it is; for `user/name`, or `user/name@revision`, that file of a dataset on the Hub, downloaded.

    Args:
        source: what a user gives.
        name: of the file in the dataset.

    Raises:
        DocumentError: there is neither such a file nor such a dataset, or the Hub cannot be reached.
    """
    if not is_dataset(source):
        return Path(source)
    dataset, mark, revision = str(source).partition("@")
    if mark and not revision.strip():
        raise DocumentError("no revision follows the @; name one, or leave the @ away.", source=source)
    return _download(dataset, name, revision or "main")


def is_dataset(source: str | os.PathLike) -> bool:
    """Whether a source is no file here but `user/name`, or `user/name@revision`. Asks no server."""
    return not Path(source).exists() and looks_like_dataset_id(str(source).partition("@")[0])


def commit_of(dataset: str) -> str | None:
    """The hash of a dataset's newest commit; None where the Hub does not tell, as on a node without a network."""
    from huggingface_hub import HfApi

    try:
        return HfApi().dataset_info(dataset, timeout=30).sha
    except Exception:  # whatever is wrong, reading the files tells it better
        return None


def split_of(file: str) -> str:
    """The split a file name tells: `data/train-00000-of-00002.parquet`, `default/train/0000.parquet`, `train.json`."""
    path = PurePosixPath(file)
    stem = _SHARD.sub("", _DATA_FILE.sub("", path.name))
    return path.parent.name.removeprefix("partial-") if stem.isdigit() else stem


def _choose(files: list[str], split: str | None) -> list[str]:
    """Files of the one split that fits; none where none or several fit."""
    by_split: dict[str, list[str]] = {}
    for file in sorted(files):
        if _DATA_FILE.search(file):
            by_split.setdefault(split_of(file), []).append(file)
    if split is None:
        return next(iter(by_split.values())) if len(by_split) == 1 else []
    for name in (split, *_ALIASES.get(split, ())):
        if name in by_split:
            return by_split[name]
        if similar := [other for other in by_split if name in other.lower()]:
            return by_split[similar[0]] if len(similar) == 1 else []
    return []


def _list_files(dataset: str, revision: str) -> list[str]:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RevisionNotFoundError

    try:
        return HfApi().list_repo_files(dataset, repo_type="dataset", revision=revision)
    except RevisionNotFoundError:
        return []
    except Exception as error:  # the HTTP client's own exceptions change with the release of huggingface_hub
        if refusal := _refusal(dataset, error):
            raise refusal from None
        cached = _cached_files(dataset, revision)
        if cached is None and revision == "main":
            raise _unreachable(dataset, error) from None
        return cached or []


def _refusal(dataset: str, error: Exception) -> DocumentError | None:
    """What the Hub says of a dataset that it does not give; None where it says nothing."""
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    if isinstance(error, GatedRepoError):
        message = "access to this dataset must be asked for; accept its terms on the Hub and run `hf auth login`."
    elif isinstance(error, RepositoryNotFoundError):
        message = (
            "there is neither such a file nor such a dataset on the Hub; check the spelling, or log in with `hf auth "
            "login` if it is private."
        )
    elif isinstance(error, HFValidationError):
        reason = " ".join(str(error).split()).rstrip(".")
        message = f"there is no such file, and no dataset of the Hub can be called so ({reason}); check the spelling."
    else:
        return None
    return DocumentError(message, source=dataset)


def _cached_files(dataset: str, revision: str) -> list[str] | None:
    """Files downloaded earlier: compute nodes often have no network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(dataset, repo_type="dataset", revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    return [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]


def _download(dataset: str, file: str, revision: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import RemoteEntryNotFoundError, RevisionNotFoundError

    try:
        return Path(hf_hub_download(dataset, file, repo_type="dataset", revision=revision))
    except RevisionNotFoundError:
        raise DocumentError(
            f'the dataset has no branch, tag or commit "{revision}"; name one that it has.', source=dataset
        ) from None
    except RemoteEntryNotFoundError:
        raise DocumentError(f"the dataset has no {file}; name another one.", source=dataset) from None
    except Exception as error:  # as above
        raise _refusal(dataset, error) or _unreachable(f"{dataset}/{file}", error) from None


def _unreachable(source: str, error: Exception) -> DocumentError:
    reason = (
        f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no reason given'}"
    )
    return DocumentError(
        f"there is no such file, and the Hub does not answer ({shorten(reason, 150, placeholder='...')}); check the "
        "path or the network.",
        source=source,
    )
