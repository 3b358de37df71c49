"""UTF-16, which spreadsheets and Windows write: told from the first bytes of a file, with a mark or without."""

from __future__ import annotations

import codecs
import os

from finecl_hf.errors import DocumentError


def utf_16_of(data: bytes) -> str | None:
    """The encoding of bytes that begin as UTF-16 does; None for others.

    Without a mark, it is told by a zero beside the first character or the second: one of both is in ASCII wherever
    the text begins with the name of a column or an identifier.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    zeros = [place for place, byte in enumerate(data[:4]) if not byte]
    if not zeros or len({place % 2 for place in zeros}) > 1:
        return None
    return "utf-16-le" if zeros[0] % 2 else "utf-16-be"


def refuse_utf_16(path: str | os.PathLike, flag: str = "") -> None:
    """Raises DocumentError where a file that is read as UTF-8 is UTF-16: its lines would look like text with zeros.

    Args:
        flag: the option that named the file, for the message.
    """
    with open(path, "rb") as file:
        if utf_16_of(file.read(4)):
            raise DocumentError("the file is UTF-16; save it with UTF-8 encoding.", source=f"{flag} {path}".lstrip())
