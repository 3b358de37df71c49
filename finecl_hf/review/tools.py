"""The tools in which labels are judged: what each writes, and which of them a file of verdicts comes from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from finecl_hf.data.json_stream import parse_json, read_json, text_chunks, text_lines
from finecl_hf.data.notes import counted
from finecl_hf.errors import DocumentError, FineCLError
from finecl_hf.review import argilla, label_studio, spreadsheet
from finecl_hf.review.votes import Vote, kind_of_word


_PAGES = (".html", ".htm")
_SPREADSHEETS = (".xlsx", ".xlsm", ".xls", ".ods", ".numbers")
TOOLS = {"label-studio": label_studio, "csv": spreadsheet, "argilla": argilla}


def read_votes(path: str | os.PathLike) -> list[Vote]:
    """What people said, from a filled-in CSV, an export of Label Studio or Argilla, or what a report saved.

    Raises:
        FineCLError: the file is missing, is none of these, or rows of it name no label.
    """
    path = Path(path)
    if not path.is_file():
        raise FineCLError(f"{path}: there is no such file; name what the tool exported.")
    if path.suffix.lower() in _SPREADSHEETS:
        raise FineCLError(f"{path}: is a spreadsheet of another kind; save it as CSV and import that.")
    if path.suffix.lower() in _PAGES:
        raise FineCLError(
            f'{path}: is a page, and its verdicts are kept by the browser; press "Save verdicts" on it and import the '
            "verdicts.json that it saves."
        )
    if not path.stat().st_size:
        raise FineCLError(f"{path}: the file is empty; export the tasks or save the verdicts again.")
    if path.suffix.lower() in (".csv", ".tsv", ".txt"):
        found = list(spreadsheet.votes(path))
    else:
        found = list(_votes_of_json(_rows(path), path))
    if nameless := found.count(None):
        raise FineCLError(
            f"{path}: {nameless:,} of {len(found):,} rows name no label (instance_id); import what was exported by "
            "`finecl-hf review export`, with all of its columns."
        )
    known = [vote for vote in found if vote is not None and vote.verdict]
    if strange := [vote for vote in known if kind_of_word(vote.verdict) is None]:
        word = " ".join(strange[0].verdict.split())[:40]
        raise FineCLError(
            f"{path}: {counted(len(strange), 'verdict is', 'verdicts are')} no word that is known, first "
            f'"{word}" ({strange[0].where}); write right, wrong, other or unsure.'
        )
    return known


def _rows(path: Path) -> Any:
    """JSON, or JSON Lines."""
    try:
        return read_json(path)
    except FineCLError as error:
        with open(path, "rb") as file:
            try:
                lines = [parse_json(line) for line in text_lines(text_chunks(file)) if line.strip()]
            except DocumentError:
                lines = []
        if len(lines) < 2:
            raise error
        return lines


def _votes_of_json(rows: Any, path: Path) -> Iterator[Vote | None]:
    if isinstance(rows, dict) and isinstance(rows.get("verdicts"), list):
        return _votes_of_report(rows["verdicts"])
    rows = [rows] if isinstance(rows, dict) else rows
    if isinstance(rows, list):
        for tool in (argilla, label_studio):
            if tool.is_export(rows):
                return tool.votes(rows)
        if not rows:
            return iter(())
    raise FineCLError(
        f"{path}: is no export of Label Studio or Argilla and no verdicts.json of a report; export the tasks as JSON."
    )


def _votes_of_report(rows: list[Any]) -> Iterator[Vote | None]:
    """What the buttons of report.html saved; labels go by their key, because HTML cannot hold every name."""
    for number, row in enumerate(rows):
        key = row.get("key") if isinstance(row, dict) else None
        if not isinstance(key, str) or not key.removeprefix("-").isascii() or not key.removeprefix("-").isdigit():
            yield None
            continue
        texts = {name: value if isinstance(value := row.get(name), str) else "" for name in row}
        verdict = kind_of_word(texts.get("verdict", ""))
        yield Vote(
            texts.get("instance_id", ""),
            texts.get("verdict", "") if verdict is None else verdict,
            texts.get("right_relation", "").strip(),
            stratum=texts.get("stratum", ""),
            where=f"verdict {number}",
            key=int(key) if len(key) <= 20 else 0,
        )
