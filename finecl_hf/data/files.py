"""Writing files: under another name first, never over an input; a full disk is one sentence that names the file."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from finecl_hf.errors import FineCLError


def refuse_overwriting(output: str | os.PathLike, inputs: Iterable[Any]) -> None:
    """Raises FineCLError where an output is one of the files that a command reads; None among them is passed over."""
    for path in inputs:
        if path is not None and os.path.exists(path) and os.path.exists(output) and os.path.samefile(path, output):
            raise FineCLError(f"{output}: this file is read; name another one to write.")


def check_writable(path: Path, flag: str) -> None:
    """Makes the folder of a file that is to be written.

    Raises:
        FineCLError: the file or its folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FineCLError(f"{flag} {path}: its folder cannot be made ({error.strerror}).") from error
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise FineCLError(f"{flag} {path}: may not be written; name another file.")


def refuse_overwriting_further(option: str, further: str | None, inputs: Iterable[Any], output: str) -> None:
    """As [`refuse_overwriting`] and [`check_writable`], of a second file that a command writes, or not: it is not the
    output either."""
    if further is None:
        return
    check_writable(Path(further), option)
    refuse_overwriting(further, inputs)
    if Path(further).resolve() == Path(output).resolve():
        raise FineCLError(f"{option} {further}: this is the output; name another file.")


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` once it is whole; a failure leaves the old one as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():  # the move would say it of the temporary file, once everything is written
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with writing(path), open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_unfinished(path: Path) -> None:
    """Removes what [`replacing`] left beside `path` when a process was killed while it wrote."""
    for temporary in path.parent.glob(f".{path.name}.*.tmp"):
        temporary.unlink(missing_ok=True)


# No space left, over quota, and a file that is larger than the system, or a limit of the user, allows
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# How libraries that are not written in Python say it: safetensors and tokenizers, then torch.save
_FULL_ELSEWHERE = tuple(f"(os error {number})" for number in sorted(_FULL))
_TORCH = ("PytorchStreamWriter", "inline_container")


@contextmanager
def writing(path: str | os.PathLike) -> Iterator[None]:
    """Turns a full disk into one sentence, whichever library meets it.

    Args:
        path: the file that is written, or the folder: the sentence then names the file in it that failed.

    Raises:
        FineCLError: there was no room for the file. Other failures pass through as they are.
    """
    try:
        yield
    except FineCLError:
        raise
    except Exception as error:  # tokenizers raise nothing more special
        reason = full_disk(error)
        if reason is None:
            raise
        # safetensors removes what it could not finish, so that its file is not the newest one
        weights = type(error).__name__ == "SafetensorError" and os.path.isdir(path)
        file = f"{path}: the weights" if weights else _newest_file(Path(path))
        raise FineCLError(
            f"{file} could not be written: {reason}. Free some space and run the same command "
            "again; a training run goes on from its last complete checkpoint, which this has not touched."
        ) from error


def full_disk(error: BaseException) -> str | None:
    """What an error says of a disk without room for a file; None where it says something else."""
    if isinstance(error, OSError):
        return error.strerror if error.errno in _FULL else None
    text = " ".join(str(error).split())
    if any(sign in text for sign in _FULL_ELSEWHERE):
        return text
    if isinstance(error, RuntimeError) and any(sign in text for sign in _TORCH):
        return "the disk took a part of it only"
    return None


def _newest_file(path: Path) -> Path:
    """The file in a folder, or in one of its folders, that was written last."""
    if not path.is_dir():
        return path
    files = [file for file in path.rglob("*") if file.is_file()]
    return max(files, key=lambda file: file.stat().st_mtime_ns, default=path)


@contextmanager
def writing_cache() -> Iterator[None]:
    """Turns a cache that cannot be written to into one sentence."""
    try:
        yield
    except OSError as error:
        if full_disk(error):
            raise
        raise FineCLError(
            f"the cache of `datasets` cannot be written ({error}); name another folder with --cache_dir."
        ) from error
