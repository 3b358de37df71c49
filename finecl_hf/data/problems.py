"""The one policy for documents that cannot be used: invalid ones, and those whose title occurred before."""

from __future__ import annotations

import logging
import os
import re
from bisect import bisect_right
from collections import Counter

from finecl_hf.errors import DocumentError
from finecl_hf.hashing import text_key


logger = logging.getLogger(__name__)


class Problems:
    """Collects the invalid documents of a source, and says at its end what that means.

    Without `skip_invalid`, an error: the problem itself where there is only one, else a summary. With it, one warning
    that counts what was left out, and an error only where nothing valid is left.

    Args:
        source: where the documents come from.
        skip_invalid: go on without invalid documents.

    Attributes:
        first: the first problem, None as long as there is none.
        kinds: how many problems there are of each [`kind_of_problem`].
    """

    def __init__(self, source: str | os.PathLike, skip_invalid: bool):
        self.source, self.skip_invalid = source, skip_invalid
        self.first: DocumentError | None = None
        self.kinds: Counter[str] = Counter()

    def add(self, problem: DocumentError) -> None:
        self.first = self.first or problem
        self.kinds[kind_of_problem(problem)] += 1

    def settle(self, num_valid: int, quiet: bool = False) -> None:
        """Says what there is to say once the whole source is read.

        Args:
            num_valid: documents that are valid.
            quiet: warn of nothing; errors stay errors.

        Raises:
            DocumentError: there are problems that may not be passed over.
        """
        if self.first is None:
            return
        if self.skip_invalid and num_valid:
            if not quiet:
                logger.warning("%s They are left out.", self.summary(num_valid))
            return
        if self.kinds.total() == 1:
            raise self.first
        go_on = " `--skip_invalid` goes on without them." if num_valid else ""
        raise DocumentError(self.summary(num_valid) + go_on)

    def summary(self, num_valid: int) -> str:
        """The problems in a few lines' length, however many there are: how many, the first one, the frequent kinds."""
        count, path = self.kinds.total(), _shorten(str(self.source), 150)
        kinds = "; ".join(f"{count} x {kind}" for kind, count in self.kinds.most_common(5))
        others = f"; and {len(self.kinds) - 5} other kinds" if len(self.kinds) > 5 else ""
        return (
            f"{path}: {count} of {num_valid + count} documents {'is' if count == 1 else 'are'} invalid. "
            f"The first: {_shorten(str(self.first), 500)} By kind: {kinds}{others}. "
            f"`finecl-hf validate {path}` lists them."
        )


class Titles:
    """Where each title was seen first. Holds hashes, which take less memory than millions of titles.

    Args:
        window: how many of the last titles to remember; None remembers all.
    """

    def __init__(self, window: int | None = None):
        self.window = window
        self._first: dict[int, int] = {}  # hash of a title -> number of its document among those of all files
        self._files: list[tuple[int, str]] = []  # number of the first document of each file, and the file's name
        self._next = 0

    def open(self, name: str) -> None:
        """What follows comes from this file."""
        self._files.append((self._next, name))

    def see(self, title: str, index: int) -> None:
        """Notes the title of document `index` of the file.

        Raises:
            DocumentError: another document has this title.
        """
        number = self._files[-1][0] + index
        self._next = number + 1
        first = self._first.setdefault(text_key(title), number)
        if first != number:
            start, name = self._files[bisect_right(self._files, first, key=lambda file: file[0]) - 1]
            raise repeated_title(first - start, name)
        if self.window is not None and len(self._first) > self.window:
            del self._first[next(iter(self._first))]


def repeated_title(first: int, name: str) -> DocumentError:
    """What to say of a document whose title document `first` of the file `name` has, too."""
    return DocumentError(
        f"titles must be unique, and document {first} of {name} has this one; rename one of the two.", "title"
    )


def kind_of_problem(problem: DocumentError) -> str:
    """The problem without its particulars, so that a thousand alike count as one kind."""
    field = re.sub(r"\[\d+\]", "[]", problem.field)
    message = re.sub(r"\"[^\"]*\"?|`[^`]*`?", "...", problem.message)
    message = re.sub(r"-?\d+", "#", message).removesuffix(".")
    return _shorten(f"{field}: {message}" if field else message, 90)


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."
