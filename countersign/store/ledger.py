"""Reading the ledger: transactions in order, balances, and what was entered per area and year."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final, NamedTuple

from sqlalchemy import func, literal, select, tuple_
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.domain.ledger import Entry, Transaction
from countersign.store import tables as t
from countersign.store.session import Database

BATCH: Final = 500
"""Transactions that are read at a time, when all are wanted."""


class Position(NamedTuple):
    """Where a transaction stands in the ledger of its initiative: its audit entry, and its number within that."""

    sequence: int
    number: int


@dataclass(frozen=True, slots=True)
class Balance:
    """What stands on an account of a side in a unit, in minor units."""

    directorate: str
    unit: str
    account: str
    minor: int


@dataclass(frozen=True, slots=True)
class Statement:
    """What was entered on an account of a side, over all initiatives of an area, in a calendar year (UTC)."""

    area: str
    year: int
    directorate: str
    unit: str
    account: str
    minor: int


async def transactions(
    connection: AsyncConnection, initiative: str, *, after: Position | None = None, limit: int = BATCH
) -> list[Transaction]:
    """An initiative's transactions in the order of the trail, those after a position."""
    p, e = t.ledger_transaction.c, t.ledger_entry.c
    line = func.jsonb_build_object("account", e.account, "minor", e.minor)
    # Debits first, as books have it.
    lines = func.jsonb_agg(aggregate_order_by(line, e.minor.desc(), e.account))
    statement = (
        select(t.ledger_transaction, lines.label("entries"))
        .join_from(t.ledger_transaction, t.ledger_entry)
        .where(p.initiative_id == initiative)
        .group_by(*t.ledger_transaction.primary_key.columns)
        .order_by(p.sequence, p.number)
        .limit(limit)
    )
    if after is not None:
        here = tuple_(literal(after.sequence, p.sequence.type), literal(after.number, p.number.type))
        statement = statement.where(tuple_(p.sequence, p.number) > here)
    return [_transaction(dict(row)) for row in (await connection.execute(statement)).mappings()]


async def all_transactions(database: Database, initiative: str) -> AsyncIterator[Transaction]:
    """All of an initiative's transactions in order, however many there are."""
    after: Position | None = None
    while True:
        async with database.reading() as connection:
            found = await transactions(connection, initiative, after=after)
        for one in found:
            yield one
        if len(found) < BATCH:
            return
        after = Position(found[-1].sequence, found[-1].number)


async def balances(connection: AsyncConnection, initiative: str) -> list[Balance]:
    """An initiative's balances; those of nothing are left out."""
    b = t.ledger_balance.c
    rows = await connection.execute(
        select(b.directorate, b.unit, b.account, b.minor)
        .where(b.initiative_id == initiative, b.minor != 0)
        .order_by(b.directorate, b.unit, b.account)
    )
    return [Balance(**row) for row in rows.mappings()]


async def statements(
    connection: AsyncConnection,
    agreement: str,
    *,
    directorate: str | None = None,
    area: str | None = None,
    year: int | None = None,
) -> list[Statement]:
    """What was entered on the accounts of a whole programme, per area and year."""
    s = t.ledger_statement.c
    exact: dict[str, str | int | None] = {"directorate": directorate, "area": area, "year": year}
    rows = await connection.execute(
        select(s.area, s.year, s.directorate, s.unit, s.account, s.minor)
        .where(s.agreement_id == agreement, s.minor != 0)
        .where(*(s[name] == value for name, value in exact.items() if value is not None))
        .order_by(s.year, s.area, s.directorate, s.unit, s.account)
    )
    return [Statement(**row) for row in rows.mappings()]


def _transaction(row: dict[str, Any]) -> Transaction:
    return Transaction(
        initiative=str(row.pop("initiative_id")),
        at=row.pop("at").astimezone(UTC),
        entries=tuple(Entry(**one) for one in row.pop("entries")),
        **row,
    )
