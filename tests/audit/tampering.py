"""What somebody could do to the record who may do everything to its database."""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import BigInteger, Column, DateTime, Integer, LargeBinary, Table, select, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.domain import audit
from countersign.domain.audit import AuditEntry
from countersign.store import log
from countersign.store import tables as t
from countersign.store.trail import COLUMNS, entry_of, row_of

SILENT: Final = {
    # Columns that say nothing of what happened: orders of writing, when a row was made, what is searched by.
    t.document: {"created_at"},
    t.event: {"position", "transaction"},
    t.deferral: {"position", "agreement_id"},
    t.payment_instruction: {"instructed_at", "message_id"},
    t.log_checkpoint: {"made_at"},
    t.log_signature: {"signed_at"},
}

TABLES: Final = (
    *(
        t.audit_entry,
        t.initiative,
        t.initiative_person,
        t.proposal_version,
        t.matter,
        t.condition,
        t.tranche,
        t.report,
        t.waiting,
    ),
    *(t.event, t.ledger_transaction, t.ledger_entry, t.document, t.payment_instruction, t.mandate),
    *(t.deferral, t.agreement, t.log_leaf, t.log_tile, t.log_checkpoint, t.log_signature),
    t.workflow_history,
)
"""What is verified."""


@dataclass
class Tampered:
    """What was done, and to which trail and entry, where it was to one."""

    what: str
    trail: str | None = None
    sequence: int | None = None


Tamper = Callable[[AsyncConnection, random.Random], Awaitable[Tampered | None]]
"""Does something; nothing when the record has nothing that it could be done to."""


async def change_a_column(connection: AsyncConnection, luck: random.Random) -> Tampered | None:
    """Any column of any row of any table."""
    table = luck.choice(TABLES)
    column = luck.choice([one for one in table.columns if one.name not in SILENT.get(table, ())])
    found = await _any_row(connection, luck, table)
    if found is None:
        return None
    place, row = found
    value = _another(luck, column, row[column.name])
    return await _set(connection, table, place, row, {column.name: value})


async def delete_a_row(connection: AsyncConnection, luck: random.Random) -> Tampered | None:
    # An instruction may not be there yet, and a side may not have signed.
    table = luck.choice([one for one in TABLES if one not in (t.payment_instruction, t.log_signature)])
    found = await _any_row(connection, luck, table)
    if found is None:
        return None
    place, row = found
    if table is t.document and await _only_refused(connection, row["content_hash"]):
        return None
    await connection.execute(text(f"DELETE FROM {table.name} WHERE ctid = '{place}'"))
    return Tampered(f"deleted a row of {table.name}", *_whose(table, row))


async def _only_refused(connection: AsyncConnection, content_hash: str) -> bool:
    """Whether a document is one that nobody ever took: it need not be there."""
    naming = text(
        "SELECT count(*) FROM audit_entry WHERE action <> 'message.refused' "
        "AND (subject = :hash OR strpos(body::text, :hash) > 0)"
    )
    number: int = (await connection.execute(naming, {"hash": content_hash})).scalar_one()
    return number == 0


async def insert_a_row(connection: AsyncConnection, luck: random.Random) -> Tampered | None:
    """One like another, with a key of its own."""
    table = luck.choice([one for one in TABLES if one not in (t.log_leaf, t.agreement)])
    found = await _any_row(connection, luck, table)
    if found is None:
        return None
    _, row = found
    new = dict(row)
    keys = [one for one in table.primary_key.columns if one.name != "initiative_id"]
    key = luck.choice(keys or list(table.primary_key.columns))
    new[key.name] = _another(luck, key, new[key.name])
    if table is t.audit_entry:
        new["sequence"] = await connection.scalar(
            text("SELECT max(sequence) + 1 FROM audit_entry WHERE initiative_id = :id"),
            {"id": row["initiative_id"]},
        )
    if table is t.event:
        new["sequence"] = row["sequence"] + 10_000
    for name in ("position", "transaction"):
        if name in table.columns and table in (t.event, t.audit_entry):
            del new[name]
    await connection.execute(table.insert().values(new))
    trail, _ = _whose(table, row)
    return Tampered(f"inserted a row into {table.name}", trail)


async def swap_two_entries(connection: AsyncConnection, luck: random.Random) -> Tampered | None:
    entries = await _a_trail(connection, luck)
    first, second = sorted(luck.sample(range(len(entries)), 2))
    one, other = entries[first], entries[second]
    for place, entry in ((-1, one), (one.sequence, other), (other.sequence, None)):
        was = -1 if entry is None else entry.sequence
        await connection.execute(
            text("UPDATE audit_entry SET sequence = :to WHERE initiative_id = :id AND sequence = :was"),
            {"to": place, "id": one.initiative, "was": was},
        )
    return Tampered("swapped two entries", one.initiative, one.sequence)


async def cut_the_end(connection: AsyncConnection, luck: random.Random) -> Tampered | None:
    entries = await _a_trail(connection, luck)
    gone = luck.choice(entries[1:])
    await connection.execute(
        text("DELETE FROM audit_entry WHERE initiative_id = :id AND sequence >= :sequence"),
        {"id": gone.initiative, "sequence": gone.sequence},
    )
    return Tampered("cut the end of a trail", gone.initiative, gone.sequence)


async def change_and_chain_again(connection: AsyncConnection, luck: random.Random) -> Tampered | None:
    """An entry is changed, and all after it are given the hashes that follow."""
    changed = await chained_again(connection, luck)
    return Tampered("changed an entry and chained again", changed.initiative, changed.sequence)


async def rewrite_it_all(connection: AsyncConnection, luck: random.Random) -> Tampered | None:
    """The same, and the log and its checkpoint are made anew over it: only who kept an earlier one can tell."""
    changed = await chained_again(connection, luck)
    await log_made_anew(connection)
    return Tampered("rewrote all of it", changed.initiative, None)


async def log_made_anew(connection: AsyncConnection) -> None:
    await connection.execute(text("TRUNCATE log_leaf, log_tile, log_signature, log_checkpoint"))
    while await log.grow(connection):
        pass


async def chained_again(connection: AsyncConnection, luck: random.Random) -> AuditEntry:
    entries = await _a_trail(connection, luck)
    place = luck.randrange(len(entries))
    changes: list[dict[str, Any]] = [
        {"actor": "il/somebody-else"},
        {"at": audit.rfc3339(entries[place].instant + timedelta(seconds=1))},
        {"on_behalf_of": "il/somebody-else"},
    ]
    previous = entries[place].previous
    for i, entry in enumerate(entries[place:]):
        fields = entry.model_dump() | (luck.choice(changes) if i == 0 else {}) | {"previous": previous}
        previous = fields["hash"] = audit.entry_hash(fields)
        row = row_of(AuditEntry(**fields))
        where = (
            t.audit_entry.c.initiative_id == entry.initiative,
            t.audit_entry.c.sequence == entry.sequence,
        )
        await connection.execute(t.audit_entry.update().where(*where).values(row))
    return entries[place]


TAMPERINGS: Final[tuple[tuple[Tamper, int], ...]] = (
    (change_a_column, 10),
    (delete_a_row, 4),
    (insert_a_row, 4),
    (swap_two_entries, 1),
    (cut_the_end, 1),
    (change_and_chain_again, 2),
    (rewrite_it_all, 2),
)
"""Each with how often it is done."""


async def _any_row(
    connection: AsyncConnection, luck: random.Random, table: Table
) -> tuple[str, dict[str, Any]] | None:
    places = (await connection.scalars(text(f"SELECT ctid::text FROM {table.name} ORDER BY ctid"))).all()
    if not places:
        return None
    place = luck.choice(places)
    row = (await connection.execute(select(table).where(text(f"ctid = '{place}'")))).mappings().one()
    return place, dict(row)


async def _set(
    connection: AsyncConnection, table: Table, place: str, row: dict[str, Any], values: dict[str, Any]
) -> Tampered:
    await connection.execute(table.update().where(text(f"ctid = '{place}'")).values(values))
    return Tampered(f"changed {table.name}.{', '.join(values)}", *_whose(table, row))


def _whose(table: Table, row: dict[str, Any]) -> tuple[str | None, int | None]:
    trail = row.get("initiative_id") or (row["id"] if table is t.initiative else None)
    return None if trail is None else str(trail), row["sequence"] if table is t.audit_entry else None


async def _a_trail(connection: AsyncConnection, luck: random.Random) -> list[AuditEntry]:
    e = t.audit_entry.c
    ids = sorted(map(str, await connection.scalars(select(t.initiative.c.id))))
    rows = await connection.execute(
        select(*COLUMNS).where(e.initiative_id == luck.choice(ids)).order_by(e.sequence)
    )
    return [entry_of(dict(row)) for row in rows.mappings()]


def _another(luck: random.Random, column: Column[Any], value: Any) -> Any:
    """Another value of a column's type."""
    kind = column.type
    if value is not None and column.nullable and luck.random() < 0.2:
        return None
    if column.name in ("hash", "previous", "content_hash", "subject"):
        return "sha256:" + luck.randbytes(32).hex()
    if isinstance(kind, LargeBinary):
        changed = bytearray(value)
        changed[luck.randrange(len(changed))] ^= 1 << luck.randrange(8)
        return bytes(changed)
    if isinstance(kind, JSONB):
        return _another_json(luck, value)
    if isinstance(kind, ARRAY):
        return [*value, "another"] if not value or luck.random() < 0.5 else value[:-1]
    if isinstance(kind, DateTime):
        return (value or datetime.fromisoformat("2030-01-01T00:00:00+00:00")) + timedelta(hours=1)
    if isinstance(kind, BigInteger | Integer):
        return (value or 0) + luck.choice((1, 1000))
    if column.name in ("id", "initiative_id"):
        digits = list(str(value))
        digits[-1] = "0" if digits[-1] != "0" else "1"
        return "".join(digits)
    return f"{value or ''}x"[-(getattr(kind, "length", None) or 10_000) :]


def _another_json(luck: random.Random, value: Any) -> Any:
    """The same with one leaf changed, taken away or added."""
    changed = json.loads(json.dumps(value))
    node: Any = [changed]
    key: Any = 0
    here: Any = changed
    while isinstance(here, dict | list) and here:
        if luck.random() < 0.1:
            break
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        node, key = here, luck.choice(keys)
        here = here[key]
    if isinstance(here, dict):
        here["another"] = 1
    elif isinstance(here, list):
        here.append("another")
    elif isinstance(here, bool) or here is None:
        node[key] = not here
    elif isinstance(here, int):
        node[key] = here + 1
    else:
        node[key] = f"{here}x"
    return changed
