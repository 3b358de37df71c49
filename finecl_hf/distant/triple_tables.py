"""Tables of (head, relation, tail) triples: which files hold one, which of their columns, and how DuckDB scans them.

DuckDB (Raasveldt and Mühleisen, SIGMOD 2019) reads the files in place; a table never becomes a Python object.
"""

from __future__ import annotations

import csv
import glob
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from finecl_hf.data.column_names import TRIPLE_COLUMNS
from finecl_hf.data.json_stream import array_elements, is_gzip, parse_json, text_chunks, text_lines
from finecl_hf.errors import DocumentError, FineCLError


TABLE_FORMATS = ("tsv", "csv", "parquet", "jsonl")
COLUMN_NAMES = TRIPLE_COLUMNS  # what the columns are called, in the order of preference; case does not count
_DOCUMENT_KEYS = {"title", "sents", "vertexSet", "token", "tokens", "text", "labels", "subj_start"}


def table_format(path: Path) -> str | None:
    """The format of a triple table, by its content and, for TSV, its extension.

    Returns:
        One of `TABLE_FORMATS`; None for whatever is no triple table: documents, or a dataset on the Hub.

    Raises:
        FineCLError: the file cannot be read.
    """
    named = _named_format(path)
    if not path.is_file():
        return named  # a missing file, not a dataset on the Hub
    if _is_parquet(path):
        return None if _DOCUMENT_KEYS & set(_parquet_columns(path)) else "parquet"
    with _readable(path):
        head = next(_text(path), "").lstrip()
        if head.startswith(("{", "[")) and not named:
            record = _first_record(path, head.startswith("["))
            nested = not isinstance(record, dict) or any(isinstance(value, (dict, list)) for value in record.values())
            return None if nested or _DOCUMENT_KEYS & record.keys() else "jsonl"
    return named or ("tsv" if head.partition("\n")[0].count("\t") >= 2 else None)


@dataclass
class TripleTable:
    """A triple table in one or more files that are laid out alike.

    Attributes:
        paths: its files.
        format: one of `TABLE_FORMATS`.
        columns: SQL of the columns `head`, `relation` and `tail`.
        source: SQL of the table function that scans the files.
        name: what messages call it, where it is not named by its files.
        is_of_documents: names are compared unless somebody asks for ids, and relations stand as they are.
    """

    paths: list[Path]
    format: str
    columns: dict[str, str]
    source: str
    name: str = ""
    is_of_documents: bool = False

    @classmethod
    def of_documents(cls, path: Path, name: str) -> TripleTable:
        """The facts of labelled documents, which lie in a parquet file of ours."""
        return replace(cls.open(path, "parquet"), name=name, is_of_documents=True)

    @classmethod
    def open(
        cls,
        paths: str | Path | Sequence[str | Path],
        format: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> TripleTable:
        """Finds the columns; reads no more than the beginning of each file.

        Args:
            paths: a file, or several. TSV and JSON may be gzipped.
            format: one of `TABLE_FORMATS`; None finds it out. TSV: three cells a line, head, relation, tail, without
                quoting; more cells are ignored. CSV: the same with commas (or semicolons) and quoting. A first line
                that holds the names of columns, by `COLUMN_NAMES` or `columns`, is a header, and settles where they
                are. JSON: one object a line, or one list of objects.
            columns: names of the head, relation and tail columns, where they are not among `COLUMN_NAMES`.

        Raises:
            FineCLError: a missing or damaged file, or columns that are not there, with those that are.
        """
        paths = [Path(path) for path in ([paths] if isinstance(paths, (str, Path)) else paths)]
        for path in paths:
            if not path.is_file():
                raise FineCLError(f"{path}: there is no such file; check the path of the triple table.")
        format = format or table_format(paths[0]) or "tsv"
        layouts = [_LAYOUTS[format](path, columns) for path in paths]
        for path, layout in zip(paths, layouts, strict=True):
            if layout != layouts[0]:
                raise FineCLError(
                    f"{path}: is laid out differently from {paths[0]} (header, columns or compression); the files of "
                    "one triple table must be alike, so write them anew or project them one by one."
                )
        function, arguments, found = layouts[0]
        files = ", ".join(quoted(glob.escape(str(path))) for path in paths)  # a name may hold `*`
        return cls(paths, format, found, f"{function}([{files}]{arguments})")

    def __str__(self) -> str:
        if self.name:
            return self.name
        return str(self.paths[0]) if len(self.paths) == 1 else f"{self.paths[0]} and {len(self.paths) - 1} more"

    def select(self) -> str:
        """SQL that scans the table: the columns `head`, `relation`, `tail`, all text, as they stand in the files."""
        columns = ", ".join(f"CAST({column} AS VARCHAR) AS {role}" for role, column in self.columns.items())
        return f"SELECT {columns} FROM {self.source}"


def connect(database: Path | None, memory_gb: float, threads: int) -> Any:
    """A DuckDB connection to a database file; what does not fit into memory is spilled beside it. None: a database in
    memory, which spills nothing.

    Raises:
        FineCLError: DuckDB is not installed, though it is a requirement.
    """
    try:
        import duckdb
    except ImportError as error:
        raise FineCLError(
            'a knowledge base needs DuckDB, which is not installed; run `pip install "finecl_hf[distant]"` or '
            "`pip install duckdb`."
        ) from error
    connection = duckdb.connect(str(database or ":memory:"))
    connection.execute(f"SET memory_limit = '{int(memory_gb * 1024)}MiB'")
    connection.execute(f"SET threads = {threads}")
    connection.execute(f"SET temp_directory = {quoted(str(database.parent / 'spill') if database else '')}")
    connection.execute("SET enable_progress_bar = false")
    connection.execute("SET autoinstall_known_extensions = false")  # nothing is ever downloaded
    # The joins of table_join are written in the order that keeps every hash table small; DuckDB can only guess it
    connection.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
    return connection


@contextmanager
def scanning(name: str, paths: Sequence[Path] = (), format: str = "") -> Iterator[None]:
    """Turns what goes wrong while DuckDB scans files into one sentence.

    Args:
        name: the table, for the message.
        paths, format: its files, where JSON is to be searched for the line that is wrong.
    """
    import duckdb

    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise FineCLError(
            f"{name}: the join needs more memory or disk than it may take ({_first_line(error)}); raise --memory_gb, "
            "or put --temp_dir on a larger disk."
        ) from error
    except duckdb.Error as error:
        if format == "jsonl":
            _find_bad_json(paths)
        raise FineCLError(f"{name}{_explain(str(error))}") from error


def text_source(
    paths: Sequence[Path], width: int, delimiter: str = "\t", skip: int = 0, quote: str = ""
) -> tuple[str, str]:
    """The table function that reads lines of `width` cells `c0`, `c1`, ...: name, further arguments."""
    cells = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(width))
    compression = "gzip" if _is_gzip(paths[0]) else "none"
    return "read_csv", (
        f", delim = {quoted(delimiter)}, quote = '{quote}', escape = '{quote}', comment = '', header = false, "
        f"skip = {skip}, auto_detect = false, compression = '{compression}', columns = {{{cells}}}"
    )


def quoted(text: str) -> str:
    """A string as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def _cells_layout(path: Path, columns: Sequence[str] | None, is_csv: bool) -> tuple[str, str, dict[str, str]]:
    with _readable(path):
        line = next(text_lines(islice(_text(path), 1)), "").rstrip("\r")
    delimiter = max(",;", key=line.count) if is_csv else "\t"
    cells = [cell.strip() for cell in (_csv_cells(path, line, delimiter) if is_csv else line.split("\t"))]
    if not line.strip():
        raise FineCLError(f"{path}: the file is empty; check that it was written or downloaded to the end.")
    found = _find_columns(cells, columns)
    if found is None and columns:
        raise _no_columns(path, cells, columns)
    if len(cells) < 3:
        raise FineCLError(
            f"{path}: the first line has {len(cells)} {'comma' if is_csv else 'tab'}-separated "
            f"{'cell' if len(cells) == 1 else 'cells'}, but head, relation and tail are needed; write three cells a "
            "line, with tabs between them, or with commas in a .csv."
        )
    function, arguments = text_source([path], len(cells), delimiter, 1 if found else 0, '"' if is_csv else "")
    places = [cells.index(name) for name in found] if found else [0, 1, 2]
    return function, arguments, {role: f"c{place}" for role, place in zip(COLUMN_NAMES, places, strict=True)}


def _csv_cells(path: Path, line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error as error:
        raise FineCLError(f"{path}: the first line is no CSV ({error}); write the file again.") from error


def _parquet_layout(path: Path, columns: Sequence[str] | None) -> tuple[str, str, dict[str, str]]:
    types = _parquet_columns(path)
    found = _find_columns(list(types), columns)
    if found is None:
        raise _no_columns(path, list(types), columns)
    for name in found:
        if types[name].num_fields:
            raise FineCLError(f"{path}: the column {name} holds {types[name]}, no text; write names or ids there.")
    return "read_parquet", "", {role: _identifier(name) for role, name in zip(COLUMN_NAMES, found, strict=True)}


def _json_layout(path: Path, columns: Sequence[str] | None) -> tuple[str, str, dict[str, str]]:
    with _readable(path):
        is_list = next(_text(path), "").lstrip().startswith("[")
        record = _first_record(path, is_list)
    if not isinstance(record, dict):
        raise FineCLError(f"{path}: expected one object a line, or a list of objects, with head, relation and tail.")
    found = _find_columns(list(record), columns)
    if found is None:
        raise _no_columns(path, list(record), columns)
    keys = ", ".join(f"{quoted(name)}: 'VARCHAR'" for name in found)
    layout = "array" if is_list else "newline_delimited"
    compression = "gzip" if _is_gzip(path) else "uncompressed"
    arguments = f", format = '{layout}', compression = '{compression}', columns = {{{keys}}}"
    return "read_json", arguments, {role: _identifier(name) for role, name in zip(COLUMN_NAMES, found, strict=True)}


_LAYOUTS = {
    "tsv": partial(_cells_layout, is_csv=False),
    "csv": partial(_cells_layout, is_csv=True),
    "parquet": _parquet_layout,
    "jsonl": _json_layout,
}


def _find_columns(present: list[str], wanted: Sequence[str] | None) -> list[str] | None:
    """The names of the head, relation and tail columns; None where one is missing."""
    lowered = {name.lower(): name for name in reversed(present)}
    choices = [(name,) for name in wanted] if wanted else COLUMN_NAMES.values()
    found = [next((lowered[n.lower()] for n in names if n.lower() in lowered), None) for names in choices]
    return None if None in found else found


def _no_columns(path: Path, present: list[str], wanted: Sequence[str] | None) -> FineCLError:
    missing = f"columns {', '.join(wanted)}" if wanted else "columns head, relation and tail"
    shown = ", ".join(present[:12]) + (", ..." if len(present) > 12 else "")
    return FineCLError(f"{path}: there are no {missing}; found {shown}: name three of them with --columns.")


def _text(path: Path) -> Iterator[str]:
    with open(path, "rb") as file:
        yield from text_chunks(file)


def _is_gzip(path: Path) -> bool:
    with open(path, "rb") as file:
        return is_gzip(file)


def _first_record(path: Path, is_list: bool) -> Any:
    """The first object of JSON Lines or of a JSON list; the list or object itself where nothing is in it."""
    if is_list:
        return next(array_elements(_text(path)), [])
    line = next((line for line in text_lines(islice(_text(path), 1)) if line.strip()), "")
    try:
        return parse_json(line)
    except DocumentError:  # an object over several lines: an index of instances, such as FewRel's
        return None


def _is_parquet(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(4) == b"PAR1" or path.suffix.lower() == ".parquet"


def _named_format(path: Path) -> str | None:
    """What a name says of cells: `tsv`, `csv` or nothing."""
    name = path.name.lower().removesuffix(".gz")
    return next((format for format in ("tsv", "csv") if name.endswith(f".{format}")), None)


def _parquet_columns(path: Path) -> dict[str, Any]:
    """Name and Arrow type of each column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return {field.name: field.type for field in pq.read_schema(path)}
    except (pa.ArrowException, OSError) as error:
        raise FineCLError(
            f"{path}: the file cannot be read as parquet ({_first_line(error)}); download or write it again."
        ) from error


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except DocumentError as error:
        raise DocumentError(error.message, error.field, str(path)) from None


def _find_bad_json(paths: Sequence[Path]) -> None:
    """Raises the error of the first line that is no JSON object, found without DuckDB, whose line numbers are off."""
    for path in paths:
        lines, number = text_lines(_text(path)), 0
        try:
            while (line := next(lines, None)) is not None:
                number += 1
                if line.strip() and not isinstance(parse_json(line), dict):
                    raise DocumentError("is no object")
        except DocumentError as error:
            where = f"line {number:,} " if "JSON" in error.message or "object" in error.message else ""
            raise FineCLError(
                f"{path}: {where}{error.message.rstrip('.')}; write one object a line, with head, relation and tail."
            ) from None


def _explain(message: str) -> str:
    """What follows the name of the table in the message: where DuckDB failed, and how to mend it."""
    found = re.search(r"CSV Error on Line: (\d+)", message)
    line = f", line {int(found[1]):,}" if found else ""
    if "not utf-8" in message:
        return f"{line}: the text is not UTF-8; save the file with UTF-8 encoding."
    if cells := re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", message):
        return (
            f"{line}: the number of tab-separated cells is {cells[2]}, but {cells[1]} in the first line; give every "
            "line the same number."
        )
    if "No space left" in message:
        return ": the disk is full; put --temp_dir on a larger one."
    if "GZIP" in message or "gzip" in message:
        return ": the gzip file is cut off or damaged; download or write it again."
    if "invalid state" in message:
        return (
            ": a carriage return stands inside a line, or only some lines end in one; make all line ends alike, for "
            "example with `dos2unix`."
        )
    return f"{line}: DuckDB cannot read it ({_first_line(message)}); mend it or write it again."


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _first_line(error: object) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:150]
