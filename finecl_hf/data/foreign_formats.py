"""Formats of relation-extraction corpora that are not read, by what they begin with: to be named, not misread."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any


_TEXTS = {
    "brat's annotations": re.compile(r"\s*[TRE*]\d*\t\w\S* (\d+ \d+|Arg1:)"),
    "XML": re.compile(r"\s*<\?xml|\s*<!DOCTYPE (?!html)", re.IGNORECASE),
    "a web page": re.compile(r"\s*<(!DOCTYPE )?html", re.IGNORECASE),
    "CoNLL columns": re.compile(r"(-DOCSTART-|#begin document)"),
    "BioC": re.compile(r'\s*\{[^\[]*"documents"\s*:\s*\[[^\[]*"passages"\s*:', re.DOTALL),
}


def _has(*keys: str) -> Callable[[dict], bool]:
    return lambda record: all(key in record for key in keys)


# What a record of JSON holds; the first that fits. A DocRED record has `sents`, and is none of them.
_RECORDS: dict[str, Callable[[dict], bool]] = {
    "BioC": lambda record: "passages" in record or _has("documents", "source")(record),
    "SciERC": lambda record: _has("sentences", "ner")(record) or _has("sentences", "doc_key")(record),
    "SpERT": _has("tokens", "entities", "relations"),
}


def format_of_text(path: Path, start: str) -> str:
    """The name of a format that is not read, by the beginning of a file; "" where it is none of these."""
    found = next((name for name, pattern in _TEXTS.items() if pattern.match(start)), "")
    if not found and path.suffix.lower() == ".txt" and path.with_suffix(".ann").is_file():
        return "brat's text"
    return found


def format_of_record(record: dict[str, Any]) -> str:
    """The name of a format that is not read, by its first record; "" where it is none of these."""
    if "sents" in record:
        return ""
    return next((name for name, fits in _RECORDS.items() if fits(record)), "")


def refusal(name: str, read: str) -> str:
    """The sentence for a format that is not read.

    Args:
        read: those that are.
    """
    return f"this looks like {name}, which is not read; convert it to one of: {read} (see docs/data_formats.md)."
