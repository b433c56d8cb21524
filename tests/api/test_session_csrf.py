"""What another site's page could send with a browser's cookie: refused, and nothing written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from countersign.api.cookies import csrf_token
from countersign.runtime.embedded.services import Services
from countersign.store.session import Database
from tests.api.test_refusals import recorded_refusal
from tests.api.test_sessions import problem
from tests.browsing import SESSION, Browser
from tests.conftest import UI
from tests.journeys.journey import Journey
from tests.people import Office, minimal_proposal


@pytest.fixture
async def browser(services: Services, api_urls: tuple[str, str]) -> AsyncIterator[Browser]:
    async with Browser(services, api_urls[0]) as opened:
        await opened.sign_in("il-lead")
        yield opened


@pytest.fixture
async def others_token(services: Services, api_urls: tuple[str, str]) -> AsyncIterator[str]:
    """The token of another session of the same person."""
    async with Browser(services, api_urls[0]) as opened:
        await opened.sign_in("il-lead")
        yield (await opened.session())["csrf_token"]


FOREIGN = [
    {"X-CSRF-Token": ""},
    {"X-CSRF-Token": "wrong"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": UI},
    {"Origin": "http://127.0.0.1"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://localhost"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_what_does_not_come_from_a_page_of_this_origin_is_refused_and_nothing_is_written(
    method: str,
    headers: dict[str, str],
    browser: Browser,
    office: Office,
    initiative: str,
    database: Database,
) -> None:
    path = {
        "POST": f"/v1/initiatives/{initiative}/withdrawal",
        "PUT": f"/v1/initiatives/{initiative}/proposal",
        "DELETE": SESSION,
    }[method]
    before = await office.trail(initiative)
    answer = await browser.send(method, path, {"reasons": "Not by me."}, **headers)
    assert problem(answer) == (403, "forbidden")
    refusal = await recorded_refusal(database, answer)
    assert (refusal["person"], refusal["method"]) == ("applicants/il-lead", method)
    assert await office.trail(initiative) == before
    assert (await browser.session())["person"] == "applicants/il-lead"


async def test_the_token_of_another_session_is_none(
    browser: Browser, others_token: str, office: Office, initiative: str
) -> None:
    before = await office.trail(initiative)
    path = f"/v1/initiatives/{initiative}/withdrawal"
    answer = await browser.send("POST", path, {"reasons": "Not by me."}, csrf=others_token)
    assert problem(answer) == (403, "forbidden")
    assert await office.trail(initiative) == before


async def test_a_browser_that_does_not_say_where_a_request_comes_from_still_sends_the_token(
    browser: Browser, initiative: str
) -> None:
    path = f"/v1/initiatives/{initiative}/withdrawal"
    silent = {"Origin": "", "Sec-Fetch-Site": ""}
    refused = await browser.send("POST", path, {"reasons": "Not by me."}, csrf="", **silent)
    assert problem(refused) == (403, "forbidden")
    answer = await browser.send("POST", path, {"reasons": "By me."}, **silent)
    assert answer.status_code == 200, answer.text


async def test_every_kind_of_change_goes_through_from_a_page_of_this_origin(
    browser: Browser, office: Office, services: Services, skipper: Any
) -> None:
    journey = Journey(office, services, skipper, minimal_proposal(12))
    submitted = await browser.send("POST", "/v1/proposals", journey.proposal)
    assert submitted.status_code == 201, submitted.text
    journey.id = submitted.json()["id"]
    await journey.clear()
    await journey.approve_and_sign()
    draft = f"/v1/initiatives/{journey.id}/reports/1/draft"
    assert (await browser.send("PUT", draft, {"narrative": {}})).status_code == 200
    assert (await browser.send("DELETE", draft)).status_code == 204


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}])
async def test_a_read_changes_nothing_wherever_it_comes_from_and_tells_other_origins_nothing(
    headers: dict[str, str], browser: Browser, initiative: str
) -> None:
    answer = await browser.get(f"/v1/initiatives/{initiative}", **headers)
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


async def test_a_token_counts_alone_whoevers_session_comes_with_it(
    browser: Browser, office: Office, services: Services, initiative: str
) -> None:
    bearer = {"Authorization": f"Bearer {services.token('il-auditor')}"}
    assert (await browser.get(SESSION, **bearer)).json()["person"] == "audit-il/il-auditor"
    # What needs no CSRF token, since no browser sends it by itself, is not helped by the session either.
    path = f"/v1/initiatives/{initiative}/withdrawal"
    answer = await browser.send("POST", path, {"reasons": "Not as an auditor."}, **bearer)
    assert problem(answer) == (403, "forbidden")
    assert (await office.trail(initiative))[-1]["actor"] == "audit-il/il-auditor"
    for wrong in ("", "Basic abc", "Bearer", "Bearer nonsense", f"Token {services.token('il-lead')}"):
        refused = await browser.http.get(f"{browser.origin}{SESSION}", headers={"Authorization": wrong})
        assert problem(refused) == (401, "unauthenticated"), wrong


async def test_the_token_follows_from_the_cookie_and_says_nothing_of_it(browser: Browser) -> None:
    secret = browser.cookies["countersign"]
    session = await browser.session()
    assert session["csrf_token"] == csrf_token(secret)
    assert secret not in str(session)
    assert csrf_token(f"{secret}a") != csrf_token(secret)


async def test_cookies_that_prove_nothing_are_counted_as_tokens_are(
    browser: Browser, database: Database
) -> None:
    browser.http.cookies.clear()
    for cookie in ("countersign=nonsense", f"countersign={'a' * 5000}", 'countersign=""', "countersign="):
        answer = await browser.get(SESSION, Cookie=cookie)
        assert problem(answer) == (401, "unauthenticated")
        assert (await recorded_refusal(database, answer))["person"] is None
