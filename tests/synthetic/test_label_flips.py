from collections import Counter
from copy import deepcopy

import pytest

from finecl_hf.errors import FineCLError
from finecl_hf.synthetic.label_flips import flip_labels
from tests.helpers.small_documents import small_document as _document
from tests.helpers.small_documents import triples as _triples


@pytest.fixture
def many():
    """40 documents of 4 facts over 5 relations; one pair holds two of them."""
    return [
        _document(
            f"d{i}",
            [f"a{i}", f"b{i}", f"c{i}"],
            [(0, 1, f"r{i % 5}"), (0, 1, f"r{(i + 1) % 5}"), (1, 2, f"r{(i + 2) % 5}"), (2, 0, f"r{(i + 3) % 5}")],
        )
        for i in range(40)
    ]


@pytest.mark.parametrize("kind", ["uniform", "pair"])
@pytest.mark.parametrize("rate", [0.0, 0.13, 0.4, 1.0])
def test_flip_count_is_exact_and_truth_is_right(many, kind, rate):
    before = deepcopy(many)
    noisy, is_clean = flip_labels(many, rate, kind)
    assert many == before
    assert list(is_clean.values()).count(False) == round(rate * 160)
    assert set(is_clean) == {document.instance_id(fact) for document in noisy for fact in document.relations}
    for original, document in zip(many, noisy, strict=True):
        gold = set(_triples(original))
        assert len(set(_triples(document))) == len(document.relations) == len(original.relations)
        for fact, triple in zip(document.relations, _triples(document), strict=True):
            assert is_clean[document.instance_id(fact)] == (triple in gold)  # a flip never lands on a gold label


@pytest.mark.parametrize("kind", ["uniform", "pair"])
def test_flip_does_not_depend_on_the_order_of_documents(many, kind):
    noisy, is_clean = flip_labels(many, 0.4, kind, seed=3)
    again, is_clean_again = flip_labels(many[::-1], 0.4, kind, seed=3)
    assert again[::-1] == noisy and is_clean_again == is_clean
    assert flip_labels(many, 0.4, kind, seed=4)[1] != is_clean


def test_pair_flip_goes_to_the_next_relation_that_its_pair_does_not_hold():
    others = _document("others", ["a", "b"], [(0, 1, "r2"), (1, 0, "r3")])
    noisy, _ = flip_labels([others, _document("d", ["a", "b"], [(0, 1, "r0"), (0, 1, "r1")])], 1.0, "pair")
    assert _triples(noisy[0]) == [(0, 1, "r3"), (1, 0, "r0")]
    assert _triples(noisy[1]) == [(0, 1, "r2"), (0, 1, "r3")]  # r0 cannot become r1, a gold label of the pair


def test_uniform_flip_reaches_every_other_relation():
    documents = [_document(f"d{i}", ["a", "b"], [(0, 1, f"r{i % 4}")]) for i in range(800)]
    noisy, _ = flip_labels(documents, 1.0)
    moves = Counter((before.label, after.label) for before, after in zip(documents, noisy, strict=True))
    assert len(moves) == 12 and min(moves.values()) > 40  # 800 / 12 = 67 expected


def test_flip_explains_what_it_cannot_do(many):
    with pytest.raises(FineCLError, match="rate"):
        flip_labels(many, 1.5)
    with pytest.raises(FineCLError, match="kind"):
        flip_labels(many, 0.5, "circular")
    with pytest.raises(FineCLError, match="only 0 of 1"):
        flip_labels([_document("d", ["a", "b"], [(0, 1, "r")])], 1.0)
