"""Tables of sentences: CSV, TSV and spreadsheets with a header, one sentence and its two arguments a row.

    sentence,head,tail,relation
    "Ada met Babbage in London.",Ada,Babbage,knows

Columns are told by their names, see [`~finecl_hf.data.column_names`]. Arguments stand at their offsets, in characters
of the sentence, or where their names occur in it first.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from itertools import chain
from math import isfinite
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from finecl_hf.data.column_names import TRIPLE_COLUMNS, has_columns, renamed, roles_of
from finecl_hf.data.documents import Document, _integer, _kind, means_no_relation
from finecl_hf.data.files import replacing
from finecl_hf.data.formats import Format
from finecl_hf.data.formats.sentence_writing import judged_pair, refuses_all_but_sentences
from finecl_hf.data.formats.sentences import _hashed_title
from finecl_hf.data.json_stream import text_lines
from finecl_hf.data.occurrences import occurrences
from finecl_hf.data.spans import Span, document_of_text, span_of, text_of
from finecl_hf.data.unpacking import most_bytes, unpacks_too_far
from finecl_hf.errors import DocumentError


_DELIMITERS = "\t,;|"
_NEEDED = {"sentence", "head", "tail"}
_OFFSETS = {"sentence", "head_start", "head_end", "tail_start", "tail_end"}
_EXCEL_CELL = 32_767  # characters that a spreadsheet's cell holds
_NOT_IN_CELLS = re.compile(r"[\x00-\x08\x0b-\x1f]|_x[0-9A-Fa-f]{4}_|[\ufffe\uffff]")  # XML has no place for them
_WRITTEN = [
    "title", "sentence", "head", "tail", "relation", "head_start", "head_end", "tail_start", "tail_end", "head_type",
    "tail_type", "head_id", "tail_id", "source", "score",
]  # fmt: skip


class Row(dict):
    """The cells of a row, by the names of their columns.

    Attributes:
        number: of the row, as a spreadsheet counts: the header is row 1.
    """

    number = 0

    def copy(self) -> Row:
        return made_row(self.items(), self.number)


def made_row(cells: Iterable[tuple[str, Any]], number: int) -> Row:
    """A row; of columns with the same name, the first counts."""
    row = Row()
    row.number = number
    for name, cell in cells:
        row.setdefault(name, cell)
    return row


# Reading ------------------------------------------------------------------------------------------------------------


def records(chunks: Iterable[str], path: Path) -> Iterator[Row | DocumentError]:
    """Yields the rows of a table whose cells stand between commas, semicolons, bars or tabs.

    Raises:
        DocumentError: the header cannot be read, or another mistake hides where rows end.
    """
    lines = (line + "\n" for line in text_lines(chunks))
    first = next((line for line in lines if line.strip()), "")
    if separator := _declared_delimiter(first):
        first = next((line for line in lines if line.strip()), "")
    if "\r" in first.rstrip("\r\n"):
        raise DocumentError("lines end in a carriage return alone; save the file with line ends of Windows or Unix.")
    delimiter = separator or _delimiter(first)
    header = [name.strip() for name in _cells(first, lines, delimiter, 0, "row 1")]
    for number, line in enumerate(lines, 2):
        if not line.strip(f" \r\n{delimiter}"):
            continue
        where = f"row {number}"
        try:
            cells = _cells(line, lines, delimiter, len(header), where)
            if len(cells) != len(header):
                raise DocumentError(
                    f"has {len(cells)} cells, the header {len(header)}; put cells that hold the delimiter or a line "
                    "break in double quotes.",
                    where,
                )
        except DocumentError as error:
            yield error
            continue
        yield made_row(zip(header, cells, strict=True), number)


def sheet_rows(path: Path) -> Iterator[Row]:
    """Yields the rows of the first sheet of an Excel workbook that is not empty.

    Raises:
        DocumentError: openpyxl is not installed, or cannot read the file.
    """
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise DocumentError('spreadsheets need openpyxl; run `pip install "finecl_hf[tables]"`.') from None
    try:
        _refuse_bomb(path)
        with closing(load_workbook(path, read_only=True, data_only=True)) as book:
            for sheet in book.worksheets:
                sheet.reset_dimensions()  # what a sheet says of its size may be wrong
                rows = ((number, list(row)) for number, row in enumerate(sheet.iter_rows(values_only=True), 1))
                rows = ((number, row) for number, row in rows if any(cell is not None for cell in row))
                if (first := next(rows, None)) is not None:
                    yield from _sheet_rows(first[1], rows)
                    return
    except (DocumentError, OSError):
        raise
    except BadZipFile:
        raise DocumentError("the file is no Excel workbook (.xlsx), or is damaged; save it again.") from None
    except Exception as error:  # whatever its parts of XML and of zip files raise at a damaged one
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise DocumentError(f"the workbook cannot be read ({reason}); save it again.") from None


def to_docred(record: dict[str, Any]) -> dict[str, Any]:
    """A sentence with head 0 and tail 1 and one judged pair. An empty relation means that there is none; without the
    column, the sentence is unlabelled.

    Raises:
        DocumentError: naming the row, and the column that is wrong.
    """
    roles = _checked_roles(record)
    row = _Reader(record, roles)
    text = row.text("sentence")
    if not text.strip():
        raise DocumentError("the sentence is empty; fill it in or remove the row.", row.where("sentence"))
    head = row.span("head", text)
    tail = row.span("tail", text, head)
    relation = row.text("relation").strip() if "relation" in roles else None
    labels = None if relation is None else [row.label(relation)] if not _is_none(relation) else []
    raw = document_of_text("table", text, [[head], [tail]], labels, [[0, 1]], sentences=[(0, len(text))])
    title = row.text("title").strip() if "title" in roles else ""
    raw["title"] = title or _hashed_title("table", raw["sents"][0], raw["vertexSet"], {"relation": relation})
    return raw


def _checked_roles(record: dict[str, Any]) -> dict[str, str]:
    roles = roles_of(tuple(map(str, record)))
    if not (_NEEDED <= roles.keys() or _OFFSETS <= roles.keys()):
        raise _no_columns(roles, list(map(str, record)))
    return roles


class _Reader:
    """The cells of one row, by role."""

    def __init__(self, record: dict[str, Any], roles: dict[str, str]):
        self.record, self.roles = record, roles

    def where(self, role: str) -> str:
        column = self.roles.get(role, role)
        number = getattr(self.record, "number", 0)
        return f"row {number}, {column}" if number else column

    def text(self, role: str) -> str:
        """The cell as text; "" where it is empty, or there is no such column."""
        value = self.record.get(self.roles[role]) if role in self.roles else None
        if value is None or isinstance(value, str):
            return value or ""
        if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        if isinstance(value, (dict, list)) or isinstance(value, float) and not isfinite(value):
            raise DocumentError(f"expected text, found {_kind(value)}.", self.where(role))
        try:
            return str(value)
        except ValueError:  # an integer of thousands of digits
            raise DocumentError("expected text, found a number of thousands of digits.", self.where(role)) from None

    def span(self, role: str, text: str, other: Span | None = None) -> Span:
        """Where the argument stands: at its offsets, else where its name does and the other argument does not."""
        name = self.text(role)
        kind, kb_id = self.text(f"{role}_type").strip(), self.text(f"{role}_id").strip()
        start, end = self.text(f"{role}_start").strip(), self.text(f"{role}_end").strip()
        if start and end:
            start, end = _integer(start, self.where(f"{role}_start")), _integer(end, self.where(f"{role}_end"))
            return Span(start, end, kind, kb_id, name if name.strip() else None, self.where(f"{role}_start"))
        if not name.strip():
            raise DocumentError("the name of the argument is missing; fill it in or give offsets.", self.where(role))
        places = occurrences(text, name)
        free = [place for place in places if other is None or place != (other.start, other.end)]
        if not free:
            again = " a second time, beside the head" if places else ""
            raise DocumentError(
                f'"{name[:60]}" does not stand in the sentence{again}; correct the name or give offsets.',
                self.where(role),
            )
        apart = [place for place in free if other is None or place[1] <= other.start or other.end <= place[0]]
        return Span(*(apart or free)[0], kind, kb_id, None, self.where(role))

    def label(self, relation: str) -> dict[str, Any]:
        label = {"h": 0, "t": 1, "r": relation, "evidence": [], "source": self.text("source").strip()}
        score = self.text("score").strip()
        if not score:
            return label
        try:
            return {**label, "score": _finite(score)}
        except ValueError:
            raise DocumentError(f"expected a number, found {_kind(score)}.", self.where("score")) from None


def with_roles(values: Iterable[Any], columns: Mapping[str, str] | None) -> Iterator[Any]:
    """Records of any kind; those that have the columns that were named by hand, with their roles for names.

    Raises:
        DocumentError: they are rows of a table without the columns of sentences.
    """
    checked = False
    for value in values:
        if columns and isinstance(value, dict) and has_columns(value, columns):
            value = renamed(value, columns)
        if not checked and isinstance(value, Row):
            _check_named(value, columns or {})
            _checked_roles(value)
            checked = True
        yield value


def _check_named(row: Row, columns: Mapping[str, str]) -> None:
    """Raises DocumentError where a column that is named by hand is not there: none has been renamed then."""
    there = {str(name).strip() for name in row}
    for role, name in columns.items():
        if name and name not in there and role not in there:
            found = ", ".join(word[:40] for word in map(str, [*row][:12]))
            raise DocumentError(f"there is no column {name} (for {role}); found {found}: name one of these.")


def begins_with_columns(start: str, columns: Mapping[str, str]) -> bool:
    """Whether a text begins with a header that has columns of certain names."""
    line = _header_line(start)
    return start[:1] not in ("[", "{") and any(has_columns(_split(line, sign), columns) for sign in _DELIMITERS)


def _finite(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError
    return value


def _is_none(relation: str) -> bool:
    return not relation or means_no_relation(relation)


def _no_columns(roles: dict[str, str], present: list[str]) -> DocumentError:
    if "sentence" not in roles and TRIPLE_COLUMNS.keys() <= roles.keys():
        return DocumentError(
            "this is a table of triples (head, relation, tail) without their sentences: a knowledge base, for "
            "`finecl-hf project --knowledge_base`; to be read as documents, it needs a column `sentence`."
        )
    missing = ", ".join(sorted(_NEEDED - roles.keys())) or "head_start, head_end, tail_start and tail_end"
    found = ", ".join(name[:40] for name in present[:12]) + (", ..." if len(present) > 12 else "")
    return DocumentError(
        f"there is no column {missing}; found {found or 'none'}: name the columns by hand, such as "
        "`--columns sentence=Satz head=Kopf tail=Ende` (--table_columns where a model is trained) or "
        'columns={"sentence": "Satz", ...}.'
    )


def _cells(line: str, rest: Iterator[str], delimiter: str, width: int, where: str) -> list[str]:
    """The cells of the row that begins with a line; those in quotes may go on in the next ones.

    Tabs are often written without quoting. There a quotation mark counts as one only around a whole cell.
    """
    if delimiter == "\t":
        plain = line.rstrip("\r\n").split("\t")
        if len(plain) == width and not any(_is_quoted(cell) for cell in plain):
            return plain
    try:
        return next(csv.reader(chain([line], rest), delimiter=delimiter, strict=True))
    except csv.Error as error:
        reason = "a quotation mark opens a cell and none closes it" if "end of data" in str(error) else str(error)
        raise DocumentError(f"cannot be split into cells ({reason}); correct its quotes.", where) from None


def _is_quoted(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == cell[-1] == '"'


def _declared_delimiter(line: str) -> str:
    """What Excel's `sep=;` in place of a header says."""
    found = re.fullmatch(r'"?sep=(.)"?', line.strip("\r\n"), re.IGNORECASE)
    return found[1] if found else ""


def _delimiter(line: str) -> str:
    """The delimiter by which a header tells most of the columns that are needed, else the most frequent."""
    return max(_DELIMITERS, key=lambda sign: (len(_roles(line, sign) & (_NEEDED | _OFFSETS)), line.count(sign)))


def _roles(line: str, delimiter: str) -> set[str]:
    return set(roles_of(tuple(_split(line, delimiter))))


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _header_line(start: str) -> str:
    lines = [line for line in start[:10_000].splitlines()[:3] if line.strip()]
    return next((line for line in lines if not _declared_delimiter(line)), "")


def _is_table(path: Path, start: str) -> bool:
    line = _header_line(start)
    if start[0] in "[{" or "<e1>" in start[:10_000]:
        return False
    for sign in _DELIMITERS:
        roles = _roles(line, sign)
        if _NEEDED <= roles or _OFFSETS <= roles or TRIPLE_COLUMNS.keys() <= roles:
            return True
    name = path.name.lower().removesuffix(".gz")
    return name.endswith((".csv", ".tsv")) and any(sign in line for sign in _DELIMITERS)


def _is_row(record: dict[str, Any]) -> bool:
    """Whether an object of JSON, or a row of parquet, is a flat one with a sentence and two names."""
    roles = roles_of(tuple(record))
    return "sents" not in record and all(isinstance(record.get(roles.get(role)), str) for role in _NEEDED)


def _has_no_title(record: dict[str, Any]) -> bool:
    column = roles_of(tuple(map(str, record))).get("title")
    return column is None or not str(record.get(column) or "").strip()


def _refuse_bomb(path: Path) -> None:
    with ZipFile(path) as archive:
        if sum(part.file_size for part in archive.infolist()) > most_bytes(path.stat().st_size):
            raise unpacks_too_far()


def _sheet_rows(header: list[Any], rows: Iterator[tuple[int, list[Any]]]) -> Iterator[Row]:
    names = ["" if name is None else str(name).strip() for name in header]
    for number, row in rows:
        cells = [cell if cell is None or isinstance(cell, (str, int, float)) else str(cell) for cell in row]
        cells += [None] * (len(names) - len(cells))
        named = [(name, cell) for name, cell in zip(names, cells, strict=False) if name]
        yield made_row(named, number)


# Writing ------------------------------------------------------------------------------------------------------------


def write(documents: Iterable[Document], path: Path) -> None:
    """Tabs for `.tsv`, a workbook for `.xlsx`, else commas."""
    if path.suffix.lower() == ".xlsx":
        write_sheet(documents, path)
        return
    line = io.StringIO()  # the csv module quotes line breaks of every kind where lines end in \r\n
    writer = csv.writer(line, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", lineterminator="\r\n")
    with replacing(path) as file:
        for cells in _table_of(documents):
            line.seek(0)
            line.truncate()
            writer.writerow(cells)
            file.write((line.getvalue()[:-2] + "\n").encode())


def write_sheet(documents: Iterable[Document], path: Path) -> None:
    """One sheet of a workbook, all cells of it text.

    Raises:
        DocumentError: openpyxl is not installed, or a cell is too long for a spreadsheet.
    """
    try:
        from openpyxl import Workbook
        from openpyxl.cell import WriteOnlyCell
    except ImportError:
        raise DocumentError('spreadsheets need openpyxl; run `pip install "finecl_hf[tables]"`.') from None
    book = Workbook(write_only=True)
    sheet = book.create_sheet("sentences")
    for cells in _table_of(map(_that_fits_cells, documents)):
        row = []
        for text in cells:
            row.append(WriteOnlyCell(sheet, value=text or None))
            if text:
                row[-1].data_type = "s"  # what begins with `=` is no formula
        sheet.append(row)
    with replacing(path) as file:
        book.save(file)


def _that_fits_cells(document: Document) -> Document:
    if reason := _refuses_in_cells(document):  # where the suffix of a name, not the format, chose a spreadsheet
        raise DocumentError(f"{reason}.", title=document.title)
    return document


def _table_of(documents: Iterable[Document]) -> Iterator[list[str]]:
    """Header and rows. Whether there is a column for relations is settled by the first document."""
    header: list[str] | None = None
    for document in documents:
        if header is None:
            header = [name for name in _WRITTEN if document.labelled or name not in ("relation", "source", "score")]
            yield header
        cells = _cells_of(document)
        yield [cells[name] for name in header]
    if header is None:
        yield _WRITTEN


def _of_one_kind() -> Callable[[Document], None]:
    """`Format.beside`: a table has a column for relations, or none."""
    kinds: set[bool] = set()

    def check(document: Document) -> None:
        if kinds - {document.labelled}:
            raise DocumentError(
                f"the document has {'labels' if document.labelled else 'no labels'}, unlike those before it, and a "
                "table has one kind; write labelled and unlabelled ones apart."
            )
        kinds.add(document.labelled)

    return check


def _cells_of(document: Document) -> dict[str, str]:
    text, words = text_of(document)
    cells = dict.fromkeys(_WRITTEN, "") | {"title": document.title, "sentence": text}
    for role, number in zip(("head", "tail"), judged_pair(document), strict=True):
        mention = document.entities[number][0]
        start, end = span_of(mention, words)
        cells |= {
            role: text[start:end], f"{role}_start": str(start), f"{role}_end": str(end),
            f"{role}_type": mention.type, f"{role}_id": mention.kb_id,
        }  # fmt: skip
    for fact in document.relations:
        score = "" if fact.score is None else repr(fact.score)
        cells |= {"relation": fact.relation, "source": fact.source, "score": score}
    return cells


def _refuses(document: Document) -> str:
    if document.title != document.title.strip():
        return "white space around a title gets lost in tables; give it another title"
    return refuses_all_but_sentences(document)


def _refuses_in_cells(document: Document) -> str:
    reason = _refuses(document)
    if reason:
        return reason
    cells = _cells_of(document).values()
    if any(len(cell) > _EXCEL_CELL for cell in cells):
        return f"a cell of a spreadsheet holds {_EXCEL_CELL:,} characters; write .csv"
    if any(_NOT_IN_CELLS.search(cell) for cell in cells):
        return "cells of a spreadsheet hold no carriage returns or control characters; write .csv"
    return ""


_HOLDS = frozenset({"text", "types", "kb_ids", "unlabelled", "pairs", "source", "score"})
_shared: dict[str, Callable[..., Any] | frozenset[str]] = {
    "to_docred": to_docred, "holds": _HOLDS, "hashed_titles": _has_no_title, "beside": _of_one_kind,
}  # fmt: skip
FORMATS = (
    Format(
        "table",
        suffixes=(".csv", ".tsv"),
        is_record=_is_row,
        is_text=_is_table,
        from_text=records,
        write=write,
        refuses=_refuses,
        **_shared,
    ),
    Format("xlsx", suffixes=(".xlsx",), from_file=sheet_rows, write=write_sheet, refuses=_refuses_in_cells, **_shared),
)
