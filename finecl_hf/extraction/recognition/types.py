"""One name for a type of entities: recognisers say PERSON, person or PER; a model knows one of them."""

from __future__ import annotations

from collections.abc import Iterable

from finecl_hf.extraction.configuration import FineCLConfig


# Names of the same type in corpora and recognisers, in lower case; a type of an earlier line is no type of a later one
SAME = [
    "per person people human",
    "loc location gpe fac place city country state_or_province facility",
    "org organization organisation company institution",
    "time date year",
    "num number cardinal ordinal quantity percent money",
    "misc miscellaneous norp event work_of_art law language product",
]
_GROUPS = [line.split() for line in SAME]
TIME, NUM = _GROUPS[3], _GROUPS[4]


def known_types(config: FineCLConfig) -> frozenset[str]:
    """The types that a model tells apart, or that its constraints name; empty where it looks at none."""
    constrained = {name for allowed in (config.type_constraints or {}).values() for pair in allowed for name in pair}
    return frozenset(config.entity_types or ()) | constrained


def as_known(entity_type: str, known: Iterable[str]) -> str:
    """The type by the name that a model knows it by; as it is, where the model knows none for it.

    Args:
        known: see [`known_types`].
    """
    if not entity_type or entity_type in known:
        return entity_type
    name = entity_type.lower().replace(" ", "_").replace("-", "_")
    by_name = {other.lower().replace(" ", "_").replace("-", "_"): other for other in sorted(known)}
    if name in by_name:
        return by_name[name]
    group = next((group for group in _GROUPS if name in group), [])
    return next((by_name[other] for other in group if other in by_name), entity_type)


def is_one_of(entity_type: str, group: list[str]) -> bool:
    """Whether a type goes by one of the names of a group, such as [`TIME`]."""
    return entity_type.lower() in group
