"""Full disks: what fails while a file is written becomes one sentence that names the file and says how to go on."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from finecl_hf.errors import FineCLError


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
    """The file of a folder that was written last."""
    if not path.is_dir():
        return path
    files = [file for file in path.iterdir() if file.is_file()]
    return max(files, key=lambda file: file.stat().st_mtime_ns, default=path)
