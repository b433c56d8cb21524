"""The local identity providers, served alone: neither PostgreSQL nor Temporal is needed to sign in."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from countersign.runtime.embedded.home import Home
from countersign.runtime.embedded.identity import Identity
from countersign.runtime.embedded.ports import free_ports
from countersign.runtime.embedded.provider.clients import WebAddresses
from countersign.runtime.embedded.provider.provider import Provider
from countersign.runtime.embedded.provider.serving import serving

LOOPBACK = "http://127.0.0.1:50000/callback"


class Clock:
    """The real time, moved ahead by so many seconds."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@dataclass
class Told:
    """A web client that takes logout tokens."""

    url: str
    tokens: list[str] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(re.findall(r"(?i)content-length: (\d+)", head)[0])
        body = (await reader.readexactly(length)).decode()
        self.tokens += parse_qs(body)["logout_token"]
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()


class Browser:
    """Somebody's browser at one issuer, and a client behind it that asks for what the browser brings."""

    def __init__(self, provider: Provider, clock: Clock, told: Told, issuer: str = "il") -> None:
        self.provider, self.clock, self.told, self.issuer = provider, clock, told, issuer
        self.at = f"{provider.base}/{issuer}"
        self.http = httpx.AsyncClient(timeout=10, trust_env=False)
        self.verifier = secrets.token_urlsafe(32)

    @property
    def web(self) -> str:
        """Where the web client has the browser sent back to."""
        return self.provider.clients["countersign-web"].web.redirect_uris[0]

    def asks(self, **changes: str | None) -> dict[str, str]:
        """A good request of the command line; None leaves a parameter away."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        good = {
            "client_id": "countersign-cli",
            "redirect_uri": LOOPBACK,
            "response_type": "code",
            "scope": "openid offline_access",
            "state": "some state",
            "nonce": "some nonce",
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return {name: value for name, value in (good | changes).items() if value is not None}

    async def authorize(self, **changes: str | None) -> httpx.Response:
        return await self.http.get(f"{self.at}/authorize", params=self.asks(**changes))

    async def answer(self, page: httpx.Response, **changes: str | None) -> httpx.Response:
        """Fill the form of a sign-in page in and send it."""
        filled = {"page": hidden(page), "who": "il-head", "password": self.provider.identity.password}
        sent = {name: value for name, value in (filled | changes).items() if value is not None}
        return await self.http.post(f"{self.at}/sign-in", data=sent)

    async def code(self, who: str = "il-head", **changes: str | None) -> str:
        """Sign somebody in, up to the code that the client is sent."""
        back = await self.answer(await self.authorize(**changes), who=who)
        assert back.status_code == 303, back.text
        return sent_back(back)["code"]

    async def token(self, **form: str) -> httpx.Response:
        return await self.http.post(f"{self.at}/token", data=form)

    async def redeem(self, code: str, **changes: str) -> httpx.Response:
        form = {
            "grant_type": "authorization_code",
            "client_id": "countersign-cli",
            "redirect_uri": LOOPBACK,
            "code": code,
            "code_verifier": self.verifier,
        }
        return await self.token(**(form | changes))

    async def refresh(self, token: str, client_id: str = "countersign-cli") -> httpx.Response:
        return await self.token(grant_type="refresh_token", client_id=client_id, refresh_token=token)

    async def signed_in(self, who: str = "il-head") -> Any:
        """The tokens of somebody who signed in at the command line."""
        answer = await self.redeem(await self.code(who))
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def signed_in_on_the_web(self, who: str = "il-head") -> Any:
        """The tokens of somebody who signed in at the web client."""
        at_web = {"client_id": "countersign-web", "redirect_uri": self.web}
        answer = await self.redeem(await self.code(who, **at_web), **at_web)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def device(self) -> Any:
        form = {"client_id": "countersign-cli", "scope": "openid offline_access"}
        answer = await self.http.post(f"{self.at}/device_authorization", data=form)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def poll(self, device: Any, client_id: str = "countersign-cli") -> httpx.Response:
        grant = "urn:ietf:params:oauth:grant-type:device_code"
        return await self.token(grant_type=grant, client_id=client_id, device_code=device["device_code"])

    async def type_code(self, user_code: str) -> httpx.Response:
        return await self.http.post(f"{self.at}/device", data={"user_code": user_code})

    async def claims(self, token: str) -> dict[str, Any]:
        """What a token says, its signature checked under the keys that the issuer publishes."""
        keys = KeySet.import_key_set((await self.http.get(f"{self.at}/jwks.json")).json())
        return jwt.decode(token, keys, algorithms=["ES256"]).claims


def hidden(page: httpx.Response) -> str:
    """What a sign-in page is known by."""
    assert page.status_code in (200, 403), page.text
    return unescape(re.findall(r'name="page" value="([^"]*)"', page.text)[0])


def sent_back(answer: httpx.Response) -> dict[str, str]:
    """What the client is told by where the browser is sent."""
    assert answer.status_code == 303, answer.text
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query))


def error(answer: httpx.Response) -> tuple[int, str]:
    """How a client's request was refused."""
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code, answer.json()["error"]


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    """A browser at the providers of a home of its own."""
    async with AsyncExitStack() as stack:
        port, web = free_ports(0, 0)
        told, clock = Told(f"http://127.0.0.1:{web}"), Clock()
        client = await asyncio.start_server(told.answer, "127.0.0.1", web)
        stack.push_async_callback(client.wait_closed)
        stack.callback(client.close)
        provider = Provider(
            Identity(Home(tmp_path), clock), f"http://127.0.0.1:{port}", WebAddresses.of(told.url)
        )
        await stack.enter_async_context(serving(provider))
        opened = Browser(provider, clock, told)
        stack.push_async_callback(opened.http.aclose)
        yield opened
