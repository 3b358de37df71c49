"""The one exception that tells a user, in a sentence, what is wrong with their input, where, and how to mend it."""

import os
from contextlib import contextmanager


class FineCLError(ValueError):
    """A mistake in the user's input. Scripts print it and exit with status 2, without a traceback."""


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


def _one_line(title):
    """The title as far as a one-line message can hold it: a broken file may have a whole page there."""
    title = " ".join(str(title).split())
    return title if len(title) <= 100 else title[:97] + "..."


@contextmanager
def loading_from(name, flag=""):
    """Turns what goes wrong while something is loaded into one sentence.

    Args:
        name: a folder or Hub id.
        flag: the option that named it, such as `--model_name_or_path`.

    Raises:
        FineCLError: no such folder or Hub id, nothing fitting in it, damaged weights.
    """
    name = os.fspath(name)
    source = f"{flag} {name}".strip()
    missing = f"{source}: no such folder, and no such model on the Hub; check the spelling, or log in."
    if (name.startswith(("/", ".", "~")) or name.count("/") > 1) and not os.path.exists(name):  # cannot be a Hub id
        raise FineCLError(missing)
    try:
        yield
    except FineCLError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        if "is not a valid model identifier" in str(error):
            raise FineCLError(missing) from error
        elsewhere = isinstance(error, OSError) and "/" in name and not os.path.exists(name)
        told = "no such folder, and it cannot be loaded from the Hub" if elsewhere else "cannot be loaded"
        raise FineCLError(f"{source}: {told}. {str(error).strip().splitlines()[0]}") from error
    except Exception as error:
        if type(error).__name__ != "SafetensorError":  # a direct subclass of Exception
            raise
        raise FineCLError(f"{source}: the weights are damaged ({error}); download or write them again.") from error
