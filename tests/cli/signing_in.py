"""Somebody at a command line who signs in: what they keep, and what they do on their issuer's pages."""

from __future__ import annotations

import asyncio
import json
import re
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from countersign.runtime.embedded.services import Services
from tests.cli.conftest import Ended, Terminal, environment
from tests.processes import started

Act = Callable[[str], Awaitable[None]]
"""What is done with the first address that a command prints."""


@dataclass
class Person:
    """Somebody with a directory of their own for what commands keep."""

    services: Services
    terminal: Terminal
    state: Path
    http: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(timeout=30, trust_env=False))

    async def run(self, *arguments: str, act: Act | None = None, **variables: str) -> Ended:
        """Run a command to its end; ``act`` is done once it has printed an address."""
        told = {"COUNTERSIGN_HOME": str(self.terminal.home), "XDG_STATE_HOME": str(self.state)}
        process = await started(
            *("countersign", *arguments),
            env=environment(**(told | variables)),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        said = ""
        async with asyncio.timeout(120):
            if act is not None:
                while not re.search(r"^(or )?open (.*)|^(http.*)", said, re.MULTILINE):
                    line = await process.stderr.readline()
                    assert line, said
                    said += line.decode()
                await act(re.findall(r"http\S+", said)[-1])
            out, err = await asyncio.gather(process.stdout.read(), process.stderr.read())
            status = await process.wait()
        return Ended(status, out.decode(), said + err.decode())

    async def login(self, who: str = "il-head", *arguments: str) -> Ended:
        """Sign in by a device code."""
        issuer = self.services.identity.issuer_of(who).key

        async def approve(address: str) -> None:
            await self.approve(address, who)

        ended = await self.run("login", "--issuer", issuer, *arguments, act=approve)
        assert ended.status == 0, ended
        return ended

    async def approve(self, address: str, who: str, **changes: str) -> httpx.Response:
        """Do what a device's page asks for."""
        shown = await self.http.get(address)
        typed = re.findall(r'name="user_code" value="([^"]+)"', shown.text)[0]
        page = await self.http.post(address.partition("?")[0], data={"user_code": typed})
        return await self.answer(page, who, **changes)

    async def answer(self, page: httpx.Response, who: str, **changes: str) -> httpx.Response:
        """Fill in a sign-in page."""
        identifier = unescape(re.findall(r'name="page" value="([^"]+)"', page.text)[0])
        form = {"page": identifier, "who": who, "password": self.services.identity.password}
        return await self.http.post(str(page.url.join("sign-in")), data=form | changes)

    async def back(self, address: str, who: str = "il-head", **changes: str) -> str:
        """Where a browser is sent back to from a page."""
        answer = await self.answer(await self.http.get(address), who, **changes)
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    @property
    def files(self) -> list[Path]:
        """What is kept."""
        return sorted((self.state / "countersign").glob("*.json"))

    @property
    def kept(self) -> Any:
        """What is kept of the one sign-in that there is."""
        (path,) = self.files
        return json.loads(path.read_text())

    def change(self, **changes: Any) -> None:
        """Change what is kept, as time would."""
        (path,) = self.files
        path.write_text(json.dumps(self.kept | changes))

    def run_out(self) -> None:
        """Let the access token run out."""
        self.change(expires_at="2026-01-01T00:00:00Z")


def parameters(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))
