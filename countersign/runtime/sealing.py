"""Sealing: what is kept at rest or in a browser, and read by this deployment alone.

AES-256-GCM (NIST SP 800-38D) under keys that are derived (HKDF, RFC 5869) from those of the payloads, one for each
purpose, so that what is sealed for one is never opened for another::

    key id + 0x00 + nonce (12 bytes) + ciphertext + tag (16 bytes)
"""

from __future__ import annotations

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from countersign.runtime.payload_keys import KeyRing

_NONCE: Final = 12
_TAG: Final = 16
_LONGEST_ID: Final = 64


class SealBroken(Exception):
    """What was sealed does not open: it was altered, is not from here, or is in another's place."""


class SealKeyUnknown(SealBroken):
    """The key that it was sealed with is not among the keys here."""


class Seal:
    """Seals with the ring's current key and opens with whichever key is named, for one purpose."""

    def __init__(self, ring: KeyRing, purpose: str) -> None:
        self._current = ring.current.id
        derived = ring.derived(b"countersign seal 1\x00" + purpose.encode())
        self._ciphers = {one.id: AESGCM(one.secret) for one in derived.keys}

    def close(self, content: bytes, place: str = "") -> bytes:
        """The content sealed; it opens in the same ``place`` only."""
        nonce = os.urandom(_NONCE)
        sealed = self._ciphers[self._current].encrypt(nonce, content, _bound(self._current, place))
        return self._current.encode() + b"\x00" + nonce + sealed

    def open(self, sealed: bytes, place: str = "") -> bytes:
        """What was sealed.

        Raises:
            SealKeyUnknown: by a key that is not here.
            SealBroken: not here, not for this purpose, or not in this place.
        """
        head, mark, rest = sealed.partition(b"\x00")
        if not mark or len(head) > _LONGEST_ID or len(rest) < _NONCE + _TAG:
            raise SealBroken
        key_id = head.decode("ascii", "replace")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise SealKeyUnknown
        try:
            return cipher.decrypt(rest[:_NONCE], rest[_NONCE:], _bound(key_id, place))
        except InvalidTag:
            raise SealBroken from None


def _bound(key_id: str, place: str) -> bytes:
    return f"{key_id}\x00{place}".encode()
