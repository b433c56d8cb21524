"""Canonical JSON (RFC 8785) and the SHA-256 that content is known by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

LARGEST_EXACT_INTEGER = 2**53 - 1
"""Beyond this a JSON number is not exact in every reader (RFC 8785, 3.2.2.3; RFC 7493)."""


def canonical_json(value: Any) -> bytes:
    """The RFC 8785 form of ``value``: objects, arrays, strings, integers, booleans and null.

    Fractions are refused rather than rounded: there are no floats in this record.

    Raises:
        ValueError: for a float, an integer that is not exact in JSON, a lone surrogate or any other type.
    """
    try:
        return json.dumps(_ordered(value), separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError("a string holds a lone surrogate") from error


def content_hash(value: Any) -> str:
    """``sha256:`` and 64 hex digits over the canonical JSON of ``value``."""
    return hash_of(canonical_json(value))


def hash_of(data: bytes) -> str:
    """The SHA-256 of bytes, as hashes are written everywhere in the record."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _ordered(value: Any) -> Any:
    # Every entry is hashed by this. A class is told at once, a protocol only after a search: so the classes come first.
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, int):
        if abs(value) > LARGEST_EXACT_INTEGER:
            raise ValueError(f"{value} is not exact in JSON")
        return value
    if isinstance(value, (dict, Mapping)):
        return {key: _ordered(value[key]) for key in _in_order(value)}
    if isinstance(value, (list, tuple, Sequence)) and not isinstance(value, (bytes, bytearray)):
        return [_ordered(item) for item in value]
    raise ValueError(f"{type(value).__name__} has no canonical JSON")


def _in_order(keys: Iterable[Any]) -> list[str]:
    """RFC 8785, 3.2.3 sorts by UTF-16 code units, which is Python's order of ASCII, and no more of all strings."""
    keys = list(keys)
    if not all(isinstance(key, str) for key in keys):
        raise ValueError("a key is not a string")
    if all(map(str.isascii, keys)):
        return sorted(keys)
    return sorted(keys, key=_utf16)


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be", "surrogatepass")
