"""Formats of relation-extraction corpora that are not read, by what they begin with: to be named, not misread."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any


_TEXTS = {
    "XML": re.compile(r"\s*<(\?xml|!DOCTYPE (?!html))(?!.{0,5000}<collection[\s>])", re.IGNORECASE | re.DOTALL),
    "a web page": re.compile(r"\s*<(!DOCTYPE )?html", re.IGNORECASE),
    "CoNLL columns": re.compile(r"(-DOCSTART-|#begin document)"),
}


def _has(*keys: str) -> Callable[[dict], bool]:
    return lambda record: all(key in record for key in keys)


# What a record of JSON holds; the first that fits. A DocRED record has `sents`, and is none of them.
_RECORDS: dict[str, Callable[[dict], bool]] = {
    "Label Studio": lambda record: any(
        isinstance(part, dict) and "result" in part
        for part in [*_list(record, "annotations"), *_list(record, "completions")]
    ),
    "doccano": lambda record: (
        "text" in record
        and (
            any(isinstance(part, dict) and "start_offset" in part for part in _list(record, "entities"))
            or any(isinstance(part, dict) and "from_id" in part for part in _list(record, "relations"))
        )
    ),
    "Prodigy": _has("text", "spans", "relations"),
}


def format_of_text(start: str) -> str:
    """The name of a format that is not read, by the beginning of a file; "" where it is none of these."""
    return next((name for name, pattern in _TEXTS.items() if pattern.match(start)), "")


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


def _list(record: dict[str, Any], key: str) -> list:
    value = record.get(key)
    return value if isinstance(value, list) else []
