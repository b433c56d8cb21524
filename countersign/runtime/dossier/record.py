"""What the record has on one initiative, read for its dossier: all of it as of one moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.domain.agreement import ProgrammeAgreement, SigningKey
from countersign.domain.audit import AuditEntry
from countersign.domain.facts import AmendmentAsked, MessageRefused, Submitted
from countersign.domain.initiative import Condition
from countersign.domain.ledger import Transaction
from countersign.domain.mandate import Mandate
from countersign.domain.projection import Version, Waiting
from countersign.domain.reporting import ReportDue
from countersign.store import agreements, attachments, documents, initiatives, ledger, log, mandates, trail
from countersign.store.attachments import Named
from countersign.store.documents import Kept
from countersign.store.initiatives import Initiative, Seen
from countersign.store.ledger import Position
from countersign.store.log import Made


@dataclass(frozen=True, slots=True)
class Proof:
    """Which leaf of the log an entry is, and the audit path from there to the checkpoint's root (RFC 6962, 2.1.1)."""

    index: int
    path: list[bytes]


@dataclass(frozen=True, slots=True)
class Record:
    """All that is on record of an initiative and may go into its dossier.

    ``agreements`` are the versions of the programme agreement that it was bound to, by id and version. ``documents``
    are those that its trail names, directly or in another one of them, by their hashes. ``mandates`` are those that
    were signed under, each with what its directorate's trail says of it. ``checkpoint`` is the last one that every side
    has signed, and ``proofs`` are of the entries that it covers, by trail and sequence. ``keys`` are the sides' public
    ones, as the agreement in force has them.
    """

    initiative: Initiative
    entries: tuple[AuditEntry, ...]
    agreements: dict[tuple[str, int], ProgrammeAgreement]
    documents: dict[str, Kept]
    attachments: list[Named]
    mandates: list[tuple[Mandate, list[AuditEntry]]]
    checkpoint: Made | None
    proofs: dict[tuple[str, int], Proof]
    waiting: list[Waiting]
    conditions: list[Condition]
    versions: list[Version]
    matters: list[Seen]
    tranches: list[dict[str, Any]]
    reports: list[ReportDue]
    ledger: list[Transaction]
    keys: tuple[SigningKey, ...]

    @property
    def agreement(self) -> ProgrammeAgreement:
        """The version that it is bound to now."""
        return self.agreements[self.initiative.agreement_id, self.initiative.agreement_version]

    @property
    def unvouched(self) -> list[int]:
        """The sequences of the entries that no checkpoint of all sides covers yet."""
        return [one.sequence for one in self.entries if (one.initiative, one.sequence) not in self.proofs]


class NoCheckpoint(Exception):
    """There is no checkpoint of the size that was asked for, or not every side has signed it."""


async def read(
    connection: AsyncConnection, identifier: str, keys: Sequence[SigningKey], size: int | None = None
) -> Record | None:
    """Everything on an initiative, on a connection that sees one moment; none where there is no such initiative.

    Its proofs are of the last checkpoint that every side has signed, or of the one of a size.

    Raises:
        NoCheckpoint: there is none of that size.
    """
    found = await initiatives.find(connection, identifier)
    if found is None:
        return None
    entries = await trail.entries_from(connection, identifier)
    bound = [one for key in _bound(entries) if (one := await agreements.find(connection, *key)) is not None]
    signed_under = [
        (one, await mandates.entries(connection, one)) for one in await _mandates(connection, entries)
    ]
    sides = sorted({side for one in bound[-1:] for side in one.directorate_ids})
    made = await (log.signed_by_all(connection, sides) if size is None else log.checkpoint(connection, size))
    if size is not None and (made is None or not set(sides) <= set(made.by)):
        raise NoCheckpoint(size)
    proven = [*entries, *(entry for _, some in signed_under for entry in some)]
    return Record(
        initiative=found,
        entries=entries,
        agreements={(one.id, one.version): one for one in bound},
        documents=await _documents(connection, entries),
        attachments=await attachments.named(connection, identifier),
        mandates=signed_under,
        checkpoint=made,
        proofs=await _proofs(connection, proven, made),
        waiting=await initiatives.waiting(connection, identifier),
        conditions=await initiatives.conditions(connection, identifier),
        versions=await initiatives.versions(connection, identifier),
        matters=await initiatives.see_matters(connection, identifier),
        tranches=[one.model_dump(mode="json") for one in await initiatives.tranches(connection, identifier)],
        reports=await initiatives.reports(connection, identifier),
        ledger=[one async for one in _ledger(connection, identifier)],
        keys=tuple(keys),
    )


def _bound(entries: Sequence[AuditEntry]) -> Iterator[tuple[str, int]]:
    """The versions of the agreement that an initiative was bound to, or asked for, in their order."""
    known: set[tuple[str, int]] = set()
    for entry in entries:
        if entry.action == Submitted.action:
            key = (str(entry.body["agreement"]), int(entry.body["agreement_version"]))
        elif entry.action == AmendmentAsked.action and entry.body.get("terms"):
            key = (str(entry.body["terms"]["agreement"]), int(entry.body["terms"]["version"]))
        else:
            continue
        if key not in known:
            known.add(key)
            yield key


_NO_DOCUMENTS: Final = frozenset({"fingerprint", "previous", "hash", "jws"})
"""Fields in which no hash of a document stands."""


async def _documents(connection: AsyncConnection, entries: Sequence[AuditEntry]) -> dict[str, Kept]:
    """The documents that a trail names, and those that these name."""
    found: dict[str, Kept] = {}
    asked: set[str] = set()
    wanted = {
        one
        for entry in entries
        if entry.action != MessageRefused.action
        for one in (*_hashes(entry.subject), *_hashes(entry.body))
    }
    while wanted:
        asked |= wanted
        there = await documents.among(connection, wanted)
        found |= there
        wanted = {one for kept in there.values() for one in _hashes(kept.body)} - asked
    return dict(sorted(found.items()))


def _hashes(value: Any) -> Iterator[str]:
    """Every content hash in some JSON."""
    if isinstance(value, str):
        if len(value) == 71 and value.startswith("sha256:"):
            yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            if key not in _NO_DOCUMENTS:
                yield from _hashes(one)
    elif isinstance(value, list):
        for one in value:
            yield from _hashes(one)


async def _mandates(connection: AsyncConnection, entries: Sequence[AuditEntry]) -> list[Mandate]:
    """The mandates that could be signed under when somebody signed for another."""
    acts = [one for one in entries if one.on_behalf_of is not None and one.action != MessageRefused.action]
    found: dict[str, Mandate] = {}
    for delegator, delegate in sorted({(str(one.on_behalf_of), one.actor) for one in acts}):
        mine = [one.instant for one in acts if (one.on_behalf_of, one.actor) == (delegator, delegate)]
        for given in await mandates.between(connection, delegator, delegate):
            if any(given.in_force(at) for at in mine):
                found[given.id] = given
    return [found[one] for one in sorted(found)]


async def _proofs(
    connection: AsyncConnection, entries: Sequence[AuditEntry], made: Made | None
) -> dict[tuple[str, int], Proof]:
    if made is None:
        return {}
    size = made.signed.checkpoint.size
    covered: dict[tuple[str, int], int] = {}
    for one in sorted({entry.initiative for entry in entries}):
        indexes = await log.indexes_of(connection, one)
        covered |= {(one, sequence): index for sequence, index in indexes.items() if index < size}
    wanted = [key for entry in entries if (key := (entry.initiative, entry.sequence)) in covered]
    paths = await log.inclusion_proofs(connection, [covered[key] for key in wanted], size)
    return {key: Proof(covered[key], path) for key, path in zip(wanted, paths, strict=True)}


async def _ledger(connection: AsyncConnection, identifier: str) -> Any:
    after: Position | None = None
    while True:
        found = await ledger.transactions(connection, identifier, after=after)
        for one in found:
            yield one
        if len(found) < ledger.BATCH:
            return
        after = Position(found[-1].sequence, found[-1].number)
