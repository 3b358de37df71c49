"""One run, one folder: two that write the same checkpoints would spoil both."""

from __future__ import annotations

import atexit
import json
import os
import socket
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock

from finecl_hf.errors import FineCLError


LOCK = ".finecl_run.lock"
_GUARD = f"{LOCK}.guard"  # held for the moment in which the owner is looked up and changed


def lock_folder(folder: str) -> None:
    """Notes that this process writes to a folder; again, where it does so already.

    A lock of a process that is dead is taken over. Processes of another machine cannot be looked for: their lock stays
    until it is removed.

    Raises:
        FineCLError: another run is writing there.
    """
    path = Path(folder, LOCK)
    with FileLock(Path(folder, _GUARD)):
        owner = _owner(path)
        if owner is not None and owner != _this_process() and _may_live(owner):
            raise FineCLError(
                f"--output_dir {folder}: another run writes there (process {owner.get('process')} on "
                f"{owner.get('host')}); wait for its end or name another folder. If it is over, remove {path}."
            )
        path.write_text(json.dumps(_this_process()), encoding="utf-8")
    atexit.register(unlock_folder, folder)  # whatever ends the program, short of a kill


def unlock_folder(folder: str) -> None:
    """Removes this process's lock."""
    if _owner(Path(folder, LOCK)) == _this_process():
        for name in (LOCK, _GUARD):
            Path(folder, name).unlink(missing_ok=True)


def _this_process() -> dict[str, Any]:
    # A process's number is given to another one some day; both began at different times
    return {"host": socket.gethostname(), "process": os.getpid(), "began": psutil.Process().create_time()}


def _owner(path: Path) -> dict[str, Any] | None:
    """Who wrote a lock; None where there is none, or where it was cut off by a full disk or a kill."""
    try:
        owner = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return owner if isinstance(owner, dict) and owner.keys() == _this_process().keys() else None


def _may_live(owner: dict[str, Any]) -> bool:
    if owner.get("host") != socket.gethostname():
        return True
    try:
        process = psutil.Process(owner.get("process"))
        return process.create_time() == owner.get("began") and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, TypeError, ValueError):
        return False
