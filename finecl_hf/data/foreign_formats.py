"""Formats of relation-extraction corpora that are not read, by what they begin with: to be named, not misread."""

from __future__ import annotations

import re


_TEXTS = {
    "XML": re.compile(r"\s*<(\?xml|!DOCTYPE (?!html))(?!.{0,5000}<collection[\s>])", re.IGNORECASE | re.DOTALL),
    "a web page": re.compile(r"\s*<(!DOCTYPE )?html", re.IGNORECASE),
    "CoNLL columns": re.compile(r"(-DOCSTART-|#begin document)"),
}


def format_of_text(start: str) -> str:
    """The name of a format that is not read, by the beginning of a file; "" where it is none of these."""
    return next((name for name, pattern in _TEXTS.items() if pattern.match(start)), "")


def refusal(name: str, read: str) -> str:
    """The sentence for a format that is not read.

    Args:
        read: those that are.
    """
    return f"this looks like {name}, which is not read; convert it to one of: {read} (see docs/data_formats.md)."
