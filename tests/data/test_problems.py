"""One policy for documents that cannot be used."""

import logging

import pytest

from finecl_hf.data.problems import Problems, Titles
from finecl_hf.errors import DocumentError


def test_summary_is_short_whatever_the_problems_say():
    long = "x" * 10_000
    problems = Problems(long, skip_invalid=False)
    for i in range(50):
        problems.add(DocumentError(f"{long}{'abcdefg'[i % 7]}", f"{'abcdefg'[i % 7]}{long}", long, i, long))
    assert len(problems.summary(num_valid=0)) < 1500


def test_one_problem_is_raised_as_it_is_and_several_are_counted():
    problem = DocumentError("bad", "labels", "a.json", 1, "A")
    problems = Problems("a.json", skip_invalid=False)
    problems.settle(num_valid=0)
    problems.add(problem)
    with pytest.raises(DocumentError) as raised:
        problems.settle(num_valid=3)
    assert raised.value is problem
    problems.add(DocumentError("bad", "pairs", "a.json", 2, "B"))
    with pytest.raises(DocumentError, match="2 of 5"):
        problems.settle(num_valid=3)


def test_skipping_warns_once_unless_nothing_is_left(caplog):
    problems = Problems("a.json", skip_invalid=True)
    problems.add(DocumentError("bad", "labels", "a.json", 1, "A"))
    with caplog.at_level(logging.WARNING, "finecl_hf"):
        problems.settle(num_valid=3, quiet=True)
        assert not caplog.messages
        problems.settle(num_valid=3)
    assert len(caplog.messages) == 1 and "left out" in caplog.messages[0]
    with pytest.raises(DocumentError):
        problems.settle(num_valid=0)


def test_titles_name_the_first_file_within_their_window():
    titles = Titles(window=2)
    titles.open("a.json")
    for index, title in enumerate("abc"):
        titles.see(title, index)
    titles.open("b.json")
    titles.see("a", 0)  # forgotten by now
    with pytest.raises(DocumentError, match="document 2 of a.json"):
        titles.see("c", 1)
