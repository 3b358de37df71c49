"""How a benchmark ends where its input is wrong: in one line, as the scripts that it measures do."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from finecl_hf.errors import escape_what_consoles_cannot_show, is_mistake_of_input


def run_benchmark(main: Callable[[], Any]) -> None:
    """Runs a benchmark's `main`.

    Raises:
        SystemExit: 2 for a mistake in what it was given; other errors keep their traceback.
    """
    escape_what_consoles_cannot_show()
    try:
        main()
    except Exception as error:
        if not is_mistake_of_input(error):
            raise
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)


def count(text: str) -> int:
    """A whole number of 1 or more, as the type of an option."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f'"{text}" is no whole number of 1 or more')
    return number
