"""The pages of the local providers, in a real browser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from countersign.cli import loopback, openid
from countersign.runtime.embedded.home import Home
from countersign.runtime.embedded.identity import Identity
from countersign.runtime.embedded.ports import free_ports
from countersign.runtime.embedded.provider.provider import Provider
from countersign.runtime.embedded.provider.serving import serving
from tests.browser.chromium import Chromium, program

pytestmark = pytest.mark.browser

CLIENT = "countersign-cli"
FILL = """
document.querySelector('input[value="%s"]').click();
document.querySelector('#password').value = '%s';
document.querySelector('button[value="allow"]').click();
"""


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[Provider]:
    program()
    (port,) = free_ports(0)
    made = Provider(Identity(Home(tmp_path / "home")), f"http://127.0.0.1:{port}")
    async with serving(made):
        yield made


@pytest.fixture
async def browser(provider: Provider, tmp_path: Path) -> AsyncIterator[Chromium]:
    async with Chromium(tmp_path / "profile") as opened:
        yield opened


async def configuration(provider: Provider) -> openid.Configuration:
    issuer = openid.Issuer(
        key="il",
        issuer=provider.identity.issuers["il"].url,
        served_at=f"{provider.base}/il",
        role="staff",
        cli_client_id=CLIENT,
    )
    return await asyncio.to_thread(openid.discover, issuer)


async def test_a_browser_brings_the_code_to_a_program_of_the_same_machine(
    provider: Provider, browser: Chromium
) -> None:
    known = await configuration(provider)
    with loopback.listening() as server:
        request = openid.ask_in_browser(known, CLIENT, server.redirect_uri)
        waiting = asyncio.create_task(asyncio.to_thread(server.wait, request.state, 30))
        await browser.open(request.url)
        assert await browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await browser.evaluate(FILL % ("il-head", "wrong"))
        await browser.until("document.title.startsWith('Error: ')")
        assert await browser.evaluate("document.querySelector('[role=alert]').textContent")
        await browser.evaluate(FILL % ("il-head", provider.identity.password))
        await browser.until("document.body.textContent.includes('Close this page')")
        code = openid.code_of(known, await waiting)
    tokens = await asyncio.to_thread(openid.redeem, known, CLIENT, request, code)
    claims = await asyncio.to_thread(openid.verify, known, CLIENT, tokens, nonce=request.nonce)
    assert claims["sub"] == "il-head"


async def test_a_browser_signs_a_terminal_in_that_shows_a_code(provider: Provider, browser: Chromium) -> None:
    known = await configuration(provider)
    device = await asyncio.to_thread(openid.ask_for_device, known, CLIENT)
    assert device.verification_uri_complete is not None
    await browser.open(device.verification_uri_complete)
    assert await browser.evaluate("document.querySelector('#user_code').value") == device.user_code
    await browser.evaluate("document.querySelector('button').click()")
    await browser.until("document.querySelector('#password') !== null")
    assert await browser.evaluate("document.querySelector('.code').textContent") == device.user_code
    assert await browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await browser.evaluate(FILL % ("il-legal", provider.identity.password))
    await browser.until("document.title === 'You are signed in'")
    quick = device.model_copy(update={"interval": 1})
    tokens = await asyncio.to_thread(openid.wait_for_device, known, CLIENT, quick)
    claims = await asyncio.to_thread(openid.verify, known, CLIENT, tokens)
    assert claims["sub"] == "il-legal"
