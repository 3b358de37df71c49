"""Reads JSON text piece by piece, so that a file far larger than memory is read one record at a time."""

from __future__ import annotations

import codecs
import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from finecl_hf.errors import DocumentError


CHUNK_SIZE = 1 << 20
_SPACE = re.compile(r"[ \t\n\r]*")
# Longer than any token that the end of the buffer can cut in two, strings apart: `-Infinity`, `\ud83d\ude00`, `1.5e+`.
_LONGEST_TOKEN = 16
_raw_decode = json.JSONDecoder(strict=False).raw_decode  # strict=False: raw tabs and line ends in strings are allowed


def is_gzip(path: Path) -> bool:
    """Whether a file is gzipped, by its first bytes: the extension may lie."""
    with open(path, "rb") as file:
        return file.read(2) == b"\x1f\x8b"


def text_chunks(path: Path, chunk_size: int = CHUNK_SIZE) -> Iterator[str]:
    """Yields the text of a UTF-8 file, gzipped or not, in pieces of about `chunk_size` bytes, without the BOM.

    Raises:
        DocumentError: after the last good piece, where the file is not UTF-8 or its gzip data are damaged.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    first = True
    with gzip.open(path) if is_gzip(path) else open(path, "rb") as file:
        data = b"start"
        while data:
            try:
                data = file.read1(chunk_size)
            except EOFError:
                raise DocumentError("the gzip file is cut off here; download or write it again.") from None
            except (gzip.BadGzipFile, zlib.error) as error:
                raise DocumentError(f"the gzip data are damaged ({error}); download the file again.") from None
            try:
                text = decoder.decode(data, final=not data)
            except UnicodeDecodeError as error:
                if error.start:
                    yield error.object[: error.start].decode("utf-8")
                raise DocumentError(
                    f"the byte 0x{error.object[error.start]:02x} is not UTF-8; save the file with UTF-8 encoding."
                ) from None
            if text:
                yield text.removeprefix("\ufeff") if first else text
                first = False


def text_lines(chunks: Iterable[str]) -> Iterator[str]:
    """Yields the lines of text from pieces. Only `\\n` ends a line: JSON strings may hold U+2028 and `\\r`."""
    waiting: list[str] = []  # joined once a line: a line of a gigabyte stays linear
    for chunk in chunks:
        first, *others = chunk.split("\n")
        waiting.append(first)
        if others:
            yield "".join(waiting)
            yield from others[:-1]
            waiting = [others[-1]]
    if any(waiting):
        yield "".join(waiting)


def parse_json(text: str) -> Any:
    """`json.loads` that allows raw control characters in strings.

    Raises:
        DocumentError: saying what is wrong at which column.
    """
    try:
        value, end = _raw_decode(text, _SPACE.match(text).end())
    except json.JSONDecodeError as error:
        raise DocumentError(f"is not JSON ({error.msg} at column {error.pos + 1})") from None
    except (ValueError, RecursionError) as error:  # integers of thousands of digits, thousands of nested lists
        raise DocumentError(f"cannot be read as JSON ({error})") from None
    if _SPACE.match(text, end).end() < len(text):
        raise DocumentError(f"is not JSON (more text after the value, at column {end + 1})")
    return value


class JsonStream:
    """A cursor over JSON text that arrives in pieces; only the piece around the cursor is in memory.

    Args:
        chunks: pieces of the text, cut anywhere.
    """

    def __init__(self, chunks: Iterable[str]):
        self._chunks, self._text, self._at, self._start = iter(chunks), "", 0, 0

    def peek(self) -> str:
        """The next character that is not white space, or "" at the end of the text."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._fill():
                return ""

    def excerpt(self, length: int = 30) -> str:
        """The text at the cursor, for messages and for telling formats apart."""
        self.peek()
        while len(self._text) - self._at < length and self._fill():
            pass
        return self._text[self._at : self._at + length]

    def take(self, char: str) -> bool:
        """Moves past `char` if it comes next, and says whether it did."""
        found = self.peek() == char
        self._at += found
        return found

    def expect(self, char: str) -> None:
        if not self.take(char):
            raise self._syntax_error(f"`{char}` expected")

    def value(self) -> Any:
        """Reads one whole value.

        Raises:
            DocumentError: where the text is no JSON or ends too early.
        """
        self.peek()
        while True:
            try:
                value, end = _raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if not self._may_be_cut(error) or not self._fill():
                    raise self._syntax_error(error.msg, error) from None
            except (ValueError, RecursionError) as error:
                raise DocumentError(f"cannot be read as JSON ({error}).") from None
            else:
                # a number at the end of the buffer may go on in the next piece
                closed = isinstance(value, (dict, list, str)) or len(self._text) - end > _LONGEST_TOKEN
                if closed or not self._fill():
                    self._start, self._at = self._at, end
                    return value

    def last(self) -> str:
        """The text of the value read last, as it stands; to be asked for before the cursor moves on."""
        return self._text[self._start : self._at]

    def elements(self) -> Iterator[Any]:
        """Reads an array and yields its elements one by one."""
        self.expect("[")
        if self.take("]"):
            return
        while True:
            yield self.value()
            if self.take("]"):
                return
            self.expect(",")

    def end(self) -> None:
        """Checks that nothing but white space is left."""
        if self.peek():
            raise DocumentError(
                f"text follows the end of the JSON value: `{self.excerpt()}`; keep one list a file, or use JSON Lines."
            )

    def _fill(self) -> bool:
        """Appends text, at least as much as is waiting: decoding a long value again and again stays linear.

        Returns:
            False, with everything left as it was, where the text has ended.
        """
        waiting = len(self._text) - self._at
        pieces, size = [], 0
        for chunk in self._chunks:
            pieces.append(chunk)
            size += len(chunk)
            if size >= max(waiting, 1):
                break
        if size:
            self._text, self._at = self._text[self._at :] + "".join(pieces), 0
        return size > 0

    def _may_be_cut(self, error: json.JSONDecodeError) -> bool:
        """Whether more text could mend the error. A typing error must not read the rest of a huge file into memory."""
        return error.msg.startswith("Unterminated string") or not self._text[error.pos + _LONGEST_TOKEN :].strip()

    def _syntax_error(self, what: str, error: json.JSONDecodeError | None = None) -> DocumentError:
        position = error.pos if error else self._at
        if not self._text[position:].strip() or error and error.msg.startswith("Unterminated string"):
            return DocumentError("the file ends in the middle of the JSON text; download or write it again.")
        near = self._text[position : position + 30].replace("\n", " ")
        return DocumentError(f"the file is not JSON here ({what} at `{near}`); correct it or write the file again.")
