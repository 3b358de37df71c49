"""Relations by name: readable names, and the choice of some relations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from finecl_hf.data.documents import means_no_relation
from finecl_hf.data.json_stream import read_json
from finecl_hf.data.unicode_files import refuse_utf_16
from finecl_hf.errors import FineCLError


def read_relation_names(path: str | None, flag: str = "--rel_info") -> dict[str, str]:
    """Readable name of each relation id, from a `rel_info`-style JSON object; empty without a file.

    Args:
        flag: the option that named the file, for messages.

    Raises:
        FineCLError: the file is not such an object, or names no relation.
    """
    if path is None:
        return {}
    names = read_json(path, flag)
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise FineCLError(f'{flag} {path}: expected an object such as {{"P19": "place of birth"}}.')
    names = {relation.strip(): name for relation, name in names.items() if not means_no_relation(relation)}
    if not names or "" in names:
        reason = "a relation has no id; give it one" if names else "the label set is empty; name at least one relation"
        raise FineCLError(f"{flag} {path}: {reason}.")
    return names


def read_relation_choice(values: Sequence[str] | None) -> list[str] | None:
    """The relations of `--relations`, sorted: a list, comma-separated or not, or one file.

    Args:
        values: relation ids; or one file that holds a JSON list, a `rel_info`-style JSON object, whose keys count, or
            one relation a line. None chooses all relations. NA may be a key of the object, as in `rel_info` files.

    Raises:
        FineCLError: the file cannot be read, or names no relation, or NA is among them.
    """
    if values is None:
        return None
    path = Path(values[0])
    chosen = _relations_of(path) if len(values) == 1 and path.is_file() else ",".join(values).split(",")
    chosen = {relation.strip() for relation in chosen} - {""}
    if not chosen:
        raise FineCLError(f"--relations {' '.join(values)}: names no relation; give ids such as P19, or a file.")
    if nothing := sorted(filter(means_no_relation, chosen)):
        raise FineCLError(f'--relations {" ".join(values)}: "{nothing[0]}" stands for no relation; leave it out.')
    return sorted(chosen)


def _relations_of(path: Path) -> list[str]:
    try:
        refuse_utf_16(path, "--relations")
        text = path.read_text(encoding="utf-8-sig")
        is_json = text.lstrip().startswith(("[", "{"))
        values = read_json(path, "--relations") if is_json else text.splitlines()
    except (OSError, UnicodeError) as error:
        raise FineCLError(f"--relations {path}: cannot be read ({error}).") from error
    if not all(isinstance(value, str) for value in values):
        raise FineCLError(f'--relations {path}: expected a list of relation ids, such as ["P19", "P20"].')
    return [value for value in values if not means_no_relation(value)] if isinstance(values, dict) else list(values)
