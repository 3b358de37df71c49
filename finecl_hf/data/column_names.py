"""What the columns of tables are called, in sentences and in triples: names that are read without being told."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from finecl_hf.errors import FineCLError


# In the order of preference; case does not count
TRIPLE_COLUMNS = {
    "head": ("head", "h", "subject", "subj", "s", "e1", "entity1", "entity_1", "arg1"),
    "relation": ("relation", "r", "predicate", "pred", "property", "p", "rel", "relation_type", "label"),
    "tail": ("tail", "t", "object", "obj", "o", "e2", "entity2", "entity_2", "arg2"),
}
_OF_ARGUMENT = {
    "": ("", "name", "text"),
    "start": ("start", "begin", "start_char"),
    "end": ("end", "end_char"),
    "type": ("type", "label", "ner"),
    "id": ("id", "kb_id", "qid"),
}


def _argument(role: str) -> dict[str, tuple[str, ...]]:
    """The columns of one argument: `head` and `head_start`, or `subj` and `subj_start`, and so on."""
    return {
        "_".join(filter(None, (role, part))): tuple(
            "_".join(filter(None, (name, ending))) for ending in endings for name in TRIPLE_COLUMNS[role]
        )
        for part, endings in _OF_ARGUMENT.items()
    }


SENTENCE_COLUMNS: dict[str, tuple[str, ...]] = {
    "sentence": ("sentence", "text", "sent", "context", "passage"),
    **_argument("head"),
    **_argument("tail"),
    "relation": TRIPLE_COLUMNS["relation"],
    "title": ("title", "id", "doc_id", "document_id"),
    "source": ("source",),
    "score": ("score", "confidence", "probability"),
}


_OTHER = {"role": "column", "column": "role"}


@lru_cache(maxsize=64)
def roles_of(present: tuple[str, ...]) -> dict[str, str]:
    """The column of each role of a sentence that is there, by the names of all columns."""
    known = {_plain(name): name for name in reversed(present)}
    found = {}
    for role, names in SENTENCE_COLUMNS.items():
        column = next((known[name] for name in names if name in known), None)
        if column is not None and column not in found.values():
            found[role] = column
    return found


def checked_columns(columns: Mapping[str, str] | None) -> dict[str, str]:
    """Columns that are named by hand: role -> name; an empty name means that there is no such column.

    Raises:
        FineCLError: there is no such role.
    """
    for role in columns or ():
        if role not in SENTENCE_COLUMNS:
            raise FineCLError(f'columns: "{role}" is none of {", ".join(SENTENCE_COLUMNS)}; name one of these.')
    return dict(columns or {})


def parse_columns(words: Iterable[str] | None, flag: str) -> dict[str, str] | None:
    """`sentence=Satz head=Kopf` of a command line, as a dict; None where the flag is not given.

    Raises:
        FineCLError: a word is no such pair, or names no role, or one is there twice.
    """
    if words is None:
        return None
    pairs = [word.partition("=") for word in words]
    if bad := next((word for word, sign, _ in pairs if not sign), None):
        raise FineCLError(f"{flag} {bad}: expected ROLE=NAME, such as sentence=Satz.")
    for what, names in (("role", [role for role, _, _ in pairs]), ("column", [name for _, _, name in pairs])):
        if twice := next((name for name, count in Counter(map(str.strip, names)).items() if name and count > 1), None):
            raise FineCLError(f'{flag}: the {what} "{twice}" is there twice; each has one {_OTHER[what]}.')
    try:
        return checked_columns({role.strip(): name.strip() for role, _, name in pairs})
    except FineCLError as error:
        raise FineCLError(f"{flag}: {str(error).removeprefix('columns: ')}") from None


def has_columns(present: Iterable[str], columns: Mapping[str, str]) -> bool:
    """Whether the columns that are named by hand are among those present."""
    there = {name.strip() for name in present}
    return all(name in there for name in columns.values() if name)


def has_roles(record: Any, columns: Mapping[str, str]) -> bool:
    """Whether a record, once [`renamed`], has the roles that columns are named for by hand."""
    roles = [role for role, name in columns.items() if name]
    return not roles or isinstance(record, dict) and all(role in record for role in roles)


def renamed(record: dict, columns: Mapping[str, str]) -> dict:
    """The record with its columns called by their roles; one that bore the name of a role gives it up.

    The record's own class is kept, and with it where a row stands.
    """
    place = {name: role for role, name in columns.items() if name}
    result = record.copy()
    result.clear()
    for key, value in record.items():
        name = key.strip()
        if name in place:
            result[place[name]] = value
        elif not _is_replaced(name, columns):
            result[key] = value
    return result


def _is_replaced(name: str, columns: Mapping[str, str]) -> bool:
    """Whether a column would be taken for a role that another column, or none, was named for."""
    return any(_plain(name) in SENTENCE_COLUMNS[role] for role in columns)


def _plain(name: str) -> str:
    return re.sub(r"[\s\-.]+", "_", name.strip().lower())
