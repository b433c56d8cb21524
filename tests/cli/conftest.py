"""The command line as people and scripts use it: a process of its own, its output and its exit status."""

from __future__ import annotations

import asyncio
import json
import os
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from countersign.runtime.embedded.home import Endpoints, Process
from countersign.runtime.embedded.services import Services
from countersign.store.roles import AUDITOR, KEEPER
from tests.processes import started


@dataclass(frozen=True)
class Ended:
    """What a command said, and how it ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def environment(**changes: str) -> dict[str, str]:
    """The environment of a command: none of our own variables but those given, nobody signed in, and no colours."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith("COUNTERSIGN_")}
    for forced in ("FORCE_COLOR", "COLUMNS", "TTY_COMPATIBLE"):
        plain.pop(forced, None)
    for screen in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        plain.pop(screen, None)
    return plain | {"TERM": "dumb", "PYTHONUTF8": "1", "XDG_STATE_HOME": "/no/such/state"} | changes


async def run(*arguments: str | Path, stdin: str = "", **variables: str) -> Ended:
    """Run a command to its end; ``variables`` go into its environment."""
    process = await started(
        "countersign",
        *map(str, arguments),
        env=environment(**variables),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
    )
    async with asyncio.timeout(120):
        out, err = await process.communicate(stdin.encode())
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


class Terminal:
    """Somebody at a command line beside a running system."""

    def __init__(self, services: Services, url: str) -> None:
        self._services, self.url = services, url
        self.home = services.home.path

    async def __call__(self, *arguments: str | Path, who: str | None = None, stdin: str = "") -> Ended:
        """Run a command on the system's home; ``who`` is named with ``--as``."""
        named = ("--as", who) if who else ()
        return await run(*arguments, *named, stdin=stdin, COUNTERSIGN_HOME=str(self.home))

    async def remotely(self, *arguments: str | Path, who: str, stdin: str = "") -> Ended:
        """Run a command on the API's URL, with a token in the environment and no home at all."""
        return await run(
            *arguments,
            *("--url", self.url),
            stdin=stdin,
            COUNTERSIGN_TOKEN=self._services.token(who),
            COUNTERSIGN_HOME=str(self.home / "no-such-home"),
        )

    async def json(self, *arguments: str | Path, who: str | None = None) -> Any:
        """The JSON that a command prints when it does what was asked."""
        ended = await self(*arguments, "--json", who=who)
        assert ended.status == 0, ended
        return ended.json


@pytest.fixture(scope="session")
async def terminal(services: Services, api_urls: tuple[str, str]) -> AsyncIterator[Terminal]:
    """A command line that finds the tests' own services by their home."""
    services.home.announce(
        Endpoints(
            supervisor=Process.of(os.getpid()),
            api=api_urls[0],
            ui="",
            temporal_address=services.temporal_address,
            temporal_namespace=services.temporal_namespace,
            database_url=services.postgres.url(role=KEEPER),
            audit_database_url=services.postgres.url(role=AUDITOR),
            agreement=services.settings().agreement,
            identity=next(iter(services.issuers.values())).rsplit("/", 1)[0],
            issuers=services.issuers,
            pids={},
        )
    )
    yield Terminal(services, api_urls[0])
    services.home.withdraw()
