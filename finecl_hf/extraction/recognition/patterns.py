"""Dates and numbers by patterns, for recognisers that know neither: typed TIME and NUM, as in DocRED."""

from __future__ import annotations

import re

from finecl_hf.data.spans import Span


_MONTHS = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December"
    r"|(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\b\.?)"
)
_ALONE = r"(?:January|February|April|June|July|August|September|October|November|December)"  # no words or names else
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_YEAR = r"(?:1[5-9]\d\d|20\d\d)"
# A number behind which one of these stands is an amount, though it looks like a year
_UNIT = (
    r"(?!\s*(?:%|°|[$€£])|\s+(?:percent|per cent|people|men|women|soldiers|inhabitants|residents|students|members"
    r"|employees|copies|tons?|tonnes?|miles?|met(?:re|er)s?|feet|acres?|hectares?|dollars?|euros?|pounds?|million"
    r"|billion|k[mg]|m|ft)\b)"
)
_BEFORE, _BEHIND = r"(?<![\w.,/-])", r"(?![\w/-]|[.,]\d)"
DATE = re.compile(
    rf"{_BEFORE}(?:"
    rf"\d{{4}}-\d{{2}}-\d{{2}}|\d{{1,2}}[./]\d{{1,2}}[./](?:\d{{4}}|\d{{2}})"
    rf"|{_DAY}\s+(?:of\s+)?{_MONTHS}(?:,?\s+{_YEAR})?"
    rf"|{_MONTHS}\s+{_DAY}(?:,?\s+{_YEAR})?(?!\d)|{_MONTHS},?\s+(?:of\s+)?{_YEAR}|{_ALONE}"
    rf"|(?:spring|summer|autumn|fall|winter)\s+(?:of\s+)?{_YEAR}"
    rf"|\d{{1,2}}(?:st|nd|rd|th)\s+century"
    rf"){_BEHIND}"
    # Years stand in ranges, too: 1914-1918
    rf"|(?<![\w.,/])(?<!\d-){_YEAR}(?:s|{_UNIT})(?![\w/]|[.,]\d)"
    rf"|(?<=\d\d\d\d[-–]){_YEAR}(?![\w/]|[.,]\d)"
)
_SPELLED = (
    r"two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen"
    r"|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundreds?|thousands?|millions?|billions?"
)
NUMBER = re.compile(
    rf"{_BEFORE}(?:[$€£]\s?)?(?:\d{{1,3}}(?:,\d{{3}})+|\d+)(?:\.\d+)?"
    rf"(?:\s+(?:hundred|thousand|million|billion|trillion))?(?:\s?%|\s+per\s?cent)?{_BEHIND}"
    rf"|(?<![\w-])(?:(?:a|one)\s+(?=hundred|thousand|million|billion))?(?:{_SPELLED})"
    rf"(?:[\s-]+(?:and\s+)?(?:one|{_SPELLED}))*(?![\w-])",
    re.IGNORECASE,
)


def date_spans(text: str, entity_type: str = "TIME") -> list[Span]:
    """Dates, months, years, decades and centuries, in numbers or English words."""
    return [Span(*match.span(), entity_type) for match in DATE.finditer(text)]


def number_spans(text: str, entity_type: str = "NUM") -> list[Span]:
    """Numbers, amounts and shares, in digits or English words; "one" alone is none."""
    return [Span(*match.span(), entity_type) for match in NUMBER.finditer(text)]


def add_where_free(spans: list[Span], further: list[Span]) -> list[Span]:
    """Spans and those others that touch none of them, in order."""
    taken = sorted((span.start, span.end) for span in spans)
    kept, place, reach = list(spans), 0, 0
    for span in sorted(further, key=lambda one: one.start):
        while place < len(taken) and taken[place][0] < span.end:
            reach = max(reach, taken[place][1])
            place += 1
        if reach <= span.start:
            kept.append(span)
    return sorted(kept, key=lambda one: (one.start, -one.end))
