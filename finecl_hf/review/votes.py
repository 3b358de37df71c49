"""What several people say of labels: one verdict each, and how far they agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from finecl_hf.learning_order.verdicts import OTHER, RIGHT, UNSURE, WRONG


@dataclass(frozen=True)
class Vote:
    """What one person says of one label.

    Attributes:
        instance_id: the label; key: its key, where the tool cannot hold every name, else None.
        verdict: one of `verdicts.KINDS`, or "" for none.
        right_relation: what holds instead, as the person wrote it.
        judge: who says so; "" where one person filled in a file.
        stratum, stratum_size: see [`~finecl_hf.review.tasks.Task`].
        where: place in the file, for messages.
    """

    instance_id: str
    verdict: str
    right_relation: str = ""
    judge: str = ""
    stratum: str = ""
    stratum_size: int = 0
    where: str = ""
    key: int | None = None


_WORDS = {
    RIGHT: "right r yes y true t correct 1 1.0",
    WRONG: "wrong w no n false f incorrect 0 0.0",
    OTHER: "other o other_relation",
    UNSURE: "unsure u ? unknown maybe",
}
_KIND_OF_WORD = {word: kind for kind, words in _WORDS.items() for word in words.split()}


def kind_of_word(word: object) -> str | None:
    """The verdict that a word or a number stands for: "" for an empty one, None for one that is not known."""
    text = "_".join(str("" if word is None else word).strip().lower().replace("-", " ").split())
    return _KIND_OF_WORD.get(text) if text else ""


def verdict_of(answer: object) -> str:
    """The verdict that somebody chose; a word that is not known stays as it is, for the message."""
    kind = kind_of_word(answer)
    return str(answer) if kind is None else kind


def answer_text(value: object) -> str:
    """What somebody wrote or chose, as tools export it: a text, a number, or the first of a list; "" for others."""
    value = value[0] if isinstance(value, list) and value else value
    return value.strip() if isinstance(value, str) else str(value) if isinstance(value, int) else ""


def stratum_size(value: object) -> int:
    """The number of labels that a stratum has; 0 where an export does not say."""
    return value if type(value) is int and value > 0 else 0


def decide(votes: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """The verdict of the majority, and the right relation.

    That the label is wrong and that another relation holds are one side of the question; only where this side wins,
    those of it who name another relation must outnumber the others. Ties are unsure.

    Args:
        votes: (verdict, right relation) of each person.
    """
    sides = Counter(WRONG if verdict == OTHER else verdict for verdict, _ in votes)
    winner = _most(sides) or UNSURE
    if winner != WRONG:
        return winner, ""
    named = [relation for verdict, relation in votes if verdict == OTHER]
    if 2 * len(named) <= sides[WRONG]:
        return WRONG, ""
    return OTHER, _most(Counter(named)) or ""


def _most(counts: Counter[str]) -> str | None:
    """The most frequent one; None where there is a tie."""
    (first, count), *others = counts.most_common(2)
    return None if others and others[0][1] == count else first


def krippendorff_alpha(units: Iterable[Sequence[str]]) -> float | None:
    """Krippendorff's alpha for nominal data (Krippendorff, Content Analysis, 2004): 1 - D_observed / D_expected.

    Args:
        units: what each person says of a unit; units with fewer than two say nothing.

    Returns:
        1 for full agreement, 0 for chance; None where no two people judged one unit, or all say the same of all.
    """
    totals: Counter[str] = Counter()
    observed = 0.0
    for values in units:
        if len(values) < 2:
            continue
        counts = Counter(values)
        totals.update(counts)
        agreeing = sum(count * (count - 1) for count in counts.values())
        observed += (len(values) * (len(values) - 1) - agreeing) / (len(values) - 1)
    pairable = totals.total()
    expected = pairable**2 - sum(count**2 for count in totals.values())
    return 1 - (pairable - 1) * observed / expected if expected else None
