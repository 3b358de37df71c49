"""Values as Markdown: whatever a name holds, it stays one piece of text.

The templates of the model cards use these functions as Jinja filters.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from typing import Any
from urllib.parse import quote


def one_line(value: Any) -> str:
    """Line breaks and runs of blanks become one blank."""
    return " ".join(str(value).split())


def text(value: Any) -> str:
    """A value that Markdown shows as it is, in prose and in tables."""
    value = one_line(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    value = re.sub(r"([\\`*\[\]#~]|(?<!\w)_|_(?!\w))", r"\\\1", value)
    return value.replace("|", "&#124;")  # a table splits at any bar, with a backslash before it at some


def code(value: Any) -> str:
    """A code span; plain text if it holds a bar, which no code span can bring through a table safely."""
    value = one_line(value)
    if not value or "|" in value:
        return text(value)
    fence = "`" * (1 + max(map(len, re.findall("`+", value)), default=0))
    pad = " " if value[0] == "`" or value[-1] == "`" else ""
    return f"{fence}{pad}{value}{pad}{fence}"


def link(title: str, path: str) -> str:
    """A link to a page of the Hub."""
    return f"[{text(title)}](https://huggingface.co/{quote(path)})"


def string(value: str) -> str:
    """A Python string literal on one line."""
    return json.dumps(str(value), ensure_ascii=False)


def shell(value: str) -> str:
    """One word of a shell command, on one line."""
    return shlex.quote(one_line(value))


def renamed(card: bytes, path: str | None, shown: str | None) -> bytes:
    """A card, in whatever encoding, whose code names another path.

    A path from the root of this machine is replaced wherever it stands; another one, which may be a word of the text,
    as a Python string only.
    """
    if not path or not shown:
        return card
    forms = {string(path).encode(): string(shown).encode()}
    if os.path.isabs(path):
        forms[path.encode()] = shown.encode()
    # in one pass, as the new path may begin with the old one; which is not the beginning of another folder's name
    return re.sub(b"(?:" + b"|".join(map(re.escape, forms)) + rb")(?![\w-])", lambda found: forms[found[0]], card)


def fenced(value: str, language: str = "") -> str:
    """A code block that `value` cannot close."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", value)), default=0))
    return f"{fence}{language}\n{value.strip()}\n{fence}"


def number(value: Any) -> str:
    """Four decimals, more for small numbers; whole numbers and words as they are."""
    if not isinstance(value, float):
        return str(value)
    if value and abs(value) < 1e-3:
        return f"{value:.2e}"
    return f"{value:.4f}"


def percent(fraction: float) -> str:
    return f"{100 * fraction:.4g} %"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, without leading zeros."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def table(rows: list[list[str]], header: list[str]) -> str:
    """A Markdown table without the columns that are empty throughout."""
    kept = [column for column in range(len(header)) if any(row[column] for row in rows)]
    lines = [[header[column] for column in kept], ["---"] * len(kept)]
    lines += [[row[column] for column in kept] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


FILTERS = (text, code, link, string, shell, fenced, number, percent, duration, table)
