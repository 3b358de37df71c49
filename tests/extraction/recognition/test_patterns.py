"""Dates and numbers in English text."""

import pytest

from finecl_hf.data.spans import Span
from finecl_hf.extraction.recognition.patterns import add_where_free, date_spans, number_spans


def read(find, text):
    return [text[span.start : span.end] for span in find(text)]


@pytest.mark.parametrize(
    "text, dates",
    [
        ("born on 7 November 1867 in Warsaw", ["7 November 1867"]),
        ("On May 5th, 1903, and 2nd of June", ["May 5th, 1903", "2nd of June"]),
        ("in March 1990 she may march in May", ["March 1990"]),
        ("1914-1918, 1939–1945", ["1914", "1918", "1939", "1945"]),
        ("the 1990s, the 19th century, summer of 2003", ["1990s", "19th century", "summer of 2003"]),
        ("2003-12-24 or 24.12.2003 or 12/24/03", ["2003-12-24", "24.12.2003", "12/24/03"]),
        ("Jan. 3, 2001; January", ["Jan. 3, 2001", "January"]),
        ("2000 people, 1998 km, A1990, 1990.5, v1.1990", []),
        ("He died in 1934.", ["1934"]),
    ],
)
def test_dates(text, dates):
    assert read(date_spans, text) == dates


@pytest.mark.parametrize(
    "text, numbers",
    [
        ("1,500 men, 3.5% of 20 million, $5 billion", ["1,500", "3.5%", "20 million", "$5 billion"]),
        ("two hundred and five; twenty-one; one; someone; often", ["two hundred and five", "twenty-one"]),
        ("a hundred, B12, v1.2.3, 7th", ["a hundred"]),
        ("It has 12.", ["12"]),
    ],
)
def test_numbers(text, numbers):
    assert read(number_spans, text) == numbers


def test_they_are_added_where_nothing_stands():
    taken = [Span(0, 10), Span(2, 4), Span(20, 25)]
    added = add_where_free(taken, [Span(5, 8), Span(9, 12), Span(10, 20), Span(24, 30), Span(25, 26)])
    assert [(span.start, span.end) for span in added] == [(0, 10), (2, 4), (10, 20), (20, 25), (25, 26)]
