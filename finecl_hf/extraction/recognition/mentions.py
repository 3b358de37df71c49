"""Mentions as users and recognisers give them, in characters of a text."""

from __future__ import annotations

import operator
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from finecl_hf.data.documents import _check_encodable, _kind
from finecl_hf.data.positions import squeeze
from finecl_hf.data.spans import Span, misread, trimmed
from finecl_hf.errors import DocumentError


# What others call the fields of a mention; the first that is there counts
TYPE_KEYS = ("type", "label", "entity_group", "entity")
ID_KEYS = ("kb_id", "id")
_TAG = re.compile(r"[BIESLU]-(?=.)")  # of token classification that was not aggregated


def mention_of(raw: Any, text: str, where: str = "", check: bool = True) -> Span:
    """One mention, in any of the ways it may be given.

    Args:
        raw: a dict with `start`, `end` (exclusive) and, where known, a type (`type`, `label`, `entity_group`), what
            stands there (`text`, `name`, `word`) and an identifier (`kb_id`, `id`); `(start, end[, type[, id]])`; a
            [`Span`], or a span of spaCy.
        text: what the offsets count in.
        where: the field that it comes from, for messages.
        check: compare what the mention says of itself with what stands there.

    Returns:
        The mention without white space at its borders.

    Raises:
        DocumentError: it is none of these, leaves the text, is empty, or does not read as it says.
    """
    found = raw if isinstance(raw, Span) else _parsed(raw, where)
    span = replace(found, name=None, where=where)
    checked = trimmed(span, text)
    if check:
        _check_reading(span, raw, text[span.start : span.end])
    return checked


def mentions_of(raw: Any, text: str, where: str = "", check: bool = True) -> list[Span]:
    """What a recogniser found, see [`mention_of`]; spans that say the same are one.

    Raises:
        DocumentError: it is no list of mentions.
    """
    if isinstance(raw, (str, bytes, dict)) or not isinstance(raw, Iterable):
        raise DocumentError(f"expected a list of spans such as {{start, end, label}}, found {_kind(raw)}.", where)
    found = [mention_of(one, text, f"{where}[{i}]", check) for i, one in enumerate(raw)]
    unique = {(span.start, span.end, span.type): span for span in reversed(found)}
    return sorted(unique.values(), key=lambda span: (span.start, -span.end))


def is_mention(raw: Any) -> bool:
    """Whether this is one mention, rather than the list of an entity's."""
    if isinstance(raw, (Span, dict)) or hasattr(raw, "start_char"):
        return True
    return isinstance(raw, (list, tuple)) and len(raw) > 1 and _index(raw[0]) is not None


def _parsed(raw: Any, where: str) -> Span:
    if hasattr(raw, "start_char") and hasattr(raw, "end_char"):
        return spacy_span(raw)
    if isinstance(raw, (list, tuple)) and 2 <= len(raw) <= 4:
        raw = dict(zip(("start", "end", "type", "kb_id"), raw, strict=False))
    if not isinstance(raw, dict):
        raise DocumentError(f"expected a span such as {{start, end, label}}, found {_kind(raw)}.", where)
    start, end = (_offset(raw, key, where) for key in ("start", "end"))
    kind = _text(raw, TYPE_KEYS, where)
    if "entity" in raw and not any(raw.get(key) for key in TYPE_KEYS[:3]):
        kind = _TAG.sub("", kind, count=1)
    return Span(start, end, kind, _text(raw, ID_KEYS, where), where=where)


def spacy_span(span: Any) -> Span:
    """A span of spaCy, whose identifier is that of an entity linker or, else, of an entity ruler."""
    kb_id = getattr(span, "kb_id_", "") or getattr(span, "ent_id_", "") or ""
    return Span(span.start_char, span.end_char, getattr(span, "label_", "") or "", kb_id)


def _check_reading(span: Span, raw: Any, stands: str) -> None:
    """Compares a mention with what stands at its place: `text` and `name` up to space and case, `word`, which
    tokenizers spell in their own way, by its letters."""
    fields = raw if isinstance(raw, dict) else {"text": raw.name} if isinstance(raw, Span) else {}
    for key, reduced in (("text", squeeze), ("name", squeeze), ("word", _letters)):
        told = fields.get(key)
        if told is None:
            continue
        if not isinstance(told, str):
            raise DocumentError(f"expected a string, found {_kind(told)}.", f"{span.where}.{key}".lstrip("."))
        if key == "word" and re.search(r"\[unk\]|<unk>", told, re.IGNORECASE):
            continue
        if reduced(told) != reduced(stands):
            raise misread(span, told, stands)


def _letters(word: str) -> str:
    """Letters and digits without accents and case: what is left of a word in any tokenizer's spelling."""
    decomposed = unicodedata.normalize("NFKD", word).casefold()
    return "".join(character for character in decomposed if character.isalnum())


def _offset(raw: dict, key: str, where: str) -> int:
    if key not in raw:
        raise DocumentError(f'the key "{key}" is missing; a span is {{start, end, label}}.', where)
    value = _index(raw[key])
    if value is None:
        raise DocumentError(f"expected a number of characters, found {_kind(raw[key])}.", f"{where}.{key}".lstrip("."))
    return value


def _index(value: Any) -> int | None:
    """Integers of any library; None for what is none."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def _text(raw: dict, keys: tuple[str, ...], where: str) -> str:
    for key in keys:
        value = raw.get(key)
        if value is None or value == "":
            continue
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise DocumentError(f"expected a string, found {_kind(value)}.", f"{where}.{key}".lstrip("."))
        _check_encodable(str(value), f"{where}.{key}".lstrip("."))
        return str(value)
    return ""
