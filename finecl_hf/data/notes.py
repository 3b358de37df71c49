"""What readers leave out of a source, or take in one of several ways: counted, and said in the end."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from finecl_hf.errors import printable


_MOST_TEXTS = 10_000  # of one kind that are told apart
_SHOWN, _REPORTED = 3, 200


def counted(count: int, noun: str, plural: str = "") -> str:
    """`1 fact`, `1,234 facts`.

    Args:
        noun: in the singular, perhaps with what stands before it.
        plural: where it is not the noun with an s.
    """
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


class Notes:
    """How often something of each kind happened, and with what.

    Attributes:
        counts: by kind.
    """

    def __init__(self, notes: Iterable[tuple[str, str]] = ()):
        self.counts: Counter[str] = Counter()
        self._texts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for kind, text in notes:
            self.add(kind, text)

    def add(self, kind: str, text: str, count: int = 1) -> None:
        self.counts[kind] += count
        texts = self._texts[kind]
        if text in texts or len(texts) < _MOST_TEXTS:
            texts[text] += count

    def update(self, other: Notes) -> None:
        """Adds what another one counted."""
        for kind, count in other.counts.items():
            self.counts[kind] += count
            self._texts[kind].update(other._texts[kind])

    def __str__(self) -> str:
        """`3 labels without ... ("a" 2, "b" 1)`, and so on for each kind; "" where there is nothing to say."""
        return "; ".join(
            f"{count:,} {kind} ({', '.join(_shown(self._texts[kind]))})" for kind, count in self.counts.most_common()
        )

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """The count of each kind, and its most frequent texts with theirs."""
        return {
            kind: {"count": count, "most_frequent": dict(self._texts[kind].most_common(_REPORTED))}
            for kind, count in self.counts.most_common()
        }


def _shown(texts: Counter[str]) -> list[str]:
    shown = [f'"{printable(" ".join(text.split())[:60])}" {count:,}' for text, count in texts.most_common(_SHOWN)]
    return shown + ["..."] * (len(texts) > _SHOWN)
