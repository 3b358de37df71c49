"""What a coverage says."""

from finecl_hf.learning_order.table import Coverage


def test_share_and_sentence():
    coverage = Coverage(known=3, unknown=1, unused=2, unjudged=1, example="a")
    assert coverage.share == 0.75
    assert str(coverage) == (
        "the learning order knows 3 of 4 instances (75.0%); 2 of its rows belong to none of them; "
        "1 known ones were never judged"
    )
    assert "judged" not in str(Coverage(1, 0, 0))


def test_an_empty_corpus_is_covered():
    assert Coverage(0, 0, 5).share == 1.0


def test_the_example_is_no_part_of_equality():
    assert Coverage(1, 1, 0, example="a") == Coverage(1, 1, 0, example="b")
