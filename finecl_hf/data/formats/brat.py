"""brat's standoff files (Stenetorp et al., EACL 2012): a text, and beside it a file of annotations.

Offsets count characters of the text from 0, with the end one past the last:

    T1<TAB>PER 0 9<TAB>Ada Byron               a mention; `0 3;14 19` is one of two pieces
    R1<TAB>born_in Arg1:T1 Arg2:T2             a relation
    *<TAB>Equiv T1 T3                          mentions of one entity
    N1<TAB>Reference T1 Wikidata:Q7259<TAB>Ada an identifier
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

from finecl_hf.data.documents import Document
from finecl_hf.data.files import writing
from finecl_hf.data.formats import Format
from finecl_hf.data.json_stream import LONGEST_RECORD, text_chunks, text_lines
from finecl_hf.data.relating import Related, labels_between
from finecl_hf.data.spans import Span, document_of_text, sentence_bounds, span_of, text_of
from finecl_hf.data.text import split_sentences
from finecl_hf.errors import DocumentError


logger = logging.getLogger(__name__)

_MENTION = re.compile(r"(\S+)\s+([0-9]{1,15}\s+[0-9]{1,15}(?:;[0-9]{1,15}\s+[0-9]{1,15})*)\s*")
_RELATION = re.compile(r"(\S+)\s+[^\s:]+:(\S+)\s+[^\s:]+:(\S+)\s*")
_REFERENCE = re.compile(r"\S+\s+(\S+)\s+(\S+)\s*")
_ANNOTATION = re.compile(r"\s*[TRE*]\d*\t\S+ (\d+ \d+|\S+:[TE]\d)")  # how a file of them begins
# Lines that say nothing of entities and relations, by the first character of their names
_IGNORED = {"E": "events", "A": "attributes", "M": "modifications", "#": "notes"}
_IN_PIECES = "mentions in pieces, which are read from the first to the last"
_OF_EVENTS = "relations of events"
_NO_TYPE = "_"
_DATABASES = {"Wikidata": re.compile(r"[QPL]\d+"), "KB": re.compile(r".+", re.DOTALL)}  # not part of identifiers
_LONGEST_NAME = 200  # bytes of a file's name, with room for its ending
_TOO_LONG = "the title is too long for the name of a file; give it a shorter one"
_UNSAFE = r'[\x00-\x1f\x7f/\\:*?"<>|%]|^[. ]|[. ]$'  # of the names of files
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # no names of files on Windows


def from_file(path: Path) -> Iterator[dict[str, Any] | DocumentError]:
    """Yields `{"title", "text", "lines"}` of a file of annotations, or of each in a folder.

    A folder's texts without annotations are no part of the corpus; a warning counts them, and what is ignored.
    """
    if not path.is_dir():
        yield from _records([path], path)
        return
    names = (file for file in path.iterdir() if file.suffix == ".ann" and not file.name.startswith("."))
    files = sorted(names, key=_natural)
    stems = {file.stem for file in files}
    others = sum(file.suffix == ".txt" and file.stem not in stems for file in path.iterdir())
    if others:
        logger.warning("%s: %s texts without annotations (.ann) beside them are left out.", path, f"{others:,}")
    yield from _records(files, path)


def from_text(chunks: Iterable[str], path: Path) -> Iterator[dict[str, Any] | DocumentError]:
    """[`from_file`] for one file that was opened: the text, or annotations under any name."""
    beside = path.with_suffix(".ann")
    if path.suffix.lower() == ".txt" and beside.is_file():
        yield from _records([beside], path)
    else:
        yield from _records([path], path)


def _natural(path: Path) -> list[tuple[int, str]]:
    """To sort by: `a2` before `a10`."""
    return [(int(piece or 0) if i % 2 else 0, piece) for i, piece in enumerate(re.split(r"([0-9]{1,15})", path.stem))]


def _records(files: list[Path], source: Path) -> Iterator[dict[str, Any] | DocumentError]:
    ignored: Counter[str] = Counter()
    for file in files:
        try:
            with open(file, "rb") as opened:
                lines = list(enumerate((line.rstrip("\r\n") for line in text_lines(text_chunks(opened))), 1))
            record = {"title": _title(file.stem), "text": _text_beside(file), "lines": lines}
        except DocumentError as error:
            yield DocumentError(f"{file.name}: {error.message}")
            continue
        ignored.update(filter(None, (_ignored(line) for _, line in lines)))
        yield record
    if ignored:
        counts = ", ".join(f"{count:,} {name}" for name, count in sorted(ignored.items()))
        logger.warning("%s: not all annotations are mentions and relations: %s.", source, counts)


def _text_beside(annotations: Path) -> str:
    path = annotations.with_suffix(".txt")
    if path == annotations or not path.is_file():
        raise DocumentError(
            f"these are brat's annotations, and their text, {path.name}, is not beside them; put it there."
        )
    pieces, size = [], 0
    with open(path, "rb") as file:
        for chunk in text_chunks(file):
            size += len(chunk)
            if size > LONGEST_RECORD:
                raise DocumentError(f"{path.name} has more than {LONGEST_RECORD:,} characters; split it.")
            pieces.append(chunk)
    return "".join(pieces)


def _ignored(line: str) -> str:
    """What of a line is not read, in words; "" where all is."""
    name, _, rest = line.partition("\t")
    if name[:1] == "T":
        return _IN_PIECES if ";" in rest.partition("\t")[0] else ""
    if name[:1] == "R":
        return _OF_EVENTS if _is_of_events(rest) else ""
    return _IGNORED.get(name[:1], "")


def _is_of_events(body: str) -> bool:
    found = _RELATION.fullmatch(body.partition("\t")[0])
    return bool(found) and "E" in (found[2][0], found[3][0])


def to_docred(record: dict[str, Any]) -> dict[str, Any]:
    """A mention is an entity of its own unless an `Equiv` joins it to others. The end of a line ends a sentence.

    Raises:
        DocumentError: naming the line that is wrong.
    """
    text = record["text"]
    spans: dict[str, Span] = {}
    relations, joined, references = [], [], []
    for number, line in record["lines"]:
        where = f"line {number}"
        name, *cells = line.split("\t")
        body, kind = cells[0] if cells else "", name[:1]
        if not line.strip() or kind in _IGNORED or kind == "R" and _is_of_events(body):
            continue
        if kind == "T":
            if name in spans:
                raise DocumentError(f"the mention {name[:40]} stands there twice; number them all.", where)
            spans[name] = _span(body, cells[1] if len(cells) > 1 else None, text, where)
        elif kind == "R" and (found := _RELATION.fullmatch(body)):
            relations.append(Related(_plain(found[1]), found[2], found[3], where))
        elif kind == "*" and len(body.split()) > 1:
            joined.append((body.split()[1:], where))
        elif kind == "N" and (found := _REFERENCE.fullmatch(body)):
            references.append((found[1], _plain(found[2]), where))
        else:
            raise DocumentError(
                f"`{line[:40]}` is no mention (T), relation (R), equivalence (*) or reference (N); correct it.",
                where,
            )
    for name, reference, where in references:
        span = _known(spans, name, where)
        span.kb_id = span.kb_id or _identifier(reference)
    entity_of = _entities(spans, joined)
    numbers = {entity: number for number, entity in enumerate(dict.fromkeys(entity_of.values()))}
    number_of = {name: numbers[entity] for name, entity in entity_of.items()}
    entities: list[list[Span]] = [[] for _ in numbers]
    for name, span in spans.items():
        entities[number_of[name]].append(span)
    labels = labels_between(relations, number_of)
    return {**labels, **document_of_text(record["title"], text, entities, breaks=_line_ends(text))}


def _span(body: str, name: str | None, text: str, where: str) -> Span:
    found = _MENTION.fullmatch(body)
    if not found:
        raise DocumentError(f"`{body[:40]}` is no mention; write `type start end`.", where)
    pieces = [tuple(map(int, piece.split())) for piece in found[2].split(";")]
    if len(pieces) > 1:  # its text leaves out what stands between the pieces
        name = None
    kind = "" if found[1] == _NO_TYPE else _plain(found[1])
    return Span(min(start for start, _ in pieces), max(end for _, end in pieces), kind, "", name, where)


def _entities(spans: dict[str, Span], joined: list[tuple[list[str], str]]) -> dict[str, str]:
    """The first mention of each mention's entity."""
    leads = {name: name for name in spans}

    def lead(name: str) -> str:
        while leads[name] != name:
            leads[name] = name = leads[leads[name]]
        return name

    for names, where in joined:
        first, *others = (name for name in names if not name.startswith("E") and _known(spans, name, where))
        for other in others:
            leads[lead(other)] = lead(first)
    found = {name: lead(name) for name in spans}
    first_of: dict[str, str] = {}
    return {name: first_of.setdefault(group, name) for name, group in found.items()}


def _known(spans: dict[str, Span], name: str, where: str) -> Span:
    if name not in spans:
        raise DocumentError(f"there is no mention {name[:40]}; correct the name.", where)
    return spans[name]


def _identifier(reference: str) -> str:
    """An identifier with its database, unless that is Wikidata or not known."""
    database, _, name = reference.partition(":")
    return name if name and database in _DATABASES else reference


def _line_ends(text: str) -> list[int]:
    return [found.end() for found in re.finditer(r"\n", text)]


def write(documents: Iterable[Document], path: Path) -> None:
    """Writes a folder with two files a document, named after its title.

    Raises:
        DocumentError: there is something at this path that would be mixed with it.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise DocumentError("brat's files fill a folder of their own; name a new one.", source=str(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    moved = 0
    try:
        temporary.mkdir()
        with writing(temporary):
            names = _Names()
            for document in documents:
                text, words = text_of(document)
                stem = temporary / names.of(document)
                Path(f"{stem}.txt").write_bytes(text.encode())
                Path(f"{stem}.ann").write_bytes(_annotations(document, text, words).encode())
                moved += not _keeps_sentences(document, text, words)
        if path.exists():
            path.rmdir()
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    if moved:
        logger.warning("%s: the sentences of %s documents will end elsewhere when they are read.", path, f"{moved:,}")


def _annotations(document: Document, text: str, words: list[list[tuple[int, int]]]) -> str:
    mentions, references, equal = [], [], []
    names: list[str] = []  # of each entity's first mention
    for entity in document.entities:
        first = len(mentions) + 1
        for number, mention in enumerate(entity, first):
            start, end = span_of(mention, words)
            name = re.sub(r"\s", " ", text[start:end])
            mentions.append(f"T{number}\t{_escaped(mention.type) or _NO_TYPE} {start} {end}\t{name}")
            if mention.kb_id:
                references.append(f"N{len(references) + 1}\tReference T{number} {_reference(mention.kb_id)}\t{name}")
        names.append(f"T{first}")
        if len(entity) > 1:
            equal.append(" ".join(["*\tEquiv", *(f"T{number}" for number in range(first, first + len(entity)))]))
    relations = [
        f"R{number}\t{_escaped(fact.relation)} Arg1:{names[fact.head]} Arg2:{names[fact.tail]}"
        for number, fact in enumerate(document.relations, 1)
    ]
    return "".join(f"{line}\n" for line in [*mentions, *relations, *equal, *references])


def _reference(kb_id: str) -> str:
    """The identifier as `database:name`."""
    database, _, name = kb_id.partition(":")
    if not (name and database) or database in _DATABASES:
        database = next(database for database, names in _DATABASES.items() if names.fullmatch(kb_id))
        kb_id = f"{database}:{kb_id}"
    return _escaped(kb_id)


def _keeps_sentences(document: Document, text: str, words: list[list[tuple[int, int]]]) -> bool:
    """Whether a reader finds the sentences where they are."""
    whole = [span_of(mention, words) for entity in document.entities for mention in entity]
    return split_sentences(text, whole, _line_ends(text)) == sentence_bounds(words)


def _refuses(document: Document) -> str:
    if document.text is not None and document.text.startswith("\ufeff"):
        return "the text begins with a byte order mark, which readers of text files drop; remove it"
    return _TOO_LONG if len(re.sub(_UNSAFE, _percent, document.title).encode()) > _LONGEST_NAME else ""


# A space cannot stand in the names of types and relations, nor all characters in those of files: %20
def _escaped(name: str) -> str:
    return "%5F" if name == _NO_TYPE else re.sub(r"[\s%]", _percent, name)


def _percent(found: re.Match) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode())


def _plain(name: str) -> str:
    """Inverse of [`_escaped`]; what is no escape stays as it is."""

    def characters(found: re.Match) -> str:
        try:
            return bytes.fromhex(found[0].replace("%", "")).decode()
        except UnicodeDecodeError:
            return found[0]

    return re.sub(r"(?:%[0-9A-Fa-f]{2})+", characters, name)


class _Names:
    """Names of files for titles: safe on every system, each given once, and [`_title`] tells the title from them."""

    def __init__(self):
        self._seen: set[bytes] = set()

    def of(self, document: Document) -> str:
        title = document.title
        if not self._is_new(f"title {title}"):
            raise DocumentError("another document has the same title; titles name files here.")
        name = re.sub(_UNSAFE, _percent, title)
        name = re.sub(r"^\w", _percent, name) if _RESERVED.fullmatch(name) else name
        if not self._is_new(unicodedata.normalize("NFC", name).casefold()):
            # Some systems tell neither the case of letters nor how accents are put on them
            name = re.sub(rf"{_UNSAFE}|[A-Za-z]|[^\x00-\x7f]", _percent, title)
        if len(name.encode()) > _LONGEST_NAME:
            raise DocumentError(f"{_TOO_LONG}.")
        return name

    def _is_new(self, name: str) -> bool:
        key = blake2b(name.encode(), digest_size=12).digest()
        new = key not in self._seen
        self._seen.add(key)
        return new


def _title(stem: str) -> str:
    return _plain(stem) or stem


def _is_brat(path: Path, start: str) -> bool:
    is_text = path.suffix.lower() == ".txt" and path.with_suffix(".ann").is_file()
    return is_text or _ANNOTATION.match(start) is not None


def _is_folder(folder: Path) -> bool:
    return any(file.suffix == ".ann" and not file.name.startswith(".") for file in folder.iterdir())


FORMATS = (
    Format(
        "brat",
        to_docred,
        suffixes=(".ann",),
        is_text=_is_brat,
        from_text=from_text,
        from_file=from_file,
        is_folder=_is_folder,
        write=write,
        holds=frozenset({"text", "sentences", "mentions", "types", "kb_ids"}),
        refuses=_refuses,
        beside=lambda: _Names().of,
    ),
)
