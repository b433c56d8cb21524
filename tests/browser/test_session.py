"""A browser session in a real browser, which alone holds to cookies, sites and policies as browsers do."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from countersign.runtime.embedded.services import Services
from tests.browser.chromium import Chromium, program
from tests.browser.test_sign_in import FILL
from tests.browsing import LOGIN, SESSION

pytestmark = [pytest.mark.browser, pytest.mark.services]

PAGE = "/docs"
"""A page of the API's own origin that may ask it."""


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Chromium]:
    program()
    async with Chromium(tmp_path / "profile") as opened:
        yield opened


async def sign_in(browser: Chromium, services: Services, origin: str) -> None:
    await browser.open(f"{origin}{LOGIN}?issuer=il&return_to={PAGE}")
    await browser.evaluate(FILL % ("il-head", services.identity.password))
    await browser.until(f"location.origin === '{origin}' && document.readyState === 'complete'")
    assert await browser.evaluate("location.pathname") == PAGE


async def fetch(browser: Chromium, method: str, path: str, csrf: str | None = None) -> tuple[int, Any]:
    """What a script of the page is answered."""
    headers = {"Idempotency-Key": "a"} | ({"X-CSRF-Token": csrf} if csrf else {})
    await browser.evaluate(
        f"window.answer = null; fetch({path!r}, {{method: {method!r}, headers: {json.dumps(headers)}}})"
        ".then(async one => { window.answer = [one.status, await one.json()] }); 0"
    )
    await browser.until("window.answer !== null")
    status, said = await browser.evaluate("window.answer")
    return status, said


async def test_a_page_of_this_origin_is_signed_in_and_holds_nothing_that_it_could_lose(
    services: Services, api_urls: tuple[str, str], browser: Chromium
) -> None:
    origin = api_urls[0]
    await sign_in(browser, services, origin)
    status, session = await fetch(browser, "GET", SESSION)
    assert (status, session["person"]) == (200, "il/il-head")
    assert await browser.evaluate("document.cookie") == ""
    assert await browser.evaluate("localStorage.length + sessionStorage.length") == 0
    status, refused = await fetch(browser, "DELETE", SESSION)
    assert (status, refused["code"]) == (403, "forbidden")
    status, signed_out = await fetch(browser, "DELETE", SESSION, session["csrf_token"])
    assert status == 200
    assert (await fetch(browser, "GET", SESSION))[0] == 401
    await browser.open(signed_out["logout_url"])
    await browser.until(f"location.origin === '{origin}' && location.search.startsWith('?state=')")


async def test_another_sites_form_is_not_sent_with_the_session(
    services: Services, api_urls: tuple[str, str], browser: Chromium
) -> None:
    origin = api_urls[0]
    await sign_in(browser, services, origin)
    await browser.open("data:text/html,<title>elsewhere</title>")
    await browser.evaluate(
        f"document.body.innerHTML = '<form method=post action={origin}/v1/mandates></form>';"
        "document.querySelector('form').submit()"
    )
    await browser.until("location.protocol === 'http:' && document.readyState === 'complete'")
    assert json.loads(await browser.evaluate("document.body.innerText"))["code"] == "unauthenticated"
    # Whoever follows a link from there is still signed in.
    await browser.open("data:text/html,<title>elsewhere</title>")
    await browser.evaluate(f"location.href = '{origin}{SESSION}'")
    await browser.until("location.protocol === 'http:' && document.readyState === 'complete'")
    assert json.loads(await browser.evaluate("document.body.innerText"))["person"] == "il/il-head"
