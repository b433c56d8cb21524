"""A page of the search over all trails is read from the end of an index, however much there is before it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from sqlalchemy import make_url, text

from countersign.runtime.embedded.services import Services
from countersign.runtime.migrate import migrate
from countersign.store import trail
from countersign.store.roles import API, Reader
from countersign.store.session import Database

pytestmark = pytest.mark.services

AUDITOR = Reader("auditor", "audit-il/auditor", "il")
ENTRIES, ACTORS, ACTIONS = 30_000, 20, 15

MANY: Any = text("""
INSERT INTO audit_entry (initiative_id, sequence, action, actor, at, body, previous, hash)
SELECT md5((n % 300)::text)::uuid, n, 'test.' || n % :actions, 'il/' || n % :actors,
    to_char(timestamptz '2027-01-01' + n * interval '1 minute', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '{}', '', ''
FROM generate_series(1, :number) AS n
""")


@pytest.fixture(scope="module")
async def large(services: Services) -> AsyncIterator[Database]:
    """A record with many entries, as the API reads it."""
    url = await services.postgres.create_database(f"search_{secrets.token_hex(4)}")
    await migrate(url)
    owner = Database(url, pool_size=1)
    async with owner.transaction() as connection:
        await connection.execute(text("ALTER TABLE audit_entry DISABLE TRIGGER ALL"))
        await connection.execute(MANY, {"number": ENTRIES, "actors": ACTORS, "actions": ACTIONS})
        await connection.execute(text("ANALYZE audit_entry"))
    await owner.close()
    api = Database(make_url(url).set(username=API).render_as_string(), pool_size=1)
    yield api
    await api.close()


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for one in plan.get("Plans", ()):
        yield from nodes(one)


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"actor": "il/7"},
        {"action": "test.7"},
        {"actor": "il/7", "action": "test.7"},
        {"actor": "il/7", "before": trail.Place("2027-01-10T00:00:00.000000Z", 12_000)},
    ],
    ids=lambda wanted: " and ".join(wanted) or "everything",
)
async def test_an_auditors_page_takes_no_more_entries_than_stand_on_it(
    large: Database, wanted: dict[str, Any]
) -> None:
    statement = trail.searching(**wanted, limit=11)
    async with large.read_by(AUDITOR).reading() as connection:
        found = await trail.search(connection, **wanted, limit=11)
        compiled = statement.compile(connection.engine, compile_kwargs={"literal_binds": True})
        told = await connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {compiled}")
        (plan,) = told.scalar_one()
    exact = wanted.keys() - {"before"}
    assert [{name: getattr(one.entry, name) for name in exact} for one in found] == [
        {name: wanted[name] for name in exact}
    ] * 11
    shape = list(nodes(plan["Plan"]))
    assert "Sort" not in {one["Node Type"] for one in shape}
    (scan,) = [one for one in shape if one.get("Relation Name") == "audit_entry"]
    passed_over = scan.get("Rows Removed by Filter", 0)
    # By actor and action together, those of the one that are not of the other are passed over.
    assert scan["Actual Rows"] + passed_over <= (
        11 if len(wanted) < 2 or "before" in wanted else 11 * ACTIONS
    )
