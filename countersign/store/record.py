"""Writing one step of an initiative: trail, rows and events in one transaction, once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.domain.audit import AuditEntry
from countersign.domain.model import Model
from countersign.domain.projection import Projection, Step
from countersign.store import tables as t
from countersign.store.session import Database
from countersign.store.trail import entries_from, row_of


async def append(database: Database, step: Step) -> tuple[AuditEntry, ...]:
    """Write the step, unless other entries already stand at its place in the trail: then give those back.

    The same step again changes nothing. When it is there and others follow, all of them are given back.
    The primary key (initiative, sequence) is the guard.
    """
    first = step.entries[0]
    try:
        async with database.transaction() as connection:
            await _write(connection, step)
        return ()
    except DBAPIError:
        # Whatever the database refused: if the place in the trail is taken, that is why.
        async with database.reading() as connection:
            standing = await entries_from(connection, first.initiative, first.sequence)
        if not standing:
            raise
        if [one.hash for one in standing] == [one.hash for one in step.entries]:
            return ()
        return standing


async def _write(connection: AsyncConnection, step: Step) -> None:
    if step.documents:
        await put_documents(connection, step.documents)
    await connection.execute(_INSERT_ENTRIES, [row_of(one) for one in step.entries])
    await _write_projection(connection, step.projection)
    if step.events:
        rows = [{"initiative_id": step.projection.id, **one.model_dump(mode="python")} for one in step.events]
        await connection.execute(_INSERT_EVENTS, rows)


async def put_documents(connection: AsyncConnection, documents: dict[str, dict[str, Any]]) -> None:
    """Keep documents under their content hashes; what is there already is the same."""
    rows = [{"content_hash": key, "body": body} for key, body in documents.items()]
    await connection.execute(insert(t.document).on_conflict_do_nothing(), rows)


async def _write_projection(connection: AsyncConnection, p: Projection) -> None:
    row = p.model_dump(
        include={
            "id", "reference", "agreement_version", "applicant", "people", "area", "kind", "lead_directorate",
            "stage", "stage_since", "stage_deadline", "stage_reason", "version", "content_hash", "submitted_at",
            "sequence", "waits_for", "next_deadline",
        }
    )  # fmt: skip
    row["agreement_id"], row["document"] = p.agreement, p.content_hash
    row["people"], row["waits_for"] = list(p.people), list(p.waits_for)
    await connection.execute(_UPSERT_INITIATIVE, row)
    if p.versions:
        await connection.execute(
            _INSERT_VERSIONS, [{"initiative_id": p.id, **one.model_dump(mode="python")} for one in p.versions]
        )
    if p.matters:
        await connection.execute(
            _UPSERT_MATTERS,
            [
                _row(p.id, one, kind=one.kind, content_hash=one.content_hash, outcome=one.outcome)
                for one in p.matters
            ],
        )
    if p.tranches:
        await connection.execute(_UPSERT_TRANCHES, [_row(p.id, one) for one in p.tranches])
    if p.reports:
        rows = [_row(p.id, one, due_at=one.due_at, state=one.state) for one in p.reports]
        await connection.execute(_UPSERT_REPORTS, rows)
    if p.conditions is not None:
        await connection.execute(delete(t.condition).where(t.condition.c.initiative_id == p.id))
        if p.conditions:
            await connection.execute(insert(t.condition), [_row(p.id, one) for one in p.conditions])
    await connection.execute(delete(t.waiting).where(t.waiting.c.initiative_id == p.id))
    if p.waiting:
        await connection.execute(
            insert(t.waiting),
            [
                {"initiative_id": p.id, "position": i, **one.model_dump(), "not_by": list(one.not_by)}
                for i, one in enumerate(p.waiting)
            ],
        )


def _row(initiative: str, one: Any, **columns: Any) -> dict[str, Any]:
    model: Model = one
    body = json.loads(model.model_dump_json())
    return {"initiative_id": initiative, "number": one.number, "body": body, **columns}


def _upsert(table: Any, columns: Sequence[str]) -> Any:
    statement = insert(table)
    return statement.on_conflict_do_update(
        index_elements=["initiative_id", "number"],
        set_={name: statement.excluded[name] for name in columns},
    )


_INSERT_ENTRIES = insert(t.audit_entry)
_INSERT_EVENTS = insert(t.event)
_INSERT_VERSIONS = insert(t.proposal_version)
_UPSERT_MATTERS = _upsert(t.matter, ["outcome", "body"])
_UPSERT_TRANCHES = _upsert(t.tranche, ["body"])
_UPSERT_REPORTS = _upsert(t.report, ["due_at", "state", "body"])


def _upsert_initiative() -> Any:
    title = (
        select(func.coalesce(t.document.c.body["title"], func.jsonb_build_object()))
        .where(t.document.c.content_hash == bindparam("document"))
        .scalar_subquery()
    )
    statement = insert(t.initiative).values(title=title)
    kept = {"id", "reference", "agreement_id", "agreement_version", "applicant", "submitted_at"}
    changing = [one.name for one in t.initiative.columns if one.name not in kept]
    return statement.on_conflict_do_update(
        index_elements=["id"], set_={name: statement.excluded[name] for name in changing}
    )


_UPSERT_INITIATIVE = _upsert_initiative()
