"""Signing in by authorization code with PKCE at the local providers."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import stat
import time
from urllib.parse import urlencode, urlsplit

import httpx
import pytest

from tests.runtime.conftest import LOOPBACK, Browser, error, hidden, sent_back

IL = "https://id.il.countersign.example"


async def test_the_configuration_says_what_is_there_and_all_of_it_answers(browser: Browser) -> None:
    found = (await browser.http.get(f"{browser.at}/.well-known/openid-configuration")).json()
    assert found["issuer"] == IL
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert found["response_types_supported"] == ["code"]
    assert found["token_endpoint_auth_methods_supported"][0] == "none"
    said = ("authorization_response_iss_parameter", "backchannel_logout", "backchannel_logout_session")
    assert all(found[f"{one}_supported"] is True for one in said)
    assert found["request_uri_parameter_supported"] is False
    assert set(found["grant_types_supported"]) == {
        "authorization_code",
        "refresh_token",
        "urn:ietf:params:oauth:grant-type:device_code",
        "client_credentials",
    }
    endpoints = {name: url for name, url in found.items() if name.endswith(("_endpoint", "_uri"))}
    assert len(endpoints) == 6
    for url in endpoints.values():
        assert url.startswith(f"{browser.at}/")
        assert (await browser.http.get(url)).status_code in (200, 400, 405)


async def test_who_signs_in_gets_tokens_that_say_who_they_are_and_how(browser: Browser) -> None:
    page = await browser.authorize()
    back = await browser.answer(page)
    assert back.headers["location"].startswith(f"{LOOPBACK}?")
    told = sent_back(back)
    assert (told["state"], told["iss"]) == ("some state", IL)
    got = await browser.redeem(told["code"])
    assert got.headers["cache-control"] == "no-store"
    tokens = got.json()
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 3600)
    assert tokens["scope"] == "openid offline_access"

    access = await browser.claims(tokens["access_token"])
    assert (access["iss"], access["sub"], access["aud"]) == (IL, "il-head", "countersign")
    assert (access["client_id"], access["offices"]) == ("countersign-cli", ["head"])
    identity = await browser.claims(tokens["id_token"])
    assert (identity["iss"], identity["sub"], identity["aud"]) == (IL, "il-head", "countersign-cli")
    assert (identity["nonce"], identity["name"]) == ("some nonce", "Almoni Ploni")
    assert identity["sid"] == access["sid"]
    assert abs(identity["auth_time"] - time.time()) < 60


async def test_who_asks_for_no_refresh_token_gets_none_and_no_nonce_makes_none(browser: Browser) -> None:
    code = await browser.code(scope="openid unheard-of", nonce=None, state=None)
    tokens = (await browser.redeem(code)).json()
    assert "refresh_token" not in tokens
    assert tokens["scope"] == "openid"
    assert "nonce" not in await browser.claims(tokens["id_token"])


async def test_a_request_comes_in_a_form_as_well(browser: Browser) -> None:
    page = await browser.http.post(f"{browser.at}/authorize", data=browser.asks(state=None))
    assert "state" not in sent_back(await browser.answer(page))


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"scope": None}, "invalid_scope"),
        ({"scope": "profile"}, "invalid_scope"),
        ({"prompt": "none"}, "login_required"),
        ({"request": "a.b.c"}, "request_not_supported"),
        ({"request_uri": "https://evil.example/r"}, "request_uri_not_supported"),
        ({"registration": "{}"}, "registration_not_supported"),
    ],
)
async def test_a_request_that_cannot_be_done_goes_back_to_the_client(
    browser: Browser, changes: dict[str, str | None], refused: str
) -> None:
    told = sent_back(await browser.authorize(**changes))
    assert (told["error"], told["state"], told["iss"]) == (refused, "some state", IL)
    assert "code" not in told


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": None},
        {"client_id": "somebody-else"},
        {"redirect_uri": None},
        {"redirect_uri": "https://evil.example/callback"},
        {"redirect_uri": "http://127.0.0.1:50000/callback?more=1"},
        {"redirect_uri": "http://127.0.0.1:50000/callback/"},
        {"redirect_uri": "http://127.0.0.1:50000/elsewhere"},
        {"redirect_uri": "http://127.0.0.1:99999/callback"},
        {"redirect_uri": "http://127.0.0.1:50000@evil.example/callback"},
        {"redirect_uri": "http://127.0.0.1.evil.example:50000/callback"},
        {"redirect_uri": "http://localhost:50000/callback"},
        {"redirect_uri": "https://127.0.0.1:50000/callback"},
        {"client_id": "countersign-web"},
        {"client_id": "countersign-web", "redirect_uri": "http://127.0.0.1:1/v1/session/callback"},
    ],
)
async def test_nobody_is_sent_where_no_client_is_registered(
    browser: Browser, changes: dict[str, str | None]
) -> None:
    page = await browser.authorize(**changes)
    assert page.status_code == 400
    assert "location" not in page.headers
    assert page.headers["content-type"].startswith("text/html")
    assert "evil" not in page.text


@pytest.mark.parametrize("port", [1, 8080, 65535])
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
async def test_a_program_is_sent_its_code_at_any_port_of_this_machine(
    browser: Browser, host: str, port: int
) -> None:
    uri = f"http://{host}:{port}/callback"
    back = await browser.answer(await browser.authorize(redirect_uri=uri))
    assert back.headers["location"].startswith(f"{uri}?code=")


async def test_a_parameter_that_is_there_twice_is_refused(browser: Browser) -> None:
    twice = f"{browser.at}/authorize?{urlencode(browser.asks())}&state=another"
    assert (await browser.http.get(twice)).status_code == 400


async def test_the_web_client_is_sent_its_code_where_it_is_registered(browser: Browser) -> None:
    tokens = await browser.signed_in_on_the_web()
    assert (await browser.claims(tokens["id_token"]))["aud"] == "countersign-web"
    assert (await browser.claims(tokens["access_token"]))["client_id"] == "countersign-web"


# ---- the page


async def test_the_page_names_the_people_of_its_issuer_and_loads_nothing(browser: Browser) -> None:
    page = await browser.authorize()
    assert set(re.findall(r'name="who" value="([^"]+)"', page.text)) == {
        *("il-officer", "il-legal", "il-head", "il-finance-1", "il-finance-2", "il-secretariat")
    }
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self' http://127.0.0.1:50000;" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script" not in page.text
    assert page.headers["cache-control"] == "no-store"
    assert '<html lang="en">' in page.text
    assert 'name="viewport" content="width=device-width' in page.text
    assert '<label for="password">' in page.text
    cookie = page.headers["set-cookie"].lower()
    assert all(one in cookie for one in ("httponly", "samesite=strict", "path=/il/"))
    assert browser.provider.identity.password not in page.text


async def test_the_page_has_the_style_that_its_policy_lets_it_have(browser: Browser) -> None:
    page = await browser.authorize()
    style = re.findall(r"(?s)<style>(.*?)</style>", page.text)[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in page.headers["content-security-policy"]


async def test_what_a_client_or_a_guest_writes_is_escaped_wherever_it_is_shown(browser: Browser) -> None:
    evil = '"><script>alert(1)</script>'
    asked = await browser.authorize(login_hint=evil, state=evil)
    tried = await browser.answer(asked, who=evil, password=evil)
    shown = await browser.http.get(f"{browser.at}/device", params={"user_code": '"><script>'})
    typed = await browser.http.post(f"{browser.at}/device", data={"user_code": '"><script>'})
    for page in (asked, tried, shown, typed):
        assert "<script" not in page.text
    assert "&lt;script" in shown.text
    assert sent_back(await browser.answer(asked))["state"] == evil


async def test_who_is_expected_is_chosen_already(browser: Browser) -> None:
    page = await browser.authorize(login_hint="il-legal")
    assert re.findall(r'value="([^"]+)" required checked', page.text) == ["il-legal"]


async def test_a_wrong_password_shows_the_page_again_and_the_right_one_still_counts(browser: Browser) -> None:
    page = await browser.authorize()
    again = await browser.answer(page, password="wrong")
    assert again.status_code == 403
    assert 'role="alert"' in again.text
    assert "<title>Error: " in again.text
    assert hidden(again) == hidden(page)
    assert re.findall(r'value="([^"]+)" required checked', again.text) == ["il-head"]
    assert "code" in sent_back(await browser.answer(again))


@pytest.mark.parametrize("who", ["az-head", "az-deputy", "nobody", ""])
async def test_nobody_of_another_issuer_signs_in(browser: Browser, who: str) -> None:
    assert (await browser.answer(await browser.authorize(), who=who)).status_code == 403


async def test_who_guesses_is_soon_told_to_wait(browser: Browser) -> None:
    page = await browser.authorize()
    for _ in range(10):
        assert (await browser.answer(page, password="wrong")).status_code == 403
    for password in ("wrong", browser.provider.identity.password):
        waiting = await browser.answer(page, password=password)
        assert (waiting.status_code, waiting.headers["retry-after"]) == (429, "60")


async def test_who_does_not_want_to_sign_in_is_sent_back_without_a_code(browser: Browser) -> None:
    page = await browser.authorize()
    told = sent_back(await browser.answer(page, answer="refuse", password=None, who=None))
    assert (told["error"], told["state"], told["iss"]) == ("access_denied", "some state", IL)
    assert (await browser.answer(page)).status_code == 403


async def test_an_answer_from_another_browser_or_another_site_does_not_count(browser: Browser) -> None:
    page = await browser.authorize()
    filled = {"page": hidden(page), "who": "il-head", "password": browser.provider.identity.password}
    async with httpx.AsyncClient(trust_env=False) as other:
        await other.get(f"{browser.at}/authorize", params=browser.asks())
        assert (await other.post(f"{browser.at}/sign-in", data=filled)).status_code == 403
    async with httpx.AsyncClient(trust_env=False) as without:
        assert (await without.post(f"{browser.at}/sign-in", data=filled)).status_code == 403
    for origin in ("https://evil.example", "null"):
        headers = {"Origin": origin}
        refused = await browser.http.post(f"{browser.at}/sign-in", data=filled, headers=headers)
        assert refused.status_code == 403
    headers = {"Origin": browser.provider.base}
    taken = await browser.http.post(f"{browser.at}/sign-in", data=filled, headers=headers)
    assert taken.status_code == 303


async def test_a_page_is_answered_once_and_in_time(browser: Browser) -> None:
    first, second = await browser.authorize(), await browser.authorize()
    assert sent_back(await browser.answer(first))["code"]
    assert (await browser.answer(first)).status_code == 403
    browser.clock.ahead = 601
    assert (await browser.answer(second)).status_code == 403


async def test_two_pages_in_one_browser_are_both_answered(browser: Browser) -> None:
    pages = [await browser.authorize() for _ in range(2)]
    codes = {sent_back(await browser.answer(page))["code"] for page in pages}
    assert len(codes) == 2


def test_the_password_is_for_its_owner_only_and_stays(browser: Browser) -> None:
    identity = browser.provider.identity
    path = identity._directory / "password"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert re.fullmatch(r"([B-DF-HJ-NP-TV-XZ]{5}-){3}[B-DF-HJ-NP-TV-XZ]{5}", path.read_text())
    assert path.read_text() == identity.password


# ---- the code


async def test_a_code_is_good_for_a_minute(browser: Browser) -> None:
    code = await browser.code()
    browser.clock.ahead = 61
    assert error(await browser.redeem(code)) == (400, "invalid_grant")


async def test_a_code_used_twice_gives_nothing_and_takes_back_what_it_gave(browser: Browser) -> None:
    code = await browser.code()
    tokens = (await browser.redeem(code)).json()
    refreshed = (await browser.refresh(tokens["refresh_token"])).json()
    assert error(await browser.redeem(code)) == (400, "invalid_grant")
    assert error(await browser.refresh(refreshed["refresh_token"])) == (400, "invalid_grant")


async def test_of_two_who_use_a_code_at_once_at_most_one_gets_anything(browser: Browser) -> None:
    code = await browser.code()
    answers = await asyncio.gather(*(browser.redeem(code) for _ in range(5)))
    assert sorted(one.status_code for one in answers) == [200, 400, 400, 400, 400]


@pytest.mark.parametrize(
    "changes",
    [
        {"code_verifier": "a" * 43},
        {"redirect_uri": "http://127.0.0.1:50001/callback"},
        {"client_id": "countersign-web"},
        {"code": "made-up"},
    ],
)
async def test_a_code_counts_only_for_whom_it_was_given(browser: Browser, changes: dict[str, str]) -> None:
    asked = {"code": await browser.code()} | changes
    assert error(await browser.redeem(**asked)) == (400, "invalid_grant")


async def test_a_code_tried_with_a_wrong_verifier_is_used_up(browser: Browser) -> None:
    code = await browser.code()
    await browser.redeem(code, code_verifier="a" * 43)
    assert error(await browser.redeem(code)) == (400, "invalid_grant")


async def test_a_code_of_one_issuer_is_none_of_another(browser: Browser) -> None:
    code = await browser.code()
    browser.at = f"{browser.provider.base}/az"
    assert error(await browser.redeem(code)) == (400, "invalid_grant")


@pytest.mark.parametrize("missing", ["code", "redirect_uri", "code_verifier"])
async def test_whatever_a_code_is_bound_to_has_to_come_with_it(browser: Browser, missing: str) -> None:
    code = "" if missing == "code" else await browser.code()
    changes = {} if missing == "code" else {missing: ""}
    assert error(await browser.redeem(code, **changes)) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("form", "refused"),
    [
        ({}, (400, "invalid_request")),
        ({"client_id": "countersign-cli"}, (400, "invalid_request")),
        ({"grant_type": "password"}, (400, "unsupported_grant_type")),
        ({"grant_type": "refresh_token"}, (401, "invalid_client")),
        ({"grant_type": "refresh_token", "client_id": "nobody"}, (401, "invalid_client")),
        ({"grant_type": "refresh_token", "client_id": "countersign-cli"}, (400, "invalid_request")),
        (
            {"grant_type": "refresh_token", "client_id": "countersign-cli", "client_secret": "x"},
            (401, "invalid_client"),
        ),
        (
            {
                "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
                "client_id": "countersign-web",
                "device_code": "x",
            },
            (400, "unauthorized_client"),
        ),
        (
            {"grant_type": "client_credentials", "client_id": "il-head", "client_secret": "wrong"},
            (401, "invalid_client"),
        ),
        ({"grant_type": "client_credentials", "client_id": "countersign-cli"}, (401, "invalid_client")),
    ],
)
async def test_a_token_is_refused_to_who_may_not_have_it(
    browser: Browser, form: dict[str, str], refused: tuple[int, str]
) -> None:
    assert error(await browser.token(**form)) == refused


async def test_what_is_no_form_or_too_large_or_for_no_issuer_is_refused(browser: Browser) -> None:
    url = f"{browser.at}/token"
    assert error(await browser.http.post(url, json={"grant_type": "refresh_token"})) == (
        400,
        "invalid_request",
    )
    assert error(await browser.http.post(url, data={"code": "x" * 20_000})) == (413, "invalid_request")
    many = {f"p{number}": "x" for number in range(100)}
    assert error(await browser.http.post(url, data=many)) == (413, "invalid_request")
    assert error(await browser.http.post(url.replace("/il/", "/no/"), data={})) == (404, "invalid_request")
    refused = await browser.http.get(f"{browser.provider.base}/no/authorize", params=browser.asks())
    assert refused.status_code == 404
    assert urlsplit(str(refused.url)).path == "/no/authorize"
