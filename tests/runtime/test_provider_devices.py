"""Signing in for a device (RFC 8628) at the local providers."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.runtime.conftest import Browser, error, hidden


async def signed_in_for(browser: Browser, device: Any, **changes: str | None) -> str:
    page = await browser.type_code(device["user_code"])
    return (await browser.answer(page, **changes)).text


async def test_who_signs_in_elsewhere_signs_the_device_in(browser: Browser) -> None:
    device = await browser.device()
    assert re.fullmatch(r"[B-DF-HJ-NP-TV-XZ]{4}-[B-DF-HJ-NP-TV-XZ]{4}", device["user_code"])
    assert (device["interval"], device["expires_in"]) == (5, 600)
    assert device["verification_uri"] == f"{browser.at}/device"
    assert error(await browser.poll(device)) == (400, "authorization_pending")

    assert "You are signed in" in await signed_in_for(browser, device)
    browser.clock.ahead = 6
    tokens = (await browser.poll(device)).json()
    access = await browser.claims(tokens["access_token"])
    assert (access["sub"], access["client_id"]) == ("il-head", "countersign-cli")
    identity = await browser.claims(tokens["id_token"])
    assert identity["aud"] == "countersign-cli"
    assert "nonce" not in identity
    assert (await browser.refresh(tokens["refresh_token"])).status_code == 200
    assert error(await browser.poll(device)) == (400, "invalid_grant")


async def test_a_code_that_comes_with_the_address_still_has_to_be_confirmed(browser: Browser) -> None:
    device = await browser.device()
    shown = await browser.http.get(device["verification_uri_complete"])
    assert f'value="{device["user_code"]}"' in shown.text
    assert 'name="password"' not in shown.text
    asked = await browser.type_code(device["user_code"])
    assert f'<p class="code">{device["user_code"]}</p>' in asked.text
    assert "The countersign command line" in asked.text
    assert error(await browser.poll(device)) == (400, "authorization_pending")


async def test_a_code_is_found_however_it_is_typed(browser: Browser) -> None:
    device = await browser.device()
    typed = f" {device['user_code'].lower().replace('-', ' ')} "
    assert 'name="password"' in (await browser.type_code(typed)).text


async def test_who_asks_too_often_is_told_to_slow_down_each_time_more(browser: Browser) -> None:
    device = await browser.device()
    assert error(await browser.poll(device)) == (400, "authorization_pending")
    assert error(await browser.poll(device)) == (400, "slow_down")
    browser.clock.ahead = 6
    assert error(await browser.poll(device)) == (400, "slow_down")
    browser.clock.ahead = 6 + 16
    assert error(await browser.poll(device)) == (400, "authorization_pending")


async def test_a_request_that_is_refused_is_refused_at_the_device(browser: Browser) -> None:
    device = await browser.device()
    said = await signed_in_for(browser, device, answer="refuse", password=None)
    assert "You did not sign in" in said
    assert error(await browser.poll(device)) == (400, "access_denied")
    assert (await browser.type_code(device["user_code"])).status_code == 404


async def test_a_code_runs_out(browser: Browser) -> None:
    device = await browser.device()
    page = await browser.type_code(device["user_code"])
    browser.clock.ahead = 590
    assert error(await browser.poll(device)) == (400, "authorization_pending")
    browser.clock.ahead = 601
    assert error(await browser.poll(device)) == (400, "expired_token")
    assert (await browser.answer(page)).status_code == 403
    assert (await browser.type_code(device["user_code"])).status_code == 404
    browser.clock.ahead = 1300
    assert error(await browser.poll(device)) == (400, "invalid_grant")


async def test_of_two_pages_for_one_device_only_the_first_answer_counts(browser: Browser) -> None:
    device = await browser.device()
    pages = [await browser.type_code(device["user_code"]) for _ in range(2)]
    assert hidden(pages[0]) != hidden(pages[1])
    assert (await browser.answer(pages[0])).status_code == 200
    assert (await browser.answer(pages[1], who="il-legal")).status_code == 403
    tokens = (await browser.poll(device)).json()
    assert (await browser.claims(tokens["access_token"]))["sub"] == "il-head"


async def test_a_wrong_password_signs_no_device_in(browser: Browser) -> None:
    device = await browser.device()
    assert 'role="alert"' in await signed_in_for(browser, device, password="wrong")
    assert error(await browser.poll(device)) == (400, "authorization_pending")


async def test_who_guesses_codes_is_soon_told_to_wait(browser: Browser) -> None:
    device = await browser.device()
    for _ in range(10):
        assert (await browser.type_code("BCDF-GHJK")).status_code == 404
    for code in ("BCDF-GHJK", device["user_code"]):
        assert (await browser.type_code(code)).status_code == 429


@pytest.mark.parametrize(
    ("form", "refused"),
    [
        ({"scope": "openid"}, (401, "invalid_client")),
        ({"client_id": "nobody", "scope": "openid"}, (401, "invalid_client")),
        ({"client_id": "countersign-web", "scope": "openid"}, (400, "unauthorized_client")),
        ({"client_id": "countersign-cli"}, (400, "invalid_scope")),
        ({"client_id": "countersign-cli", "scope": "email"}, (400, "invalid_scope")),
    ],
)
async def test_not_every_client_is_a_device(
    browser: Browser, form: dict[str, str], refused: tuple[int, str]
) -> None:
    assert error(await browser.http.post(f"{browser.at}/device_authorization", data=form)) == refused


async def test_a_device_code_is_that_of_one_client_at_one_issuer(browser: Browser) -> None:
    device = await browser.device()
    assert error(await browser.poll(device, client_id="countersign-web")) == (400, "unauthorized_client")
    browser.at = f"{browser.provider.base}/az"
    assert error(await browser.poll(device)) == (400, "invalid_grant")
    assert (await browser.type_code(device["user_code"])).status_code == 404
