"""The audit trail: one entry per fact, each bound to the one before by its hash."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, ConfigDict

from countersign.domain.canonical import canonical_json, hash_of

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
    return hash_of(canonical_json(covered))


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


class Break(NamedTuple):
    """Where a trail is no chain: an entry, the sequence that was due there, and what is wrong with the entry."""

    sequence: int
    due: int
    problem: str


DISCONTINUED: Final = "does not continue the entry before it"
ALTERED: Final = "was altered"


def breaks(entries: Iterable[AuditEntry], *, after: AuditEntry | None = None) -> Iterator[Break]:
    """Where a run of one initiative's entries is no chain: altered, missing, added or reordered ones, in order."""
    sequence, previous = (after.sequence, after.hash) if after else (0, GENESIS)
    for entry in entries:
        due = sequence + 1
        if entry.sequence != due:
            yield Break(entry.sequence, due, f"follows {sequence}")
        if entry.previous != previous:
            yield Break(entry.sequence, due, DISCONTINUED)
        if entry.hash != entry_hash(entry.model_dump()):
            yield Break(entry.sequence, due, ALTERED)
        sequence, previous = entry.sequence, entry.hash


def chain_faults(entries: Iterable[AuditEntry], *, after: AuditEntry | None = None) -> list[str]:
    """The :func:`breaks` of a run of entries, in sentences."""
    return [f"entry {one.sequence} {one.problem}" for one in breaks(entries, after=after)]


def head(entries: Sequence[AuditEntry]) -> str:
    """The hash that the next entry continues."""
    return entries[-1].hash if entries else GENESIS
