"""Sentence-level corpora in the document schema: two entities (head 0, tail 1), one judged pair, at most one label.

Each `from_*` function takes one raw record and returns a dict in DocRED's layout for `Document.from_dict`. Errors
name the record's own fields (`subj_end`, `h.pos`), which the user can find in the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from finecl_hf.data.documents import _integer, _is_words, _kind, _required, means_no_relation
from finecl_hf.data.formats import Format
from finecl_hf.data.formats.sentence_writing import (
    SEMEVAL_TITLE,
    SemevalNumbers,
    has_number,
    refuses_all_but_sentences,
    refuses_in_tags,
    write_fewrel,
    write_opennre,
    write_semeval,
    write_tacred,
)
from finecl_hf.data.json_stream import raw_decode, text_lines
from finecl_hf.data.positions import squeeze
from finecl_hf.data.text import tokenise
from finecl_hf.errors import DocumentError
from finecl_hf.hashing import text_digest


_SEMEVAL_START = re.compile(r"(\d+)\t(.*)", re.DOTALL)
_SEMEVAL_TAG = re.compile(r"</?e[12]>")
_BLANK = re.compile(r"<e([12])>\s+</e\1>")


def parse_semeval(lines: Iterable[str]) -> Iterator[dict[str, Any] | DocumentError]:
    """Groups the lines of a SemEval-2010 Task 8 or KBP37 file into records for [`from_semeval`].

    A record is `id<TAB>"sentence"`, then (not in unlabelled test files) the relation, then, in SemEval's, a comment. A
    line that belongs nowhere becomes a `DocumentError`, and reading goes on.

    Yields:
        `{"id", "sentence", "relation", "lines"}`: relation None where the file has none, the lines as they stand.
    """
    record, commented = None, False
    for number, whole in enumerate(lines, 1):
        line = whole.strip()
        start = _SEMEVAL_START.fullmatch(line)
        if start:
            if record:
                yield record
            record, commented = {"id": start[1], "sentence": start[2], "relation": None, "lines": []}, False
        elif line.lower().startswith("comment"):
            commented = True
        elif line and not commented:
            if record and record["relation"] is None:
                record["relation"] = line
            else:
                yield DocumentError(
                    f"line {number} (`{line[:40]}`) is neither `id<TAB>sentence` nor the one relation below it; "
                    "remove or correct the line."
                )
                continue
        if record:
            record["lines"].append(whole)
    if record:
        yield record


def from_semeval(record: dict[str, Any]) -> dict[str, Any]:
    """SemEval-2010 Task 8 and KBP37: head = e1, tail = e2, relation = the directed label (`Cause-Effect(e2,e1)`).

    An argument that is blank, as KBP37 has it where a name was lost (146 of 21,046 sentences), is the word `_`: those
    sentences count in its figures.

    Raises:
        DocumentError: naming the field that is wrong.
    """
    number, marked = _text(record, "id"), _text(record, "sentence").strip()
    if len(marked) > 1 and marked[0] == marked[-1] == '"':
        marked = marked[1:-1]
    marked = _BLANK.sub(r"<e\1>_</e\1>", marked)
    text, at = _strip_tags(marked)
    spans = [(at["<e1>"], at["</e1>"]), (at["<e2>"], at["</e2>"])]
    words, (head, tail) = _words_and_spans(text, spans, ("sentence", "sentence"))
    return _docred(SEMEVAL_TITLE + number, words, [_mention(words, head)], [_mention(words, tail)], record)


def from_tacred(record: dict[str, Any]) -> dict[str, Any]:
    """TACRED: head = subject, tail = object; `subj_end` and `obj_end` name the last word, not the one after it.

    Raises:
        DocumentError: naming the field that is wrong.
    """
    words = _words(record, "token")
    entities = []
    for role in ("subj", "obj"):
        start, last = (_integer(_required(record, key), key) for key in (f"{role}_start", f"{role}_end"))
        if start > last:
            raise DocumentError(
                f"the last word, {last}, comes before the first, {start}; {role}_end counts inclusively.",
                f"{role}_end",
            )
        _check_inside(start, last + 1, len(words), f"{role}_{'start' if start < 0 else 'end'}", "words")
        entities.append([_mention(words, (start, last + 1), type=record.get(f"{role}_type"))])
    return _docred(_text(record, "id"), words, *entities, record)


def from_fewrel(record: dict[str, Any]) -> dict[str, Any]:
    """FewRel: every listed occurrence is a mention, from its first to its last word. The record has `relation`.

    An argument is `[name, id, positions]`, or on the Hub `{"text", "type", "indices"}` under `head` and `tail`.

    Raises:
        DocumentError: naming the field that is wrong.
    """
    words = _words(record, "tokens")
    if isinstance(record.get("head"), dict):  # the Hub's rows
        for key, role in (("h", "head"), ("t", "tail")):
            argument = _required(record, role)
            if not isinstance(argument, dict):
                raise DocumentError(f"expected an object with text, type and indices, found {_kind(argument)}.", role)
            record = {**record, key: [argument.get("text"), argument.get("type"), argument.get("indices")]}
    entities = [_fewrel_entity(record, key, words) for key in "ht"]
    return _docred(_hashed_title("fewrel", words, entities, record), words, *entities, record)


def from_opennre(record: dict[str, Any]) -> dict[str, Any]:
    """OpenNRE: `pos` counts characters where the record has `text`, words where it has `token`.

    Raises:
        DocumentError: naming the field that is wrong, among others where `pos` does not point at `name`.
    """
    arguments = [_opennre_argument(record, key) for key in "ht"]
    spans = [_span(argument, f"{key}.pos") for key, argument in zip("ht", arguments, strict=True)]
    if "token" in record:
        words = _words(record, "token")
        for key, argument, (start, end) in zip("ht", arguments, spans, strict=True):
            _check_inside(start, end, len(words), f"{key}.pos", "words")
            _check_name(argument, " ".join(words[start:end]), (start, end), f"{key}.pos", "words of `token`")
    else:
        text = _text(record, "text")
        for key, argument, (start, end) in zip("ht", arguments, spans, strict=True):
            _check_inside(start, end, len(text), f"{key}.pos", "characters")
            _check_name(argument, text[start:end], (start, end), f"{key}.pos", "characters of `text`")
        words, spans = _words_and_spans(text, spans, ("h.pos", "t.pos"))
    entities = [
        [_mention(words, span, type=argument.get("type"), kb_id=argument.get("id"))]
        for argument, span in zip(arguments, spans, strict=True)
    ]
    title = _text(record, "id") if record.get("id") is not None else _hashed_title("opennre", words, entities, record)
    return _docred(title, words, *entities, record)


def _docred(title: str, words: list[str], head: list[dict], tail: list[dict], record: dict) -> dict[str, Any]:
    raw = {"title": title, "sents": [words], "vertexSet": [head, tail], "pairs": [[0, 1]]}
    relation = record.get("relation")
    if relation is None:  # a test file: no `labels` at all
        return raw
    if not isinstance(relation, str) or not relation.strip():
        raise DocumentError(f"expected a relation name, found {_kind(relation)}.", "relation")
    return {**raw, "labels": [] if means_no_relation(relation) else [{"h": 0, "t": 1, "r": relation, "evidence": []}]}


def _mention(words: list[str], span: tuple[int, int], type: Any = None, kb_id: Any = None) -> dict[str, Any]:
    start, end = span
    name = " ".join(words[start:end])
    return {"name": name, "sent_id": 0, "pos": [start, end], "type": type or "", "kb_id": kb_id or ""}


def _hashed_title(format: str, words: list[str], entities: list[list[dict]], record: dict[str, Any]) -> str:
    """A title for records without one: of what they say, so that it is the same in any order of the file.

    The first part is that of an unlabelled record; a sentence that stands in a file with several relations has several
    titles.
    """
    positions = [[mention["pos"] for mention in entity] for entity in entities]
    title = f"{format}-{text_digest(json.dumps([words, positions]), 8)}"
    relation = record.get("relation")
    return f"{title}-{text_digest(relation.strip(), 4)}" if isinstance(relation, str) else title


def _text(record: dict[str, Any], key: str) -> str:
    value = _required(record, key)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value:
        raise DocumentError(f"expected a non-empty string, found {_kind(value)}.", key)
    return value


def _words(record: dict[str, Any], key: str) -> list[str]:
    words = _required(record, key)
    if not _is_words(words):
        raise DocumentError(f"expected a list of words (strings), found {_kind(words)}.", key)
    return words


def _strip_tags(marked: str) -> tuple[str, dict[str, int]]:
    """The sentence without its four tags, and where in it each tag stood."""
    at, pieces, end = {}, [], 0
    for tag in _SEMEVAL_TAG.finditer(marked):
        pieces.append(marked[end : tag.start()])
        if tag[0] in at:
            raise DocumentError(f"the tag {tag[0]} stands in the sentence twice; mark one span.", "sentence")
        at[tag[0]], end = sum(map(len, pieces)), tag.end()
    for tag in ("<e1>", "</e1>", "<e2>", "</e2>"):
        if tag not in at:
            raise DocumentError(
                f"the tag {tag} is missing; mark the arguments with <e1>...</e1> and <e2>...</e2>.", "sentence"
            )
    return "".join([*pieces, marked[end:]]), at


def _words_and_spans(
    text: str, spans: list[tuple[int, int]], fields: tuple[str, str]
) -> tuple[list[str], list[tuple[int, int]]]:
    """Words of the text, and the spans, given in characters, in words."""
    bounds = tokenise(text, [border for span in spans for border in span])
    word_spans = []
    for (start, end), field in zip(spans, fields, strict=True):
        inside = [i for i, (first, last) in enumerate(bounds) if start <= first and last <= end]
        if not inside:
            raise DocumentError(f"the span [{start}, {end}) (in characters) is empty or reversed; mark a word.", field)
        word_spans.append((inside[0], inside[-1] + 1))
    return [text[start:end] for start, end in bounds], word_spans


def _fewrel_entity(record: dict[str, Any], key: str, words: list[str]) -> list[dict[str, Any]]:
    entity = _required(record, key)
    if not isinstance(entity, list) or len(entity) != 3:
        raise DocumentError(f"expected [name, id, [[word positions], ...]], found {_kind(entity)}.", key)
    _, kb_id, occurrences = entity
    if not isinstance(occurrences, list) or not occurrences:
        raise DocumentError(f"expected lists of word positions, found {_kind(occurrences)}.", f"{key}[2]")
    mentions = []
    for i, positions in enumerate(occurrences):
        where = f"{key}[2][{i}]"
        if not isinstance(positions, list) or not positions:
            raise DocumentError(f"expected a list of word positions, found {_kind(positions)}.", where)
        numbers = [_integer(position, where) for position in positions]
        start, end = min(numbers), max(numbers) + 1
        _check_inside(start, end, len(words), where, "words")
        mentions.append(_mention(words, (start, end), kb_id=kb_id))
    return mentions


def _opennre_argument(record: dict[str, Any], key: str) -> dict[str, Any]:
    argument = _required(record, key)
    if not isinstance(argument, dict):
        raise DocumentError(f"expected an object with name and pos, found {_kind(argument)}.", key)
    return argument


def _span(argument: dict[str, Any], where: str) -> tuple[int, int]:
    position = _required(argument, "pos", where.partition(".")[0])
    if not isinstance(position, list) or len(position) != 2:
        raise DocumentError(f"expected [start, end), found {_kind(position)}.", where)
    start, end = (_integer(bound, where) for bound in position)
    if start >= end:
        raise DocumentError(
            f"the span [{start}, {end}) is {'empty' if start == end else 'reversed'}; "
            "give [start, end) with end one past the last character or word.",
            where,
        )
    return start, end


def _check_inside(start: int, end: int, length: int, where: str, unit: str) -> None:
    if start < 0 or end > length:
        raise DocumentError(f"the span [{start}, {end}) leaves the sentence, which has {length} {unit}.", where)


def _check_name(argument: dict[str, Any], found: str, span: tuple[int, int], where: str, unit: str) -> None:
    """A name that is not at its position means that positions are shifted or counted in another unit."""
    name = argument.get("name")
    if not isinstance(name, str) or squeeze(name) == squeeze(found):
        return
    raise DocumentError(
        f"[{span[0]}, {span[1]}) counts {unit} and reads {_kind(found)[4:]}, but the name is {_kind(name)[4:]}; "
        "correct pos or name.",
        where,
    )


_FIRST_LIST = re.compile(r'\{\s*"(?:[^"\\]|\\.)*"\s*:\s*\[\s*(?=\{)')  # an object begins with a list of objects


def _fewrel_begins(start: str) -> bool:
    """Whether a text that begins with an object begins with FewRel's: {relation: [instance, ...], ...}."""
    found = _FIRST_LIST.match(start)
    if not found:
        return False
    try:
        first, _ = raw_decode(start, found.end())
    except (ValueError, RecursionError):  # JSON Lines whose first line is bad: for the reader to report
        return False
    return isinstance(first, dict) and _is_fewrel(first)


def _fewrel_instances(chunks: Iterable[str]) -> Iterator[Any]:
    """Instances of `{relation: [instance, ...], ...}`, each with its relation. FewRel's files fit into memory."""
    try:
        relations = json.loads("".join(chunks), strict=False)
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"the file cannot be read as JSON ({error}); correct it or download it again.") from None
    for relation, instances in relations.items():
        if not isinstance(instances, list):
            raise DocumentError(f"the value of the relation `{relation}` is no list of instances; correct it.")
        for instance in instances:
            yield {**instance, "relation": relation} if isinstance(instance, dict) else instance


def _has_no_id(record: dict[str, Any]) -> bool:
    return record.get("id") is None


def _is_tacred(record: dict[str, Any]) -> bool:
    return bool(record.keys() & {"subj_start", "subj_end", "obj_start", "obj_end"})


def _is_opennre(record: dict[str, Any]) -> bool:
    return "sents" not in record and any(isinstance(record.get(key), dict) for key in "ht")


def _is_fewrel(record: dict[str, Any]) -> bool:
    return "tokens" in record and (
        any(isinstance(record.get(key), list) for key in "ht") or isinstance(record.get("head"), dict)
    )


def _is_semeval(path: Path, start: str) -> bool:
    is_text = ".txt" in (suffix.lower() for suffix in path.suffixes) or re.match(r"\d+\t", start)
    return start[0] not in "[{" and bool(is_text)


FORMATS = (
    Format(
        "semeval",
        from_semeval,
        suffixes=(".txt",),
        is_text=_is_semeval,
        from_text=lambda chunks, path: parse_semeval(text_lines(chunks)),
        write=write_semeval,
        holds=frozenset({"unlabelled", "pairs"}),
        refuses=refuses_in_tags,
        beside=lambda: SemevalNumbers().of,
        keeps_title=has_number,
    ),
    Format(
        "tacred",
        from_tacred,
        is_record=_is_tacred,
        write=write_tacred,
        holds=frozenset({"unlabelled", "pairs", "types"}),
        refuses=refuses_all_but_sentences,
    ),
    Format(
        "opennre",
        from_opennre,
        is_record=_is_opennre,
        write=write_opennre,
        holds=frozenset({"unlabelled", "pairs", "types", "kb_ids"}),
        refuses=refuses_all_but_sentences,
        hashed_titles=_has_no_id,
    ),
    Format(
        "fewrel",
        from_fewrel,
        is_record=_is_fewrel,
        is_object=_fewrel_begins,
        from_object=_fewrel_instances,
        write=write_fewrel,
        holds=frozenset({"pairs", "mentions", "kb_ids"}),
        refuses=refuses_all_but_sentences,
        hashed_titles=_has_no_id,
        keeps_title=lambda document: document.title.startswith("fewrel-"),
    ),
)
