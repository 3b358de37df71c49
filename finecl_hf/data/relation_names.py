"""Relations by name: readable names, and the choice of some relations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from finecl_hf.data.documents import NA
from finecl_hf.errors import FineCLError


def read_relation_names(path: str | None) -> dict[str, str]:
    """Readable name of each relation id, from a `rel_info`-style JSON object; empty without a file.

    Raises:
        FineCLError: the file is not such an object, or names no relation.
    """
    if path is None:
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            names = json.load(file)
    except FileNotFoundError as error:
        raise FineCLError(f"--rel_info {path}: there is no such file; check the path.") from error
    except (OSError, ValueError) as error:
        raise FineCLError(f"--rel_info {path}: cannot be read as JSON ({error}).") from error
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise FineCLError(f'--rel_info {path}: expected an object such as {{"P19": "place of birth"}}.')
    if not set(names) - {NA}:
        raise FineCLError(f"--rel_info {path}: the label set is empty; name at least one relation.")
    return {relation: name for relation, name in names.items() if relation != NA}


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
    if NA in chosen:
        raise FineCLError(f'--relations {" ".join(values)}: "{NA}" stands for no relation; leave it out.')
    return sorted(chosen)


def _relations_of(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        values = json.loads(text) if text.lstrip().startswith(("[", "{")) else text.splitlines()
    except (OSError, ValueError) as error:
        raise FineCLError(f"--relations {path}: cannot be read ({error}).") from error
    if not all(isinstance(value, str) for value in values):
        raise FineCLError(f'--relations {path}: expected a list of relation ids, such as ["P19", "P20"].')
    return [value for value in values if value != NA] if isinstance(values, dict) else list(values)
