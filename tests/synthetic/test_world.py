"""The made-up world holds together: no name twice, and facts that a reader could believe."""

from collections import defaultdict
from random import Random

import pytest

from finecl_hf.synthetic.world import TYPES, build_region


@pytest.fixture(scope="module")
def regions():
    rng, taken = Random(3), set()
    return [build_region(rng, taken) for _ in range(20)]


def tails(region, relation):
    found = defaultdict(list)
    for fact in region.facts:
        if fact.relation == relation:
            found[fact.head].append(fact.tail)
    return found


def test_no_two_entities_share_a_name(regions):
    names = [e.name for region in regions for e in region.entities if e.kind not in ("date", "year")]
    assert len(names) == len(set(names)) > 500
    assert {entity.kind for region in regions for entity in region.entities} == set(TYPES)


def test_facts_stay_in_their_region_and_are_told_once(regions):
    for region in regions:
        assert len(region.facts) == len(set(region.facts))
        known = set(map(id, region.entities))
        assert all({id(fact.head), id(fact.tail)} <= known for fact in region.facts)
        assert all(fact.tail in region.neighbours[fact.head] and fact.head in region.neighbours[fact.tail]
                   for fact in region.facts)  # fmt: skip


def test_the_world_is_believable(regions):
    for region in regions:
        cities = [entity for entity in region.entities if entity.kind == "city"]
        (country,) = {place for places in tails(region, "P17").values() for place in places}
        assert country.kind == "country" and set(tails(region, "P17")) >= set(cities)
        assert len(tails(region, "P1376")) == 1  # one capital
        spouses = tails(region, "P26")
        assert all(len(others) == 1 and others[0] is not person for person, others in spouses.items())
        assert all(founder.kind == "person" for found in tails(region, "P112").values() for founder in found)


def test_a_seed_is_a_world():
    def told(seed):
        region = build_region(Random(seed), set())
        return [(fact.head.name, fact.relation, fact.tail.name) for fact in region.facts]

    assert told(1) == told(1) != told(2)
