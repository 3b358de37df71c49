"""Which mentions of a text are one entity: by identifiers, names, acronyms and last names, and by coreference."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from typing import Any

from finecl_hf.data.spans import Span
from finecl_hf.errors import DocumentError, FineCLError
from finecl_hf.extraction.recognition.mentions import is_mention, mention_of
from finecl_hf.extraction.recognition.types import is_one_of


RULES = ("ids", "names", "acronyms", "last_names")
Coreference = Callable[[str], Iterable[Iterable[Any]]]

_DETERMINER = re.compile(r"(?:the|a|an)\s+", re.IGNORECASE)
_POSSESSIVE = re.compile(r"['’]s\b|(?<=s)['’](?=\s|$)")
_TITLE = re.compile(
    r"(?:mr|mrs|ms|miss|dr|prof|professor|sir|dame|lady|lord|president|king|queen|pope|st)\.?\s+", re.I
)
_SUFFIX = re.compile(r",?\s+(?:jr|sr|ii|iii|iv)\.?$", re.IGNORECASE)
_ACRONYM = re.compile(r"(?=(?:.*[A-Z]){2})[A-Z][A-Za-z0-9&.\-]{1,9}")
_OPENED, _CLOSED = re.compile(r"\s*\(\s*[\"“]?"), re.compile(r"[\"”\s]*[),;]")
_SMALL_WORDS = {"of", "the", "and", "for", "in", "on", "de", "la", "du", "des", "und", "et", "&"}
_PERSON = ["per", "person", "people", "human"]


def rules_of(join_mentions: bool | str | Iterable[str]) -> frozenset[str]:
    """The rules that `join_mentions` asks for: all, none, or those it names.

    Raises:
        FineCLError: a name that is no rule.
    """
    if isinstance(join_mentions, bool):
        return frozenset(RULES if join_mentions else ())
    several = isinstance(join_mentions, Iterable) and not isinstance(join_mentions, str)
    named = list(join_mentions) if several else [join_mentions]
    for name in named:
        if name not in RULES:
            raise FineCLError(f"join_mentions: there is no rule {name!r}; rules: {', '.join(RULES)}.")
    return frozenset(named)


def merge_mentions(
    text: str, spans: Sequence[Span], rules: Iterable[str] = RULES, coreference: Coreference | None = None
) -> list[list[Span]]:
    """Groups mentions by entity.

    Mentions of different identifiers are never one entity, whatever else they have in common.

    Args:
        text: that the mentions stand in.
        spans: the mentions.
        rules: `ids`, one identifier; `names`, one name, up to determiners, possessives, punctuation, and capitals
            throughout; `acronyms`, a name and what stands in brackets behind it; `last_names`, a person's last name
            where the text has one person of that name only.
        coreference: text -> clusters of spans (see `mentions.mention_of`) that mean the same. A span of a cluster that
            is no mention yet, such as a pronoun, becomes one, behind those that are.

    Returns:
        The mentions of each entity, in the order of the text; entities by their first mentions.

    Raises:
        FineCLError: what `coreference` gives cannot be read.
    """
    spans = sorted(spans, key=lambda span: (span.start, span.end))
    sets = _Sets([span.kb_id for span in spans])
    if "ids" in rules:
        _join_equal(sets, [span.kb_id for span in spans])
    if "names" in rules:
        _join_names(sets, text, spans)
    if "acronyms" in rules:
        _join_acronyms(sets, text, spans)
    if "last_names" in rules:
        _join_last_names(sets, text, spans)
    further = _join_clusters(sets, text, spans, coreference) if coreference is not None else {}
    groups: dict[int, list[Span]] = {}
    for number, span in enumerate(spans):
        groups.setdefault(sets.root(number), []).append(span)
    for number, others in further.items():
        groups[sets.root(number)] += others
    return list(groups.values())


def normal_name(name: str) -> str:
    """A name without what varies between its mentions: determiners, possessives, punctuation, odd spaces; capitals
    stay."""
    name = _POSSESSIVE.sub("", _behind(_DETERMINER, unicodedata.normalize("NFKC", name).strip()))
    kept = "".join(" " if c in "-_/" or c.isspace() else c for c in name if not unicodedata.category(c)[0] == "P"
                   or c in "-_/")  # fmt: skip
    return " ".join(kept.split()) or name


def _behind(beginning: re.Pattern, name: str) -> str:
    """A name without its beginning, where it has one like that."""
    found = beginning.match(name)
    return name[found.end() :] if found else name


class _Sets:
    """Union-find over mentions, that joins no two of different identifiers."""

    def __init__(self, ids: list[str]):
        self.parent = list(range(len(ids)))
        self.ids = list(ids)

    def root(self, number: int) -> int:
        while self.parent[number] != number:
            self.parent[number] = self.parent[self.parent[number]]
            number = self.parent[number]
        return number

    def may_join(self, one: int, other: int) -> bool:
        ids = {self.ids[self.root(one)], self.ids[self.root(other)]} - {""}
        return len(ids) < 2

    def join(self, one: int, other: int) -> None:
        first, second = sorted((self.root(one), self.root(other)))
        if first != second and self.may_join(first, second):
            self.parent[second] = first
            self.ids[first] = self.ids[first] or self.ids[second]


def _join_equal(sets: _Sets, keys: Iterable[Any]) -> None:
    first: dict[Any, int] = {}
    for number, key in enumerate(keys):
        if key:
            sets.join(first.setdefault(key, number), number)


def _join_names(sets: _Sets, text: str, spans: Sequence[Span]) -> None:
    """Joins equal names; a name in capitals throughout with its other spelling. A mention that could go with two
    identifiers goes with neither."""
    names = [normal_name(text[span.start : span.end]) for span in spans]
    alike: dict[str, list[int]] = defaultdict(list)
    for number, name in enumerate(names):
        alike[name.casefold()].append(number)
    for numbers in alike.values():
        first: dict[tuple, int] = {}  # mention of each spelling, type and identifier
        for number in numbers:
            sets.join(first.setdefault((names[number], spans[number].type, spans[number].kb_id), number), number)
        told = [{get(number) for number in first.values()} - {""}
                for get in (lambda number: spans[number].type, lambda number: spans[number].kb_id)]  # fmt: skip
        for one, other in combinations(first.values(), 2):
            pairs = (spans[one].type, spans[other].type), (spans[one].kb_id, spans[other].kb_id)
            if _same_case(names[one], names[other]) and all(map(_goes_with, pairs, told)):
                sets.join(one, other)


def _goes_with(pair: tuple[str, str], told: set[str]) -> bool:
    """Whether two types, or identifiers, are equal, or one is not told and there is one alone that it can be."""
    return pair[0] == pair[1] or "" in pair and len(told) < 2


def _same_case(one: str, other: str) -> bool:
    """Whether names that are equal but for capitals are the same: "US" is not "us", "MARIE CURIE" is Marie Curie."""
    if " " in one and one[1:] == other[1:] or one.istitle() and other.istitle():
        return True
    capitals = one if one.isupper() else other if other.isupper() else ""
    rest = other if capitals == one else one
    return bool(capitals) and not rest.islower()


def _join_acronyms(sets: _Sets, text: str, spans: Sequence[Span]) -> None:
    """Joins "World Health Organization (WHO)", or "WHO (World Health Organization)", with each WHO of the text."""
    stands = [text[span.start : span.end] for span in spans]
    at = {span.start: number for number, span in enumerate(spans)}
    short: dict[str, int] = {}
    for number, span in enumerate(spans):
        opened = _OPENED.match(text, span.end)
        if not opened:
            continue
        told = _ACRONYM.match(text, opened.end())
        if told and _CLOSED.match(text, told.end()) and _abbreviates(told[0], stands[number]):
            short.setdefault(_plain(told[0]), number)
        elif (inner := at.get(opened.end())) is not None and _abbreviates(stands[number], stands[inner]):
            short.setdefault(_plain(stands[number]), inner)
    for number, name in enumerate(stands):
        acronym = _plain(_behind(_DETERMINER, name))
        if acronym in short:
            sets.join(short[acronym], number)


def _plain(acronym: str) -> str:
    return acronym.replace(".", "").replace("’s", "").replace("'s", "")


def _abbreviates(acronym: str, name: str) -> bool:
    """Whether the capitals of an acronym are the initials of a name's words, small words counted or not."""
    if not _ACRONYM.fullmatch(acronym):
        return False
    letters = "".join(character for character in acronym if character.isalnum()).lower()
    words = [word for word in re.split(r"[\s\-/]+", name.lower()) if word and word[0].isalnum() or word == "&"]
    without = [word for word in words if word not in _SMALL_WORDS]
    return any("".join(word[0] for word in chosen if word[0].isalnum()) == letters for chosen in (words, without))


def _join_last_names(sets: _Sets, text: str, spans: Sequence[Span]) -> None:
    """Joins "Curie" with "Marie Curie", where all full names that end in it are one person's."""
    people = [(number, _person(text[span.start : span.end]))
              for number, span in enumerate(spans) if is_one_of(span.type, _PERSON)]  # fmt: skip
    full: dict[str, list[int]] = defaultdict(list)
    for number, name in people:
        if len(name.split()) > 1:
            full[name.split()[-1].casefold()].append(number)
    one_person = {key: numbers[0] for key, numbers in full.items() if len({*map(sets.root, numbers)}) == 1}
    for number, name in people:
        if name.casefold() in one_person:
            sets.join(one_person[name.casefold()], number)


def _person(name: str) -> str:
    return normal_name(_SUFFIX.sub("", _behind(_TITLE, name)))


def _join_clusters(sets: _Sets, text: str, spans: Sequence[Span], coreference: Coreference) -> dict[int, list[Span]]:
    """Joins what a coreference system says is one; what of it is no mention yet, by a mention of the same cluster."""
    number_of = {}
    for number, span in enumerate(spans):
        determiner = _DETERMINER.match(text, span.start, span.end)
        number_of.setdefault((determiner.end() if determiner else span.start, span.end), number)
    further: dict[int, list[Span]] = defaultdict(list)
    for place, cluster in enumerate(_clusters(coreference, text)):
        told = [mention_of(one, text, f"coreference[{place}][{i}]") for i, one in enumerate(cluster)]
        inside = []
        for span in told:
            determiner = _DETERMINER.match(text, span.start, span.end)
            key = determiner.end() if determiner and determiner.end() < span.end else span.start, span.end
            inside.append(number_of.get(key))
        known = [number for number in inside if number is not None]
        for number in known[1:]:
            sets.join(known[0], number)
        if known:
            owner = spans[known[0]]
            further[known[0]] += [Span(span.start, span.end, owner.type, owner.kb_id)
                                  for span, number in zip(told, inside, strict=True) if number is None]  # fmt: skip
    return further


def _clusters(coreference: Coreference, text: str) -> list[list[Any]]:
    try:
        found = [list(cluster) for cluster in coreference(text)]
    except FineCLError:
        raise
    except Exception as error:  # whatever a plug-in raises
        raise DocumentError(
            f"the coreference system failed ({type(error).__name__}: {' '.join(str(error).split())[:200]}); it has to "
            "take a text and give clusters of (start, end).",
        ) from error
    if any(cluster and not is_mention(cluster[0]) for cluster in found):
        raise DocumentError("the coreference system has to give clusters, each a list of (start, end).")
    return found
