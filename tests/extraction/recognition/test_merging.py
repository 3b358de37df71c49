"""Which mentions are one entity."""

import pytest

from finecl_hf.data.spans import Span
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.recognition.merging import RULES, merge_mentions, normal_name, rules_of


def group(text, marked, **options):
    """Names of each entity; marked are (name, type[, id]), each found behind the one before."""
    spans, at = [], 0
    for name, *rest in marked:
        at = text.index(name, at)
        spans.append(Span(at, at + len(name), *rest))
        at += len(name)
    return [[text[span.start : span.end] for span in entity] for entity in merge_mentions(text, spans, **options)]


@pytest.mark.parametrize(
    "one, other",
    [
        ("the Red Cross", "Red Cross"),
        ("Curie's", "Curie"),
        ("U.S.", "US"),
        ("MARIE CURIE", "Marie Curie"),
        ("Jean-Paul", "Jean Paul"),
        ("The Hague", "the Hague"),
        ("Marie\nCurie", "Marie  Curie"),
        ("“Le Monde”", "Le Monde"),
    ],
)
def test_names_that_are_one(one, other):
    text = f"{one} and {other}."
    assert group(text, [(one, "X"), (other, "X")]) == [[one, other]]
    assert len(group(text, [(one, "X"), (other, "X")], rules=())) == 2


@pytest.mark.parametrize(
    "one, other",
    [
        (("Apple", "ORG"), ("Apple", "FRUIT")),
        (("US", "LOC"), ("us", "LOC")),
        (("Paris", "LOC", "Q90"), ("Paris", "LOC", "Q830149")),
        (("Polish", "MISC"), ("polish", "MISC")),
        (("...", "X"), ("!!!", "X")),
    ],
)
def test_names_that_are_two(one, other):
    assert len(group(f"{one[0]} and {other[0]}.", [one, other])) == 2


def test_identifiers_decide():
    text = "Q and R and Q and S and S"
    assert group(text, [("Q", "X", "1"), ("R", "Y", "1")]) == [["Q", "R"]]
    assert group(text, [("Q", "X", "1"), ("Q", "X")]) == [["Q", "Q"]]
    paris = "Paris, Paris, Paris, Paris"
    marked = [("Paris", "LOC", "1"), ("Paris", "LOC", "2"), ("Paris", "LOC"), ("Paris", "LOC")]
    assert list(map(len, group(paris, marked))) == [1, 1, 2]  # it could be either


def test_a_name_without_type_goes_with_the_only_one_there_is():
    assert len(group("Ajax and Ajax", [("Ajax", ""), ("Ajax", "ORG")])) == 1
    assert len(group("Ajax and Ajax, Ajax", [("Ajax", ""), ("Ajax", "ORG"), ("Ajax", "PER")])) == 3


def test_acronyms():
    text = "The World Health Organization (WHO) met. The WHO said so; W.H.O. too."
    marked = [("World Health Organization", "ORG"), ("WHO", "MISC"), ("WHO", "ORG"), ("W.H.O.", "ORG")]
    assert list(map(len, group(text, marked))) == [4]
    assert len(group(text, marked, rules={"names"})) > 1
    turned = "The ILO (International Labour Organization) is old. ILO it is."
    marked = [("ILO", "ORG"), ("International Labour Organization", "ORG"), ("ILO", "ORG")]
    assert list(map(len, group(turned, marked))) == [3]
    other = "Bank of England (BoE), Marie Curie (PC) and DNA (deoxyribonucleic acid)"
    marked = [("Bank of England", "ORG"), ("BoE", "ORG"), ("Marie Curie", "PER"), ("PC", "X")]
    assert list(map(len, group(other, marked))) == [2, 1, 1]


def test_last_names_where_they_mean_one_person():
    text = "Marie Curie met Dr. Einstein. Curie and Mr. Curie liked Albert Einstein Jr. and Warsaw."
    marked = [("Marie Curie", "PER"), ("Dr. Einstein", "PERSON"), ("Curie", "PER"), ("Mr. Curie", "PER"),
              ("Albert Einstein Jr.", "PERSON"), ("Warsaw", "LOC")]  # fmt: skip
    assert list(map(len, group(text, marked))) == [3, 2, 1]
    assert list(map(len, group(text, marked, rules={"names"}))) == [1, 1, 1, 1, 1, 1]
    two = "Marie Curie and Pierre Curie: Curie, as Curie Institute"
    marked = [("Marie Curie", "PER"), ("Pierre Curie", "PER"), ("Curie", "PER")]
    assert len(group(two, marked)) == 3
    assert len(group("Marie Curie, Curie", [("Marie Curie", "PER"), ("Curie", "ORG")])) == 2


def test_coreference_joins_and_adds_mentions():
    text = "Marie Curie was born in Warsaw. She loved the city. The physicist left it."
    marked = [("Marie Curie", "PER"), ("Warsaw", "LOC"), ("physicist", "PER")]
    clusters = [[(0, 11), (32, 35), (52, 65)], [{"start": 24, "end": 30}, (42, 50)], [(0, 5)]]
    found = group(text, marked, coreference=lambda text: clusters)
    assert found == [["Marie Curie", "physicist", "She"], ["Warsaw", "the city"]]
    unlike = [("Marie Curie", "PER", "Q1"), ("Warsaw", "LOC", "Q2")]
    assert len(group(text, unlike, coreference=lambda text: [[(0, 11), (24, 30)]])) == 2


@pytest.mark.parametrize(
    "wrong", [lambda text: 3, lambda text: [[[(0, 1)]]], lambda text: 1 / 0, lambda text: [[(9, 99)]]]
)
def test_a_coreference_system_that_fails_is_a_sentence(wrong):
    with pytest.raises(FineCLError, match="coreference"):
        group("Marie Curie", [("Marie Curie", "PER")], coreference=wrong)


def test_rules_by_name():
    assert rules_of(True) == set(RULES) and rules_of(False) == frozenset() and rules_of("names") == {"names"}
    for wrong in ("name", ["ids", "x"], [3], 3):
        with pytest.raises(FineCLError, match="there is no rule"):
            rules_of(wrong)


def test_many_mentions_take_no_time():
    text = "Ann Lee, Lee. " * 3000
    marked = [("Ann Lee", "PER"), ("Lee", "PER")] * 3000
    assert len(group(text, marked)) == 1


def test_normal_names_are_never_empty():
    assert normal_name("...") == "..." and normal_name("the") == "the" and normal_name("Curie’s") == "Curie"
