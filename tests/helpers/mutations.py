"""Seeded mutations of valid inputs: of their structure, and of their bytes."""

import copy
import json
import random


ODD = [
    None, True, False, 0, -1, 1, 2, 10**6, 2**31, 2**63, -(2**63), 10**30, 0.5, -0.0, float("nan"), float("inf"),
    "", " ", "0", "NA", "no_relation", "\ud800", "\x00", "\ufeff", "é", "\u202e", "a\nb", "a\tb", "#", "%23",
    "../../etc/passwd", "[1", "{", "x" * 300, [], {}, [[]], [None], [[], []], {"a": 1}, {"": ""}, ["a", 1], [0, 1],
    [1, 0], [-1, 5], 1e308,
]  # fmt: skip
PIECES = (b"\x00", b"\xff", b'"', b"{", b"]", b",", b"\n", b"\r", b"\t", b"\\u", b"\xef\xbb\xbf")


def nodes(value, path=()):
    """Every place in a value of JSON."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from nodes(child, (*path, key))


def mutated(value, draw: random.Random):
    """A copy of a value with one to three changes."""
    value = copy.deepcopy(value)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        value = _changed(value, draw)
    return value


def _changed(value, draw):
    *path, last = draw.choice(list(nodes(value))) or (None,)
    if last is None:
        return draw.choice((_odd(draw), [value, value], {"data": value}, value))
    parent = value
    for key in path:
        parent = parent[key]
    action = draw.randrange(8)
    if action == 0:
        del parent[last]
    elif action == 1 and isinstance(parent, list):
        parent.insert(last, copy.deepcopy(parent[draw.randrange(len(parent))]))
    elif action == 1:
        parent[draw.choice((f"{last}s", last.upper() if isinstance(last, str) else "x", ""))] = parent.pop(last)
    elif action == 2 and isinstance(parent, list):
        draw.shuffle(parent)
    elif action == 3 and isinstance(parent[last], int):
        parent[last] += draw.choice((-1, 1, 7, 2**31))
    elif action == 4 and isinstance(parent[last], str):
        at = draw.randrange(len(parent[last]) + 1)
        parent[last] = parent[last][:at] + str(draw.choice(ODD)) + parent[last][at:]
    elif action == 5:
        parent[last] = [parent[last]] if draw.random() < 0.5 else {"value": parent[last]}
    elif action == 6:
        other = value
        for key in draw.choice(list(nodes(value))):
            other = other[key]
        parent[last] = copy.deepcopy(other)
    else:
        parent[last] = _odd(draw)
    return value


def _odd(draw):
    odd = copy.deepcopy(draw.choice(ODD))
    if draw.random() < 0.02:
        for _ in range(draw.choice((50, 400))):
            odd = [odd]
    return odd


def to_json(value, draw):
    """A value as text; where it lies too deep for the encoder, as brackets."""
    try:
        text = json.dumps(value, ensure_ascii=draw.random() < 0.5, indent=draw.choice((None, None, 1)))
    except RecursionError:
        text = "[" * 1500 + "]" * 1500
    return text.encode("utf-8", "surrogatepass")


def scrambled(data: bytes, draw: random.Random) -> bytes:
    """The same bytes with a few of them changed, lost, repeated or cut off."""
    data = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 8))):
        at = draw.randrange(len(data) + 1)
        action = draw.randrange(6)
        if action == 0:
            data[at : at + 1] = bytes([draw.randrange(256)])
        elif action == 1:
            del data[at : at + draw.choice((1, 4, 50))]
        elif action == 2:
            data[at:at] = draw.choice(
                (b"\x00", b"\xff", b'"', b"{", b"]", b",", b"\n", b"\r", b"\t", b"\\u", b"\xef\xbb\xbf")
            )
        elif action == 3:
            del data[at:]
        elif action == 4:
            start = draw.randrange(len(data) + 1)
            data[at:at] = data[start : start + draw.choice((1, 20, 200))]
        elif data:
            data[min(at, len(data) - 1)] ^= 1 << draw.randrange(8)
    return bytes(data)
