"""What auditors and operators do is on record: that they sign in, and what auditors take away."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy import text

from countersign.api import entry_files
from countersign.api.app import create_app
from countersign.runtime.embedded.services import Services
from countersign.store import accesses, trail, verification
from countersign.store.roles import API, Reader
from countersign.store.session import Database
from tests.api.desk import paper
from tests.api.serving import an_api, of
from tests.browsing import SESSION, Browser
from tests.people import Office, minimal_proposal
from tests.store.test_row_security import ASKED, connected

IL, OPERATORS = "audit-il/il-auditor", "operators/operator"
CODEC = "/v1/codec/decode"


async def entries(database: Database, person: str = IL) -> list[dict[str, Any]]:
    """The trail of a person's issuer, as its own entries say it."""
    async with database.reading() as connection:
        found = await trail.entries_from(connection, accesses.book(person))
    return [one.model_dump() for one in found]


@asynccontextmanager
async def added(database: Database, person: str = IL) -> AsyncIterator[list[dict[str, Any]]]:
    """What comes into the trail of a person's issuer meanwhile; there when it is over."""
    found: list[dict[str, Any]] = []
    before = len(await entries(database, person))
    yield found
    found += (await entries(database, person))[before:]


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def faults_of(database: Database, book: str) -> list[str]:
    async with database.transaction() as connection:
        found = [one async for _, some in verification.trails(connection, book) for one in some]
        found += [one async for one in verification.document_faults(connection) if one.trail == book]
    return [one.problem for one in found]


# ---- signing in


async def test_an_auditors_token_is_on_record_once_however_often_it_is_used_and_by_which_process(
    office: Office, database: Database
) -> None:
    token, now = office.token("il-auditor"), datetime.now(UTC)
    async with added(database) as found:
        answers = await asyncio.gather(
            *(
                office.call("il-auditor", "GET", path, token=token, process=process)
                for path in ("/v1/audit?limit=1", "/v1/initiatives", SESSION)
                for process in (0, 1, 0, 1)
            )
        )
    assert {one.status_code for one in answers} == {200}
    (entry,) = found
    assert (entry["action"], entry["actor"]) == ("auditor.signed_in", IL)
    until = entry["body"].pop("until")
    assert timedelta(0) < datetime.fromisoformat(until) - now < timedelta(days=1)
    assert entry["body"] == {
        "with": "token",
        "issuer": "https://id.audit-il.countersign.example",
        "directorate": "il",
    }
    # It tells the token from others and is neither it nor a part of it.
    assert entry["message"] == hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()
    assert token.rpartition(".")[2] not in json.dumps(entry)

    async with added(database) as found:
        await office.call("il-auditor", "GET", SESSION, token=token)
        await office.call("il-auditor", "GET", SESSION, token=office.token("il-auditor"))
    (another,) = found
    assert another["message"] != entry["message"]


async def test_a_process_that_begins_anew_finds_a_token_on_record(
    services: Services, office: Office, database: Database
) -> None:
    headers = of(services, "il-auditor")
    async with added(database) as found:
        for _ in range(2):
            async with an_api(services) as client:
                assert (await client.get(SESSION, headers=headers)).status_code == 200
    assert len(found) == 1


async def test_an_auditor_who_is_refused_has_signed_in_all_the_same_and_nobody_else_is_on_record(
    office: Office, database: Database
) -> None:
    async with added(database) as found:
        assert code(await office.call("il-auditor", "POST", "/v1/proposals", body={})) == (403, "forbidden")
    assert [one["action"] for one in found] == ["auditor.signed_in"]
    for who, person in (("il-head", "il/il-head"), ("il-lead", "applicants/il-lead")):
        await office.get(who, "/v1/initiatives")
        assert await entries(database, person) == []


async def test_an_operator_who_has_payloads_decoded_is_on_record(office: Office, database: Database) -> None:
    token = office.token("operator")
    async with added(database, OPERATORS) as found:
        answers = [
            await office.call("operator", "POST", CODEC, body={"payloads": []}, token=token, process=process)
            for process in (0, 1, 1, 0)
        ]
    assert {one.status_code for one in answers} == {200}
    (entry,) = found
    assert (entry["action"], entry["actor"]) == ("operator.signed_in", OPERATORS)
    assert entry["body"].keys() == {"with", "issuer", "until"}
    assert await faults_of(database, accesses.book(OPERATORS)) == []


@pytest.mark.parametrize(
    ("who", "person", "action"),
    [
        ("az-auditor", "audit-az/az-auditor", "auditor.signed_in"),
        ("operator", OPERATORS, "operator.signed_in"),
    ],
)
async def test_a_browser_that_signs_in_is_on_record_as_one(
    who: str, person: str, action: str, services: Services, office: Office, database: Database
) -> None:
    async with Browser(services, office.urls[0]) as browser, added(database, person) as found:
        await browser.sign_in(who)
        sessions = [await browser.session() for _ in range(3)]
    (entry,) = found
    assert (entry["action"], entry["actor"], entry["body"]["with"]) == (action, person, "browser")
    until = datetime.fromisoformat(sessions[-1]["expires_at"])
    assert abs(datetime.fromisoformat(entry["body"]["until"]) - until) < timedelta(minutes=1)


async def test_browsers_of_office_holders_are_not_on_record(
    services: Services, office: Office, database: Database
) -> None:
    async with Browser(services, office.urls[0]) as browser:
        await browser.sign_in("il-head")
        assert (await browser.session())["person"] == "il/il-head"
    assert await entries(database, "il/il-head") == []


async def test_auditors_of_every_side_find_who_looked_and_operators_do_not(office: Office) -> None:
    await office.get("il-auditor", SESSION)
    page = await office.get("az-auditor", f"/v1/audit?action=auditor.signed_in&actor={IL}&limit=1")
    (found,) = page["items"]
    assert (found["reference"], found["entry"]["actor"]) == (None, IL)
    assert found["entry"]["initiative"] == accesses.book(IL)
    refused = await office.call("operator", "GET", "/v1/audit?action=operator.signed_in")
    assert code(refused) == (403, "forbidden")


# ---- what is taken away


async def test_entries_taken_away_as_a_file_are_on_record_before_it_begins_and_when_it_ends(
    office: Office, initiative: str, database: Database
) -> None:
    query = f"/v1/audit?initiative={initiative}&from=2020-01-01T00:00:00Z&action=matter.opened&format=csv"
    async with added(database) as found:
        answer = await office.call("il-auditor", "GET", query)
    assert answer.status_code == 200
    signed_in, begun, ended = found
    assert signed_in["action"] == "auditor.signed_in"
    assert (begun["action"], begun["actor"]) == ("trail.exported", IL)
    assert begun["body"] == {
        "format": "csv",
        "filters": {
            "action": "matter.opened",
            "initiative": initiative,
            "from": "2020-01-01T00:00:00.000000Z",
        },
    }
    rows = answer.text.count("\n") - 1
    assert ended["action"] == "trail.export_ended"
    assert ended["body"] == {"export": begun["sequence"], "entries": rows, "whole": True}
    assert rows > 0
    async with added(database) as found:
        assert (await office.call("il-auditor", "GET", query.replace("&format=csv", ""))).status_code == 200
    assert [one["action"] for one in found] == ["auditor.signed_in"]


async def test_a_file_that_nobody_waits_for_any_more_is_on_record_as_far_as_it_went(
    services: Services, office: Office, initiative: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry_files, "_AT_ONCE", 2)
    app = create_app(services.settings(API))
    begun, pieces = asyncio.Event(), 0
    authorization = of(services, "il-auditor")["Authorization"].encode()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/v1/audit",
        "raw_path": b"/v1/audit",
        "query_string": f"initiative={initiative}&format=jsonl".encode(),
        "headers": [(b"host", b"countersign.example"), (b"authorization", authorization)],
        "client": ("127.0.0.1", 1),
        "server": ("countersign.example", 80),
    }

    async def receive() -> dict[str, Any]:
        await begun.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        nonlocal pieces
        if message.get("body"):
            pieces += 1
            begun.set()
            await asyncio.sleep(0.2)  # the network takes no more

    async with added(database) as found, app.router.lifespan_context(app):
        await app(scope, receive, send)
    assert [one["action"] for one in found] == ["auditor.signed_in", "trail.exported", "trail.export_ended"]
    told = found[-1]["body"]
    assert told["export"] == found[1]["sequence"]
    assert (told["whole"], told["entries"]) == (False, 2 * pieces)
    assert told["entries"] < len(await office.trail(initiative))


async def test_a_workflow_history_is_on_record_where_it_is_taken_away_and_not_where_it_is_told(
    office: Office, initiative: str, database: Database
) -> None:
    path = f"/v1/initiatives/{initiative}/history"
    async with added(database) as found:
        assert (await office.call("il-auditor", "GET", path)).status_code == 200
    assert [one["action"] for one in found] == ["auditor.signed_in"]
    async with added(database) as found:
        taken = await office.call("il-auditor", "GET", f"{path}?format=temporal-json")
    assert taken.status_code == 200
    _, entry = found
    reference = (await office.get("il-auditor", f"/v1/initiatives/{initiative}"))["reference"]
    assert (entry["action"], entry["actor"]) == ("history.exported", IL)
    runs = len(taken.json()["runs"])
    assert entry["body"] == {"initiative": initiative, "reference": reference, "runs": runs}


async def test_a_document_that_an_auditor_downloads_is_on_record_each_time_and_an_officers_is_not(
    services: Services, office: Office, database: Database
) -> None:
    content = paper()
    name = "sha256:" + hashlib.sha256(content).hexdigest()
    binary = {"Content-Type": "application/octet-stream"}
    brought = await office.call("il-lead", "PUT", f"/v1/attachments/{name}", content=content, headers=binary)
    assert brought.status_code == 201
    proposal = minimal_proposal()
    for one in proposal["documents"]:
        one["sha256"] = name
    initiative = (await office.submit(proposal))["id"]
    links = {
        who: (await office.get(who, f"/v1/initiatives/{initiative}/attachments/{name}"))["url"]
        for who in ("il-auditor", "il-head")
    }
    async with added(database) as found:
        for process in (0, 1):
            answer = await office.call(None, "GET", links["il-auditor"], process=process)
            assert answer.content == content
        assert (await office.call(None, "GET", links["il-head"])).content == content
    for one in found:
        assert (one["action"], one["actor"], one["subject"]) == ("attachment.downloaded", IL, name)
        assert one["body"] == {"initiative": initiative}
    assert len(found) == 2
    assert await faults_of(database, accesses.book(IL)) == []

    async with no_more_entries(services):
        refused = await office.call(None, "GET", links["il-auditor"])
        assert code(refused) == (503, "unavailable")
        assert (await office.call(None, "GET", links["il-head"])).content == content


# ---- when it cannot be written


@asynccontextmanager
async def no_more_entries(services: Services) -> AsyncIterator[None]:
    """The API may write no entries: so the database refuses them, for whatever reason."""
    connection = await asyncpg.connect(services.database_url.replace("+asyncpg", ""))
    try:
        await connection.execute(f"REVOKE INSERT ON audit_entry FROM {API}")
        yield
    finally:
        await connection.execute(f"GRANT INSERT ON audit_entry TO {API}")
        await connection.close()


async def test_nothing_is_given_out_where_it_cannot_be_put_on_record(
    services: Services, office: Office, initiative: str, database: Database
) -> None:
    known, operator = office.token("il-auditor"), office.token("operator")
    await office.call("il-auditor", "GET", SESSION, token=known)
    async with added(database) as found, no_more_entries(services):
        for path in ("/v1/audit?format=csv", f"/v1/initiatives/{initiative}/history?format=temporal-json"):
            answer = await office.call("il-auditor", "GET", path, token=known)
            assert code(answer) == (503, "unavailable")
            assert answer.headers["retry-after"]
        # What is on record already is no reason to refuse anything else.
        assert (await office.call("il-auditor", "GET", "/v1/audit?limit=1", token=known)).status_code == 200
        unknown = await office.call("il-auditor", "GET", "/v1/audit?limit=1")
        assert code(unknown) == (503, "unavailable")
        refused = await office.call("operator", "POST", CODEC, body={"payloads": []}, token=operator)
        assert code(refused) == (503, "unavailable")
        assert (await office.call("il-head", "GET", "/v1/initiatives")).status_code == 200
        async with Browser(services, office.urls[0]) as browser:
            back = await browser.asked_back("il-auditor")
            assert code(await browser.http.get(back)) == (503, "unavailable")
            assert (await browser.get(SESSION)).status_code == 401
    assert found == []
    # Nothing of it is remembered as if it had been written.
    async with added(database, OPERATORS) as found:
        again = await office.call("operator", "POST", CODEC, body={"payloads": []}, token=operator)
        assert again.status_code == 200
    assert len(found) == 1


# ---- the trails themselves


async def test_these_trails_are_chains_that_nobody_changes_and_verification_reads(
    office: Office, database: Database
) -> None:
    await office.get("il-auditor", SESSION)
    book = accesses.book(IL)
    assert await faults_of(database, book) == []
    (entry, *_) = reversed(await entries(database))
    statement = text("UPDATE audit_entry SET actor = 'audit-il/nobody' WHERE hash = :hash")
    with pytest.raises(Exception, match="append-only"):
        async with database.transaction() as connection:
            await connection.execute(statement, {"hash": entry["hash"]})
    async with database.transaction() as own:
        await own.execute(text("ALTER TABLE audit_entry DISABLE TRIGGER audit_entry_append_only"))
        await own.execute(statement, {"hash": entry["hash"]})
        found = [one async for _, some in verification.trails(own, book) for one in some]
        await own.rollback()
    assert [(one.trail, one.sequence, one.problem) for one in found] == [
        (book, entry["sequence"], "it was altered")
    ]


INSERT = (
    "INSERT INTO audit_entry (initiative_id, sequence, action, actor, at, body, previous, hash) "
    "SELECT $1::uuid, coalesce(max(sequence), 0) + 1, $2, $3, '2027-01-01T00:00:00.000000Z', '{}', "
    "coalesce((array_agg(hash ORDER BY sequence DESC))[1], 'sha256:' || repeat('0', 64)), "
    "'sha256:' || repeat('f', 64) FROM audit_entry WHERE initiative_id = $1::uuid"
)

READERS = {
    "auditor": Reader("auditor", IL, "il"),
    "operator": Reader("operator", OPERATORS),
    "staff": Reader("staff", "il/il-head", "il"),
    "applicant": Reader("applicant", "applicants/il-lead"),
}


async def wrote(services: Services, who: str, book: str, action: str, actor: str) -> bool:
    """Whether the database lets somebody continue a trail; nothing of it stays."""
    async with connected(services, API) as connection:
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute(ASKED, READERS[who].setting)
            await connection.execute(INSERT, book, action, actor)
        except (asyncpg.InsufficientPrivilegeError, asyncpg.IntegrityConstraintViolationError):
            return False
        finally:
            await transaction.rollback()
    return True


async def test_the_database_lets_each_continue_the_trail_of_their_own_issuer_and_under_their_own_name(
    services: Services, office: Office, initiative: str
) -> None:
    await office.get("il-auditor", SESSION)
    await office.call("operator", "POST", CODEC, body={"payloads": []})
    mine, theirs = accesses.book(IL), accesses.book(OPERATORS)
    assert await wrote(services, "auditor", mine, "trail.exported", IL)
    assert await wrote(services, "operator", theirs, "operator.signed_in", OPERATORS)
    refused = [
        ("auditor", mine, "trail.exported", "audit-il/another"),
        ("auditor", mine, "operator.signed_in", IL),
        ("auditor", mine, "mandate.given", IL),
        ("auditor", accesses.book("audit-az/x"), "auditor.signed_in", IL),
        ("auditor", theirs, "auditor.signed_in", IL),
        ("auditor", initiative, "auditor.signed_in", IL),
        ("operator", theirs, "trail.exported", OPERATORS),
        ("operator", mine, "operator.signed_in", OPERATORS),
        ("operator", initiative, "operator.signed_in", OPERATORS),
        ("staff", mine, "auditor.signed_in", IL),
        ("staff", accesses.book("il/il-head"), "auditor.signed_in", "il/il-head"),
        ("applicant", accesses.book("applicants/il-lead"), "auditor.signed_in", "applicants/il-lead"),
    ]
    assert [one for one in refused if await wrote(services, *one)] == []


async def test_operators_see_no_entry_but_those_of_their_own_trail(
    services: Services, office: Office
) -> None:
    await office.call("operator", "POST", CODEC, body={"payloads": []})
    async with connected(services, API) as connection, connection.transaction():
        await connection.execute(ASKED, READERS["operator"].setting)
        seen = await connection.fetch("SELECT DISTINCT initiative_id, action FROM audit_entry")
        assert await connection.fetchval("SELECT access_book()") is not None
    assert [(str(one[0]), one[1]) for one in seen] == [(accesses.book(OPERATORS), "operator.signed_in")]


async def test_the_database_and_the_application_name_a_trail_alike(services: Services) -> None:
    async with connected(services, API) as connection, connection.transaction():
        for person in (IL, OPERATORS, "audit-az/a/b", "nobody"):
            await connection.execute(ASKED, Reader("auditor", person).setting)
            assert str(await connection.fetchval("SELECT access_book()")) == accesses.book(person)
