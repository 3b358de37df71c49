"""How well a learning order and the labels of a corpus fit each other."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Coverage:
    """How a table and a corpus fit.

    Attributes:
        known, unknown: instances that the table has, and has not.
        unused: rows that belong to no instance.
        unjudged: known instances that stage 1 never judged, though it recorded dynamics: those past its length.
        example: an unknown id, empty where there is none.
    """

    known: int
    unknown: int
    unused: int
    unjudged: int = 0
    example: str = field(default="", compare=False)

    @property
    def share(self) -> float:
        """Known instances as a fraction of all; 1 for an empty corpus."""
        return self.known / (self.known + self.unknown) if self.known + self.unknown else 1.0

    def __str__(self) -> str:
        return (
            f"the learning order knows {self.known:,} of {self.known + self.unknown:,} instances "
            f"({100 * self.share:.1f}%); {self.unused:,} of its rows belong to none of them"
            + (f"; {self.unjudged:,} known ones were never judged" if self.unjudged else "")
        )
