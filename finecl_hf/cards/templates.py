"""Templates of cards, reports and pages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2


if TYPE_CHECKING:  # elsewhere before Python 3.11
    from importlib.resources.abc import Traversable


def templates_in(folder: Traversable | Path, html: bool = False, **options: Any) -> jinja2.Environment:
    """The templates of a folder, which stop at a value that nobody gave.

    Args:
        folder: of the package or of the disk.
        html: values are escaped.
        options: of jinja2.
    """
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: folder.joinpath(name).read_text(encoding="utf-8")),
        undefined=jinja2.StrictUndefined,
        autoescape=html,
        trim_blocks=True,
        lstrip_blocks=True,
        **options,
    )
