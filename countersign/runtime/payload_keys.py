"""The keys that payloads are encrypted with in Temporal: one encrypts, all of them decrypt.

The file is a JWK Set (RFC 7517) of symmetric keys (RFC 7518, 6.4) for AES-256-GCM. Its first key is the current one.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from countersign.disk import write_private

LENGTH: Final = 32
"""Bytes of a key: AES-256."""

ALGORITHM: Final = "A256GCM"

_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


class KeyRingFault(Exception):
    """The keys cannot be used; the message says why, and holds nothing of any key."""


@dataclass(frozen=True, slots=True)
class PayloadKey:
    """A key and its id. The id stands beside every payload, in plain text."""

    id: str
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise KeyRingFault("a key's id has up to 64 letters, digits, dots, dashes and underscores")
        if len(self.secret) != LENGTH:
            raise KeyRingFault(f"the key {self.id} has not {LENGTH} bytes")


class KeyRing:
    """The keys of a deployment, the current one first.

    Raises:
        KeyRingFault: there is none, or two have the same id.
    """

    def __init__(self, keys: Iterable[PayloadKey]) -> None:
        self.keys = tuple(keys)
        self._by_id = {one.id: one for one in self.keys}
        if not self.keys:
            raise KeyRingFault("there is no key")
        if len(self._by_id) != len(self.keys):
            raise KeyRingFault("two keys have the same id")

    @property
    def current(self) -> PayloadKey:
        """The key that encrypts."""
        return self.keys[0]

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all keys, that of the current one first."""
        return tuple(self._by_id)

    def find(self, key_id: str) -> PayloadKey | None:
        """The key of that id, if it is here."""
        return self._by_id.get(key_id)

    def with_new(self) -> KeyRing:
        """With one more key, made now, that only decrypts until it is used."""
        return KeyRing((*self.keys, _made()))

    def using(self, key_id: str) -> KeyRing:
        """With another current key.

        Raises:
            KeyRingFault: it is not here.
        """
        chosen = self._known(key_id)
        return KeyRing((chosen, *(one for one in self.keys if one is not chosen)))

    def without(self, key_id: str) -> KeyRing:
        """Without a key that is no longer needed.

        Raises:
            KeyRingFault: it is not here, or it is the current one.
        """
        dropped = self._known(key_id)
        if dropped is self.current:
            raise KeyRingFault(f"{key_id} is the current key; use another one first")
        return KeyRing(one for one in self.keys if one is not dropped)

    def derived(self, purpose: bytes) -> KeyRing:
        """Other keys of the same ids, for another purpose (HKDF, RFC 5869): neither tells anything of the other."""
        return KeyRing(
            PayloadKey(one.id, HKDF(SHA256(), length=LENGTH, salt=None, info=purpose).derive(one.secret))
            for one in self.keys
        )

    def _known(self, key_id: str) -> PayloadKey:
        found = self.find(key_id)
        if found is None:
            raise KeyRingFault(f"there is no key {key_id}; there are {', '.join(self.ids)}")
        return found


def new_ring() -> KeyRing:
    """A ring with one key, made now."""
    return KeyRing([_made()])


def read(path: Path) -> KeyRing:
    """The keys in a file.

    Raises:
        KeyRingFault: it cannot be read, or holds no such keys.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise KeyRingFault(f"{path} cannot be read: {problem.strerror}") from None
    except ValueError:
        raise KeyRingFault(f"{path} holds no JWK Set (RFC 7517)") from None
    listed = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(listed, list):
        raise KeyRingFault(f"{path} holds no JWK Set (RFC 7517)")
    try:
        return KeyRing(_of_jwk(one) for one in listed)
    except KeyRingFault as problem:
        raise KeyRingFault(f"{path}: {problem}") from None


def write(path: Path, ring: KeyRing) -> None:
    """Replace the file in one step; only its owner may read it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, json.dumps({"keys": [_as_jwk(one) for one in ring.keys]}, indent=2) + "\n")


def ensure(path: Path) -> Path:
    """Make the file with one key, unless it is there; gives its path."""
    if not path.exists():
        write(path, new_ring())
    return path


def _made() -> PayloadKey:
    # The day tells an operator which key is the old one; the rest tells two of a day apart.
    return PayloadKey(f"{datetime.now(UTC):%Y-%m-%d}-{secrets.token_hex(4)}", secrets.token_bytes(LENGTH))


def _as_jwk(key: PayloadKey) -> dict[str, str]:
    encoded = base64.urlsafe_b64encode(key.secret).rstrip(b"=").decode()
    return {"kty": "oct", "use": "enc", "alg": ALGORITHM, "kid": key.id, "k": encoded}


def _of_jwk(jwk: Any) -> PayloadKey:
    if not isinstance(jwk, dict) or jwk.get("kty") != "oct" or jwk.get("alg", ALGORITHM) != ALGORITHM:
        raise KeyRingFault(f"a key is not symmetric, for {ALGORITHM}")
    key_id, encoded = jwk.get("kid"), jwk.get("k")
    if not isinstance(key_id, str) or not isinstance(encoded, str):
        raise KeyRingFault("a key lacks its id or its value")
    try:
        secret = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise KeyRingFault("a key's value is not base64url") from None
    return PayloadKey(key_id, secret)
