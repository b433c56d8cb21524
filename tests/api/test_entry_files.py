"""Entries of the audit trail as files: all of them, each as it is, in memory that does not grow with them."""

from __future__ import annotations

import csv
import io
import json
import os
import secrets
import tracemalloc
from typing import Any, Final

from sqlalchemy import text

from countersign.api import entry_files
from countersign.domain.audit import AuditEntry, entry_hash
from countersign.runtime.embedded.services import Services
from countersign.runtime.migrate import migrate
from countersign.store.session import Database
from tests.people import Office


async def lines(office: Office, path: str, who: str = "az-auditor") -> tuple[str, str]:
    answer = await office.call(who, "GET", path)
    assert answer.status_code == 200, answer.text
    return answer.text, answer.headers["content-type"].partition(";")[0]


async def test_every_entry_is_in_the_file_as_it_is_in_the_trail(office: Office, initiative: str) -> None:
    trail = await office.trail(initiative)
    told, kind = await lines(office, f"/v1/audit?initiative={initiative}&format=jsonl&limit=1")
    assert kind == "application/jsonl"
    found = [json.loads(one) for one in told.splitlines()]
    assert [one["entry"] for one in reversed(found)] == trail
    assert {one["reference"] for one in found} == {trail[0]["body"]["reference"]}
    for one in found:
        assert entry_hash(one["entry"]) == AuditEntry(**one["entry"]).hash

    told, kind = await lines(office, f"/v1/audit?initiative={initiative}&format=csv")
    assert kind == "text/csv"
    rows = list(csv.DictReader(io.StringIO(told)))
    assert tuple(rows[0]) == entry_files.COLUMNS
    assert [(int(one["sequence"]), json.loads(one["body"]), one["hash"]) for one in reversed(rows)] == [
        (one["sequence"], one["body"], one["hash"]) for one in trail
    ]


async def test_a_file_has_what_the_search_asks_for_and_is_the_auditors_alone(
    office: Office, initiative: str
) -> None:
    told, _ = await lines(office, f"/v1/audit?initiative={initiative}&action=stage.entered&format=jsonl")
    assert {json.loads(one)["entry"]["action"] for one in told.splitlines()} == {"stage.entered"}
    empty, _ = await lines(office, f"/v1/audit?initiative={initiative}&to=2001-01-01T00:00:00Z&format=csv")
    assert empty.splitlines() == [",".join(entry_files.COLUMNS)]
    for who in ("il-head", "il-lead", "operator"):
        answer = await office.call(who, "GET", "/v1/audit?format=csv")
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    wrong = await office.call("il-auditor", "GET", "/v1/audit?format=xml")
    assert wrong.json()["code"] == "invalid"


async def test_no_spreadsheet_takes_a_cell_for_a_formula(office: Office, initiative: str) -> None:
    key = '=cmd|"/c calc"!A1'.replace(" ", "")
    answer = await office.call(
        "il-legal", "POST", f"/v1/initiatives/{initiative}/conflicts", body={"reasons": "Mine."}, key=key
    )
    assert answer.status_code == 200, answer.text
    told, _ = await lines(office, f"/v1/audit?initiative={initiative}&action=conflict.declared&format=csv")
    (row,) = csv.DictReader(io.StringIO(told))
    assert row["message"] == f"'{key}"


MANY_ENTRIES: Final = int(os.environ.get("COUNTERSIGN_EXPORTED", "40000"))


async def test_many_times_as_many_entries_take_no_more_memory(services: Services) -> None:
    url = await services.postgres.create_database(f"files_{secrets.token_hex(4)}")
    await migrate(url)
    database = Database(url, pool_size=1)

    async def peak(number: int) -> int:
        async with database.transaction() as connection:
            await connection.execute(text("ALTER TABLE audit_entry DISABLE TRIGGER ALL"))
            await connection.execute(text("DELETE FROM audit_entry"))
            await connection.execute(MANY, {"number": number})
        counted, pieces = 0, entry_files._pieces(database, entry_files._as_jsonl, None, {})
        tracemalloc.start()
        async for piece, _ in pieces:
            counted += piece.count("\n")
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert counted == number
        return most

    few, many = await peak(4_000), await peak(MANY_ENTRIES)
    await database.close()
    assert many < 1.3 * few


MANY: Any = text("""
INSERT INTO audit_entry (initiative_id, sequence, action, actor, at, body, previous, hash)
SELECT '00000000-0000-0000-0000-000000000001', n, 'test', 'system', '2027-01-01T00:00:00.000000Z',
    jsonb_build_object('a', repeat('x', 500)), '', '' FROM generate_series(1, :number) AS n
""")
