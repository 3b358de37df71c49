"""An extension of griffe (`make docs`): what our docstrings write in their own way, as the API reference wants it.

- `[`name`]`, as in transformers, is a link where the name has an entry in docs/reference/, else code.
- Several arguments that are told in one line (`head, tail: (N,)`, `logits: (P, R); targets: (P,)`) get a line each.
- A field of an argument dataclass is described by its `option(default, help)`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe


PAGES = Path(__file__).parent / "reference"
REFERENCE = re.compile(r"\[`(~?[\w.]+)`\](?![\[(])")
SECTION = re.compile(r"^(Args|Attributes):$")
ITEM = re.compile(r"^    (\**\w+(?:, \**\w+)*): (.*)$", re.DOTALL)


def listed() -> set[str]:
    """The names that the pages of the reference give an entry: those behind `:::`."""
    pages = sorted(PAGES.glob("*.md"))
    return {name for page in pages for name in re.findall(r"^::: ([\w.]+)", page.read_text("utf-8"), re.MULTILINE)}


def objects_in(parent: griffe.Object) -> Iterator[griffe.Object]:
    """All that is defined below an object, imports left out."""
    for member in parent.members.values():
        if not member.is_alias:
            yield member
            if member.is_module or member.is_class:
                yield from objects_in(member)


class HouseStyle(griffe.Extension):
    """Rewrites the docstrings of a package once it is loaded."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        everything = [pkg, *objects_in(pkg)]
        for found in everything:
            if found.is_attribute:
                describe_option(found)
        entries = {found.path for found in everything if has_entry(found, listed())}
        for found in everything:
            if found.docstring:
                text = found.docstring.value.replace("\nExample:\n", "\nExamples:\n")  # which shows them as code
                if found.is_class and "__init__" not in found.members:  # a configuration: its fields are its arguments
                    text = text.replace("\nArgs:\n", "\nAttributes:\n")
                text = one_item_a_line(text)
                found.docstring.value = REFERENCE.sub(lambda match, at=found: linked(match[1], at, entries), text)


def has_entry(found: griffe.Object, names: set[str]) -> bool:
    """Whether the reference shows an object: by its name, or as a public member of a class or module."""
    if found.path in names:
        return True
    public = not found.name.startswith("_") and found.docstring is not None
    return public and found.parent is not None and found.parent.path in names


def describe_option(field: griffe.Attribute) -> None:
    """`name: int = option(3, "Help.")` as `name: int = 3` with a docstring."""
    value = ast.parse(str(field.value), mode="eval").body if field.value is not None else None
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "option":
        default, text = value.args
        field.value = ast.unparse(default)
        field.docstring = griffe.Docstring(ast.literal_eval(text), parent=field, lineno=field.lineno)


def one_item_a_line(text: str) -> str:
    """Splits the items of "Args" and "Attributes" that tell of several names."""
    sections = re.split(r"\n(?=\S)", text)
    return "\n".join(_split(section) if SECTION.match(section.split("\n")[0]) else section for section in sections)


def _split(section: str) -> str:
    title, *items = re.split(r"\n(?=    \S)", section)
    lines = [title]
    for item in items:
        for part in re.split(r"; (?=[a-z_]+: )", item):
            match = ITEM.match(part if part.startswith("    ") else f"    {part}")
            lines += [f"    {name}: {match[2]}" for name in match[1].split(", ")] if match else [part]
    return "\n".join(lines)


def linked(name: str, place: griffe.Object, entries: set[str]) -> str:
    """A link to the entry of a name, as it is meant where it stands; or the name as code."""
    short, name = name.startswith("~"), name.removeprefix("~")
    shown = name.rpartition(".")[2] if short else name
    path = meant(name, place, entries)
    return f"[`{shown}`][{path}]" if path else f"`{shown}`"


def meant(name: str, place: griffe.Object, entries: set[str]) -> str | None:
    """The path of the entry that a name has, in the scopes around the place and by what they import."""
    if name in entries:
        return name
    first, _, rest = name.partition(".")
    scope: griffe.Object | None = place
    while scope is not None:
        member = scope.members.get(first)
        if member is not None:
            path = member.target_path if member.is_alias else member.path
            path = f"{path}.{rest}" if rest else path
            return path if path in entries else None
        scope = scope.parent
    same = {path for path in entries if path.endswith(f".{name}")}  # named without an import
    return same.pop() if len(same) == 1 else None
