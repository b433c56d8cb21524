"""The archive of workflow histories, and the trail that says what was put into it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.domain.audit import SYSTEM, rfc3339
from countersign.domain.facts import RecordRedacted
from countersign.store import books
from countersign.store import tables as t

ARCHIVED: Final = "history.archived"
"""The action of that trail."""

COMPLETED: Final = "completed"
"""The status of a run that came to its end: there is none after it."""

CONTINUED: Final = "continued_as_new"
"""The status of a run that went on in another one."""

TERMINATED: Final = "terminated"
"""The status of a run that somebody ended from outside; one that was reset ends so, and another one begins like it."""

_BOOKS: Final = UUID("3f3b9b0a-6a3c-5a0e-9d55-0d5b3f0c7e61")
_INSTANTS: Final = ("started_at", "closed_at")


@dataclass(frozen=True, slots=True)
class Run:
    """An archived run. ``content_hash`` is that of its JSON, ``sealed_hash`` that of what is kept of it.

    ``status`` says how it ended, ``builds`` are the build ids of the workers that carried it.
    """

    run_id: str
    initiative_id: str
    continued_from: str | None
    continued_to: str | None
    status: str
    started_at: datetime
    closed_at: datetime
    events: int
    builds: tuple[str, ...]
    content_hash: str
    sealed_hash: str

    def body(self) -> dict[str, Any]:
        """What the trail says of it: all of it."""
        said = asdict(self) | {"builds": list(self.builds)}
        return said | {name: rfc3339(getattr(self, name)) for name in _INSTANTS}


@dataclass(frozen=True, slots=True)
class Kept:
    """An archived run with what is kept of its history; nothing when that was erased."""

    run: Run
    content: bytes | None


def book(agreement: str) -> str:
    """The id under which the trail of a programme's archive is kept, beside those of initiatives."""
    return str(uuid5(_BOOKS, agreement))


async def put(connection: AsyncConnection, agreement: str, run: Run, content: bytes, at: datetime) -> bool:
    """Keep the history of a run, and put that on record; the same run again changes nothing.

    Nothing is kept of an initiative that was redacted: its people would be on record again.
    """
    await books.one_at_a_time(connection, book(agreement))
    e = t.audit_entry.c
    redacted = select(e.position).where(
        e.initiative_id == run.initiative_id, e.action == RecordRedacted.action
    )
    if (await connection.execute(redacted)).first() is not None:
        return False
    values = asdict(run) | {"builds": list(run.builds), "content": content}
    kept = insert(t.workflow_history).values(values).on_conflict_do_nothing()
    is_new = await connection.scalar(kept.returning(t.workflow_history.c.run_id)) is not None
    if is_new:
        await books.append(connection, book(agreement), ARCHIVED, SYSTEM, at, run.body())
    return is_new


async def known(connection: AsyncConnection, runs: Collection[str]) -> set[str]:
    """Which of some runs are archived."""
    h = t.workflow_history.c
    return set(await connection.scalars(select(h.run_id).where(h.run_id.in_(runs))))


async def sealed_with(connection: AsyncConnection, key: str) -> int:
    """How many histories that key opens, and no other: its id is what is kept of each begins with."""
    head = key.encode() + b"\x00"
    begins = func.substring(t.workflow_history.c.content, 1, len(head)) == head
    return await connection.scalar(select(func.count()).where(begins)) or 0


def is_succeeded(before: Run, run: Run) -> bool:
    """Whether a run is the one that follows another: that one went on in it, or was reset to it."""
    if before.continued_to is not None:
        return (before.continued_to, before.run_id) == (run.run_id, run.continued_from)
    return before.status == TERMINATED and before.continued_from == run.continued_from


async def of(connection: AsyncConnection, initiative: str) -> list[Kept]:
    """The archived runs of an initiative, the first one first."""
    h = t.workflow_history
    rows = await connection.execute(
        select(h).where(h.c.initiative_id == initiative).order_by(h.c.started_at, h.c.closed_at)
    )
    return [kept_of(row) for row in rows]


def kept_of(row: Any) -> Kept:
    """The run in a row, with its content."""
    values = {name: row._mapping[name] for name in Run.__slots__} | {"builds": tuple(row.builds)}
    return Kept(Run(**values), row.content)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An initiative whose last run is not archived. ``run`` is the one that follows the last archived one, where known.

    It is not where nothing is archived (``is_new``), nor where an operator has reset the last one.
    """

    initiative: str
    run: str | None
    is_new: bool


async def unfinished(connection: AsyncConnection, agreement: str) -> list[Unfinished]:
    """A programme's initiatives whose last run is not archived: those that are under way, and what was missed."""
    i, h, e = t.initiative.c, t.workflow_history, t.audit_entry.c
    last = (
        select(h.c.continued_to, h.c.status)
        .where(h.c.initiative_id == i.id)
        .order_by(h.c.started_at.desc(), h.c.closed_at.desc())
        .limit(1)
        .lateral("last")
    )
    redacted = select(e.position).where(e.initiative_id == i.id, e.action == RecordRedacted.action)
    rows = await connection.execute(
        select(i.id, last.c.continued_to, last.c.status)
        .select_from(t.initiative.outerjoin(last, onclause=last.c.status.is_not(None)))
        .where(i.agreement_id == agreement, last.c.status.is_(None) | (last.c.status != COMPLETED))
        .where(~redacted.exists())
        .order_by(i.id)
    )
    return [Unfinished(str(row.id), row.continued_to, row.status is None) for row in rows]


async def erase(connection: AsyncConnection, initiative: str, at: datetime) -> tuple[str, ...]:
    """Erase what is kept of an initiative's histories; which runs that were."""
    h, i = t.workflow_history.c, t.initiative.c
    # Nothing is archived meanwhile: it would be kept after all.
    agreement = await connection.scalar(select(i.agreement_id).where(i.id == initiative))
    await books.one_at_a_time(connection, book(agreement or ""))
    gone = (
        update(t.workflow_history)
        .where(h.initiative_id == initiative, h.erased_at.is_(None))
        .values(content=None, erased_at=at)
        .returning(h.run_id)
    )
    return tuple(sorted(map(str, await connection.scalars(gone))))
