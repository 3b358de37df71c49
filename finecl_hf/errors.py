"""The one exception that tells a user, in a sentence, what is wrong with their input, where, and how to mend it."""

from __future__ import annotations

import sys
import traceback


class FineCLError(ValueError):
    """A mistake in the user's input. Scripts print it and exit with status 2, without a traceback."""

    def __init__(self, message=""):
        super().__init__(printable(str(message)))


class UploadError(FineCLError):
    """The Hub has not taken what a run wrote: the run has finished, and its folder is whole."""


class DocumentError(FineCLError):
    """A document that does not follow the schema.

    Args:
        message: what is wrong and how to mend it.
        field: the field concerned, such as `vertexSet[2][0].pos`.
        source: the file or dataset the document came from.
        index: position of the document in its source, from 0.
        title: title of the document, where it has one.
    """

    def __init__(self, message, field="", source="", index=None, title=None):
        self.message, self.field, self.source, self.index, self.title = message, field, source, index, title
        place = [str(source)] if source else []
        if index is not None:
            place.append(f"document {index}" + (f' ("{_one_line(title)}")' if title else ""))
        if field:
            place.append(field)
        super().__init__(f"{', '.join(place)}: {message}" if place else message)

    def fields(self) -> list:
        """The constructor's arguments: `DocumentError(*error.fields())` is an equal error."""
        return [self.message, self.field, str(self.source), self.index, self.title]

    def __reduce__(self):  # worker processes send errors home by pickle
        return DocumentError, tuple(self.fields())


def printable(text):
    """The text without halves of characters, which no terminal and no file can take."""
    return text.encode("utf-8", "backslashreplace").decode()


def _one_line(title):
    """The title as far as a one-line message can hold it: a broken file may have a whole page there."""
    title = " ".join(str(title).split())
    return title if len(title) <= 100 else title[:97] + "..."


def escape_what_consoles_cannot_show():
    """Lets a terminal or a pipe that takes few characters (cp1252, ASCII) have the others as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # what tests and notebooks put in their place may not have it
            stream.reconfigure(errors="backslashreplace")


# Libraries whose checks of what they are given are written for users
LIBRARIES = ("transformers", "accelerate", "peft", "datasets", "huggingface_hub", "evaluate")


def raised_in(error, packages):
    """Whether an error was raised in one of some packages, or by the standard library for it (an enum, say).

    An error in our own lines is a bug of ours, and keeps its traceback.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    names = [frame.f_globals.get("__name__", "").partition(".")[0] for frame in frames]
    return next((name for name in reversed(names) if name not in sys.stdlib_module_names), "") in packages


def is_mistake_of_input(error):
    """Whether an error tells users what to change: ours, the system's, or one that a library itself raised.

    An error in our own lines is a bug of ours, and so is one deep in torch: they keep their traceback.
    """
    if isinstance(error, (FineCLError, OSError)):  # a full disk, a folder that may not be written, no network
        return True
    return isinstance(error, (ValueError, TypeError, ImportError, RuntimeError)) and raised_in(error, LIBRARIES)
