"""The real servers that tests run against: started once, a database of its own for whoever needs one."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from temporalio.testing import TimeSkipper

from countersign import worker as worker_process
from countersign.domain.agreement import ProgrammeAgreement
from countersign.domain.agreement_file import read
from countersign.runtime.embedded.ports import free_ports
from countersign.runtime.embedded.provider.clients import WEB, WebAddresses
from countersign.runtime.embedded.provider.sign_ins import Periods
from countersign.runtime.embedded.services import Services, embedded_services
from countersign.runtime.resources import default_agreement
from countersign.store.roles import API
from countersign.store.session import Database
from tests.people import Office

UI = "http://ui.countersign.example:8233"
"""The origin of a web UI that the API processes know."""

PORTAL = "https://countersign.example"
"""An origin that browsers reach over TLS, for an application in the tests' own process."""

# A checkpoint is made, and a history archived, where a test asks for it.
os.environ["COUNTERSIGN_CHECKPOINT_MINUTES"] = "0"
os.environ["COUNTERSIGN_ARCHIVE_MINUTES"] = "0"

# Deployments run workflow code without the sandbox; what they run has passed these tests in it.
os.environ["COUNTERSIGN_SANDBOX"] = "true"


@pytest.fixture(scope="session", autouse=True)
def generous(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """All tests share one programme, whose yearly budgets a thousand initiatives would use up: here they are vast.

    Tests of budgets have programmes of their own.
    """
    path = tmp_path_factory.mktemp("agreements") / "generous.toml"
    text = default_agreement().read_text(encoding="utf-8")
    vast = re.sub(
        r"(?m)^amounts = .*", lambda line: re.sub(r'"[^"]* (\w+)"', r'"9,000,000,000,000 \1"', line[0]), text
    )
    path.write_text(vast, encoding="utf-8")
    assert {a.minor >= 9 * 10**12 for one in read(vast).budget for a in one.amounts} == {True}
    os.environ["COUNTERSIGN_AGREEMENT"] = str(path)
    yield
    del os.environ["COUNTERSIGN_AGREEMENT"]


@pytest.fixture(scope="session", autouse=True)
def attachments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where attachments are kept. Most tests name documents that nobody has, so the others are strict by themselves.

    Beside it the sides have a place for the checkpoints that they sign.
    """
    path = tmp_path_factory.mktemp("attachments")
    told = {"COUNTERSIGN_ATTACHMENTS": str(path), "COUNTERSIGN_ATTACHMENTS_ABSENT": "accept"}
    told["COUNTERSIGN_CHECKPOINTS"] = str(tmp_path_factory.mktemp("checkpoints"))
    os.environ |= told
    yield path
    for name in told:
        del os.environ[name]


@pytest.fixture(scope="session")
def agreement() -> ProgrammeAgreement:
    """The shipped agreement."""
    return read(default_agreement().read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
async def services(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Services]:
    """PostgreSQL, Temporal and the identity providers."""
    # A command that waits for somebody to sign in asks every second.
    async with embedded_services(tmp_path_factory.mktemp("home"), periods=Periods(interval=1)) as running:
        yield running


@pytest.fixture(scope="session")
async def database(services: Services) -> AsyncIterator[Database]:
    """The record, as its owner sees it: all of it."""
    opened = Database(services.database_url)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
async def working(services: Services) -> AsyncIterator[None]:
    """A worker for every queue, in the tests' own process."""
    async with worker_process.running(services.client, services.settings()):
        yield


@pytest.fixture(scope="session")
async def api_urls(services: Services, working: None) -> AsyncIterator[tuple[str, str]]:
    """Two API processes on the same record and the same Temporal."""
    logs: Path = services.home.logs
    async with AsyncExitStack() as stack:
        first, second = free_ports(0, 0)
        urls = f"http://127.0.0.1:{first}", f"http://127.0.0.1:{second}"
        services.provider.register(WebAddresses.of(*urls, PORTAL))
        for port in (first, second):
            await stack.enter_async_context(an_api_process(services, port, logs / f"api-{port}.log"))
        yield urls


class an_api_process:
    """An API process, with more in its environment if a test wants it; ready when it says so."""

    def __init__(self, services: Services, port: int, log: Path, **more: str) -> None:
        self._services, self._port, self._log, self._more = services, port, log, more
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> None:
        settings = self._services.settings(API, port=self._port)
        told = settings.model_dump(
            mode="json",
            include={
                *("database_url", "temporal_address", "temporal_namespace", "port", "agreement"),
                *("payload_keys", "operators_issuer"),
            },
        )
        env = {f"COUNTERSIGN_{name.upper()}": str(value) for name, value in told.items()}
        env["COUNTERSIGN_ISSUERS"] = json.dumps(settings.issuers)
        env["COUNTERSIGN_CODEC_ORIGINS"] = json.dumps([UI])
        # All tests come from one address, and a good part of them to be refused.
        env["COUNTERSIGN_UNPROVEN_PER_MINUTE"] = "6000"
        env["COUNTERSIGN_PUBLIC_URL"] = f"http://127.0.0.1:{self._port}"
        env["COUNTERSIGN_WEB_CLIENTS"] = json.dumps({url: {"client_id": WEB} for url in settings.issuers})
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "countersign",
                "api",
                env=os.environ | env | self._more,
                stdout=log,
                stderr=log,
            )
        async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(30):
            while True:
                try:
                    answer = await client.get(f"http://127.0.0.1:{self._port}/health/ready")
                    if answer.status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                if self._process.returncode is not None:
                    raise RuntimeError(self._log.read_text())
                await asyncio.sleep(0.1)

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()


@pytest.fixture
async def office(services: Services, api_urls: tuple[str, str]) -> AsyncIterator[Office]:
    """Everybody of the embedded default, each with a client and a token of their own."""
    async with Office(services, api_urls) as opened:
        yield opened


@pytest.fixture(scope="session")
def skipper(services: Services) -> TimeSkipper:
    """Moves the clock of one initiative."""
    return TimeSkipper(services.client)
