"""The stratum of a task as a code that tells judges nothing: tools hide no column for good."""

from __future__ import annotations

from base64 import b32decode, b32encode
from hashlib import blake2b

from finecl_hf.learning_order.verdicts import NO_LABEL
from finecl_hf.review.sampling import RANDOM, WORST


_STRATA = (WORST, RANDOM, "")
_SIZE, _CHECK = 6, 4  # bytes


def sealed(stratum: str, size: int, instance_id: str) -> str:
    """The code of a stratum and its size; codes of one stratum have nothing in common that one could sort by."""
    place = _STRATA.index("" if stratum == NO_LABEL else stratum)  # which alone has a size without a stratum
    value = (size * len(_STRATA) + place).to_bytes(_SIZE, "big")
    return "s" + b32encode(_check(value, instance_id) + _masked(value, instance_id)).decode().rstrip("=")


def opened(code: str, instance_id: str) -> tuple[str, int]:
    """The stratum and its size; ("", 0) for a code that is damaged or belongs to another label."""
    try:
        raw = b32decode(code[1:] + "=" * (-len(code[1:]) % 8))
    except ValueError:
        return "", 0
    value = _masked(raw[_CHECK:], instance_id)
    # older exports checked the value alone, so that each stratum had a prefix of its own
    if len(value) != _SIZE or raw[:_CHECK] not in (_check(value, instance_id), _check(value)):
        return "", 0
    size, stratum = divmod(int.from_bytes(value, "big"), len(_STRATA))
    return _STRATA[stratum] or (NO_LABEL if size else ""), size


def _masked(value: bytes, instance_id: str) -> bytes:
    mask = blake2b(instance_id.encode(errors="replace"), digest_size=_SIZE).digest()
    return bytes(a ^ b for a, b in zip(value, mask, strict=False))


def _check(value: bytes, instance_id: str = "") -> bytes:
    return blake2b(value + instance_id.encode(errors="replace"), digest_size=_CHECK).digest()
