"""Reading initiatives and what belongs to them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    FromClause,
    Select,
    Subquery,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    cast,
    func,
    literal_column,
    or_,
    select,
    true,
    union,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.domain.agreement import FINANCE_OFFICE
from countersign.domain.funding import Tranche
from countersign.domain.initiative import Condition
from countersign.domain.mandate import PAYMENT, Mandate
from countersign.domain.matter import Matter
from countersign.domain.projection import Task, Version, Waiting
from countersign.domain.reporting import ReportDue
from countersign.domain.stage import Stage
from countersign.store import tables as t
from countersign.store.documents import Kept
from countersign.store.session import Database


@dataclass(frozen=True, slots=True)
class Initiative:
    """Where an initiative stands, as it was last recorded."""

    id: str
    reference: str
    agreement_id: str
    agreement_version: int
    applicant: str
    people: tuple[str, ...]
    area: str
    kind: str
    lead_directorate: str
    title: dict[str, str]
    stage: Stage
    stage_since: datetime
    stage_deadline: datetime | None
    stage_reason: str | None
    complaint_until: datetime | None
    version: int
    content_hash: str
    submitted_at: datetime
    sequence: int
    waits_for: tuple[str, ...]
    next_deadline: datetime | None

    def has_part(self, person: str, contact: str | None) -> bool:
        """Whether somebody takes part in it, as its applicant or in its consortium."""
        return person == self.applicant or (contact is not None and contact in self.people)


def takes_part(person: str, contact: str | None, rows: FromClause = t.initiative) -> ColumnElement[bool]:
    """The rows of initiatives that somebody takes part in: :meth:`Initiative.has_part` in SQL."""
    i = rows.c
    if contact is None:
        return i.applicant == person
    return or_(i.applicant == person, i.people.contains([contact]))


def _initiative(row: Any) -> Initiative:
    values = dict(row)
    values["id"] = str(values["id"])
    values["stage"] = Stage(values["stage"])
    values["people"], values["waits_for"] = tuple(values["people"]), tuple(values["waits_for"])
    return Initiative(**values)


@dataclass(frozen=True, slots=True)
class Whole:
    """An initiative with everything that tells where it stands; ``waiting`` and the others in their order."""

    initiative: Initiative
    waiting: list[Waiting]
    conditions: list[Condition]
    versions: list[Version]


@dataclass(frozen=True, slots=True)
class Seen:
    """A matter as the database's reader may see it: without what is another side's.

    ``sealed`` are the sides whose position is in, and withheld.
    """

    matter: Matter
    sealed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Before:
    """An initiative, one matter that is or was before the directorates, and the content of that matter.

    The latter two are there when the matter is.
    """

    initiative: Initiative
    seen: Seen | None
    subject: Kept | None


async def look_up(database: Database, name: str) -> Initiative | None:
    """The initiative with that id (a UUID) or that readable reference."""
    row = await _named(database, _INITIATIVE, name)
    return None if row is None else _from_driver(row)


async def whole(database: Database, name: str) -> Whole | None:
    """The initiative with that id or reference, and all that tells where it stands, as of one instant."""
    row = await _named(database, _WHOLE, name)
    if row is None:
        return None
    return Whole(
        initiative=_from_driver(row),
        waiting=_WAITING.validate_json(row["waiting"]) if row["waiting"] else [],
        conditions=_CONDITIONS.validate_json(row["conditions"]) if row["conditions"] else [],
        versions=_VERSIONS.validate_json(row["versions"]) if row["versions"] else [],
    )


async def before(database: Database, name: str, number: int) -> Before | None:
    """The initiative with that id or reference, and its matter of that number, as of one instant."""
    row = await _named(database, _BEFORE, name, number)
    if row is None:
        return None
    return Before(
        initiative=_from_driver(row),
        seen=_seen(json.loads(row["matter"])) if row["matter"] else None,
        subject=Kept(json.loads(row["subject"]), row["redacted_at"]) if row["subject"] else None,
    )


async def see_matter(database: Database, initiative: str, number: int) -> Seen | None:
    """One matter, as the database's reader may see it."""
    rows = await database.statement(_MATTER, initiative, number)
    return _seen(json.loads(rows[0]["body"])) if rows else None


def _seen(body: dict[str, Any]) -> Seen:
    return Seen(Matter.model_validate(body), tuple(body.get("sealed", ())))


async def _named(database: Database, statement: str, name: str, *values: Any) -> Any:
    try:
        identifier = str(UUID(name))
    except ValueError:
        rows = await database.statement(f"{statement} WHERE i.reference = $1", name, *values)
    else:
        rows = await database.statement(f"{statement} WHERE i.id = $1", identifier, *values)
    return rows[0] if rows else None


def _from_driver(row: Any) -> Initiative:
    """The initiative of a row as the driver gives it: JSON is text there."""
    values = {name: row[name] for name in _COLUMNS}
    values["title"] = json.loads(values["title"])
    return _initiative(values)


_COLUMNS: Final = tuple(one.name for one in t.initiative.columns)
_INITIATIVE_COLUMNS: Final = ", ".join(f"i.{name}" for name in _COLUMNS)
_INITIATIVE: Final = f"SELECT {_INITIATIVE_COLUMNS} FROM initiative i"  # noqa: S608
_WHOLE: Final = f"""SELECT {_INITIATIVE_COLUMNS},
  (SELECT json_agg(w ORDER BY w.position)::text FROM waiting_seen w WHERE w.initiative_id = i.id) AS waiting,
  (SELECT json_agg(c.body ORDER BY c.number)::text FROM condition c WHERE c.initiative_id = i.id) AS conditions,
  (SELECT json_agg(v ORDER BY v.number)::text FROM proposal_version v WHERE v.initiative_id = i.id) AS versions
FROM initiative i"""  # noqa: S608 (the columns' names are ours)
# The view is asked by itself, for one row: in a join its barrier would have it read whole.
_BEFORE: Final = f"""SELECT {_INITIATIVE_COLUMNS}, d.body::text AS subject, d.redacted_at,
  (SELECT s.body::text FROM matter_seen s WHERE s.initiative_id = i.id AND s.number = $2) AS matter
FROM initiative i
LEFT JOIN matter m ON m.initiative_id = i.id AND m.number = $2
LEFT JOIN LATERAL document_of(i.id, m.content_hash) d ON true"""  # noqa: S608
_MATTER: Final = "SELECT body::text FROM matter_seen WHERE initiative_id = $1 AND number = $2"

_WAITING: Final = TypeAdapter(list[Waiting])
_CONDITIONS: Final = TypeAdapter(list[Condition])
_VERSIONS: Final = TypeAdapter(list[Version])


async def find(connection: AsyncConnection, identifier: str) -> Initiative | None:
    """The initiative with that id (a UUID)."""
    row = (
        (await connection.execute(select(t.initiative).where(t.initiative.c.id == identifier)))
        .mappings()
        .first()
    )
    return None if row is None else _initiative(row)


_TRIGRAM: Final = 3
"""Letters; only a text that long is looked for by the index, a shorter one in every row."""


async def search(
    connection: AsyncConnection,
    *,
    stage: str | None = None,
    area: str | None = None,
    kind: str | None = None,
    waits_for: str | None = None,
    text: str | None = None,
    part_of: tuple[str, str | None] | None = None,
    before: str | None = None,
    limit: int = 50,
) -> list[Initiative]:
    """Initiatives, the newest first, older than the id ``before`` (UUIDv7 ids sort by time).

    ``text`` is a part of the title in any language or of the reference, in whatever case; a longer one is looked for
    among what the database's reader sees. ``part_of`` is a person and their contact key: only what they take part in.
    """
    by_index = text is not None and len(text) >= _TRIGRAM
    statement, rows, identifier = _WITH_TEXT if by_index else _ALL
    i = rows.c
    statement = statement.order_by(identifier.desc()).limit(limit)
    for column, wanted in ((i.stage, stage), (i.area, area), (i.kind, kind)):
        if wanted is not None:
            statement = statement.where(column == wanted)
    if waits_for is not None:
        statement = statement.where(i.waits_for.contains([waits_for]))
    if text:
        pattern = "%" + text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_") + "%"
        statement = statement.where(or_(cast(i.title, Text).ilike(pattern), i.reference.ilike(pattern)))
    if part_of is not None:
        statement = statement.where(takes_part(*part_of, rows))
    if before is not None:
        statement = statement.where(identifier < before)
    found = await connection.execute(statement, {"text": text} if by_index else {})
    return [_initiative(row) for row in found.mappings()]


def _those_with_text() -> tuple[Select[Any], FromClause, ColumnElement[Any]]:
    """What asks for the initiatives that the index has for ``:text``, its rows, and their id.

    They are read one after the other in the order of their ids, and so no further than the page. The fence, which
    ``OFFSET 0`` is to the planner, keeps it from looking through each title first.
    """
    asked = func.initiatives_with(bindparam("text"), type_=t.initiative.c.id.type).column_valued("id")
    ids = select(asked).order_by(asked.desc()).subquery("with_text")
    row = select(t.initiative).where(t.initiative.c.id == ids.c.id).offset(literal_column("0")).lateral()
    return select(row).join_from(ids, row, true()), row, ids.c.id


_ALL: Final = (select(t.initiative), t.initiative, t.initiative.c.id)
_WITH_TEXT: Final = _those_with_text()


async def versions(connection: AsyncConnection, initiative: str) -> list[Version]:
    """Every version of the proposal, the first one first."""
    table = t.proposal_version
    statement = select(table).where(table.c.initiative_id == initiative).order_by(table.c.number)
    return [Version.model_validate(dict(row)) for row in (await connection.execute(statement)).mappings()]


async def see_matters(connection: AsyncConnection, initiative: str) -> list[Seen]:
    """Everything that was put before the directorates, in order, as the database's reader may see it."""
    return [_seen(body) for body in await _bodies(connection, t.matter_seen, initiative)]


async def matters(connection: AsyncConnection, initiative: str) -> list[Matter]:
    """Everything that was put before the directorates, in order."""
    return [one.matter for one in await see_matters(connection, initiative)]


async def matter(connection: AsyncConnection, initiative: str, number: int) -> Matter | None:
    """One matter, for whoever sees all of it."""
    m = t.matter_seen.c
    body = await connection.scalar(select(m.body).where(m.initiative_id == initiative, m.number == number))
    return None if body is None else Matter.model_validate(body)


async def tranches(connection: AsyncConnection, initiative: str) -> list[Tranche]:
    """The tranches, in order."""
    return [Tranche.model_validate(body) for body in await _bodies(connection, t.tranche_seen, initiative)]


async def reports(connection: AsyncConnection, initiative: str) -> list[ReportDue]:
    """The reports, in order."""
    return [ReportDue.model_validate(body) for body in await _bodies(connection, t.report, initiative)]


async def conditions(connection: AsyncConnection, initiative: str) -> list[Condition]:
    """The conditions of the current version, in order."""
    return [Condition.model_validate(body) for body in await _bodies(connection, t.condition, initiative)]


async def _bodies(connection: AsyncConnection, table: Any, initiative: str) -> Sequence[Any]:
    statement = select(table.c.body).where(table.c.initiative_id == initiative).order_by(table.c.number)
    return (await connection.scalars(statement)).all()


async def waiting(connection: AsyncConnection, initiative: str) -> list[Waiting]:
    """Who is waited for."""
    statement = (
        select(t.waiting_seen)
        .where(t.waiting_seen.c.initiative_id == initiative)
        .order_by(t.waiting_seen.c.position)
    )
    return [Waiting.model_validate(dict(row)) for row in (await connection.execute(statement)).mappings()]


@dataclass(frozen=True, slots=True)
class InboxItem:
    """Something that waits for the caller, with the initiative it is about."""

    initiative: str
    reference: str
    title: dict[str, str]
    stage: Stage
    waits_for: tuple[str, ...]
    waiting: Waiting


def _part_of_reader() -> ColumnElement[Any]:
    """The ids of what the database's reader has a part in, as an array."""
    return cast(select(func.part_of_reader()).scalar_subquery(), ARRAY(Uuid))


def _soonest_first(w: Any) -> tuple[ColumnElement[Any], ...]:
    """The order of what waits."""
    return w.deadline.asc().nulls_last(), w.since, w.initiative_id


def _soonest(part: ColumnElement[bool], person: str, limit: int) -> Subquery:
    """What waits for a person in one way."""
    w = t.waiting.c
    return (
        select(t.waiting)
        .where(part, ~w.not_by.contains([person]))
        .order_by(*_soonest_first(w))
        .limit(limit)
        .subquery()
    )


def _covered(mandate: Mandate, office: str) -> ColumnElement[bool]:
    """What waits for an office and is of a kind that a mandate covers."""
    w = t.waiting.c
    of_matters = w.matter_kind.in_([str(kind) for kind in mandate.kinds])
    if PAYMENT in mandate.kinds and office == FINANCE_OFFICE:
        return or_(of_matters, w.task.in_(_PAYMENT_TASKS))
    return of_matters


_PAYMENT_TASKS = (Task.AUTHORISE, Task.CONFIRM)
_APPLICANTS_TASKS = (Task.NEW_VERSION, Task.EVIDENCE, Task.REPORT)


async def inbox(
    connection: AsyncConnection,
    *,
    person: str,
    directorate: str | None,
    offices: Sequence[str],
    mandates: Sequence[Mandate] = (),
    limit: int = 100,
) -> list[InboxItem]:
    """What waits for a person by their offices, their mandates or as an applicant, the soonest deadline first.

    The person is the database's reader: what that reader has a part in is theirs to do, or not theirs to decide on.
    """
    w, i = t.waiting.c, t.initiative.c
    mine = w.initiative_id == any_(_part_of_reader())
    # One office each: so each is read in the order of its deadlines from the index, and no further than the page.
    parts = [and_(w.directorate.is_(None), w.task.in_(_APPLICANTS_TASKS), mine)]
    # Whoever has a part in an initiative does not decide on it, so it does not wait for them either.
    if directorate:
        parts += [and_(w.directorate == directorate, w.office == one, ~mine) for one in offices]
    parts += [
        and_(
            w.directorate == mandate.directorate,
            w.office == one,
            _covered(mandate, one),
            ~w.not_by.contains([mandate.delegator]),
            ~mine,
        )
        for mandate in mandates
        for one in mandate.offices
    ]
    # Whole rows, so that what row security asks of a table is asked once for each.
    found = union(*(select(_soonest(part, person, limit)) for part in parts)).subquery()
    statement: Select[Any] = (
        select(i.reference, i.title, i.stage, i.waits_for, found)
        .join_from(found, t.initiative, found.c.initiative_id == i.id)
        .order_by(*_soonest_first(found.c))
        .limit(limit)
    )
    rows = (await connection.execute(statement)).mappings()
    return [
        InboxItem(
            initiative=str(row["initiative_id"]),
            reference=row["reference"],
            title=row["title"],
            stage=Stage(row["stage"]),
            waits_for=tuple(row["waits_for"]),
            waiting=Waiting.model_validate(dict(row)),
        )
        for row in rows
    ]
