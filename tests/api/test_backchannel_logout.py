"""A provider's word that somebody signed out: what is proven ends their sessions, what is not ends none."""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey

from countersign.runtime.embedded.provider.clients import WEB
from countersign.runtime.embedded.services import Services
from countersign.store.session import Database
from tests.api.test_session_ends import ended, newest
from tests.api.test_sessions import of, problem
from tests.api.test_tokens import own_key, signed, unsigned
from tests.browsing import SESSION, Browser

PATH = f"{SESSION}/backchannel-logout"
EVENT = "http://schemas.openid.net/event/backchannel-logout"
IL = "https://id.il.countersign.example"


@pytest.fixture
async def browser(services: Services, api_urls: tuple[str, str]) -> AsyncIterator[Browser]:
    async with Browser(services, api_urls[0]) as opened:
        yield opened


@pytest.fixture
async def another(services: Services, api_urls: tuple[str, str]) -> AsyncIterator[Browser]:
    async with Browser(services, api_urls[1]) as opened:
        yield opened


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    good = {
        "iss": IL,
        "aud": WEB,
        "iat": now,
        "exp": now + 120,
        "jti": str(uuid.uuid4()),
        "events": {EVENT: {}},
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


async def tell(browser: Browser, token: str) -> httpx.Response:
    """As a provider does: without a cookie."""
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
        return await http.post(f"{browser.origin}{PATH}", data={"logout_token": token})


async def sid_of(database: Database, person: str) -> str:
    row = await newest(database, person)
    assert row is not None
    return str(row["sid"])


async def test_a_sign_in_that_ends_at_the_provider_ends_its_session(
    browser: Browser, another: Browser, services: Services, database: Database
) -> None:
    await browser.sign_in("az-reviewer")
    await another.sign_in("az-reviewer")
    kept = services.provider.sign_ins(services.identity.issuers["az"])
    kept.end(await sid_of(database, "az/az-reviewer"))
    await services.provider.told()
    assert problem(await another.get(SESSION)) == (401, "unauthenticated")
    assert (await browser.session())["person"] == "az/az-reviewer"
    await services.provider.sign_out("az-reviewer")
    assert problem(await browser.get(SESSION)) == (401, "unauthenticated")
    assert await of(database, "az/az-reviewer") == 0
    assert ended(services, "az/az-reviewer")[-2:] == ["provider", "provider"]


async def test_by_its_subject_somebody_is_signed_out_everywhere_and_nobody_else_is(
    browser: Browser, another: Browser, services: Services, database: Database, api_urls: tuple[str, str]
) -> None:
    await browser.sign_in("il-finance-1")
    await another.sign_in("il-finance-1")
    async with Browser(services, api_urls[0]) as third:
        await third.sign_in("il-head")
        answer = await tell(
            browser, signed(own_key(services, "il"), claims(sub="il-finance-1"), typ="logout+jwt")
        )
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        assert (await third.session())["person"] == "il/il-head"
    assert await of(database, "il/il-finance-1") == 0


async def test_a_session_is_named_by_its_sid_and_its_subject_together(
    browser: Browser, services: Services, database: Database
) -> None:
    await browser.sign_in("il-legal")
    sid, key = await sid_of(database, "il/il-legal"), own_key(services, "il")
    for told in (
        claims(sid=sid, sub="il-head"),
        claims(sid="another", sub="il-legal"),
        claims(sid="another"),
    ):
        # What names nothing that is there is true all the same.
        assert (await tell(browser, signed(key, told, typ="logout+jwt"))).status_code == 200
        assert (await browser.session())["person"] == "il/il-legal"
    assert (
        await tell(browser, signed(key, claims(sid=sid, sub="il-legal"), typ="logout+jwt"))
    ).status_code == 200
    assert problem(await browser.get(SESSION)) == (401, "unauthenticated")


@pytest.mark.parametrize("typ", ["logout+jwt", "application/logout+jwt", "LOGOUT+JWT", "JWT"])
async def test_the_types_that_providers_give_it_are_taken(
    typ: str, browser: Browser, services: Services
) -> None:
    await browser.sign_in("il-head")
    answer = await tell(browser, signed(own_key(services, "il"), claims(sub="il-head"), typ=typ))
    assert answer.status_code == 200
    assert problem(await browser.get(SESSION)) == (401, "unauthenticated")


Forge = Callable[[Services, str], str]


def by_il(typ: str = "logout+jwt", **changes: Any) -> Forge:
    def forge(services: Services, sid: str) -> str:
        return signed(
            own_key(services, "il"), claims(**({"sid": sid, "sub": "il-officer"} | changes)), typ=typ
        )

    return forge


def with_a_key_of_ones_own(services: Services, sid: str) -> str:
    key = ECKey.generate_key("P-256", private=True, auto_kid=True)
    return signed(key, claims(sid=sid), typ="logout+jwt")


def with_a_foreign_key_under_the_right_key_id(services: Services, sid: str) -> str:
    key = ECKey.generate_key("P-256", private=True)
    return signed(key, claims(sid=sid), kid=own_key(services, "il").kid, typ="logout+jwt")


def with_the_other_directorates_key(services: Services, sid: str) -> str:
    return signed(own_key(services, "az"), claims(sid=sid), typ="logout+jwt")


def of_a_foreign_issuer(services: Services, sid: str) -> str:
    key = ECKey.generate_key("P-256", private=True, auto_kid=True)
    return signed(key, claims(iss="https://evil.example", sid=sid), typ="logout+jwt")


def alg_none(services: Services, sid: str) -> str:
    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none', 'typ': 'logout+jwt'})}.{part(claims(sid=sid))}."


NOW = int(time.time())

FORGERIES: dict[str, Forge] = {
    "own key": with_a_key_of_ones_own,
    "foreign key, right kid": with_a_foreign_key_under_the_right_key_id,
    "other side's key": with_the_other_directorates_key,
    "foreign issuer": of_a_foreign_issuer,
    "alg none": alg_none,
    "an access token": lambda services, _: services.token("il-officer"),
    "an unsigned access token": lambda services, _: unsigned(services),
    "an ID token": lambda services, sid: services.identity.id_token("il-officer", WEB, {"sid": sid}),
    "an access token's type": by_il("at+jwt"),
    "another audience": by_il(aud="another-client"),
    "the API's audience": by_il(aud="countersign"),
    "no audience": by_il(aud=None),
    "a nonce": by_il(nonce="n"),
    "an empty nonce": by_il(nonce=""),
    "no events": by_il(events=None),
    "other events": by_il(events={"http://schemas.openid.net/event/other": {}}),
    "an event that is no object": by_il(events={EVENT: True}),
    "events in a list": by_il(events=[EVENT]),
    "expired": by_il(iat=NOW - 600, exp=NOW - 60),
    "no exp": by_il(exp=None),
    "good for ever": by_il(exp=NOW + 10**9),
    "no iat": by_il(iat=None),
    "from the future": by_il(iat=NOW + 3600, exp=NOW + 7200),
    "no jti": by_il(jti=None),
    "a jti that is no text": by_il(jti=17),
    "neither sid nor sub": by_il(sid=None, sub=None),
    "a sid that is no text": by_il(sid=17),
    "a sub that is none": by_il(sub="not a subject"),
    "no token": lambda *_: "nonsense",
    "nothing": lambda *_: "",
    "too long": lambda *_: "a" * 20_000,
}


@pytest.mark.parametrize("name", FORGERIES)
async def test_what_does_not_prove_it_signs_nobody_out(
    name: str, browser: Browser, services: Services, database: Database
) -> None:
    await browser.sign_in("il-officer")
    before = await of(database, "il/il-officer")
    token = FORGERIES[name](services, await sid_of(database, "il/il-officer"))
    answer = await tell(browser, token)
    assert problem(answer) == (400, "invalid")
    assert answer.headers["cache-control"] == "no-store"
    assert await of(database, "il/il-officer") == before
    assert (await browser.session())["person"] == "il/il-officer"


async def test_a_logout_token_counts_once(browser: Browser, services: Services) -> None:
    token = signed(own_key(services, "il"), claims(sub="il-head"), typ="logout+jwt")
    await browser.sign_in("il-head")
    assert (await tell(browser, token)).status_code == 200
    await browser.sign_in("il-head")
    answer = await tell(browser, token)
    assert problem(answer) == (400, "invalid")
    assert answer.json()["detail"] == "this logout token came before"
    assert (await browser.session())["person"] == "il/il-head"


async def test_an_issuer_signs_out_nobody_of_anothers(
    browser: Browser, services: Services, database: Database
) -> None:
    await browser.sign_in("il-head")
    sid = await sid_of(database, "il/il-head")
    told = claims(iss="https://id.az.countersign.example", sid=sid, sub="il-head")
    assert (await tell(browser, signed(own_key(services, "az"), told, typ="logout+jwt"))).status_code == 200
    assert (await browser.session())["person"] == "il/il-head"


@pytest.mark.parametrize("body", ["", "a=b", "logout_token=a&logout_token=b", "logout_token"])
async def test_a_form_without_one_token_is_refused(body: str, browser: Browser) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await browser.http.post(f"{browser.origin}{PATH}", content=body, headers=headers)
    assert problem(answer) == (400, "invalid")


async def test_a_form_of_very_many_fields_is_not_read(browser: Browser, services: Services) -> None:
    await browser.sign_in("il-head")
    token = signed(own_key(services, "il"), claims(sub="il-head"), typ="logout+jwt")
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    body = f"logout_token={token}" + "&a=1" * 100_000
    answer = await browser.http.post(f"{browser.origin}{PATH}", content=body, headers=headers)
    assert problem(answer) == (400, "invalid")
    assert (await browser.session())["person"] == "il/il-head"
