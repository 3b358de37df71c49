"""The made-up world behind the synthetic corpus: entities with names, and facts between them, region by region."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from finecl_hf.synthetic import templates as words


TYPES = {
    **{"person": "PER", "city": "LOC", "country": "LOC", "company": "ORG", "university": "ORG", "society": "ORG"},
    **{"book": "MISC", "film": "MISC", "date": "TIME", "year": "TIME"},
}
GROUPS = {"city": "place", "country": "place", "book": "work", "film": "work"}


@dataclass(eq=False)
class Entity:
    """Somebody or something with a full name, shorter names that a text may use instead, and perhaps an acronym."""

    kind: str
    name: str
    short_names: list[str] = field(default_factory=list)
    acronym: str = ""
    female: bool = False

    @property
    def type(self) -> str:
        return TYPES[self.kind]

    @property
    def group(self) -> str:
        """What sentence patterns distinguish: cities and countries are places, books and films works."""
        return GROUPS.get(self.kind, self.kind)

    @property
    def aliases(self) -> list[str]:
        """The names that a knowledge base lists."""
        return [self.name, self.acronym] if self.acronym else [self.name]


class WorldFact(NamedTuple):
    head: Entity
    relation: str
    tail: Entity


class Region:
    """A country with what is in it; facts stay within a region."""

    def __init__(self):
        self.entities: list[Entity] = []
        self.facts: list[WorldFact] = []
        self.neighbours: dict[Entity, list[Entity]] = defaultdict(list)

    def add(self, head: Entity, relation: str, tail: Entity) -> None:
        fact = WorldFact(head, relation, tail)
        if fact not in self.facts:
            self.facts.append(fact)
            for one, other in ((head, tail), (tail, head)):
                if other not in self.neighbours[one]:
                    self.neighbours[one].append(other)
                if one not in self.entities:
                    self.entities.append(one)


def build_region(rng: Random, taken: set[str]) -> Region:
    """A region with about 60 entities and 110 facts; its new names are added to `taken`."""
    region = Region()
    country = Entity("country", _new_name(_country_name, rng, taken))
    cities = [Entity("city", _new_name(_city_name, rng, taken)) for _ in range(4)]
    region.add(cities[0], "P1376", country)
    for city in cities:
        region.add(city, "P17", country)
    people = [_person(rng, taken) for _ in range(12)]
    companies = [_organisation("company", _company_name, rng, taken) for _ in range(3)]
    universities = [_organisation("university", _university_name, rng, taken) for _ in range(2)]
    societies = [_organisation("society", _society_name, rng, taken) for _ in range(2)]
    for organisation in companies + universities:
        region.add(organisation, "P159", rng.choice(cities))
    for company in companies:
        founder = rng.choice(people)
        region.add(company, "P112", founder)
        if rng.random() < 0.5:
            region.add(founder, "P108", company)
    born = {person: rng.randint(1850, 1960) for person in people}
    for person in people:
        _add_life(region, person, born[person], cities, companies, universities, societies, rng, taken)
    couples = rng.sample(people, 8)
    for one, other in zip(couples[::2], couples[1::2], strict=True):
        region.add(one, "P26", other)
    _add_works(region, people, born, rng, taken)
    return region


def _add_life(region, person, year, cities, companies, universities, societies, rng, taken) -> None:
    """Where and when somebody was born, lived, died, studied and worked; the same place often plays several parts."""
    birthplace = rng.choice(cities)
    home = birthplace if rng.random() < 0.4 else rng.choice(cities)
    region.add(person, "P19", birthplace)
    region.add(person, "P551", home)
    if rng.random() < 0.7:
        region.add(person, "P20", rng.choice([birthplace, home, *cities]))
    region.add(person, "P569", Entity("date", _new_name(lambda r: _date(r, year), rng, taken)))
    school = rng.choice(universities)
    if rng.random() < 0.75:
        region.add(person, "P69", school)
    if rng.random() < 0.8:
        region.add(person, "P108", rng.choice([school, *companies]))
    if rng.random() < 0.5:
        region.add(person, "P463", rng.choice(societies))


def _add_works(region, people, born, rng, taken) -> None:
    years: dict[int, Entity] = {}  # works of one year share the entity
    for kind in ["book"] * 5 + ["film"] * 4:
        maker = rng.choice(people)
        work = Entity(kind, _new_name(_work_title, rng, taken))
        if kind == "book" or rng.random() < 0.4:
            region.add(work, "P50", maker)
        if kind == "film":
            region.add(work, "P57", maker)
        year = born[maker] + rng.randint(22, 60)
        region.add(work, "P577", years.setdefault(year, Entity("year", str(year))))


def _person(rng: Random, taken: set[str]) -> Entity:
    female = rng.random() < 0.5
    given = rng.choice(words.FEMALE_NAMES if female else words.MALE_NAMES)
    # Surnames are taken, not full names: then a surname means one person only.
    surname = _new_name(_surname, rng, taken)
    return Entity("person", f"{given} {surname}", [surname, surname, f"{given[0]}. {surname}"], female=female)


def _organisation(kind: str, make: Callable[[Random], str], rng: Random, taken: set[str]) -> Entity:
    name = _new_name(make, rng, taken)
    initials = "".join(word[0] for word in name.split() if word[0].isupper())
    if len(initials) >= 3:
        return Entity(kind, name, [initials], acronym=initials)
    # "Novatex" for "Novatex Motors"; schools are always called by their full names
    return Entity(kind, name, [name.split()[0]] if kind == "company" else [])


def _new_name(make: Callable[[Random], str], rng: Random, taken: set[str]) -> str:
    """A name that nobody has; once they run out, old ones become double names."""
    for attempt in range(1000):
        name = make(rng)
        if attempt >= 50:
            name = f"{make(rng)}-{name}"
        if name not in taken:
            taken.add(name)
            return name
    raise RuntimeError("no name is left")


def _surname(rng: Random) -> str:
    name = rng.choice(words.SURNAME_STARTS) + rng.choice(words.SURNAME_ENDS)
    return name if rng.random() < 0.7 else f"{name}-{rng.choice(words.SURNAME_STARTS)}{rng.choice(words.SURNAME_ENDS)}"


def _city_name(rng: Random) -> str:
    name = rng.choice(words.PLACE_STARTS) + rng.choice(words.CITY_ENDS)
    return name if rng.random() < 0.7 else f"{rng.choice(words.CITY_MODIFIERS)} {name}"


def _country_name(rng: Random) -> str:
    return rng.choice(words.PLACE_STARTS) + rng.choice(words.COUNTRY_ENDS)


def _company_name(rng: Random) -> str:
    return rng.choice(words.FIRM_STARTS) + rng.choice(words.FIRM_MIDDLES) + " " + rng.choice(words.FIRM_ENDS)


def _university_name(rng: Random) -> str:
    return f"{_surname(rng)} {rng.choice(words.SCHOOL_ENDS)}"


def _society_name(rng: Random) -> str:
    return f"{rng.choice(words.SOCIETY_KINDS)} of {rng.choice(words.ADJECTIVES)} {rng.choice(words.GROUPS)}"


def _work_title(rng: Random) -> str:
    form = rng.choice(["The {a} {n}", "{n} of the {m}", "A {a} {n}", "The {n} and the {m}", "The {a} {n} of {m}s"])
    adjective, (noun, other) = rng.choice(words.ADJECTIVES), rng.sample(words.NOUNS, 2)
    title = form.format(a=adjective, n=noun, m=other)
    return title.replace("A ", "An ", 1) if title.startswith("A ") and adjective[0] in "AEIOU" else title


def _date(rng: Random, year: int) -> str:
    return f"{rng.randint(1, 28)} {rng.choice(words.MONTHS)} {year}"
