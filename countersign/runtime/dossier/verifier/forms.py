"""What everything is written in: canonical JSON, hashes, base64, instants; and what a person is told."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

Json = dict[str, Any]

GENESIS = "sha256:" + "0" * 64


class Wrong(Exception):
    """A check cannot go on; the message says why."""


def canonical(value: Any) -> bytes:
    """JSON in the form of RFC 8785, as this record has it: without fractions."""

    def ordered(one: Any) -> Any:
        if isinstance(one, dict):
            return {
                key: ordered(one[key])
                for key in sorted(one, key=lambda key: key.encode("utf-16-be", "surrogatepass"))
            }
        if isinstance(one, list):
            return [ordered(item) for item in one]
        if isinstance(one, float):
            raise Wrong("a fraction stands in it")
        return one

    return json.dumps(ordered(value), separators=(",", ":"), ensure_ascii=False).encode()


def sha256(data: bytes) -> str:
    """A content hash."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def from_base64(text: str, url: bool = False) -> bytes:
    """What base64 says, in its one spelling."""
    decode, encode = (
        (base64.urlsafe_b64decode, base64.urlsafe_b64encode) if url else (base64.b64decode, base64.b64encode)
    )
    data = decode(text + "=" * (-len(text) % 4) if url else text)
    if (encode(data).decode().rstrip("=") if url else encode(data).decode()) != text:
        raise Wrong("what should be base64 is not")
    return data


def instant(text: str) -> datetime:
    """An instant of RFC 3339."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def strict_json(data: bytes) -> Any:
    """JSON in which no name stands twice in an object."""

    def once(pairs: list[tuple[str, Any]]) -> Json:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise Wrong("a name stands twice in an object")
        return found

    return json.loads(data.decode(), object_pairs_hook=once)


def hashes_in(value: Any) -> Iterator[str]:
    """Every content hash in some JSON."""
    if isinstance(value, str) and re.fullmatch("sha256:[0-9a-f]{64}", value):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from hashes_in(one)


def spelt(numbers: list[int]) -> str:
    """Which entries, in few words."""
    whole = numbers == list(range(numbers[0], numbers[-1] + 1)) and len(numbers) > 1
    return f"entries {numbers[0]} to {numbers[-1]}" if whole else "entries " + ", ".join(map(str, numbers))


def printable(text: str) -> str:
    """Text that steers no terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)
