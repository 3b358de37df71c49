"""Reads JSON text piece by piece, so that a file far larger than memory is read one record at a time."""

from __future__ import annotations

import codecs
import gzip
import json
import math
import os
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

from finecl_hf.data.unpacking import most_bytes, unpacks_too_far
from finecl_hf.errors import DocumentError, FineCLError


CHUNK_SIZE = 1 << 20
LONGEST_RECORD = 1 << 27  # characters of one line or element: a document of a thousand pages
_SPACE = re.compile(r"[ \t\n\r]*")
# Longer than any token that the end of the buffer can cut in two, strings apart: `-Infinity`, `\ud83d\ude00`, `1.5e+`.
_LONGEST_TOKEN = 16
raw_decode = json.JSONDecoder(strict=False).raw_decode  # strict=False: raw tabs and line ends in strings are allowed


def is_gzip(file: BufferedReader) -> bool:
    """Whether a file, opened and not yet read, is gzipped, by its first bytes: the extension may lie."""
    return file.peek(2)[:2] == b"\x1f\x8b"


def text_chunks(file: BufferedReader, chunk_size: int = CHUNK_SIZE) -> Iterator[str]:
    """Yields the text of an open UTF-8 file, gzipped or not, in pieces of about `chunk_size` bytes, without the BOM.

    Raises:
        DocumentError: after the last good piece, where the file is not UTF-8 or its gzip data are damaged.
    """
    packed = is_gzip(file)
    source = gzip.GzipFile(fileobj=file) if packed else file
    # What stands before damaged gzip data is read; a plain file gives whole pieces: the first tells the format
    read_piece = source.read1 if packed else source.read
    most = most_bytes(os.fstat(file.fileno()).st_size) if packed else math.inf
    decoder = codecs.getincrementaldecoder("utf-8")()
    first, data, read = True, b"start", 0
    while data:
        try:
            data = read_piece(chunk_size)
            read += len(data)
            if read > most:
                raise unpacks_too_far()
        except EOFError:
            raise DocumentError("the gzip file is cut off here; download or write it again.") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise DocumentError(f"the gzip data are damaged ({error}); download the file again.") from None
        try:
            text = decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            if error.start:
                yield error.object[: error.start].decode("utf-8")
            byte = error.object[error.start]
            raise DocumentError(f"the byte 0x{byte:02x} is not UTF-8; save the file with UTF-8 encoding.") from None
        if first and "\0" in text[:2]:  # without a mark at its beginning, UTF-16 is UTF-8 with zeros
            raise DocumentError("the file is UTF-16; save it with UTF-8 encoding.")
        if text:
            yield text.removeprefix("\ufeff") if first else text
            first = False


def text_lines(chunks: Iterable[str]) -> Iterator[str]:
    """Yields the lines of text from pieces. Only `\\n` ends a line: JSON strings may hold U+2028 and `\\r`."""
    waiting: list[str] = []  # joined once a line: a long one stays linear
    size = 0
    for chunk in chunks:
        first, *others = chunk.split("\n")
        waiting.append(first)
        size += len(first)
        _refuse_huge(size)
        if others:
            yield "".join(waiting)
            yield from others[:-1]
            waiting, size = [others[-1]], len(others[-1])
    if any(waiting):
        yield "".join(waiting)


def _refuse_huge(size: int) -> None:
    if size > LONGEST_RECORD:
        raise DocumentError(
            f"a record has more than {LONGEST_RECORD:,} characters; write one document a line, or a list of documents."
        )


def parse_json(text: str, decode: Callable[[str, int], tuple[Any, int]] | None = None) -> Any:
    """`json.loads` that allows raw control characters in strings.

    Args:
        decode: what to decode with in place of [`raw_decode`].

    Raises:
        DocumentError: saying what is wrong at which column.
    """
    try:
        value, end = (decode or raw_decode)(text, _SPACE.match(text).end())
    except json.JSONDecodeError as error:
        raise DocumentError(f"is not JSON ({error.msg} at column {error.pos + 1})") from None
    except (ValueError, RecursionError) as error:  # integers of thousands of digits, thousands of nested lists
        raise DocumentError(f"cannot be read as JSON ({error})") from None
    if _SPACE.match(text, end).end() < len(text):
        raise DocumentError(f"is not JSON (more text after the value, at column {end + 1})")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, none of whose keys is given twice: of two values, nobody could say which one was meant."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f'the key "{twice}" is given twice')
    return found


_decode_once = json.JSONDecoder(strict=False, object_pairs_hook=_once).raw_decode


def read_json(path: str | Path, flag: str = "") -> Any:
    """The one value of a JSON file, gzipped or not, with or without a byte order mark. No key may be given twice.

    Args:
        flag: the option that named the file, for the message.

    Raises:
        FineCLError: there is no such file, or it is no JSON.
    """
    source = f"{flag} {path}".strip()
    try:
        with open(path, "rb") as file:
            return parse_json("".join(text_chunks(file)), _decode_once)
    except DocumentError as error:
        reason = error.message.removeprefix("is not JSON ").removeprefix("cannot be read as JSON ").strip("().")
        raise FineCLError(f"{source}: cannot be read as JSON ({reason}); correct it or write it again.") from None
    except FileNotFoundError as error:
        raise FineCLError(f"{source}: there is no such file; check the path.") from error
    except OSError as error:
        raise FineCLError(f"{source}: cannot be read ({error.strerror or error}).") from error


def array_elements(chunks: Iterable[str]) -> Iterator[Any]:
    """Yields the elements of the JSON array that a text holds, one by one.

    Args:
        chunks: pieces of the text, cut anywhere. Only those that hold the current element are in memory.

    Raises:
        DocumentError: after the last good element, where the text is no JSON, ends too early or goes on.
    """
    text = _Window(chunks)
    text.next_char()
    yield from _elements(text)
    if text.next_char():
        raise DocumentError("text follows the end of the JSON list; keep one list a file, or use JSON Lines.")


def member_elements(chunks: Iterable[str], *keys: str) -> Iterator[Any]:
    """Yields the elements of the array that a JSON object holds under one of some keys, one by one.

    Args:
        chunks: pieces of the text of the object, as of [`array_elements`].

    Raises:
        DocumentError: after the last good element, as [`array_elements`] does; or there is no such array.
    """
    begins = re.compile(rf'"({"|".join(map(re.escape, keys))})"\s*:\s*(?=\[)')
    text = _Window(chunks)
    text.next_char()
    while not (found := begins.search(text.text)):
        if not text.fill():
            raise DocumentError(f"the object has no list `{keys[0]}`; correct it or write the file again.")
    text.at = found.end()
    yield from _elements(text)
    while text.fill():
        pass
    try:
        parse_json('{"":[]' + text.text[text.at :])
    except DocumentError as error:
        raise DocumentError(
            f"what follows the list `{found[1]}` {error.message}; download or write the file again."
        ) from None


def _elements(text: _Window) -> Iterator[Any]:
    """Elements of the array whose opening bracket comes next; what follows it is left unread."""
    text.at += 1
    if text.next_char() == "]":
        text.at += 1
        return
    delimiter = ","
    while delimiter == ",":
        value, delimiter = text.element()
        yield value


class _Window:
    """A piece of a longer text.

    Attributes:
        text: what lies in memory; at: the place in it that was read up to.
    """

    def __init__(self, chunks: Iterable[str]):
        self.text, self.at = "", 0
        self._chunks = iter(chunks)

    def next_char(self) -> str:
        """Moves to the next character that is not white space, and returns it; "" at the end of the text."""
        while True:
            self.at = _SPACE.match(self.text, self.at).end()
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.fill():
                return ""

    def element(self) -> tuple[Any, str]:
        """Reads a value of an array and the delimiter behind it.

        Returns:
            The value, and `,` or `]`.
        """
        self.next_char()
        while True:
            try:
                value, end = raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:
                what, where = error.msg, error.pos
            except (ValueError, RecursionError) as error:  # integers of thousands of digits, thousands of nested lists
                raise DocumentError(f"cannot be read as JSON ({error}).") from None
            else:
                where = _SPACE.match(self.text, end).end()
                if (delimiter := self.text[where : where + 1]) in (",", "]"):
                    self.at = where + 1
                    return value, delimiter
                what = "`,` expected"
            # A typing error far from the end must not read the rest of a huge file into memory.
            is_cut = what.startswith("Unterminated string") or not self.text[where + _LONGEST_TOKEN :].strip()
            if not is_cut or not self.fill():
                raise self._error(what, where)

    def fill(self) -> bool:
        """Appends text, at least as much as is waiting: decoding a long value again and again stays linear.

        Returns:
            False, with everything left as it was, where the text has ended.
        """
        waiting = len(self.text) - self.at
        _refuse_huge(waiting)
        pieces, size = [], 0
        for chunk in self._chunks:
            pieces.append(chunk)
            size += len(chunk)
            if size >= max(waiting, 1):
                break
        if size:
            self.text, self.at = self.text[self.at :] + "".join(pieces), 0
        return size > 0

    def _error(self, what: str, where: int) -> DocumentError:
        near = self.text[where : where + 30].replace("\n", " ").strip()
        if not near or what.startswith("Unterminated string"):
            return DocumentError("the file ends in the middle of the JSON text; download or write it again.")
        return DocumentError(f"the file is not JSON here ({what} at `{near}`); correct it or write the file again.")
