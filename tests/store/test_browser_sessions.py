"""Browser sessions in the record: each is there for whoever names it, and for nobody who says too little."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from countersign.runtime.embedded.services import Services
from countersign.store import browser_sessions as store
from countersign.store.browser_sessions import Opened
from countersign.store.roles import API, Reader, SessionOf
from countersign.store.session import Database

pytestmark = pytest.mark.services

IDLE, LONGEST = timedelta(minutes=30), timedelta(hours=12)
IL, AZ = "https://id.il.countersign.example", "https://id.az.countersign.example"


@pytest.fixture
async def api(services: Services) -> AsyncIterator[Database]:
    opened = Database(services.postgres.url(role=API), pool_size=4)
    yield opened
    await opened.close()


def opened(issuer: str = IL, subject: str = "", sid: str | None = None, **changes: Any) -> Opened:
    subject = subject or f"somebody-{secrets.token_hex(4)}"
    values: dict[str, Any] = {
        "digest": secrets.token_hex(32),
        "issuer": issuer,
        "subject": subject,
        "sid": sid,
        "person": f"il/{subject}",
        "identity": {"name": "Plonit", "contact": None, "offices": ["head"]},
        "sealed": b"sealed",
        "access_until": datetime.now(UTC) + timedelta(hours=1),
    }
    return Opened(**values | changes)


async def keep(api: Database, one: Opened) -> Opened:
    await store.keep(api, one, idle=IDLE, longest=LONGEST)
    return one


async def test_a_session_is_found_by_whoever_names_it_and_by_nobody_else(api: Database) -> None:
    mine, other = await keep(api, opened()), await keep(api, opened())
    found = await store.find(api, mine.digest)
    assert found is not None
    assert (found.person, found.identity, found.sealed) == (mine.person, mine.identity, b"sealed")
    assert found.idle_until - found.seen_at == IDLE
    assert found.expires_at - found.seen_at == LONGEST
    assert await store.find(api, secrets.token_hex(32)) is None
    # A query that says too little finds what is named, and nothing where nobody is.
    everything = "SELECT digest FROM session WHERE expires_at > now() AND idle_until > now()"
    for reader, digests in (
        (SessionOf(mine.digest), {mine.digest}),
        (SessionOf(issuer=IL, subject=other.subject), {other.digest}),
        (SessionOf(issuer=AZ, subject=other.subject), set()),
        (SessionOf(issuer=IL), set()),
        (SessionOf(), set()),
        (Reader("auditor", "audit-il/il-auditor", "il"), set()),
    ):
        assert {row["digest"] for row in await api.read_by(reader).statement(everything)} == digests
    assert await api.statement(everything) == []


async def test_nobody_changes_or_ends_a_session_that_they_do_not_name(api: Database) -> None:
    mine, other = await keep(api, opened()), await keep(api, opened())
    for verb in ("UPDATE session SET sealed = 'x'", "DELETE FROM session"):
        async with api.read_by(SessionOf(mine.digest)).transaction() as connection:
            await connection.execute(text(verb))
        assert (await store.find(api, other.digest) or mine).sealed == b"sealed"
    assert await store.find(api, mine.digest) is None
    columns = "digest, issuer, subject, person, identity, sealed, idle_until, access_until, expires_at"
    made = f"INSERT INTO session ({columns}) VALUES ('x', 'x', 'x', 'x', '{{}}', '', now(), now(), now())"
    async with api.read_by(SessionOf(mine.digest)).reading() as connection:
        with pytest.raises(DBAPIError, match="row-level security"):
            await connection.execute(text(made))


async def test_who_a_session_is_of_is_never_changed(api: Database) -> None:
    mine = await keep(api, opened())
    for column in ("person", "subject", "issuer", "sid", "digest", "created_at", "expires_at"):
        with pytest.raises(DBAPIError, match="permission denied"):
            async with api.read_by(SessionOf(mine.digest)).transaction() as connection:
                await connection.execute(text(f"UPDATE session SET {column} = {column}"))


async def test_one_of_many_is_to_ask_the_issuer_and_another_when_that_one_is_gone(api: Database) -> None:
    one = await keep(api, opened(access_until=datetime.now(UTC) - timedelta(seconds=1)))
    won = await asyncio.gather(
        *(store.begin_refresh(api, one.digest, within=timedelta(milliseconds=300)) for _ in range(12))
    )
    (mine,) = [found for found in won if found is not None]
    assert mine.digest == one.digest
    await asyncio.sleep(0.35)
    again = await store.begin_refresh(api, one.digest, within=LONGEST)
    assert again is not None
    assert await store.begin_refresh(api, one.digest, within=LONGEST) is None
    await store.give_up_refresh(api, one.digest)
    later = await store.begin_refresh(api, one.digest, within=LONGEST)
    assert later is not None
    said: dict[str, Any] = {"name": "Almonit", "contact": None, "offices": []}
    until = datetime.now(UTC) + timedelta(hours=1)
    assert await store.refreshed(api, later, identity=said, sealed=b"new", access_until=until)
    assert await store.begin_refresh(api, one.digest, within=LONGEST) is None  # it is not due
    found = await store.find(api, one.digest)
    assert found is not None
    assert (found.identity, found.sealed) == (said, b"new")
    assert await store.end(api, one.digest)
    assert not await store.end(api, one.digest)
    assert not await store.refreshed(api, later, identity=said, sealed=b"new", access_until=until)


async def test_what_an_issuer_ends_is_its_own_and_it_says_so_once(api: Database) -> None:
    twice = f"somebody-{secrets.token_hex(4)}"
    first, second = [await keep(api, opened(subject=twice, sid=f"{twice}-{n}")) for n in "ab"]
    others = await keep(api, opened(AZ, twice, sid=f"{twice}-a"))
    until = datetime.now(UTC) + timedelta(minutes=2)

    async def end(once: str, issuer: str = IL, sid: str | None = None, subject: str | None = None) -> Any:
        return await store.end_those_of(
            api, issuer, sid=sid, subject=subject, once=f"{twice} {once}", until=until
        )

    assert await end("1", sid=f"{twice}-a", subject="another") == []
    assert await end("2", sid=f"{twice}-a") == [first.person]
    assert await end("2", sid=f"{twice}-b") is None
    assert await store.find(api, second.digest) is not None
    assert await end("3", subject=twice) == [second.person]
    assert await store.find(api, others.digest) is not None
    assert await end("4", AZ, subject=twice) == [others.person]


async def test_what_counts_once_counts_once_whoever_is_first(api: Database) -> None:
    digest = secrets.token_hex(32)
    until = datetime.now(UTC) + timedelta(minutes=10)
    won = await asyncio.gather(*(store.use_once(api, digest, until) for _ in range(12)))
    assert sorted(won) == [False] * 11 + [True]


async def test_what_is_over_goes_when_somebody_signs_in_and_nothing_else_does(api: Database) -> None:
    stale = await keep(api, opened())
    past = datetime.now(UTC) - timedelta(minutes=1)
    short = await keep(api, opened(expires_at=past))
    async with api.read_by(SessionOf(stale.digest)).transaction() as connection:
        await connection.execute(text("UPDATE session SET idle_until = now()"))
    lasting = await keep(api, opened())
    assert await store.find(api, lasting.digest) is not None
    assert [await store.find(api, one.digest) for one in (stale, short)] == [None, None]


async def test_a_worker_has_no_part_in_it(services: Services) -> None:
    connection = await asyncpg.connect(
        services.postgres.url(role="countersign_worker").replace("+asyncpg", "")
    )
    try:
        for table in ("session", "once"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch(f"SELECT * FROM {table}")
    finally:
        await connection.close()
