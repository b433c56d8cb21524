"""What each side gives the programme in a year, how much of it is taken, and who waits for some."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5

from sqlalchemy import delete, func, insert, select, text
from sqlalchemy.dialects.postgresql import aggregate_order_by, distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.domain.agreement import ProgrammeAgreement
from countersign.domain.audit import SYSTEM
from countersign.domain.budget import Lack, year_of
from countersign.domain.ledger import Code
from countersign.domain.projection import Step
from countersign.store import books
from countersign.store import tables as t

SET: Final = "budget.set"
"""The action under which a change of budgets is on record, in a trail of the programme's own."""

EXCEEDED: Final = "CS001"
"""The SQLSTATE with which the database refuses a reservation beyond a budget."""

_BOOKS: Final = UUID("5b0c5d0e-0c86-5a65-8d3f-7f1f6d9a2c44")


class BudgetExceeded(Exception):
    """A step would reserve more than is left; nothing of it was written. ``lacking`` says of what."""

    def __init__(self, lacking: tuple[Lack, ...]) -> None:
        super().__init__("; ".join(map(str, lacking)))
        self.lacking = lacking


@dataclass(frozen=True, slots=True)
class Position:
    """A budget in a year: its ceiling and what of it is taken, in minor units; ``waiting`` for it, first come first."""

    directorate: str
    unit: str
    area: str | None
    year: int
    ceiling: int
    taken: int
    waiting: tuple[str, ...]


def book(agreement: str) -> str:
    """The id under which the trail of a programme's budgets is kept, beside those of initiatives."""
    return str(uuid5(_BOOKS, agreement))


async def put(connection: AsyncConnection, agreement: ProgrammeAgreement, at: datetime) -> bool:
    """Have the budgets of an agreement's file in force; whether that changed any. A change is on record."""
    await books.one_at_a_time(connection, book(agreement.id))
    mine = t.budget.c.agreement_id == agreement.id
    stood = {tuple(row) for row in await connection.execute(select(t.budget).where(mine))}
    wanted = {
        (agreement.id, one.directorate, amount.unit, one.area or "", one.year or 0, amount.minor)
        for one in agreement.budget
        for amount in one.amounts
    }
    if stood == wanted:
        return False
    await connection.execute(delete(t.budget).where(mine))
    names = t.budget.columns.keys()
    if wanted:
        await connection.execute(insert(t.budget), [dict(zip(names, row, strict=True)) for row in wanted])
    budgets = [one.model_dump(mode="json") for one in agreement.budget]
    said = {"agreement": agreement.id, "budgets": budgets}
    await books.append(connection, book(agreement.id), SET, SYSTEM, at, said)
    return True


async def waiting(connection: AsyncConnection, agreement: str) -> list[str]:
    """The initiatives that wait for money, in their order."""
    d = t.deferral.c
    waits = func.cardinality(d.budgets) > 0
    statement = select(d.initiative_id).where(d.agreement_id == agreement, waits).order_by(d.position)
    return [str(one) for one in (await connection.scalars(statement)).all()]


async def lacking(connection: AsyncConnection, step: Step) -> tuple[Lack, ...]:
    """What is too little for the reservations of a step that was refused."""
    found: list[Lack] = []
    for one in step.ledger:
        if one.code not in (Code.COMMITMENT_RESERVED, Code.COMMITMENT_INCREASED):
            continue
        wanted, year = sum(entry.minor for entry in one.entries if entry.minor > 0), year_of(one.at)
        held = 0
        if one.code == Code.COMMITMENT_INCREASED:
            # It counts with all that the initiative has already, and against the same year.
            u = t.budget_use.c
            of_it = (u.initiative_id == one.initiative, u.directorate == one.directorate, u.unit == one.unit)
            has = (await connection.execute(select(u.year, u.minor).where(*of_it))).first()
            year, held = (has.year, has.minor) if has else (year, 0)
        values = {
            "initiative": one.initiative,
            "agreement": step.projection.agreement,
            "area": step.projection.area,
            "year": year,
            "side": one.directorate,
            "unit": one.unit,
            "wanted": held + wanted,
        }
        rows = await connection.execute(_LACKING, values)
        found += [
            Lack(
                directorate=one.directorate,
                unit=one.unit,
                area=row.area or None,
                year=year,
                wanted=wanted,
                left=row.ceiling - row.taken - held,
                ahead=row.ahead,
            )
            for row in rows
        ]
    return tuple(found)


_LACKING: Final = text(
    "SELECT * FROM budget_lacking(cast(:initiative AS uuid), :agreement, :area, :year, :side, :unit, :wanted)"
)


async def positions(connection: AsyncConnection, agreement: str, year: int) -> list[Position]:
    """Every budget that is in force in a year."""
    b, u, d = t.budget.c, t.budget_use.c, t.deferral.c
    taken = (
        select(func.coalesce(func.sum(u.minor), 0))
        .where(
            u.agreement_id == agreement,
            u.directorate == b.directorate,
            u.unit == b.unit,
            u.year == year,
            (b.area == "") | (u.area == b.area),
        )
        .scalar_subquery()
    )
    queue = (
        select(func.array_agg(aggregate_order_by(t.initiative.c.reference, d.position)))
        .join_from(t.deferral, t.initiative)
        .where(
            d.agreement_id == agreement,
            func.concat(b.directorate, "/", b.unit, "/", b.area) == d.budgets.any_(),
        )
        .scalar_subquery()
    )
    rows = await connection.execute(
        select(t.budget, taken.label("taken"), queue.label("waiting"))
        .ext(distinct_on(b.directorate, b.unit, b.area))
        .where(b.agreement_id == agreement, b.year.in_([0, year]))
        .order_by(b.directorate, b.unit, b.area, b.year.desc())
    )
    return [_position(row, year) for row in rows.mappings()]


def _position(row: Any, year: int) -> Position:
    return Position(
        directorate=row["directorate"],
        unit=row["unit"],
        area=row["area"] or None,
        year=year,
        ceiling=row["minor"],
        taken=int(row["taken"]),
        waiting=tuple(row["waiting"] or ()),
    )
