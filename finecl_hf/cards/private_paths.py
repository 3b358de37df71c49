"""Paths of this machine, which are nobody else's business, reduced to their last part."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import PurePath, PureWindowsPath
from typing import Any


_ABSOLUTE = re.compile(r"^(/|~|\.{1,2}/|[A-Za-z]:[\\/]|\\\\)")


def without_folders(value: Any) -> Any:
    """A value as JSON has it, with every text that is a path of this machine reduced to its last part."""
    if isinstance(value, dict):
        return {without_folders(key): without_folders(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_folders(entry) for entry in value]
    return last_part(value) if isinstance(value, str) else value


def last_part(text: str) -> str:
    """`data/train.json` -> `train.json`; what is no path, such as a Hub id, stays."""
    if not text or "\n" in text or not (_ABSOLUTE.match(text) or (os.sep in text and os.path.exists(text))):
        return text
    kind = PureWindowsPath if "\\" in text or re.match(r"^[A-Za-z]:", text) else PurePath
    return kind(text).name or text[:1]


def command_without_folders(words: list[str]) -> list[str]:
    """The words of a command line; `--flag=/a/b` becomes `--flag=b`."""
    reduced = []
    for word in words:
        flag, equals, value = word.partition("=")
        reduced.append(f"{flag}={last_part(value)}" if equals and flag.startswith("-") else last_part(word))
    return reduced


def line_without_folders(line: str) -> str:
    """[`command_without_folders`] of a command line in one string."""
    try:
        return shlex.join(command_without_folders(shlex.split(line)))
    except ValueError:  # a quote that nothing closes
        return " ".join(command_without_folders(line.split()))
