"""Verifying the whole record: every trail, what follows from it, the log over all, and who signed what of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.activities.notes import signed_by
from countersign.activities.signing import decision_faults
from countersign.domain.agreement import ProgrammeAgreement, SigningKey
from countersign.domain.checkpoint import SignedCheckpoint, origin_of
from countersign.domain.verification import Fault
from countersign.store import verification as stored
from countersign.store.verification import Logged

Watch = Callable[[str, int, int], None]
"""Is told what is being verified, how much of it is done, and of how much."""


@dataclass(slots=True)
class Verified:
    """What was verified, and what is wrong: nothing, where there are no ``faults``.

    ``size`` is that of the log and ``to_come`` how many entries are not in it yet. ``checkpoints`` were looked at, and
    ``signed`` is the size of the last one that every side has signed.
    """

    faults: list[Fault] = field(default_factory=list)
    entries: int = 0
    size: int = 0
    to_come: int = 0
    checkpoints: int = 0
    signed: int = 0


def _unwatched(_: str, __: int, ___: int) -> None:
    pass


async def verify(
    connection: AsyncConnection,
    agreement: ProgrammeAgreement,
    *,
    since: SignedCheckpoint | None = None,
    watch: Watch = _unwatched,
) -> Verified:
    """Verify all of it, on a connection that reads it :func:`at one moment <stored.at_one_moment>`.

    ``agreement`` has the sides' public keys. ``since`` is a checkpoint that somebody kept: the log has to
    begin with it still.
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
    await _decisions(connection, agreement, found)
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
