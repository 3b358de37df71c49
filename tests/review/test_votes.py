"""What several people say of labels: words, majorities, agreement."""

import pytest

from finecl_hf.review.votes import answer_text, decide, kind_of_word, krippendorff_alpha, stratum_size, verdict_of


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["Right", " TRUE ", 1, 1.0], "right"),
        (["0", "no"], "wrong"),
        (["other-relation", "Other  relation"], "other"),
        (["?", "unsure"], "unsure"),
        (["", None, "  "], ""),
        (["hm", 2], None),
    ],
)
def test_words(words, kind):
    assert {kind_of_word(word) for word in words} == {kind}
    assert [verdict_of(word) for word in words] == [str(word) if kind is None else kind for word in words]


def test_answers_as_tools_export_them():
    values = (" a ", ["b", "c"], 3, [], None, {"x": 1}, [None])
    assert [answer_text(value) for value in values] == ["a", "b", "3", "", "", "", ""]
    assert [stratum_size(value) for value in (5, 0, -1, "5", 5.0, True, None)] == [5, 0, 0, 0, 0, 0, 0]


def test_majorities():
    assert decide([("right", ""), ("wrong", ""), ("other", "a")]) == ("wrong", "")
    assert decide([("other", "a"), ("other", "b"), ("other", "a")]) == ("other", "a")
    assert decide([("other", "a"), ("other", "b")]) == ("other", "")
    assert decide([("right", ""), ("unsure", "")]) == ("unsure", "")


def test_krippendorff_alpha_of_his_own_example():
    """Four observers, twelve units, nominal (Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011)."""
    units = ["1 1 1", "2 2 3 2", "3 3 3 3", "3 3 3 3", "2 2 2 2", "1 2 3 4", "4 4 4 4", "1 1 2 1", "2 2 2 2",
             "5 5 5", "1 1", "3"]  # fmt: skip
    assert krippendorff_alpha(unit.split() for unit in units) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha([["a", "a"], ["b", "b"]]) == 1 and krippendorff_alpha([["a"], ["b"]]) is None
