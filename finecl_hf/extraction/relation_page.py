"""A page that shows texts with their entities and triples: one file, which needs no network."""

from __future__ import annotations

import json
import os
from importlib.resources import files
from pathlib import Path
from typing import Any

from finecl_hf.cards.templates import templates_in
from finecl_hf.data.files import replacing
from finecl_hf.data.notes import counted
from finecl_hf.hashing import text_key


MOST_SHOWN = 200  # texts on a page


def write_page(predictions: str | os.PathLike, path: str | os.PathLike) -> str:
    """Shows the first `MOST_SHOWN` lines of what `finecl-hf predict` wrote.

    Args:
        predictions: its output, JSON Lines.
        path: of the page.

    Returns:
        How many texts it shows, and how many it leaves out.
    """
    shown, total = [], 0
    with open(predictions, encoding="utf-8") as file:
        for line in file:
            total += 1
            if total <= MOST_SHOWN:
                shown.append(view(json.loads(line)))
    with replacing(Path(path)) as file:
        file.write(render(shown, total - len(shown)).encode(errors="backslashreplace"))
    left_out = f", the other {total - len(shown):,} are left out" if total > len(shown) else ""
    return f"{counted(len(shown), 'text')}{left_out}."


def render(documents: list[dict[str, Any]], left_out: int = 0) -> str:
    """The page, of views as made by [`view`]."""
    template = templates_in(files(__package__), html=True).get_template("relation_page.html")
    return template.render(documents=documents, left_out=left_out)


def view(record: dict[str, Any]) -> dict[str, Any]:
    """What the page shows of a line of `finecl-hf predict`: pieces of text, marked or not, and triples."""
    text = record.get("text", "")
    marks = [mention for entity in record.get("entities", []) for mention in entity]
    pieces, at, mark_of = [], 0, {}
    for mention in sorted(marks, key=lambda mention: (mention["start"], -mention["end"])):
        start, end = mention["start"], mention["end"]
        if start >= at:
            pieces.append({"text": text[at:start], "type": None})
            hue = text_key(mention["type"]) % 360
            pieces.append({"text": text[start:end], "type": mention["type"], "start": start, "hue": hue})
            at, outer = end, start
        mark_of[start] = outer  # a mention inside another is shown by that one
    pieces.append({"text": text[at:], "type": None})
    triples = [
        {**triple, "from": mark_of.get(triple["head_span"][0]), "to": mark_of.get(triple["tail_span"][0])}
        for triple in record.get("triples", [])
    ]
    title = record.get("title", f"input {record['index']}")
    return {"title": title, "pieces": pieces, "triples": triples, "error": record.get("error")}
