"""How a browser session ends: by its limits, by its person, by the provider; and how it is refreshed until then."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from countersign.api import events
from countersign.runtime import payload_keys
from countersign.runtime.embedded import identity
from countersign.runtime.embedded.ports import free_ports
from countersign.runtime.embedded.provider.clients import WebAddresses
from countersign.runtime.embedded.provider.provider import Provider
from countersign.runtime.embedded.provider.refusals import Refused
from countersign.runtime.embedded.provider.serving import serving
from countersign.runtime.embedded.services import Services
from countersign.store.session import Database
from tests.api.test_codec import log_of
from tests.api.test_sessions import over_tls, problem, rows
from tests.browsing import SESSION, Browser, query_of, set_cookies
from tests.conftest import PORTAL
from tests.eventually import eventually


@pytest.fixture
async def browser(
    services: Services, api_urls: tuple[str, str], database: Database
) -> AsyncIterator[Browser]:
    """A browser, and no session of anybody's in the record."""
    async with database.transaction() as connection:
        await connection.execute(text("DELETE FROM session"))
    async with Browser(services, api_urls[0]) as opened:
        yield opened


async def newest(database: Database, person: str) -> dict[str, Any] | None:
    found = [one for one in await rows(database) if one["person"] == person]
    return found[-1] if found else None


async def move(database: Database, person: str, **times: timedelta) -> None:
    """Set times of a person's sessions to so much from now, as the table's owner."""
    async with database.transaction() as connection:
        for column, ahead in times.items():
            await connection.execute(
                text(f"UPDATE session SET {column} = now() + :ahead WHERE person = :person"),
                {"ahead": ahead, "person": person},
            )


PAST, SOON = timedelta(seconds=-1), timedelta(minutes=5)


def ended(services: Services, person: str) -> list[str]:
    """Why a person's sessions ended, as the log says."""
    said = ("session_ended", f"person={person} ")
    lines = sorted(one for one in log_of(services).splitlines() if all(part in one for part in said))
    return [line.rpartition("why=")[2].split()[0] for line in lines]


# ---- limits


@pytest.mark.parametrize(("column", "why"), [("idle_until", "idle"), ("expires_at", "expired")])
async def test_a_session_ends_when_it_is_not_used_and_when_it_has_lasted(
    column: str, why: str, browser: Browser, database: Database, services: Services
) -> None:
    who = "il-officer"
    await browser.sign_in(who)
    sign_ins = len(services.provider.sign_ins(services.identity.issuers["il"]).of(who))
    await move(database, f"il/{who}", **{column: PAST})
    answer = await browser.get(SESSION)
    assert problem(answer) == (401, "unauthenticated")
    assert answer.json()["detail"] == "the browser's session is over; sign in again"
    assert await newest(database, f"il/{who}") is None
    assert ended(services, f"il/{who}")[-1] == why
    # The provider is told that nobody will ask for it any more.
    left = services.provider.sign_ins(services.identity.issuers["il"]).of(who)
    assert len(left) < sign_ins


async def test_it_is_written_down_once_a_minute_that_a_session_is_used(
    browser: Browser, database: Database
) -> None:
    await browser.sign_in("il-secretariat")
    before = await newest(database, "il/il-secretariat")
    for _ in range(3):
        await browser.session()
    assert await newest(database, "il/il-secretariat") == before
    await move(database, "il/il-secretariat", seen_at=timedelta(seconds=-61), idle_until=SOON)
    said = await browser.session()
    after = await newest(database, "il/il-secretariat")
    assert before is not None
    assert after is not None
    assert after["seen_at"] > before["seen_at"]
    assert after["idle_until"] - after["seen_at"] == timedelta(minutes=30)
    assert abs(datetime.fromisoformat(said["idle_until"]) - after["idle_until"]) < timedelta(seconds=1)
    assert after["expires_at"] == before["expires_at"]


async def test_what_is_over_is_thrown_away_when_somebody_signs_in(
    browser: Browser, database: Database, services: Services, api_urls: tuple[str, str]
) -> None:
    await browser.sign_in("az-reviewer")
    await move(database, "az/az-reviewer", idle_until=PAST)
    async with database.transaction() as connection:
        await connection.execute(
            text("INSERT INTO once VALUES ('old', now()), ('new', now() + interval '1h')")
        )
    async with Browser(services, api_urls[1]) as another:
        await another.sign_in("il-head")
    assert await newest(database, "az/az-reviewer") is None
    async with database.reading() as connection:
        kept = set((await connection.scalars(text("SELECT digest FROM once"))).all())
    assert "new" in kept
    assert "old" not in kept


# ---- refreshing


async def test_what_the_provider_says_anew_takes_the_place_of_what_it_said(
    browser: Browser, database: Database, services: Services
) -> None:
    await browser.sign_in("az-finance-2")
    person = services.identity.person("az", "az-finance-2")
    assert person is not None
    assert (await browser.session())["offices"] == list(person.offices)
    try:
        services.identity.appoint("az-finance-2", ["archivist"])
        assert (await browser.session())["offices"] == list(person.offices)  # its token is still good
        before = await newest(database, "az/az-finance-2")
        await move(database, "az/az-finance-2", access_until=PAST)
        assert (await browser.session())["offices"] == ["archivist"]
    finally:
        services.identity.appoint("az-finance-2", person.offices)
    after = await newest(database, "az/az-finance-2")
    assert before is not None
    assert after is not None
    assert after["access_until"] > datetime.now(UTC) + timedelta(minutes=50)
    assert after["sealed"] != before["sealed"]
    assert (after["digest"], after["expires_at"]) == (before["digest"], before["expires_at"])
    # The provider's refresh tokens are good once: the new one has taken the old one's place.
    await move(database, "az/az-finance-2", access_until=PAST)
    assert (await browser.session())["offices"] == list(person.offices)


async def test_many_requests_at_once_on_two_processes_refresh_once(
    browser: Browser, database: Database, services: Services, api_urls: tuple[str, str]
) -> None:
    await browser.sign_in("il-finance-2")
    cookie = {"Cookie": f"countersign={browser.cookies['countersign']}"}
    (sign_in,) = [
        one
        for one in services.provider.sign_ins(services.identity.issuers["il"]).of("il-finance-2")
        if one.sid == (await newest(database, "il/il-finance-2") or {})["sid"]
    ]
    for turn in range(1, 4):
        await move(database, "il/il-finance-2", access_until=PAST)
        async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
            answers = await asyncio.gather(
                *(http.get(f"{api_urls[number % 2]}{SESSION}", headers=cookie) for number in range(40))
            )
        assert {one.status_code for one in answers} == {200}
        assert sign_in.refreshed == turn


async def test_when_the_provider_no_longer_vouches_the_session_is_ended(
    browser: Browser, database: Database, services: Services
) -> None:
    await browser.sign_in("az-officer")
    row = await newest(database, "az/az-officer")
    assert row is not None
    kept = services.provider.sign_ins(services.identity.issuers["az"])
    kept._sign_ins.take(row["sid"])  # as after a restart of the provider: nobody is told
    assert (await browser.get(SESSION)).status_code == 200
    await move(database, "az/az-officer", access_until=PAST)
    assert problem(await browser.get(SESSION)) == (401, "unauthenticated")
    assert await newest(database, "az/az-officer") is None
    assert ended(services, "az/az-officer")[-1] == "refused"


@pytest.mark.parametrize("error", ["server_error", "invalid_client"])
async def test_when_the_provider_fails_the_session_stays(
    error: str, browser: Browser, database: Database, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await browser.sign_in("az-deputy")
    person = (await browser.session())["person"]
    await move(database, person, access_until=PAST)

    def fail(*_: Any) -> None:
        raise Refused(error, "not now", 503 if error == "server_error" else 401)

    with monkeypatch.context() as patch:
        patch.setattr(services.provider, "token", fail)
        answer = await browser.get(SESSION)
        assert problem(answer) == (503, "unavailable")
        assert answer.headers["retry-after"]
    assert (await browser.session())["person"] == person


async def test_when_the_provider_is_away_the_session_stays_until_it_is_back(
    services: Services, api_urls: tuple[str, str], database: Database
) -> None:
    (port,) = free_ports(0)
    base = f"http://127.0.0.1:{port}"
    provider = Provider(services.identity, base, WebAddresses.of(PORTAL))
    async with over_tls(services, issuers=identity.served_at(base)) as browser:
        async with serving(provider):
            await browser.sign_in("il-officer")
        await move(database, "il/il-officer", access_until=PAST)
        answer = await browser.get(SESSION)
        assert problem(answer) == (503, "unavailable")
        assert await newest(database, "il/il-officer") is not None
        async with serving(provider):
            assert (await browser.session())["person"] == "il/il-officer"
        # Signing out does not need it either.
        signed_out = await browser.send("DELETE", SESSION)
        assert signed_out.status_code == 200
        assert problem(await browser.get(SESSION)) == (401, "unauthenticated")


@pytest.mark.parametrize("change", ["audience", "person"])
async def test_a_new_token_that_does_not_prove_the_person_ends_the_session(
    change: str, browser: Browser, database: Database, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await browser.sign_in("il-legal")
    await move(database, "il/il-legal", access_until=PAST)
    given = services.identity.token

    def other(handle: str, **more: Any) -> str:
        if change == "audience":
            return given(handle, audience="another", **more)
        return given("il-head", **more)

    monkeypatch.setattr(services.identity, "token", other)
    assert problem(await browser.get(SESSION)) == (401, "unauthenticated")
    assert await newest(database, "il/il-legal") is None
    assert ended(services, "il/il-legal")[-1] == "not_proven"


# ---- keys


async def test_a_session_outlives_a_new_key_and_ends_with_the_one_that_sealed_it(
    services: Services, api_urls: tuple[str, str], database: Database, tmp_path: Any
) -> None:
    file = tmp_path / "payload.jwks.json"
    before = payload_keys.read(services.home.payload_keys)
    added = before.with_new()
    after = added.using(added.ids[-1])
    async with over_tls(services) as browser:
        await browser.sign_in("il-secretariat")
        cookie = browser.cookies["__Host-countersign"]
    payload_keys.write(file, after)
    async with over_tls(services, payload_keys=file) as browser:
        headers = {"Cookie": f"__Host-countersign={cookie}"}
        await move(database, "il/il-secretariat", access_until=PAST)
        assert (await browser.get(SESSION, **headers)).status_code == 200
    # What it was given then is sealed with the new key, and so the old one may go.
    payload_keys.write(file, after.without(before.current.id))
    async with over_tls(services, payload_keys=file) as browser:
        await move(database, "il/il-secretariat", access_until=PAST)
        assert (await browser.get(SESSION, **headers)).status_code == 200
    # A process without the key asks whoever it is to sign in again, and throws nothing away.
    async with over_tls(services) as browser:
        await move(database, "il/il-secretariat", access_until=PAST)
        assert problem(await browser.get(SESSION, **headers)) == (401, "unauthenticated")
    async with over_tls(services, payload_keys=file) as browser:
        assert (await browser.get(SESSION, **headers)).status_code == 200


# ---- signing out


async def test_signing_out_ends_it_here_and_says_where_to_end_it_there(
    browser: Browser, database: Database, services: Services
) -> None:
    await browser.sign_in("il-head")
    cookie = browser.cookies["countersign"]
    row = await newest(database, "il/il-head")
    assert row is not None
    answer = await browser.send("DELETE", SESSION)
    assert answer.status_code == 200, answer.text
    assert "max-age=0" in set_cookies(answer)["countersign"]
    assert answer.headers["clear-site-data"] == '"cache", "storage"'
    assert "countersign" not in browser.cookies
    replayed = await browser.get(SESSION, Cookie=f"countersign={cookie}")
    assert problem(replayed) == (401, "unauthenticated")
    # Its refresh token is good no longer (RFC 7009).
    sign_ins = services.provider.sign_ins(services.identity.issuers["il"]).of("il-head")
    assert row["sid"] not in {one.sid for one in sign_ins}
    there = answer.json()["logout_url"]
    asked = query_of(there)
    assert set(asked) == {"client_id", "id_token_hint", "post_logout_redirect_uri", "state"}
    back = await browser.http.get(there)
    assert back.status_code == 303, back.text
    assert back.headers["location"] == f"{browser.origin}/?state={asked['state']}"
    assert ended(services, "il/il-head")[-1] == "signed_out"


# ---- streams


async def test_a_stream_ends_soon_after_its_session(
    services: Services, api_urls: tuple[str, str], database: Database, browser: Browser
) -> None:
    await browser.sign_in("il-auditor")
    seen: list[str] = []
    async with browser.http.stream("GET", f"{browser.origin}/v1/events", timeout=30) as answer:
        assert answer.status_code == 200
        lines = answer.aiter_lines()
        async with asyncio.timeout(events.SESSION_EVERY + 3):
            while not any(one.startswith("id:") for one in seen):
                seen.append(await anext(lines))
        await browser.send("DELETE", SESSION)
        async with asyncio.timeout(events.SESSION_EVERY + 5):
            seen += [one async for one in lines]
    assert any(one.startswith("data:") and json.loads(one[5:])["specversion"] == "1.0" for one in seen)
    assert problem(await browser.get("/v1/events")) == (401, "unauthenticated")


async def test_a_stream_ends_when_its_person_is_another_than_before(
    services: Services, database: Database, browser: Browser
) -> None:
    await browser.sign_in("az-finance-1")
    person = services.identity.person("az", "az-finance-1")
    assert person is not None
    async with browser.http.stream("GET", f"{browser.origin}/v1/events", timeout=30) as answer:
        try:
            services.identity.appoint("az-finance-1", [])
            await move(database, "az/az-finance-1", access_until=PAST)
            async with asyncio.timeout(events.SESSION_EVERY + 5):
                async for _ in answer.aiter_lines():
                    pass
        finally:
            services.identity.appoint("az-finance-1", person.offices)
    assert (await browser.session())["offices"] == []


# ---- what is logged


async def test_the_log_says_who_and_why_and_nothing_that_somebody_could_use(
    browser: Browser, services: Services
) -> None:
    back = await browser.asked_back("az-secretariat")
    kept = browser.cookies["countersign-sign-in"]
    await browser.http.get(back)
    person = (await browser.session())["person"]
    secret, csrf = browser.cookies["countersign"], (await browser.session())["csrf_token"]
    url = (await browser.send("DELETE", SESSION)).json()["logout_url"]

    async def said() -> bool:
        return bool(ended(services, person))

    await eventually(said)
    log = log_of(services)
    assert "session_opened" in log
    query = query_of(back)
    never = (query["code"], query["state"], kept, secret, csrf, query_of(url)["id_token_hint"])
    assert [one for one in never if one in log] == []
