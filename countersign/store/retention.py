"""Redacting people from the record, when what names them has been kept for long enough."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, delete, exists, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.domain import retention
from countersign.domain.errors import RuleBroken
from countersign.domain.facts import Happened, RecordRedacted, StageEntered
from countersign.domain.payment_facts import CommitmentsReleased
from countersign.domain.projection import event_of
from countersign.domain.retention import Rule
from countersign.domain.stage import TERMINAL, Stage
from countersign.store import agreements, books, histories
from countersign.store import tables as t
from countersign.store.session import Database

_BOOK: Final = "record.redacted"
"""Two redactions wait for each other: each has to see which documents the other one left to it."""


Erase = Callable[[str], Awaitable[None]]
"""Makes the content of an attachment go, by its hash."""


@dataclass(frozen=True, slots=True)
class Due:
    """An ended initiative whose people are to be redacted: since when, and by which rule."""

    id: str
    reference: str
    stage: Stage
    ended_at: datetime
    due_at: datetime
    rule: Rule


async def due(connection: AsyncConnection, now: datetime) -> list[Due]:
    """What is over, has been kept for as long as its rules say, and is not redacted yet; the longest due first."""
    i = t.initiative.c
    found = await _bound(connection, i.stage_since < now, is_over(), ~_is_redacted(i.id))
    return sorted((one for one in found if one.due_at <= now), key=lambda one: (one.due_at, one.id))


async def redact(
    database: Database, initiative: str, at: datetime, by: str, erase: Erase | None = None
) -> RecordRedacted | None:
    """Redact the people of an initiative, by its id, whole or not at all; nothing when that was done before.

    ``erase`` makes the content of an attachment go where it is kept; the same again changes nothing.

    Raises:
        RuleBroken: ``not_found``, ``stage_closed`` while it is not over, ``not_due`` while it has to be kept,
            ``unavailable`` when it has attachments and nobody said how they are erased.
    """
    async with database.transaction() as connection:
        await books.one_at_a_time(connection, _BOOK)
        here = t.initiative.c.id == initiative
        # Whoever writes a step of it meanwhile waits here, too.
        if await connection.scalar(select(t.initiative.c.id).where(here).with_for_update()) is None:
            raise RuleBroken("not_found", "there is no such initiative")
        if await connection.scalar(select(_is_redacted(t.initiative.c.id)).where(here)):
            return None
        (found,) = await _bound(connection, here)
        if not await connection.scalar(select(is_over()).where(here)):
            raise RuleBroken("stage_closed", f"{found.reference} is {found.stage} and not over")
        if found.due_at > at:
            raise RuleBroken("not_due", f"{found.reference} is kept until {found.due_at:%Y-%m-%d}")
        fact = await _redact(connection, found, at)
        attachments = await _erase(connection, initiative, at, erase)
        # They name everybody who ever sent a message.
        gone = await histories.erase(connection, initiative, at)
        fact = fact.model_copy(update={"attachments": attachments, "histories": gone})
        happened = Happened(fact)
        entry = await books.append(connection, initiative, fact.action, by, at, happened.body())
        told = event_of(entry, found.reference)
        await connection.execute(insert(t.event).values(initiative_id=initiative, **told.model_dump()))
        await connection.execute(update(t.initiative).where(here).values(people=[], sequence=entry.sequence))
        await connection.execute(delete(t.report_draft).where(t.report_draft.c.initiative_id == initiative))
    return fact


async def _redact(connection: AsyncConnection, found: Due, at: datetime) -> RecordRedacted:
    """Redact every document of an initiative that names people, unless another one's record needs it as it is."""
    d, v = t.document.c, t.proposal_version.c
    own = (await connection.scalars(_NAMED, {"initiative": found.id})).all()
    kept = set(
        await connection.scalars(
            select(v.content_hash).where(
                v.content_hash.in_(own), v.initiative_id != found.id, ~_is_redacted(v.initiative_id)
            )
        )
    )
    statement = select(d.content_hash, d.body).where(d.content_hash.in_(own), d.redacted_at.is_(None))
    rows = await connection.execute(statement.order_by(d.content_hash).with_for_update())
    bodies = {row.content_hash: (row.body, retention.redacted(row.body)) for row in rows}
    naming = {key: after for key, (before, after) in bodies.items() if after != before}
    for key in naming.keys() - kept:
        changed = update(t.document).where(d.content_hash == key).values(body=naming[key], redacted_at=at)
        await connection.execute(changed)
    return RecordRedacted(
        documents=tuple(sorted(naming.keys() - kept)),
        kept=tuple(sorted(naming.keys() & kept)),
        ended_at=found.ended_at,
        years=found.rule.years,
        directorate=found.rule.directorate,
    )


async def _erase(
    connection: AsyncConnection, initiative: str, at: datetime, erase: Erase | None
) -> tuple[str, ...]:
    """Erase the attachments of an initiative, unless another one's record needs them as they are.

    The rows are locked for as long as the content goes, so that whoever brings it again meanwhile brings it after that.
    They are locked before it is asked who else needs it: who was about to name it is waited for, and seen.
    """
    a, own, other = t.attachment.c, t.initiative_attachment.c, t.initiative_attachment.alias("other").c
    needed = exists().where(
        other.content_hash == a.content_hash,
        other.initiative_id != initiative,
        ~_is_redacted(other.initiative_id),
    )
    named = select(own.content_hash).where(own.initiative_id == initiative)
    held = select(a.content_hash).where(a.content_hash.in_(named), a.erased_at.is_(None))
    locked = (await connection.scalars(held.order_by(a.content_hash).with_for_update())).all()
    wanted = select(a.content_hash).where(a.content_hash.in_(locked), ~needed).order_by(a.content_hash)
    found = (await connection.scalars(wanted)).all()
    if found and erase is None:
        raise RuleBroken(
            "unavailable", f"it has {len(found)} attachment(s), and where they are kept was not said"
        )
    for content_hash in found:
        assert erase is not None
        await erase(content_hash)
        gone = update(t.attachment).where(a.content_hash == content_hash).values(erased_at=at)
        await connection.execute(gone)
    return tuple(found)


_NAMED: Final = text("""
SELECT content_hash FROM proposal_version WHERE initiative_id = cast(:initiative AS uuid)
UNION SELECT subject FROM audit_entry WHERE initiative_id = cast(:initiative AS uuid) AND subject IS NOT NULL
UNION SELECT found #>> '{}' FROM audit_entry,
    jsonb_path_query(body, '$.** ? (@ like_regex "^sha256:[0-9a-f]{64}$")') AS found
WHERE initiative_id = cast(:initiative AS uuid)
""")
"""Every hash that an initiative's record names anywhere: those of versions that were refused are in the trail alone."""


async def _bound(connection: AsyncConnection, *conditions: ColumnElement[bool]) -> list[Due]:
    """Initiatives with the day on which they are due, each by the version of the agreement that it is bound to."""
    i = t.initiative.c
    columns = (i.id, i.reference, i.stage, i.stage_since, i.agreement_id, i.agreement_version)
    rows = (await connection.execute(select(*columns).where(*conditions))).all()
    rules: dict[tuple[str, int], Rule] = {}
    for key in {(row.agreement_id, row.agreement_version) for row in rows}:
        agreement = await agreements.find(connection, *key)
        assert agreement is not None  # a foreign key holds it there
        rules[key] = retention.rule(agreement)
    return [_due(row, rules[row.agreement_id, row.agreement_version]) for row in rows]


def _due(row: Any, by: Rule) -> Due:
    return Due(
        id=str(row.id),
        reference=row.reference,
        stage=Stage(row.stage),
        ended_at=row.stage_since,
        due_at=retention.due_at(row.stage_since, by.years),
        rule=by,
    )


def is_over() -> ColumnElement[bool]:
    """Whether an initiative's workflow has nothing left to do.

    It is in a terminal stage, nobody is waited for, nothing is before the directorates, and money that the stage kept
    was given back since.
    """
    i, e = t.initiative.c, t.audit_entry.c
    keeps_money = (
        select(func.coalesce(e.body["keeps_money"].as_boolean(), False))
        .where(e.initiative_id == i.id, e.action.in_([StageEntered.action, CommitmentsReleased.action]))
        .order_by(e.sequence.desc())
        .limit(1)
        .correlate(t.initiative)
        .scalar_subquery()
    )
    # A column by its name: a keeper may read no other of a matter.
    is_open = exists(t.matter.c.outcome).where(t.matter.c.initiative_id == i.id, t.matter.c.outcome.is_(None))
    return and_(
        i.stage.in_([str(one) for one in TERMINAL]),
        func.cardinality(i.waits_for) == 0,
        ~is_open,
        ~keeps_money,
    )


def _is_redacted(initiative: Any) -> ColumnElement[bool]:
    e = t.audit_entry.c
    return exists().where(e.action == RecordRedacted.action, e.initiative_id == initiative)
