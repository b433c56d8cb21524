"""The roles that processes connect as: what each may do to every table, and what none of them can."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, Final

import asyncpg
import pytest
from alembic import command
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from countersign.domain.amounts import Amount
from countersign.domain.funding import Instruction
from countersign.domain.stage import Stage
from countersign.runtime.embedded.services import Services
from countersign.runtime.migrate import alembic_config, migrate
from countersign.store import agreements, initiatives, payments, record, trail
from countersign.store import tables as t
from countersign.store.payments import File
from countersign.store.roles import API, KEEPER, ROLES, SIDE, WORKER, Reader
from countersign.store.session import Database, NotBound
from tests.store.making import Steps, new_id
from tests.store.test_row_security import connected, raw

pytestmark = [
    pytest.mark.services,
    # Reflection knows no 64-bit transaction ids; the column's type is ours and is compared as it is written.
    pytest.mark.filterwarnings("ignore:Did not recognize type 'xid8'"),
]

OFFICER: Final = Reader("staff", "il/officer", "il")

RIGHTS: Final[dict[str, tuple[str, str, str, str]]] = {
    # By table: API, worker, a side's worker, keeper. s(elect), i(nsert), u(pdate), d(elete).
    "agreement": ("si", "si", "si", "s"),
    "alembic_version": ("", "", "", ""),
    "attachment": ("s", "s", "", "su"),
    "attachment_upload": ("s", "s", "", "s"),
    "audit_entry": ("si", "si", "", "si"),
    "bank_statement": ("siu", "", "", ""),
    "budget": ("s", "siud", "", ""),
    "budget_use": ("s", "s", "", ""),
    "claim": ("siu", "", "", ""),
    "condition": ("s", "siud", "", ""),
    "deferral": ("s", "siu", "", ""),
    "document": ("s", "si", "", "su"),
    "event": ("s", "si", "", "si"),
    "initiative": ("s", "siu", "", "su"),
    "initiative_attachment": ("s", "s", "", "s"),
    "initiative_person": ("", "", "", ""),
    "initiative_text": ("", "siu", "", ""),
    "ledger_balance": ("s", "", "", ""),
    "ledger_entry": ("s", "si", "", ""),
    "ledger_statement": ("s", "", "", ""),
    "ledger_transaction": ("s", "si", "", ""),
    "log_checkpoint": ("s", "si", "", ""),
    "log_leaf": ("s", "si", "", ""),
    "log_signature": ("s", "si", "", ""),
    "log_tile": ("s", "siu", "", ""),
    "mandate": ("siu", "s", "", ""),
    "matter": ("s", "siu", "", "s"),
    "matter_seen": ("s", "", "", ""),
    "once": ("sid", "", "", ""),
    "payment_file": ("", "siu", "siu", ""),
    "payment_instruction": ("s", "si", "si", ""),
    "proposal_version": ("s", "si", "", "s"),
    "reference_counter": ("siu", "", "", ""),
    "refusal": ("i", "", "", ""),
    "report": ("s", "siud", "", ""),
    "report_draft": ("siud", "", "", "sd"),
    "session": ("siud", "", "", ""),
    "tranche": ("s", "siud", "", ""),
    "tranche_seen": ("s", "", "", ""),
    "waiting": ("s", "siud", "", ""),
    "waiting_seen": ("s", "", "", ""),
    "workflow_history": ("s", "si", "", "su"),
}

NOT_AUDITED: Final = {
    # What auditors do not read: what nobody has submitted, who is signed in, and what is read in other forms.
    *("alembic_version", "claim", "initiative_text", "once", "reference_counter", "report_draft", "session"),
    *("budget_use", "ledger_balance", "ledger_statement", "matter_seen", "tranche_seen", "waiting_seen"),
}

COLUMNS: Final = {
    # Where a right is to some columns only.
    (API, "u", "bank_statement"): {"ended_at", "result"},
    (API, "u", "claim"): {"reference"},
    (API, "u", "mandate"): {"revoked_at", "body"},
    (API, "u", "reference_counter"): {"last"},
    (API, "u", "report_draft"): {"content_hash", "body", "written_by", "written_at"},
    (API, "u", "session"): {
        *("identity", "sealed", "seen_at", "idle_until", "access_until", "refreshing_until"),
    },
    (API, "s", "once"): {"expires_at"},
    (API, "s", "matter"): {"initiative_id", "number", "kind", "content_hash", "outcome"},
    (API, "s", "tranche"): {"initiative_id", "number"},
    (WORKER, "u", "budget"): {"minor"},
    (WORKER, "u", "condition"): {"body"},
    (WORKER, "u", "deferral"): {"budgets", "position"},
    (WORKER, "u", "initiative_text"): {"trigrams"},
    (WORKER, "u", "matter"): {"content_hash", "outcome", "body"},
    (WORKER, "u", "log_tile"): {"hashes"},
    (WORKER, "u", "payment_file"): {"delivered_at"},
    (WORKER, "u", "report"): {"due_at", "state", "body"},
    (WORKER, "u", "tranche"): {"body"},
    (SIDE, "u", "payment_file"): {"delivered_at"},
    (KEEPER, "s", "workflow_history"): {"run_id", "initiative_id", "erased_at"},
    (KEEPER, "u", "workflow_history"): {"content", "erased_at"},
    (KEEPER, "u", "attachment"): {"erased_at"},
    (KEEPER, "s", "event"): {"position"},
    (KEEPER, "s", "matter"): {"initiative_id", "outcome"},
    (KEEPER, "s", "report_draft"): {"initiative_id"},
    (KEEPER, "u", "document"): {"body", "redacted_at"},
    (KEEPER, "u", "initiative"): {"people", "sequence"},
}

NOBODYS_OWN: Final = {"agreement", "alembic_version", "budget", "reference_counter"}
"""Tables without row security: the programme's public terms, and a counter."""

DEFINERS: Final = {
    "own_initiatives": {API},
    "part_of_reader": {API},
    "initiatives_with": {API},
    "document_of": {API},
    "keep_people": set(),
    "keep_document": {API, WORKER},
    "keep_attachment": {API},
    "loose_attachments": {API},
    "entry_links_attachments": set(),
}
"""The functions with their owner's rights, and who may call them."""


async def test_every_table_is_known_with_what_each_role_may_do_to_it(services: Services) -> None:
    connection = await asyncpg.connect(raw(services.database_url))
    try:
        relations = await connection.fetch(
            "SELECT relname, oid FROM pg_class "
            "WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')"
        )
        found: dict[str, list[str]] = {}
        for relation in relations:
            for role in ROLES:
                rights = await connection.fetchrow(
                    "SELECT has_any_column_privilege($1, $2::oid, 'SELECT') AS s, "
                    "has_any_column_privilege($1, $2::oid, 'INSERT') AS i, "
                    "has_any_column_privilege($1, $2::oid, 'UPDATE') AS u, "
                    "has_table_privilege($1, $2::oid, 'DELETE') AS d, "
                    "has_table_privilege($1, $2::oid, 'TRUNCATE, TRIGGER, MAINTAIN') "
                    "OR has_any_column_privilege($1, $2::oid, 'REFERENCES') AS x",
                    role,
                    relation["oid"],
                )
                found.setdefault(relation["relname"], []).append("".join(k for k, v in rights.items() if v))
        assert {name: tuple(rights) for name, rights in found.items()} == {
            name: (*rights, "" if name in NOT_AUDITED else "s") for name, rights in RIGHTS.items()
        }

        limited: dict[tuple[str, str, str], set[str]] = {}
        kinds = {"s": "SELECT", "u": "UPDATE"}
        for role in ROLES:
            for letter, kind in kinds.items():
                rows = await connection.fetch(
                    "SELECT relname, attname FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid "
                    "WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 "
                    "AND NOT attisdropped AND NOT has_table_privilege($1, c.oid, $2) "
                    "AND has_column_privilege($1, c.oid, attnum, $2)",
                    role,
                    kind,
                )
                for row in rows:
                    limited.setdefault((role, letter, row["relname"]), set()).add(row["attname"])
        assert limited == COLUMNS
    finally:
        await connection.close()


async def test_every_table_but_those_that_are_nobodys_own_has_row_security(services: Services) -> None:
    connection = await asyncpg.connect(raw(services.database_url))
    try:
        open_ = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' "
            "AND NOT relrowsecurity"
        )
        assert {row["relname"] for row in open_} == NOBODYS_OWN
        views = await connection.fetch(
            "SELECT relname, reloptions FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'v'"
        )
        options = {row["relname"]: row["reloptions"] for row in views}
        assert {name for name, one in options.items() if one == ["security_barrier=true"]} == {
            "matter_seen",
            "tranche_seen",
            "waiting_seen",
        }
        assert {name for name, one in options.items() if one == ["security_invoker=true"]} == {
            "ledger_balance",
            "ledger_statement",
            "budget_use",
        }
        assert len(options) == 6
        definers = await connection.fetch(
            "SELECT proname, proconfig, oid FROM pg_proc "
            "WHERE pronamespace = 'public'::regnamespace AND prosecdef"
        )
        assert {row["proname"] for row in definers} == set(DEFINERS)
        for row in definers:
            (path,) = row["proconfig"]
            assert re.fullmatch(r"search_path=pg_catalog(, public)?, pg_temp", path)
            may = {
                role
                for role in ROLES
                if await connection.fetchval(
                    "SELECT has_function_privilege($1, $2::oid, 'EXECUTE')", role, row["oid"]
                )
            }
            assert may == DEFINERS[row["proname"]]
    finally:
        await connection.close()


async def test_no_role_is_more_than_it_has_to_be(services: Services) -> None:
    connection = await asyncpg.connect(raw(services.database_url))
    try:
        assert not await connection.fetchval("SELECT has_schema_privilege('public', 'public', 'CREATE')")
        for role in ROLES:
            strong = await connection.fetchrow(
                "SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication AS strong, "
                "EXISTS (SELECT FROM pg_auth_members WHERE member = r.oid) AS member, "
                "EXISTS (SELECT FROM pg_class WHERE relowner = r.oid) AS owner "
                "FROM pg_roles r WHERE rolname = $1",
                role,
            )
            assert dict(strong) == {"strong": False, "member": False, "owner": False}, role
    finally:
        await connection.close()


FORBIDDEN: Final = (
    *(
        f"{verb} {table}{rest}"
        for table in ("audit_entry", "ledger_transaction", "ledger_entry", "proposal_version", "agreement")
        for verb, rest in (("DELETE FROM", ""), ("TRUNCATE", " CASCADE"))
    ),
    *(f"DELETE FROM {table}" for table in ("document", "event", "payment_instruction", "refusal", "mandate")),
    "UPDATE audit_entry SET actor = 'il/somebody'",
    "UPDATE audit_entry SET actor = actor WHERE false",
    "UPDATE ledger_entry SET minor = 1",
    "UPDATE ledger_transaction SET code = code",
    "UPDATE agreement SET body = '{}'",
    "UPDATE event SET data = '{}'",
    "UPDATE payment_instruction SET minor = 1",
    "UPDATE proposal_version SET content_hash = content_hash",
    "UPDATE document SET created_at = now()",
    "INSERT INTO refusal (id) OVERRIDING SYSTEM VALUE SELECT id FROM refusal",
    "ALTER TABLE audit_entry DISABLE TRIGGER ALL",
    "ALTER TABLE audit_entry DISABLE TRIGGER audit_entry_append_only",
    "ALTER TABLE matter DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE matter NO FORCE ROW LEVEL SECURITY",
    "ALTER TABLE initiative ADD COLUMN mine int",
    "DROP TABLE refusal",
    "DROP POLICY countersign_api_select ON initiative",
    "CREATE POLICY mine ON initiative USING (true)",
    "CREATE TABLE mine (a int)",
    "CREATE TEMPORARY TABLE mine (a int)",
    "CREATE SCHEMA mine",
    "CREATE VIEW mine AS SELECT 1",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE OR REPLACE FUNCTION sees_all() RETURNS boolean LANGUAGE sql AS 'SELECT true'",
    "DROP TRIGGER audit_entry_append_only ON audit_entry",
    "CREATE TRIGGER mine BEFORE INSERT ON audit_entry FOR EACH ROW EXECUTE FUNCTION refuse_change()",
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION postgres",
    "SET session_replication_role = replica",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "ALTER ROLE CURRENT_USER BYPASSRLS",
    "GRANT postgres TO CURRENT_USER",
    "CREATE ROLE mine",
    "COPY agreement TO PROGRAM 'cat'",
    "COPY agreement TO '/tmp/agreement'",
    "COPY refusal FROM '/etc/passwd'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT * FROM alembic_version",
)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("statement", FORBIDDEN)
async def test_what_no_process_can_do_even_in_plain_sql(
    services: Services, role: str, statement: str
) -> None:
    async with connected(services, role) as connection:
        before = connection.transaction()
        await before.start()
        with pytest.raises(asyncpg.PostgresError) as refused:
            await connection.execute(statement)
        assert refused.value.sqlstate == "42501", refused.value
        await before.rollback()


@pytest.mark.parametrize(("role", "another"), [(a, b) for a in ROLES for b in ROLES if a != b])
async def test_no_role_becomes_another(services: Services, role: str, another: str) -> None:
    async with connected(services, role) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(f"SET ROLE {another}")


async def test_row_security_cannot_be_turned_off_by_whom_it_holds_for(
    services: Services, signed: Steps
) -> None:
    async with connected(services, API) as connection:
        await connection.execute("SET row_security = off")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await connection.fetch("SELECT * FROM initiative")
        # Nor does it open the views and functions that have their owner's rights.
        assert await connection.fetchval("SELECT count(*) FROM matter_seen") == 0
        assert await connection.fetchval("SELECT initiatives_with('small project')") is None
        async with connection.transaction():
            await connection.execute("SELECT set_config('countersign.reader', $1, true)", OFFICER.setting)
            assert await connection.fetchval("SELECT count(*) FROM matter_seen") > 0
            assert not await connection.fetchval("SELECT sees_all()")
            others = "SELECT count(*) FROM matter_seen, jsonb_array_elements(body -> 'counted') AS one"
            assert await connection.fetchval(f"{others} WHERE one ->> 'directorate' <> 'il'") == 0
            assert await connection.fetchval(others) > 0


@pytest.fixture
async def one(services: Services) -> AsyncIterator[Database]:
    """The API's database over a single connection, which every reader in turn has to use."""
    opened = Database(services.postgres.url(role=API), pool_size=1)
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
async def life(database: Database) -> Steps:
    made = Steps()
    made.begin()
    await made.prepare(database)
    for step in made.steps:
        await record.append(database, step)
    return made


@pytest.fixture(scope="module")
async def signed(database: Database) -> Steps:
    """Something that both sides have signed."""
    made = Steps()
    made.begin().all_sign()
    await made.prepare(database)
    for step in made.steps:
        await record.append(database, step)
    return made


async def test_who_asked_is_not_known_to_the_next_request_on_the_same_connection(
    one: Database, life: Steps
) -> None:
    staff, name = one.read_by(OFFICER), life.state.id
    nobody = one.read_by(Reader("applicant", "applicants/nobody"))

    async def look(database: Database) -> tuple[bool, bool]:
        async with database.reading() as connection:
            found = await initiatives.find(connection, name)
        return found is not None, await initiatives.look_up(database, name) is not None

    async def withheld() -> None:
        assert await look(one) == (False, False)
        assert await look(nobody) == (False, False)
        async with one.transaction() as connection:
            assert await initiatives.find(connection, name) is None
        left = "SELECT coalesce(current_setting('countersign.reader', true), '') AS left"
        assert [row["left"] for row in await one.statement(left)] == [""]

    assert await look(staff) == (True, True)
    await withheld()

    async def given_up() -> None:
        async with staff.reading() as connection:
            assert await initiatives.find(connection, name) is not None
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await given_up()
    await withheld()
    for broken in ("SELECT 1 / 0", "SELECT nothing"):
        with pytest.raises(asyncpg.PostgresError):
            await staff.statement(broken)
        with pytest.raises(DBAPIError):
            async with staff.reading() as connection:
                await connection.execute(text(broken))
        with pytest.raises(DBAPIError):
            async with staff.transaction() as connection:
                await connection.execute(text(broken))
        await withheld()

    async def by_statement() -> None:
        await staff.statement("SELECT pg_sleep(30)::text")

    async def by_reading() -> None:
        async with staff.reading() as connection:
            await connection.execute(text("SELECT pg_sleep(30)"))

    async def by_transaction() -> None:
        async with staff.transaction() as connection:
            await connection.execute(text("SELECT pg_sleep(30)"))

    for cancelled in (by_statement, by_reading, by_transaction):
        task = asyncio.create_task(cancelled())
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await withheld()
    assert await look(staff) == (True, True)


async def test_readers_at_the_same_time_on_a_few_connections_see_each_their_own(
    services: Services, life: Steps
) -> None:
    opened = Database(services.postgres.url(role=API), pool_size=2)
    mine = opened.read_by(Reader("applicant", life.applicant.person))
    other = opened.read_by(Reader("applicant", f"applicants/{new_id()}"))
    try:

        async def ask(number: int) -> bool:
            who = (mine, other)[number % 2]
            if number % 3:
                return await initiatives.look_up(who, life.state.id) is not None
            async with who.reading() as connection:
                return await initiatives.find(connection, life.state.id) is not None

        found = await asyncio.gather(*map(ask, range(120)))
    finally:
        await opened.close()
    assert found == [number % 2 == 0 for number in range(120)]


async def test_who_reads_is_known_before_any_row_is_looked_for(one: Database, life: Steps) -> None:
    """The condition that names the reader gates the whole plan, whatever is below it."""
    staff = one.read_by(OFFICER)
    queries = (
        "SELECT i.id FROM initiative i JOIN matter m ON m.initiative_id = i.id WHERE i.id = '{id}'",
        "SELECT count(*) AS n, max(i.id::text) FROM initiative i WHERE i.id = '{id}'",
        "SELECT id FROM (SELECT id FROM initiative UNION SELECT id FROM initiative) AS twice WHERE id = '{id}'",
        "SELECT i.id FROM initiative i WHERE i.id = '{id}' ORDER BY (SELECT max(position) FROM event) LIMIT 1",
        "SELECT 1 AS n WHERE EXISTS (SELECT FROM initiative WHERE id = '{id}')",
        "WITH found AS MATERIALIZED (SELECT id FROM initiative WHERE id = '{id}') SELECT id FROM found",
        "SELECT (SELECT id FROM initiative WHERE id = '{id}') AS id",
    )
    for query in queries:
        (row,) = await staff.statement(query.format(id=life.state.id))
        assert row[0], query


async def test_the_api_does_not_begin_in_a_role_that_sees_everything(services: Services) -> None:
    for url, bound in (
        (services.postgres.url(role=API), True),
        (services.postgres.url(role=WORKER), False),
        (services.database_url, False),
    ):
        opened = Database(url, pool_size=1)
        try:
            if bound:
                await opened.check_bound()
            else:
                with pytest.raises(NotBound, match="countersign_api"):
                    await opened.check_bound()
        finally:
            await opened.close()


async def test_a_login_that_is_a_member_of_the_apis_role_is_bound_as_the_role_is(
    services: Services, life: Steps
) -> None:
    superuser = await asyncpg.connect(raw(services.database_url))
    try:
        await superuser.execute("CREATE ROLE an_api LOGIN IN ROLE countersign_api")
    finally:
        await superuser.close()
    opened = Database(services.postgres.url(role="an_api"), pool_size=1)
    try:
        await opened.check_bound()
        assert await initiatives.look_up(opened, life.state.id) is None
        assert await initiatives.look_up(opened.read_by(OFFICER), life.state.id) is not None
    finally:
        await opened.close()


async def test_a_sides_worker_tells_its_bank_and_reads_no_initiative(services: Services, life: Steps) -> None:
    opened = Database(services.postgres.url(role=SIDE), pool_size=1)
    now, name = datetime.now(UTC), new_id()
    parts = [Instruction(end_to_end_id=f"{name[:30]}-{n}", amount=Amount(100, "ILS")) for n in range(2)]
    of_it: dict[str, Any] = {"initiative": life.state.id, "tranche": 1, "at": now}
    file = File(name[:35], "il", "sha256:" + "4" * 64, new_id(), "staged")
    try:
        async with opened.transaction() as connection:
            await agreements.register(connection, life.agreement)
        await payments.instruct(opened, directorate="il", instructions=parts[:1], **of_it)
        begun = await payments.begin_file(opened, file, instructions=parts[1:], **of_it)
        assert begun == await payments.begin_file(opened, file, instructions=parts[1:], **of_it)
        await payments.delivered(opened, file.message_id)
        found = await payments.find_file(opened, file.message_id)
        assert found is not None
        assert found.is_delivered
        for table in sorted(t.metadata.tables.keys() - {"agreement", "payment_file", "payment_instruction"}):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await opened.statement(f"SELECT 1 FROM {table}")
    finally:
        await opened.close()


async def test_what_was_on_record_before_is_as_it_was_and_withheld_from_then_on(services: Services) -> None:
    url = await services.postgres.create_database("before_roles")
    await migrate(url)
    owner, api = (
        Database(url, pool_size=2),
        Database(services.postgres.url("before_roles", role=API), pool_size=2),
    )
    try:
        made = Steps()
        made.begin().reach(Stage.ACTIVE)
        await made.prepare(owner)
        for step in made.steps:
            await record.append(owner, step)

        async def rows(names: set[str]) -> dict[str, list[Any]]:
            # Its own connections: what others prepared may give another type after a migration.
            reader = Database(url, pool_size=1)
            async with reader.reading() as connection:
                found = {
                    name: sorted(map(repr, (await connection.execute(table.select())).all()))
                    for name, table in t.metadata.tables.items()
                    if name in names
                }
            await reader.close()
            return found

        before = await rows(set(t.metadata.tables))
        await asyncio.to_thread(command.downgrade, alembic_config(url), "0011")
        async with owner.reading() as connection:
            there = set(await connection.scalars(text("SELECT tablename FROM pg_tables"))) & set(before)
        assert {"initiative", "audit_entry", "document"} <= there
        assert await rows(there) == {name: before[name] for name in there}
        with pytest.raises(DBAPIError):
            async with api.reading() as connection:
                await initiatives.find(connection, made.state.id)
        await migrate(url)
        assert await rows(set(before)) == before
        async with api.read_by(OFFICER).reading() as connection:
            assert len(await initiatives.matters(connection, made.state.id)) == len(made.state.matters)
            assert await trail.entries_from(connection, made.state.id) != tuple(made.entries)
        async with api.reading() as connection:
            assert await initiatives.matters(connection, made.state.id) == []
    finally:
        await owner.close()
        await api.close()


async def test_an_owner_who_is_no_superuser_migrates_when_the_roles_are_there(services: Services) -> None:
    url = await services.postgres.create_database("plainly_owned")
    superuser = await asyncpg.connect(raw(services.database_url))
    try:
        await superuser.execute("CREATE ROLE plain_owner LOGIN")
        await superuser.execute("ALTER DATABASE plainly_owned OWNER TO plain_owner")
    finally:
        await superuser.close()
    own = re.sub(r"//[^@]*@", "//plain_owner@", url)
    await migrate(own)
    await asyncio.to_thread(command.check, alembic_config(own))
    opened = await asyncpg.connect(raw(own))
    try:
        for one in (
            "GRANT countersign_api TO plain_owner",
            "SET session_replication_role = replica",
            "ALTER TABLE audit_entry OWNER TO countersign_api",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await opened.execute(one)
        assert (
            await opened.fetchval("SELECT count(*) FROM pg_class WHERE relowner = 'plain_owner'::regrole")
            > 50
        )
        # A role that is missing is made by whoever may, once, and without a login; else it is said what to do.
        role = import_module("countersign.migrations.versions.0012_row_security").ROLE
        with pytest.raises(asyncpg.RaiseError, match="role missing_role is missing, and plain_owner may not"):
            await opened.execute(role.format(role="missing_role"))
    finally:
        await opened.close()
    many = [await asyncpg.connect(raw(services.database_url)) for _ in range(4)]
    try:
        await asyncio.gather(*(one.execute(role.format(role="missing_role")) for one in many))
        login = "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'missing_role'"
        assert [row[0] for row in await many[0].fetch(login)] == [False]
        await many[0].execute("DROP ROLE missing_role")
    finally:
        for each in many:
            await each.close()
