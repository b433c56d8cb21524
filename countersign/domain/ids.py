"""Identifiers: UUIDv7 for things, short digests for what must be the same when it is said again."""

from __future__ import annotations

import hashlib
from datetime import datetime
from uuid import UUID


def uuid7(at: datetime, entropy: bytes) -> UUID:
    """A UUIDv7 (RFC 9562, 5.7) of the instant ``at`` (aware) and at least 10 bytes of entropy.

    The caller gives the entropy, so a workflow can give its own replayable kind.
    """
    if at.tzinfo is None or len(entropy) < 10:
        raise ValueError("a UUIDv7 needs an aware instant and 10 bytes of entropy")
    milliseconds = int(at.timestamp() * 1000)
    raw = bytearray(milliseconds.to_bytes(6, "big") + entropy[:10])
    raw[6] = 0x70 | (raw[6] & 0x0F)
    raw[8] = 0x80 | (raw[8] & 0x3F)
    return UUID(bytes=bytes(raw))


def workflow_id(initiative: str) -> str:
    """The id of the one workflow of an initiative."""
    return f"initiative/{initiative}"


def end_to_end_id(initiative: str, tranche: int, directorate: str, attempt: int) -> str:
    """The ISO 20022 end-to-end id (Max35Text) of one payment attempt: the same arguments, the same id.

    Derived, not drawn: whoever retries arrives at the same id, so a retry cannot pay twice.
    """
    digest = hashlib.sha256(f"{initiative}/{tranche}/{directorate}/{attempt}".encode()).hexdigest()
    return f"CS{digest[:20].upper()}T{tranche:02d}A{attempt:02d}"
