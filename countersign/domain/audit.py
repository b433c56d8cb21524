"""The audit trail: one entry per fact, each bound to the one before by its hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from countersign.domain.canonical import canonical_json

GENESIS = "sha256:" + "0" * 64
"""What the first entry of an initiative names as the one before it."""

SYSTEM = "system"
"""The actor of automatic steps."""


class AuditEntry(BaseModel):
    """One fact of one initiative (DESIGN section 7).

    ``sequence`` counts from 1 without a gap; ``at`` is an RFC 3339 instant in UTC with microseconds;
    ``subject`` is the content hash of what the fact is about; ``message`` is the id that the sender gave to the
    message that caused it; ``hash`` is SHA-256 over the canonical JSON of all other fields.
    """

    model_config = ConfigDict(frozen=True)

    initiative: str
    sequence: int
    action: str
    actor: str
    on_behalf_of: str | None = None
    at: str
    subject: str | None = None
    message: str | None = None
    body: dict[str, Any]
    previous: str
    hash: str

    @property
    def instant(self) -> datetime:
        return datetime.fromisoformat(self.at)


def rfc3339(at: datetime) -> str:
    """The one spelling of an instant in the trail: UTC, microseconds, ``Z``."""
    if at.tzinfo is None:
        raise ValueError("an instant is aware")
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def entry_hash(fields: dict[str, Any]) -> str:
    """SHA-256 over the canonical JSON of an entry's fields other than ``hash``."""
    covered = {key: value for key, value in fields.items() if key != "hash"}
    return "sha256:" + hashlib.sha256(canonical_json(covered)).hexdigest()


def seal(
    *,
    initiative: str,
    sequence: int,
    action: str,
    actor: str,
    at: datetime,
    body: dict[str, Any],
    previous: str,
    on_behalf_of: str | None = None,
    subject: str | None = None,
    message: str | None = None,
) -> AuditEntry:
    """The entry of these fields with its hash."""
    fields: dict[str, Any] = {
        "initiative": initiative,
        "sequence": sequence,
        "action": action,
        "actor": actor,
        "on_behalf_of": on_behalf_of,
        "at": rfc3339(at),
        "subject": subject,
        "message": message,
        "body": body,
        "previous": previous,
    }
    return AuditEntry(**fields, hash=entry_hash(fields))


def chain_faults(entries: Iterable[AuditEntry], *, after: AuditEntry | None = None) -> list[str]:
    """What is wrong with a run of one initiative's entries: altered, missing, added or reordered ones, by sequence."""
    faults: list[str] = []
    sequence, previous = (after.sequence, after.hash) if after else (0, GENESIS)
    for entry in entries:
        if entry.sequence != sequence + 1:
            faults.append(f"entry {entry.sequence} follows {sequence}")
        if entry.previous != previous:
            faults.append(f"entry {entry.sequence} does not continue the entry before it")
        if entry.hash != entry_hash(entry.model_dump()):
            faults.append(f"entry {entry.sequence} was altered")
        sequence, previous = entry.sequence, entry.hash
    return faults


def head(entries: Sequence[AuditEntry]) -> str:
    """The hash that the next entry continues."""
    return entries[-1].hash if entries else GENESIS
