"""Verifying the whole record: every trail, what follows from it, the log over all, and who signed what of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.activities.notes import signed_by
from countersign.activities.signing import decision_faults
from countersign.domain import crosscheck
from countersign.domain.agreement import ProgrammeAgreement, SigningKey
from countersign.domain.audit import AuditEntry
from countersign.domain.checkpoint import SignedCheckpoint, origin_of
from countersign.domain.verification import Fault
from countersign.runtime import replaying
from countersign.runtime.archive import HistoryLost, Reading
from countersign.runtime.build import build_id
from countersign.runtime.payload_keys import KeyRing
from countersign.store import archive_check
from countersign.store import verification as stored
from countersign.store.histories import Kept
from countersign.store.trail import entries_from
from countersign.store.verification import Logged

Watch = Callable[[str, int, int], None]
"""Is told what is being verified, how much of it is done, and of how much."""


@dataclass(slots=True)
class Verified:
    """What was verified, and what is wrong: nothing, where there are no ``faults``.

    ``size`` is that of the log and ``to_come`` how many entries are not in it yet. ``checkpoints`` were looked at, and
    ``signed`` is the size of the last one that every side has signed. ``unread`` are those of the ``histories`` in the
    archive that only their hashes were held against, as nobody gave the keys.
    """

    faults: list[Fault] = field(default_factory=list)
    entries: int = 0
    size: int = 0
    to_come: int = 0
    checkpoints: int = 0
    signed: int = 0
    histories: int = 0
    unread: int = 0


@dataclass(frozen=True, slots=True)
class Archive:
    """How histories are verified: ``keys`` open them, ``replay`` has the workflow's code come to each entry again.

    What was over by ``over_since`` has to be archived.
    """

    keys: KeyRing | None = None
    replay: bool = False
    over_since: datetime | None = None


def _unwatched(_: str, __: int, ___: int) -> None:
    pass


async def verify(
    connection: AsyncConnection,
    agreement: ProgrammeAgreement,
    *,
    since: SignedCheckpoint | None = None,
    archive: Archive = Archive(),
    watch: Watch = _unwatched,
) -> Verified:
    """Verify all of it, on a connection that reads it :func:`at one moment <stored.at_one_moment>`.

    ``agreement`` has the sides' public keys. ``since`` is a checkpoint that somebody kept: the log has to
    begin with it still. ``archive`` says how the histories are to be held against the trails.
    """
    found = Verified()
    total = await stored.count(connection)
    async for number, faults in stored.trails(connection):
        found.entries += number
        found.faults += faults
        watch("trails", found.entries, total)
    async for fault in stored.document_faults(connection):
        found.faults.append(fault)
    async for fault in stored.mandate_faults(connection):
        found.faults.append(fault)
    async for fault in stored.people_faults(connection):
        found.faults.append(fault)
    await _decisions(connection, agreement, found)
    await _histories(connection, archive, found, watch)
    await _log(connection, agreement, since, found, watch, total)
    return found


async def _decisions(connection: AsyncConnection, agreement: ProgrammeAgreement, found: Verified) -> None:
    """The sides' signatures under every joint decision of this programme."""
    if not agreement.signing_key:
        return
    async for trail, sequence, decision in stored.decisions(connection, agreement.id):
        found.faults += [
            Fault(trail, sequence, "document", f"a joint decision does not hold: {problem}")
            for problem in decision_faults(decision, agreement.signing_key, agreement.directorate_ids)
        ]


async def _histories(connection: AsyncConnection, archive: Archive, found: Verified, watch: Watch) -> None:
    """The archive against what the trail says of it, and every history against the trail of its initiative."""
    found.faults += [fault async for fault in archive_check.row_faults(connection)]
    if archive.over_since is not None:
        found.faults += [fault async for fault in archive_check.missing(connection, archive.over_since)]
    total = await archive_check.count(connection)
    async for initiative, runs in archive_check.by_initiative(connection):
        found.histories += len(runs)
        found.faults += archive_check.chain_faults(initiative, runs)
        if archive.keys is None:
            found.unread += sum(one.content is not None for one in runs)
        elif all(one.content is not None for one in runs):
            entries = await entries_from(connection, initiative)
            faults = [one async for one in _agreeing(initiative, entries, runs, archive.keys, archive.replay)]
            # One change in a trail shows at every later event.
            found.faults += faults[:_SHOWN]
        watch("histories", found.histories, total)


async def _agreeing(
    initiative: str, entries: Sequence[AuditEntry], runs: Sequence[Kept], keys: KeyRing, replay: bool
) -> AsyncIterator[Fault]:
    reading = Reading(keys)
    told: list[crosscheck.Told] = []
    for one in runs:
        try:
            told.append(crosscheck.read(one.run.run_id, json.loads(reading.read(one))))
        except (HistoryLost, ValueError) as problem:
            yield Fault(initiative, None, crosscheck.TABLE, f"run {one.run.run_id} cannot be read: {problem}")
    if len(told) < len(runs):
        return
    for fault in crosscheck.faults(initiative, entries, told):
        yield fault
    if replay:
        builds = dict.fromkeys(build for one in runs for build in one.run.builds)
        made_by = f"made by {', '.join(builds) or 'nobody knows what'}; this is {build_id()}"
        found = await replaying.replayed([reading.history(one) for one in runs])
        for fault in replaying.faults(initiative, entries, found, made_by):
            yield fault


_SHOWN: Final = 5
"""How many faults between a trail and its histories are told."""


async def _log(
    connection: AsyncConnection,
    agreement: ProgrammeAgreement,
    since: SignedCheckpoint | None,
    found: Verified,
    watch: Watch,
    total: int,
) -> None:
    kept = await stored.checkpoints(connection)
    found.faults += [
        Fault(None, None, _OWN, f"the checkpoint at {size} is gone, or is none any more")
        for size, one in kept.items()
        if one is None
    ]
    found.faults += [
        Fault(None, None, _OWN, f"at {size} other sides have signed than are said to")
        for size, one in kept.items()
        if one is not None and set(one.by) != signed_by(one.signed, agreement.signing_key)[0]
    ]
    made = [one.signed for one in kept.values() if one is not None]
    asked = [one.checkpoint.size for one in (*made, *([since] if since else ()))]
    logged: Logged | None = None
    async for one in stored.log_faults(connection, asked, found.faults):
        if isinstance(one, Logged):
            logged = one
        else:
            watch("log", one, total)
    assert logged is not None
    found.size, found.to_come, found.checkpoints = logged.size, logged.to_come, len(made)
    for note in made:
        if _holds(note, agreement.signing_key, agreement.directorate_ids, logged, found, _OWN):
            found.signed = max(found.signed, note.checkpoint.size)
    if since is not None:
        if since.checkpoint.origin != origin_of(agreement.id):
            found.faults.append(
                Fault(None, None, _KEPT, f"it is one of another log, {since.checkpoint.origin}")
            )
            return
        _holds(since, agreement.signing_key, agreement.directorate_ids, logged, found, _KEPT)


_OWN: Final = "log_checkpoint"
_KEPT: Final = "kept checkpoint"


def _holds(
    note: SignedCheckpoint,
    keys: Sequence[SigningKey],
    sides: Sequence[str],
    logged: Logged,
    found: Verified,
    where: str,
) -> bool:
    """Whether every side has signed a checkpoint; whatever is wrong with it is found."""
    size = note.checkpoint.size
    signed, wrong = signed_by(note, keys)
    found.faults += [
        Fault(None, None, where, f"a signature at {size} does not hold: {one.name}") for one in wrong
    ]
    if where == _KEPT and not signed:
        found.faults.append(Fault(None, None, where, f"no side has signed the checkpoint at {size}"))
    root = logged.roots.get(size)
    if root is None:
        problem = f"it is of {size} entries, and the log has {logged.size}: entries are gone"
        found.faults.append(Fault(None, None, where, problem))
    elif root != note.checkpoint.root:
        problem = f"the first {size} entries are not those that it was made of: the past was rewritten"
        found.faults.append(Fault(None, None, where, problem))
    return signed >= set(sides)
