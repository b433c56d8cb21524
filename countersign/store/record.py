"""Writing one step of an initiative: trail, ledger, rows and events in one statement, once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from asyncpg import PostgresError
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.domain.audit import AuditEntry
from countersign.domain.projection import Step
from countersign.store import budgets
from countersign.store import tables as t
from countersign.store.session import Database
from countersign.store.trail import entries_from


async def append(database: Database, step: Step | bytes) -> tuple[AuditEntry, ...]:
    """Write the step, unless other entries already stand at its place in the trail: then give those back.

    The same step again changes nothing. When it is there and others follow, all of them are given back.
    The primary key (initiative, sequence) is the guard. A step as ``bytes`` is its JSON: the database takes it apart,
    so that whoever writes it need not.

    Raises:
        BudgetExceeded: it reserves more than a side's budget leaves; nothing is written.
    """
    raw = step.decode() if isinstance(step, bytes) else step.model_dump_json()
    try:
        await database.statement(_statement(frozenset(_parts(json.loads(raw)))), raw)
    except PostgresError as error:
        # Whatever the database refused: if the place in the trail is taken, that is why.
        if isinstance(step, bytes):
            step = Step.model_validate_json(step)
        first = step.entries[0]
        async with database.reading() as connection:
            standing = await entries_from(connection, first.initiative, first.sequence)
            exceeded = not standing and error.sqlstate == budgets.EXCEEDED
            lacking = await budgets.lacking(connection, step) if exceeded else ()
        if lacking:
            raise budgets.BudgetExceeded(lacking) from error
        if not standing:
            raise
        if [one.hash for one in standing] == [one.hash for one in step.entries]:
            return ()
        return standing
    return ()


async def put_documents(connection: AsyncConnection, documents: dict[str, dict[str, Any]]) -> None:
    """Keep documents under their content hashes; what is there already is the same.

    One that was redacted and comes again is whole again: a new initiative needs it.
    """
    rows = [{"hash": key, "content": body} for key, body in documents.items()]
    await connection.execute(_KEEP, rows)


_KEEP: Final = text("SELECT keep_document(:hash, :content)").bindparams(bindparam("content", type_=JSONB))
"""The database's own function: with a right to write the table, documents could be redacted here, too."""


def _parts(step: dict[str, Any]) -> Iterator[str]:
    """What of the record a step writes besides its entries and the initiative's own row."""
    yield from (name for name in ("documents", "ledger", "events") if step.get(name))
    projection = step["projection"]
    for name in ("versions", "matters", "tranches", "reports", "tranches_gone", "reports_gone", "waiting"):
        if projection.get(name):
            yield name
    # None leaves them as they are; an empty list is that there are none any more.
    yield from (name for name in ("conditions", "deferred") if projection.get(name) is not None)


@cache
def _statement(parts: frozenset[str]) -> str:
    """The statement that writes a step, given as ``$1``, which has rows for these parts.

    One for all parts would have the database make ready, each time, for what hardly any step writes.
    """
    written = [sql for part, sql in _WRITES if part is None or part in parts]
    # Only names of this module's own go into the text.
    return f"""
WITH step AS MATERIALIZED (SELECT $1::jsonb AS j),
projected AS MATERIALIZED (
  SELECT p.* FROM step, jsonb_to_record(j -> 'projection') AS p({_PROJECTED})
), {", ".join(written)}
DELETE FROM waiting USING projected p
WHERE initiative_id = p.id AND waiting.position >= jsonb_array_length(p.waiting)
"""  # noqa: S608


_PROJECTED: Final = """
    id uuid, reference text, agreement text, agreement_version int, applicant text, people text[], area text, kind text,
    lead_directorate text, stage text, stage_since timestamptz, stage_deadline timestamptz, stage_reason text,
    complaint_until timestamptz, version int, content_hash text, submitted_at timestamptz, sequence bigint,
    waits_for text[], next_deadline timestamptz, waiting jsonb, versions jsonb, matters jsonb, tranches jsonb,
    reports jsonb, conditions jsonb, deferred text[], tranches_gone int[], reports_gone int[]"""
_ENTRY: Final = """
    initiative uuid, sequence bigint, action text, actor text, on_behalf_of text, at text, subject text, message text,
    body jsonb, previous text, hash text"""
_TRANSACTION: Final = """
    initiative uuid, sequence bigint, number int, at timestamptz, directorate text, unit text, code text,
    entries jsonb"""
_WAITING: Final = """
    task text, number int, directorate text, office text, since timestamptz, deadline timestamptz, matter_kind text,
    reminded int, not_by text[]"""
_WAITED: Final = "task, number, directorate, office, since, deadline, matter_kind, reminded, not_by"
_TITLE: Final = """CASE WHEN p.versions = '[]' THEN 'null' ELSE coalesce(
    (SELECT body -> 'title' FROM document WHERE document.content_hash = p.content_hash), '{}') END"""
"""A title changes with a version only; JSON's ``null`` stands for the title as it is."""


def _initiative() -> str:
    kept = ("id", "reference", "agreement_id", "applicant", "submitted_at", "title")
    columns = [one.name for one in t.initiative.columns]
    changing = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in kept)
    values = {name: f"p.{name}" for name in columns} | {"agreement_id": "p.agreement", "title": _TITLE}
    return f"""initiatives AS (
  INSERT INTO initiative ({", ".join(columns)})
  SELECT {", ".join(values[name] for name in columns)} FROM projected p
  ON CONFLICT (id) DO UPDATE SET {changing},
    title = CASE WHEN excluded.title = 'null' THEN initiative.title ELSE excluded.title END
)"""  # noqa: S608


_WRITES: Final[tuple[tuple[str | None, str], ...]] = (
    (
        "documents",
        """documents AS (
  INSERT INTO document (content_hash, body)
  SELECT one.key, one.value FROM step, jsonb_each(j -> 'documents') AS one
  ON CONFLICT DO NOTHING
)""",
    ),
    (
        None,
        f"""entries AS (
  INSERT INTO audit_entry
    (initiative_id, sequence, action, actor, on_behalf_of, at, subject, message, body, previous, hash)
  SELECT initiative, sequence, action, actor, on_behalf_of, at, subject, message, body, previous, hash
  FROM step, jsonb_to_recordset(j -> 'entries') AS one({_ENTRY})
  ORDER BY sequence
)""",  # noqa: S608
    ),
    (
        "ledger",
        f"""transactions AS (
  INSERT INTO ledger_transaction (initiative_id, sequence, number, at, directorate, unit, code)
  SELECT one.initiative, one.sequence, one.number, one.at, one.directorate, one.unit, one.code
  FROM step, jsonb_to_recordset(j -> 'ledger') AS one({_TRANSACTION})
  ORDER BY one.sequence, one.number
)""",  # noqa: S608
    ),
    (
        "ledger",
        f"""postings AS (
  INSERT INTO ledger_entry (initiative_id, sequence, number, account, minor)
  SELECT one.initiative, one.sequence, one.number, line.account, line.minor
  FROM step, jsonb_to_recordset(j -> 'ledger') AS one({_TRANSACTION}),
    jsonb_to_recordset(one.entries) AS line(account text, minor bigint)
)""",  # noqa: S608
    ),
    (
        "events",
        """events AS (
  INSERT INTO event (initiative_id, sequence, type, at, data)
  SELECT p.id, one.sequence, one.type, one.at, one.data
  FROM projected p, step, jsonb_to_recordset(j -> 'events')
    AS one(sequence bigint, type text, at timestamptz, data jsonb)
  ORDER BY one.sequence
)""",
    ),
    (None, _initiative()),
    (
        "versions",
        """versions AS (
  INSERT INTO proposal_version (initiative_id, number, content_hash, submitted_at, submitted_by, changed)
  SELECT p.id, one.number, one.content_hash, one.submitted_at, one.submitted_by, one.changed
  FROM projected p, jsonb_to_recordset(p.versions)
    AS one(number int, content_hash text, submitted_at timestamptz, submitted_by text, changed jsonb)
)""",
    ),
    (
        "matters",
        """matters AS (
  INSERT INTO matter (initiative_id, number, kind, content_hash, outcome, body)
  SELECT p.id, (one ->> 'number')::int, one ->> 'kind', one ->> 'content_hash', one ->> 'outcome', one
  FROM projected p, jsonb_array_elements(p.matters) AS one
  ON CONFLICT (initiative_id, number) DO UPDATE
    SET content_hash = excluded.content_hash, outcome = excluded.outcome, body = excluded.body
)""",
    ),
    (
        "tranches",
        """tranches AS (
  INSERT INTO tranche (initiative_id, number, body)
  SELECT p.id, (one ->> 'number')::int, one FROM projected p, jsonb_array_elements(p.tranches) AS one
  ON CONFLICT (initiative_id, number) DO UPDATE SET body = excluded.body
)""",
    ),
    (
        "reports",
        """reports AS (
  INSERT INTO report (initiative_id, number, due_at, state, body)
  SELECT p.id, (one ->> 'number')::int, (one ->> 'due_at')::timestamptz, one ->> 'state', one
  FROM projected p, jsonb_array_elements(p.reports) AS one
  ON CONFLICT (initiative_id, number) DO UPDATE
    SET due_at = excluded.due_at, state = excluded.state, body = excluded.body
)""",
    ),
    (
        "tranches_gone",
        """tranches_gone AS (
  DELETE FROM tranche USING projected p WHERE initiative_id = p.id AND tranche.number = ANY (p.tranches_gone)
)""",
    ),
    (
        "reports_gone",
        """reports_gone AS (
  DELETE FROM report USING projected p WHERE initiative_id = p.id AND report.number = ANY (p.reports_gone)
)""",
    ),
    (
        "conditions",
        """conditions AS (
  INSERT INTO condition (initiative_id, number, body)
  SELECT p.id, (one ->> 'number')::int, one FROM projected p, jsonb_array_elements(p.conditions) AS one
  ON CONFLICT (initiative_id, number) DO UPDATE SET body = excluded.body
)""",
    ),
    (
        "conditions",
        """conditions_gone AS (
  DELETE FROM condition USING projected p
  WHERE initiative_id = p.id AND condition.number > jsonb_array_length(p.conditions)
)""",
    ),
    (
        "deferred",
        """deferred AS (
  INSERT INTO deferral (initiative_id, agreement_id, budgets)
  SELECT p.id, p.agreement, p.deferred FROM projected p WHERE cardinality(p.deferred) > 0
  ON CONFLICT (initiative_id) DO UPDATE SET budgets = excluded.budgets,
    position = CASE WHEN deferral.budgets = '{}' THEN excluded.position ELSE deferral.position END
)""",
    ),
    (
        "deferred",
        """deferred_no_more AS (
  -- The row stays: whoever takes the money at last is still to be known as the one whose turn it is.
  UPDATE deferral SET budgets = '{}' FROM projected p WHERE initiative_id = p.id AND cardinality(p.deferred) = 0
)""",
    ),
    (
        "waiting",
        f"""waits AS (
  INSERT INTO waiting
    (initiative_id, position, task, number, directorate, office, since, deadline, matter_kind, reminded, not_by)
  SELECT p.id, one.position - 1, w.*
  FROM projected p, jsonb_array_elements(p.waiting) WITH ORDINALITY AS one(body, position),
    jsonb_to_record(one.body) AS w({_WAITING})
  ON CONFLICT (initiative_id, position) DO UPDATE
    SET ({_WAITED}) = ROW ({", ".join(f"excluded.{name}" for name in _WAITED.split(", "))})
    WHERE ({", ".join(f"waiting.{name}" for name in _WAITED.split(", "))})
      IS DISTINCT FROM ({", ".join(f"excluded.{name}" for name in _WAITED.split(", "))})
)""",  # noqa: S608
    ),
)
"""What writes each part, in the order in which it is written; the first of a pair is the part, none where always."""
