"""Reading the archive of histories to verify it: what is kept against what the trail says was kept."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.domain.audit import rfc3339
from countersign.domain.canonical import hash_of
from countersign.domain.crosscheck import TABLE
from countersign.domain.facts import RecordRedacted
from countersign.domain.verification import Fault
from countersign.store import histories, retention
from countersign.store import tables as t
from countersign.store.histories import COMPLETED, Kept, Run, kept_of
from countersign.store.verification import batched

_SAID: Final = tuple(Run.__slots__)


async def row_faults(connection: AsyncConnection) -> AsyncIterator[Fault]:
    """Histories that are not as the trail has them: gone, added, or with a row that says something else."""
    h, e = t.workflow_history, t.audit_entry.c
    due: dict[str, Mapping[str, Any]] = {}
    said = select(e.initiative_id, e.sequence, e.body).where(e.action == histories.ARCHIVED)
    for row in await connection.execute(said.order_by(e.initiative_id, e.sequence)):
        run = row.body.get("run_id") if isinstance(row.body, dict) else None
        if not isinstance(run, str):
            yield Fault(str(row.initiative_id), row.sequence, TABLE, "it says nothing of a history any more")
        else:
            due[run] = row.body
    redacted: set[str] = set()
    erased = select(e.body["histories"]).where(e.action == RecordRedacted.action)
    for runs in await connection.scalars(erased):
        redacted |= set(runs or ())
    columns = [h.c[name] for name in (*_SAID, "erased_at")]
    there: dict[str, dict[str, Any]] = {}
    async for row in await connection.stream(select(*columns)):
        there[row.run_id] = _said(row._mapping)
    for run in sorted(due.keys() | there.keys()):
        found, entry = there.get(run), due.get(run)
        trail = (entry or found or {}).get("initiative_id")
        if found is None:
            yield Fault(trail, None, TABLE, f"the history of run {run} is gone")
            continue
        is_erased = found.pop("erased_at") is not None
        if entry is None:
            yield Fault(trail, None, TABLE, f"the history of run {run} was added")
            continue
        differing = sorted(name for name in _SAID if found[name] != entry.get(name))
        if differing:
            yield Fault(trail, None, TABLE, f"that of run {run} says another {', '.join(differing)}")
        if is_erased != (run in redacted):
            what = "is erased, and no trail says so" if is_erased else "was to be erased"
            yield Fault(trail, None, TABLE, f"the history of run {run} {what}")


def _said(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row as the trail says it."""
    values = {name: row[name] for name in (*_SAID, "erased_at")}
    for name in ("started_at", "closed_at"):
        values[name] = rfc3339(values[name])
    return values | {"builds": list(values["builds"])}


async def count(connection: AsyncConnection) -> int:
    """How many histories are archived."""
    found: int = (await connection.execute(select(func.count()).select_from(t.workflow_history))).scalar_one()
    return found


async def by_initiative(connection: AsyncConnection) -> AsyncIterator[tuple[str, list[Kept]]]:
    """Every initiative's archived runs with their content, the first one first."""
    h = t.workflow_history
    ids = await connection.scalars(select(h.c.initiative_id).distinct().order_by(h.c.initiative_id))
    for some in batched(list(map(str, ids)), 20):
        rows = await connection.execute(
            select(h)
            .where(h.c.initiative_id.in_(some))
            .order_by(h.c.initiative_id, h.c.started_at, h.c.closed_at)
        )
        for initiative, runs in itertools.groupby(map(kept_of, rows), lambda one: one.run.initiative_id):
            yield initiative, list(runs)


def chain_faults(initiative: str, runs: list[Kept]) -> Iterator[Fault]:
    """Runs that do not follow each other, and content that is not what was kept."""
    came_from: Run | None = None
    for kept in runs:
        run = kept.run
        if came_from is None:
            if run.continued_from is not None:
                yield Fault(initiative, None, TABLE, f"the run before {run.run_id} is not archived")
        elif not histories.is_succeeded(came_from, run):
            yield Fault(initiative, None, TABLE, f"run {run.run_id} does not follow {came_from.run_id}")
        came_from = run
        if kept.content is not None and hash_of(kept.content) != run.sealed_hash:
            yield Fault(initiative, None, TABLE, f"the history of run {run.run_id} is not what was archived")


async def missing(connection: AsyncConnection, over_since: datetime) -> AsyncIterator[Fault]:
    """Initiatives that were over by then, and whose last run is not archived."""
    i, h, e = t.initiative.c, t.workflow_history.c, t.audit_entry.c
    ended = select(h.run_id).where(h.initiative_id == i.id, h.status == COMPLETED).exists()
    redacted = select(e.position).where(e.initiative_id == i.id, e.action == RecordRedacted.action).exists()
    later = select(e.position).where(e.initiative_id == i.id, e.at >= rfc3339(over_since)).exists()
    wanted = select(i.id).where(retention.is_over(), ~ended, ~redacted, ~later).order_by(i.id)
    for initiative in await connection.scalars(wanted):
        yield Fault(str(initiative), None, TABLE, "it is over, and its history is not archived")
