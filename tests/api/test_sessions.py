"""Signing in with a browser, at the real providers: the whole way, and every answer that is not to what was asked."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from sqlalchemy import text

from countersign.api.app import create_app
from countersign.runtime.embedded.provider import application
from countersign.runtime.embedded.provider.clients import WEB
from countersign.runtime.embedded.services import Services
from countersign.store.roles import API
from countersign.store.session import Database
from tests.api.test_refusals import recorded_refusal
from tests.browsing import CALLBACK, LOGIN, SESSION, Browser, query_of, set_cookies
from tests.conftest import PORTAL
from tests.people import Office

IL, AZ = "https://id.il.countersign.example", "https://id.az.countersign.example"


@pytest.fixture
async def browser(services: Services, api_urls: tuple[str, str]) -> AsyncIterator[Browser]:
    async with Browser(services, api_urls[0]) as opened:
        yield opened


@pytest.fixture
async def another(services: Services, api_urls: tuple[str, str]) -> AsyncIterator[Browser]:
    async with Browser(services, api_urls[0]) as opened:
        yield opened


@asynccontextmanager
async def over_tls(services: Services, **settings: Any) -> AsyncIterator[Browser]:
    """A browser at the application in this process, on an origin with TLS."""
    clients = {url: {"client_id": WEB} for url in services.issuers}
    chosen = {"public_url": PORTAL, "web_clients": clients} | settings
    app = create_app(services.settings(API, **chosen))
    async with app.router.lifespan_context(app), Browser(services, PORTAL, app) as opened:
        yield opened


async def rows(database: Database) -> list[dict[str, Any]]:
    async with database.reading() as connection:
        found = await connection.execute(text("SELECT * FROM session ORDER BY created_at"))
        return [dict(one) for one in found.mappings()]


async def of(database: Database, person: str) -> int:
    return sum(one["person"] == person for one in await rows(database))


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


# ---- the whole way


@pytest.mark.parametrize(
    ("who", "role", "directorate", "offices"),
    [
        ("il-head", "staff", "il", ["head"]),
        ("az-lead", "applicant", None, []),
        ("il-auditor", "auditor", "il", []),
        ("operator", "operator", None, []),
    ],
)
async def test_whoever_signs_in_with_a_browser_is_who_their_issuer_says(
    who: str, role: str, directorate: str | None, offices: list[str], browser: Browser
) -> None:
    signed_in = await browser.sign_in(who, return_to="/portal/?tab=inbox")
    assert signed_in.headers["location"] == f"{browser.origin}/portal/?tab=inbox"
    session = await browser.session()
    assert session["person"].endswith(f"/{who}")
    assert (session["role"], session["directorate"], session["offices"]) == (role, directorate, offices)
    assert session["name"]
    assert len(session["csrf_token"]) == 43
    assert session["idle_until"] < session["expires_at"]


async def test_a_session_is_as_good_as_a_token(browser: Browser, office: Office, initiative: str) -> None:
    await browser.sign_in("il-legal")
    assert (await browser.get(f"/v1/initiatives/{initiative}")).status_code == 200
    matter = await office.open_matter(initiative)
    body = {"id": "by-session", "response": "approve", "content_hash": matter["content_hash"]}
    path = f"/v1/initiatives/{initiative}/matters/{matter['number']}/sign-offs"
    signed = await browser.send("POST", path, body)
    assert signed.status_code == 200, signed.text
    assert "il/il-legal" in {one["actor"] for one in await office.trail(initiative)}
    assert problem(await browser.get(f"/v1/initiatives/{initiative}/audit")) == (403, "forbidden")


async def test_where_a_browser_is_sent_says_all_that_the_provider_has_to_hold_it_against(
    browser: Browser,
) -> None:
    away = await browser.begin(return_to="/x")
    asked = query_of(away.headers["location"])
    assert asked["response_type"] == "code"
    assert asked["client_id"] == WEB
    assert asked["redirect_uri"] == f"{browser.origin}{CALLBACK}"
    assert asked["scope"] == "openid offline_access profile email"
    assert asked["code_challenge_method"] == "S256"
    assert min(len(asked[name]) for name in ("state", "nonce", "code_challenge")) == 43
    assert away.headers["cache-control"] == "no-store"
    again = query_of((await browser.begin(return_to="/x")).headers["location"])
    assert all(asked[name] != again[name] for name in ("state", "nonce", "code_challenge"))


async def test_a_browser_keeps_a_cookie_and_nothing_that_it_or_another_could_read(
    browser: Browser, database: Database
) -> None:
    begun = await browser.begin()
    assert set_cookies(begun) == {
        "countersign-sign-in": {"httponly", "max-age=600", "path=/", "samesite=lax"}
    }
    back = await browser.come_back(begun, "il-head")
    asked = query_of(begun.headers["location"])
    kept = browser.cookies["countersign-sign-in"]
    assert not any(asked[name] in kept for name in ("state", "nonce"))
    signed_in = await browser.http.get(back.headers["location"])
    set_ = set_cookies(signed_in)
    assert set_["countersign"] == {"httponly", "path=/", "samesite=lax"}
    assert "max-age=0" in set_["countersign-sign-in"]
    assert set(browser.cookies) == {"countersign"}
    secret = browser.cookies["countersign"]
    assert len(secret) == 43
    # The record has neither the cookie nor a token, in plain text.
    row = [one for one in await rows(database) if one["person"] == "il/il-head"][-1]
    everything = repr(row)
    code = query_of(back.headers["location"])["code"]
    csrf = (await browser.session())["csrf_token"]
    assert not any(one in everything for one in (secret, code, csrf, "eyJ"))
    assert len(row["sealed"]) > 500


async def test_over_tls_the_cookies_are_this_hosts_alone(
    services: Services, api_urls: tuple[str, str]
) -> None:
    async with over_tls(services) as browser:
        begun = await browser.begin()
        assert set_cookies(begun) == {
            "__Host-countersign-sign-in": {"httponly", "max-age=600", "path=/", "samesite=lax", "secure"}
        }
        signed_in = await browser.http.get((await browser.come_back(begun, "il-head")).headers["location"])
        assert set_cookies(signed_in)["__Host-countersign"] == {
            "httponly",
            "path=/",
            "samesite=lax",
            "secure",
        }
        assert (await browser.session())["person"] == "il/il-head"
        without_prefix = {"Cookie": f"countersign={browser.cookies['__Host-countersign']}"}
        browser.http.cookies.clear()
        assert problem(await browser.get(SESSION, **without_prefix)) == (401, "unauthenticated")


async def test_signing_in_again_is_another_session_and_ends_the_one_before(
    browser: Browser, another: Browser, database: Database
) -> None:
    await browser.sign_in("az-deputy")
    first = browser.cookies["countersign"]
    before = await of(database, "az/az-deputy")
    # Whoever was given a cookie to keep is not signed in by it (session fixation).
    another.http.cookies.set("countersign", "chosen-by-somebody-else", domain="127.0.0.1")
    await another.sign_in("az-deputy")
    assert another.cookies["countersign"] != "chosen-by-somebody-else"
    await browser.sign_in("az-deputy")
    assert browser.cookies["countersign"] != first
    assert await of(database, "az/az-deputy") == before + 1
    stale = await another.get(SESSION, Cookie=f"countersign={first}")
    assert problem(stale) == (401, "unauthenticated")


# ---- where to, then

NOT_HERE = [
    "//evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "https://evil.example",
    "https:evil.example",
    "javascript:alert(1)",
    "evil.example",
    "",
    "/\t/evil.example",
    "/\r\nSet-Cookie: a=b",
    "/a\\b",
    "/\x00",
    "/\u2028",
    "/" + "a" * 1000,
]


@pytest.mark.parametrize("path", NOT_HERE)
async def test_nobody_is_sent_on_to_another_host(path: str, browser: Browser) -> None:
    answer = await browser.http.get(f"{browser.origin}{LOGIN}", params={"issuer": "il", "return_to": path})
    assert problem(answer) == (422, "invalid")
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "query", ["return_to=%0d%0aX:y", "return_to=/%0d%0aX:y", "return_to=%2f%2fevil.example"]
)
async def test_what_is_encoded_is_seen_through(query: str, browser: Browser) -> None:
    answer = await browser.get(f"{LOGIN}?issuer=il&{query}")
    assert problem(answer) == (422, "invalid")


@pytest.mark.parametrize(
    "path", ["/", "/a//b?c=//d#e", "/%2f%2fevil.example", "/..//evil.example", "/@evil.example"]
)
async def test_a_path_of_this_origin_stays_on_it(path: str, browser: Browser) -> None:
    signed_in = await browser.sign_in(return_to=path)
    assert signed_in.headers["location"].startswith(f"{browser.origin}/")
    assert httpx.URL(signed_in.headers["location"]).host == "127.0.0.1"


@pytest.mark.parametrize("issuer", ["nobody", "IL", IL, "il&issuer=az"])
async def test_nobody_signs_in_by_an_issuer_that_there_is_not(issuer: str, browser: Browser) -> None:
    answer = await browser.http.get(f"{browser.origin}{LOGIN}", params={"issuer": issuer})
    assert problem(answer) == (404, "not_found")


async def test_without_an_origin_for_browsers_there_is_nothing_to_sign_in_by(services: Services) -> None:
    async with over_tls(services, public_url=None) as browser:
        token = services.token("il-head")
        for path in (f"{LOGIN}?issuer=il", f"{CALLBACK}?state=a"):
            assert problem(await browser.get(path)) == (404, "not_found")
        answer = await browser.http.post(f"{PORTAL}{SESSION}/backchannel-logout", data={"logout_token": "a"})
        assert problem(answer) == (404, "not_found")
        cookie = await browser.get(SESSION, Cookie="__Host-countersign=a; countersign=a")
        assert problem(cookie) == (401, "unauthenticated")
        assert (await browser.get(SESSION, Authorization=f"Bearer {token}")).status_code == 200


async def test_an_issuer_that_is_not_trusted_is_none_to_sign_in_by(services: Services) -> None:
    clients = {"https://evil.example": {"client_id": WEB}}
    with pytest.raises(ValueError, match=r"not trusted here: https://evil\.example"):
        create_app(services.settings(API, public_url=PORTAL, web_clients=clients))


# ---- coming back

Change = Callable[[dict[str, str]], dict[str, str]]


def changed(**changes: str | None) -> Change:
    def apply(query: dict[str, str]) -> dict[str, str]:
        return {name: value for name, value in (query | changes).items() if value is not None}

    return apply


@pytest.mark.parametrize(
    "change",
    [
        changed(state="another"),
        changed(state=""),
        changed(state="é"),
        changed(iss="https://id.az.countersign.example"),
        changed(iss=f"{IL}/"),
        changed(iss=""),
        changed(iss=None),
    ],
    ids=["state", "no state", "strange state", "iss", "iss with a slash", "empty iss", "no iss"],
)
async def test_an_answer_that_is_not_to_what_was_asked_signs_nobody_in(
    change: Change, browser: Browser, database: Database
) -> None:
    back = await browser.asked_back("il-finance-2")
    before = await of(database, "il/il-finance-2")
    answer = await browser.get(f"{CALLBACK}?{urlencode(change(query_of(back)))}")
    assert problem(answer) == (400, "invalid")
    assert "countersign" not in set_cookies(answer)
    assert await of(database, "il/il-finance-2") == before
    assert (await recorded_refusal(database, answer))["code"] == "invalid"
    # It was refused before anything of it was used: the true answer still counts.
    assert (await browser.http.get(back)).status_code == 303


async def test_a_provider_that_does_not_name_itself_is_believed_where_there_is_no_other(
    services: Services, api_urls: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 9207, 2.4; with several, one could have another's answer brought to it (RFC 9700, 4.4)."""
    described = application.describe

    def silent(issuer: str, at: str) -> dict[str, Any]:
        return described(issuer, at) | {"authorization_response_iss_parameter_supported": False}

    monkeypatch.setattr(application, "describe", silent)
    client = {"client_id": WEB}
    for clients, status in (({IL: client}, 303), ({IL: client, AZ: client}, 400)):
        async with over_tls(services, web_clients=clients) as browser:
            back = await browser.asked_back("il-head")
            query = urlencode(changed(iss=None)(query_of(back)))
            assert (await browser.get(f"{CALLBACK}?{query}")).status_code == status
    async with over_tls(services, web_clients={IL: client}) as browser:
        back = await browser.asked_back("il-head")
        query = urlencode(changed(iss=AZ)(query_of(back)))
        assert problem(await browser.get(f"{CALLBACK}?{query}")) == (400, "invalid")


async def test_an_answer_without_state_is_none(browser: Browser) -> None:
    back = await browser.asked_back("il-head")
    answer = await browser.get(f"{CALLBACK}?{urlencode(changed(state=None)(query_of(back)))}")
    assert problem(answer) == (422, "invalid")


async def test_an_answer_counts_once(browser: Browser) -> None:
    back = await browser.asked_back("il-head")
    kept = browser.cookies["countersign-sign-in"]
    assert (await browser.http.get(back)).status_code == 303
    assert problem(await browser.http.get(back)) == (400, "invalid")
    replayed = await browser.http.get(back, headers={"Cookie": f"countersign-sign-in={kept}"})
    assert problem(replayed) == (400, "invalid")
    assert replayed.json()["detail"] == "this sign-in is over; begin it again"


async def test_nobody_is_signed_in_as_somebody_else_by_a_link(browser: Browser, another: Browser) -> None:
    """Login CSRF: an attacker's own answer, brought to another browser, which may be signing in itself."""
    attackers = await another.asked_back("az-deputy")
    assert problem(await browser.http.get(attackers)) == (400, "invalid")
    await browser.begin()
    assert problem(await browser.http.get(attackers)) == (400, "invalid")
    assert "countersign" not in browser.cookies


async def test_the_code_of_another_sign_in_is_not_redeemed(browser: Browser, another: Browser) -> None:
    """The provider holds the code against the verifier (RFC 7636), which never left us."""
    mine, others = await browser.asked_back("il-head"), await another.asked_back("il-officer")
    swapped = changed(code=query_of(others)["code"])(query_of(mine))
    answer = await browser.get(f"{CALLBACK}?{urlencode(swapped)}")
    assert problem(answer) == (401, "unauthenticated")
    assert answer.json()["detail"] == "the provider did not sign anybody in: invalid_grant"


async def test_a_sign_in_that_was_begun_too_long_ago_is_over(
    services: Services, api_urls: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with over_tls(services) as browser:
        back = await browser.asked_back("il-head")
        later = time.time() + 601
        monkeypatch.setattr("countersign.api.browser_sessions.time.time", lambda: later)
        assert problem(await browser.http.get(back)) == (400, "invalid")


@pytest.mark.parametrize(
    "kept", ["", "x", "AAAA", "é", "a" * 6000, "Zm9vAGJhcmJhcmJhcmJhcmJhcmJhcmJhcmJhcmJhcmJhcg=="]
)
async def test_a_cookie_that_is_not_ours_begins_no_sign_in(kept: str, browser: Browser) -> None:
    back = await browser.asked_back("il-head")
    browser.http.cookies.clear()
    sent = [(b"Cookie", f"countersign-sign-in={kept}".encode())]
    answer = await browser.http.get(back, headers=sent)
    assert problem(answer) == (400, "invalid")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("access_denied", "access_denied"),
        ("login_required", "login_required"),
        ("<script>alert(1)</script>", "error"),
        ("a\r\nb: c", "error"),
    ],
)
async def test_what_a_provider_says_went_wrong_ends_in_a_problem_with_nothing_of_anybodys_making(
    error: str, said: str, browser: Browser
) -> None:
    asked = query_of((await browser.begin()).headers["location"])
    query = {"state": asked["state"], "iss": IL, "error": error, "error_description": "<b>text</b>"}
    answer = await browser.get(f"{CALLBACK}?{urlencode(query)}")
    assert problem(answer) == (401, "unauthenticated")
    assert answer.json()["detail"] == f"the provider did not sign anybody in: {said}"
    assert not any(one in answer.text for one in ("<", "script", "text</b>"))


async def test_whoever_refuses_at_the_provider_is_not_signed_in(browser: Browser, services: Services) -> None:
    page = await browser.http.get((await browser.begin()).headers["location"])
    hidden = page.text.partition('name="page" value="')[2].partition('"')[0]
    at = f"{services.provider.base}/il/sign-in"
    back = await browser.http.post(at, data={"page": hidden, "answer": "refuse"})
    answer = await browser.http.get(back.headers["location"])
    assert problem(answer) == (401, "unauthenticated")
    assert answer.json()["detail"].endswith("access_denied")


# ---- what the provider gives

Forged = Callable[[Services, str, str, dict[str, Any]], str]


def with_claims(**changes: Any) -> Forged:
    """An ID token of the right issuer that is wrong in what it says."""

    def forge(services: Services, handle: str, client: str, about: dict[str, Any]) -> str:
        told = {"aud": client} | about | services.identity._profile(handle) | changes
        kept = {name: value for name, value in told.items() if value is not None}
        return services.identity._sign(handle, "JWT", 3600, kept)

    return forge


def of_another_issuer(services: Services, handle: str, client: str, about: dict[str, Any]) -> str:
    return services.identity._sign("az-deputy", "JWT", 3600, {"aud": client} | about)


def an_access_token(services: Services, handle: str, client: str, about: dict[str, Any]) -> str:
    return services.identity._sign(handle, "at+jwt", 3600, {"aud": client} | about)


def not_signed(services: Services, handle: str, client: str, about: dict[str, Any]) -> str:
    return with_claims()(services, handle, client, about).rpartition(".")[0] + "."


@pytest.mark.parametrize(
    "forge",
    [
        with_claims(nonce="another"),
        with_claims(nonce=None),
        with_claims(nonce=["a", "b"]),
        with_claims(aud="another-client"),
        with_claims(aud=[WEB, "another-client"]),
        with_claims(azp="another-client"),
        with_claims(aud=[WEB, "another-client"], azp="another-client"),
        with_claims(exp=int(time.time()) - 60),
        with_claims(iat=int(time.time()) + 600),
        with_claims(sub="il-officer"),
        with_claims(sub="not a subject"),
        with_claims(sid=17),
        of_another_issuer,
        an_access_token,
        not_signed,
    ],
    ids=[
        *("nonce", "no nonce", "two nonces", "aud", "two aud", "azp", "two aud and azp", "exp", "iat"),
        *("another sub", "no sub", "sid", "issuer", "type", "signature"),
    ],
)
async def test_an_id_token_that_is_wrong_in_one_thing_signs_nobody_in(
    forge: Forged, services: Services, browser: Browser, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forged(handle: str, client_id: str, about: dict[str, Any]) -> str:
        return forge(services, handle, client_id, about)

    back = await browser.asked_back("il-finance-1")
    monkeypatch.setattr(services.identity, "id_token", forged)
    before = len(await rows(database))
    answer = await browser.http.get(back)
    assert problem(answer) == (401, "unauthenticated")
    assert len(await rows(database)) == before


async def test_an_id_token_for_several_that_was_given_to_us_is_good(
    services: Services, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def given(handle: str, client_id: str, about: dict[str, Any]) -> str:
        return with_claims(aud=[WEB, "another-client"], azp=WEB)(services, handle, client_id, about)

    monkeypatch.setattr(services.identity, "id_token", given)
    await browser.sign_in("il-finance-1")
    assert (await browser.session())["person"] == "il/il-finance-1"


async def test_an_access_token_for_another_audience_signs_nobody_in(
    services: Services, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    back = await browser.asked_back("il-head")
    given = services.identity.token
    monkeypatch.setattr(
        services.identity, "token", lambda handle, **more: given(handle, audience="another", **more)
    )
    assert problem(await browser.http.get(back)) == (401, "unauthenticated")


async def test_a_provider_that_gives_no_refresh_token_signs_in_for_as_long_as_its_token_lasts(
    services: Services, browser: Browser, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = services.provider.token

    def without(*asked: Any) -> dict[str, Any]:
        answer = given(*asked)
        del answer["refresh_token"]
        return answer

    monkeypatch.setattr(services.provider, "token", without)
    await browser.sign_in("il-legal")
    row = [one for one in await rows(database) if one["person"] == "il/il-legal"][-1]
    assert row["expires_at"] == row["access_until"]


async def test_a_token_of_ones_own_says_until_when(office: Office) -> None:
    said = await office.get("il-head", SESSION)
    assert said["person"] == "il/il-head"
    assert said["csrf_token"] is None
    assert said["idle_until"] is None
    assert said["expires_at"].startswith("20")
    ended = await office.call("il-head", "DELETE", SESSION)
    assert (ended.status_code, ended.json()) == (200, {"logout_url": None})
    assert (await office.call("il-head", "GET", SESSION)).status_code == 200
