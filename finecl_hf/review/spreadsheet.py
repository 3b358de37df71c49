"""CSV: one row a label, to be filled in with any spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from finecl_hf.data.unicode_files import utf_16_of
from finecl_hf.errors import FineCLError
from finecl_hf.review.blinding import opened, sealed
from finecl_hf.review.tasks import Task
from finecl_hf.review.votes import Vote, kind_of_word


SUFFIXES = (".csv",)
COLUMNS = ("verdict", "right_relation", "note", "head", "relation_name", "tail", "text", "head_type", "tail_type",
           "relation", "instance_id", "sample")  # fmt: skip
_FORMULA = tuple("=+-@\t\r\n＝＋－＠'")  # a cell that begins like this is a formula, or was made harmless before


def write(tasks: Sequence[Task], relations: Mapping[str, str]) -> dict[str, str]:
    """The file by its suffix. With a byte order mark: spreadsheets take it for another encoding without one."""
    out = io.StringIO()
    rows = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    rows.writerow(COLUMNS)
    for task in tasks:
        cells = {**vars(task), "text": task.marked, "verdict": "", "right_relation": "", "note": ""}
        cells["sample"] = sealed(task.stratum, task.stratum_size, task.instance_id)
        rows.writerow(harmless(cells[name]) for name in COLUMNS)
    return {".csv": "\ufeff" + out.getvalue()}


def harmless(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: an apostrophe in front makes it text."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def plain(cell: str) -> str:
    """Inverse of [`harmless`]."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell


def votes(path: Path) -> Iterator[Vote | None]:
    """The rows that are filled in; None for one that names no label. A column `judge` may say who judged.

    Raises:
        FineCLError: the file is no table with the columns instance_id and verdict.
    """
    text = _decoded(path.read_bytes())
    if text[:4].lower() == "sep=":  # a line that tells Excel the delimiter
        text = text.partition("\n")[2]
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    try:
        rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=False)
        names = [str(name).strip().lower() for name in rows.fieldnames or ()]
        rows.fieldnames = names
        if twice := [name for name in COLUMNS if names.count(name) > 1]:
            raise FineCLError(f"{path}: there are two columns {twice[0]}; leave the one away that is not meant.")
        if not {"instance_id", "verdict"} <= set(names):
            raise FineCLError(
                f"{path}: the columns instance_id and verdict are not both there; keep the first row of the table as "
                "`finecl-hf review export` wrote it."
            )
        for row in rows:
            yield _vote({name: row.get(name) or "" for name in names}, f"line {rows.line_num}")
    except csv.Error as error:
        raise FineCLError(f"{path}: is no table of commas, semicolons or tabs ({error}); save it as CSV.") from error


def _vote(row: dict[str, str], where: str) -> Vote | None:
    instance_id, verdict = plain(row["instance_id"]), row["verdict"]
    if not instance_id:
        return None if any(cell.strip() for cell in row.values()) else Vote("", "")
    relation = plain(row.get("right_relation", "")).strip()
    kind = kind_of_word(verdict)
    if relation and kind in ("", "wrong"):  # who names another relation need not say that there is one
        kind = "other"
    stratum, size = opened(row.get("sample", ""), instance_id)
    judge = row.get("judge", "").strip()
    return Vote(instance_id, verdict.strip() if kind is None else kind, relation, judge, stratum, size, where)


def _decoded(data: bytes) -> str:
    try:
        return data.decode(utf_16_of(data) or "utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")  # what spreadsheets of the West write
