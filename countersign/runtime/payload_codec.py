"""What Temporal is given to keep is encrypted here, and opened again.

Every payload (arguments, results, messages, failures, summaries) is encrypted whole, its own metadata included, with
AES-256-GCM (NIST SP 800-38D) under the current key of the ring. What is left to read is the encoding and the key's id::

    metadata = {"encoding": "binary/encrypted", "encryption-key-id": …}
    data     = nonce (12 bytes) + ciphertext + tag (16 bytes)

See ADR 0015.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Sequence
from typing import Final, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

from countersign.domain.errors import CODES
from countersign.runtime import payload_keys
from countersign.runtime.payload_keys import KeyRing, KeyRingFault
from countersign.runtime.settings import Settings

ENCRYPTED: Final = b"binary/encrypted"
"""The encoding of what is encrypted; the name that Temporal's own samples and tools use."""

UNENCRYPTED: Final = b"binary/unencrypted"
"""The encoding that stands for a payload which came in plain text and is not taken as it came."""

KEY_ID: Final = "encryption-key-id"
"""The metadata field with the id of the key."""

NONCE: Final = 12
"""Bytes of a nonce. It is random, so a key is good for 2^32 payloads (NIST SP 800-38D, 8.3)."""

_TAG: Final = 16
_FORM: Final = b"countersign payload 1\x00"
_DIGESTS: Final = b"countersign update ids 1"

Plain = Literal["refuse", "accept"]
"""What becomes of a payload that is in plain text."""


class PayloadRefused(Exception):
    """A payload is not taken; ``code`` says why and never changes its meaning (``domain.errors.CODES``)."""

    def __init__(self, code: str, detail: str | None = None) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail or CODES[code]

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


class EncryptingCodec(PayloadCodec):
    """Encrypts with the ring's current key and decrypts with whichever key a payload names.

    ``plain`` is for what is acted upon. Refused, such a payload is replaced by one that no converter turns into a
    value (:data:`UNENCRYPTED`), so that a stranger's plain signal is refused by the workflow and does not stop it.
    """

    def __init__(self, ring: KeyRing, plain: Plain = "refuse") -> None:
        self.ring = ring
        self._plain = plain
        self._ciphers = {one.id: AESGCM(one.secret) for one in ring.keys}
        self._digests = hmac.new(ring.derived(_DIGESTS).current.secret, digestmod=hashlib.sha256)

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Every payload encrypted."""
        return [self.seal(one) for one in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Every payload as it was before it was encrypted.

        Raises:
            PayloadRefused: one says that it is encrypted, and does not open.
        """
        return [self.open(one) if is_encrypted(one) else self._taken(one) for one in payloads]

    def seal(self, payload: Payload) -> Payload:
        """A payload encrypted under the current key, with a nonce of its own."""
        key_id = self.ring.current.id
        nonce = os.urandom(NONCE)
        sealed = self._ciphers[key_id].encrypt(nonce, payload.SerializeToString(), _bound(key_id))
        return Payload(metadata={"encoding": ENCRYPTED, KEY_ID: key_id.encode()}, data=nonce + sealed)

    def open(self, payload: Payload) -> Payload:
        """What was encrypted.

        Raises:
            PayloadRefused: ``payload_plain``, ``payload_key_unknown``, ``payload_malformed`` or ``payload_altered``.
        """
        if not is_encrypted(payload):
            raise PayloadRefused("payload_plain")
        key_id = (payload.metadata.get(KEY_ID) or b"").decode("ascii", "replace")
        if not key_id or len(payload.data) < NONCE + _TAG:
            raise PayloadRefused("payload_malformed")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            # Whoever made the payload chose the name: no more of it than a key's id can have, and nothing strange.
            raise PayloadRefused("payload_key_unknown", f"there is no key {key_id[:64]!a} here")
        nonce, sealed = payload.data[:NONCE], payload.data[NONCE:]
        try:
            return Payload.FromString(cipher.decrypt(nonce, sealed, _bound(key_id)))
        except InvalidTag:
            raise PayloadRefused("payload_altered") from None
        except DecodeError:
            raise PayloadRefused("payload_malformed") from None

    def digest(self, text: str) -> str:
        """A digest, in hexadecimal, of what must not be guessed from it: ids are kept in plain text.

        It is HMAC-SHA256 (RFC 2104) under a key derived from the current one (HKDF, RFC 5869), and so another one after
        a rotation.
        """
        made = self._digests.copy()
        made.update(text.encode())
        return made.hexdigest()

    def _taken(self, payload: Payload) -> Payload:
        if self._plain == "accept":
            return payload
        return Payload(metadata={"encoding": UNENCRYPTED})


class KeylessCodec(PayloadCodec):
    """For clients that exchange no content: whatever would be content is refused, both ways."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Refuse."""
        raise PayloadRefused("payload_keys_missing")

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Refuse."""
        raise PayloadRefused("payload_keys_missing")


def is_encrypted(payload: Payload) -> bool:
    """Whether a payload says that it is encrypted."""
    return payload.metadata.get("encoding") == ENCRYPTED


def configured(settings: Settings) -> EncryptingCodec:
    """The codec with the keys that the settings name.

    Raises:
        KeyRingFault: they name none, or the file has none.
    """
    if settings.payload_keys is None:
        raise KeyRingFault(
            "COUNTERSIGN_PAYLOAD_KEYS names no file; `countersign payload-keys add --keys FILE` makes one"
        )
    return EncryptingCodec(payload_keys.read(settings.payload_keys), settings.payload_plain)


def _bound(key_id: str) -> bytes:
    """What is authenticated beside the payload: the form, and the key's id, so that it cannot be said to be another."""
    return _FORM + key_id.encode()
