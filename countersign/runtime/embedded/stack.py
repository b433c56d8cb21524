"""The supervisor behind ``countersign up``: the whole system as child processes of this one."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import Final

import httpx
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from countersign.runtime import resources
from countersign.runtime.embedded import EmbeddedError, identity, provider, temporal_server
from countersign.runtime.embedded.children import Child, end_leftovers
from countersign.runtime.embedded.home import VARIABLE, Endpoints, Home, Process
from countersign.runtime.embedded.keys import agreement_with_keys
from countersign.runtime.embedded.ports import free_ports, is_free
from countersign.runtime.embedded.postgres import PostgresServer
from countersign.runtime.embedded.provider.clients import WEB
from countersign.runtime.migrate import migrate
from countersign.runtime.payload_keys import ensure
from countersign.runtime.settings import Settings
from countersign.runtime.temporal import KEYLESS, connect, prepare_namespace
from countersign.store.roles import API, AUDITOR, KEEPER, WORKER

DEFAULT_PORT: Final = 8080

_NAMESPACE: Final = "countersign"
_START: Final = 60.0  # seconds in which a service gets ready, on a slow machine too
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0  # seconds before a service that ended is started again
_STEADY: Final = 60.0  # a service that ran this long is given the first pause again

Report = Callable[[str], None]
"""Takes one line for the person who watches."""


@dataclass(frozen=True, slots=True)
class _Ports:
    temporal: int
    ui: int
    identity: int
    api: int


class Stack:
    """One system on one home: started in order, watched, and stopped in reverse order."""

    def __init__(self, home: Home, report: Report, *, port: int | None = None, examples: bool = True) -> None:
        self.home = home
        self._report = report
        self._port = port
        self._examples = examples
        self._postgres = PostgresServer(home.postgres, home.logs / "postgres.log")
        self._processes: dict[str, Process] = {}
        self._watchers: list[asyncio.Task[None]] = []

    async def run(self, ready: Callable[[Endpoints], None]) -> None:
        """Run the system until this is cancelled; ``ready`` is told once where everything answers.

        Raises:
            AlreadyRunning: another system runs on this home.
            EmbeddedError: a service cannot be started; those that were have been stopped again.
        """
        with self.home.locked():
            self.home.withdraw()  # what a killed supervisor announced
            for name in await asyncio.to_thread(end_leftovers, self.home.remembered()):
                self._report(f"{name}: ended the one that an earlier run left behind")
            try:
                async with AsyncExitStack() as stack:
                    endpoints = await self._start(stack)
                    if self._examples:
                        await self._load_examples(endpoints)
                    ready(endpoints)
                    await asyncio.gather(*self._watchers)
            finally:
                self.home.withdraw()
                self._report("everything is stopped")

    async def _start(self, stack: AsyncExitStack) -> Endpoints:
        ports = self._choose_ports()
        address = f"127.0.0.1:{ports.temporal}"
        base = f"http://127.0.0.1:{ports.identity}"
        api = f"http://127.0.0.1:{ports.api}"
        ui = f"http://127.0.0.1:{ports.ui}"

        began = monotonic()
        stack.push_async_callback(self._postgres.stop)
        await self._postgres.start()
        self._note("postgres", self._postgres.process())
        self._watch(stack, self._keep_postgres())
        self._report(f"postgres: ready in {monotonic() - began:.1f} s")

        await self._child(
            stack,
            "temporal",
            temporal_server.command(
                port=ports.temporal,
                ui_port=ports.ui,
                namespace=_NAMESPACE,
                database=self.home.temporal / "temporal.db",
                codec=f"{api}/v1/codec",
            ),
            partial(temporal_server.healthy, address, _NAMESPACE),
            temporal_server.environment(self.home),
        )
        providers = [sys.executable, "-m", provider.__name__, "--home", str(self.home.path)]
        await self._child(
            stack,
            "identity",
            [*providers, "--port", str(ports.identity), "--web", api],
            partial(_answers, f"{base}/health"),
        )

        began = monotonic()
        await migrate(self._postgres.url())
        self._report(f"schema: up to date in {monotonic() - began:.1f} s")

        agreement = agreement_with_keys(self.home, resources.default_agreement())
        settings = Settings(
            database_url=self._postgres.url(role=WORKER),
            temporal_address=address,
            temporal_namespace=_NAMESPACE,
            issuers=identity.served_at(base),
            port=ports.api,
        )
        client = await connect(settings, converter=KEYLESS, lazy=False)
        await prepare_namespace(client)

        environment = {
            VARIABLE: str(self.home.path),
            "COUNTERSIGN_DATABASE_URL": settings.database_url,
            "COUNTERSIGN_TEMPORAL_ADDRESS": address,
            "COUNTERSIGN_TEMPORAL_NAMESPACE": _NAMESPACE,
            "COUNTERSIGN_PAYLOAD_KEYS": str(ensure(self.home.payload_keys)),
            "COUNTERSIGN_CODEC_ORIGINS": json.dumps([ui]),
            "COUNTERSIGN_ISSUERS": json.dumps(settings.issuers),
            "COUNTERSIGN_OPERATORS_ISSUER": identity.operators_issuer(),
            "COUNTERSIGN_PUBLIC_URL": api,
            "COUNTERSIGN_WEB_CLIENTS": json.dumps({url: {"client_id": WEB} for url in settings.issuers}),
            "COUNTERSIGN_AGREEMENT": str(agreement),
            "COUNTERSIGN_SIGNING_KEYS": str(self.home.keys),
            "COUNTERSIGN_ATTACHMENTS": str(self.home.attachments),
            "COUNTERSIGN_CHECKPOINTS": str(self.home.checkpoints),
            # Whoever tries it out has no bank.
            "COUNTERSIGN_BANK": os.environ.get("COUNTERSIGN_BANK", "answering"),
            "COUNTERSIGN_HOST": "127.0.0.1",
            "COUNTERSIGN_PORT": str(ports.api),
        }
        ours = [sys.executable, "-m", "countersign"]
        polled = partial(_is_polled, client, settings.task_queue)
        await self._child(stack, "worker", [*ours, "worker"], polled, environment)
        as_api = environment | {"COUNTERSIGN_DATABASE_URL": self._postgres.url(role=API)}
        await self._child(stack, "api", [*ours, "api"], partial(_answers, f"{api}/health/ready"), as_api)

        endpoints = Endpoints(
            supervisor=Process.of(os.getpid()),
            api=api,
            ui=ui,
            temporal_address=address,
            temporal_namespace=_NAMESPACE,
            database_url=self._postgres.url(role=KEEPER),
            audit_database_url=self._postgres.url(role=AUDITOR),
            agreement=agreement,
            identity=base,
            issuers=dict(settings.issuers),
            pids={name: one.pid for name, one in self._processes.items()},
        )
        self.home.announce(endpoints)
        return endpoints

    def _choose_ports(self) -> _Ports:
        wanted = DEFAULT_PORT if self._port is None else self._port
        if self._port and not is_free(self._port):
            raise EmbeddedError(f"port {self._port} is taken; choose another --port")
        chosen = free_ports(
            temporal_server.DEFAULT_PORT, temporal_server.DEFAULT_UI_PORT, provider.DEFAULT_PORT, wanted
        )
        return _Ports(*chosen)

    async def _child(
        self,
        stack: AsyncExitStack,
        name: str,
        command: list[str],
        healthy: Callable[[], Awaitable[bool]],
        environment: dict[str, str] | None = None,
    ) -> None:
        """Start a service, wait until it is healthy, and from then on start it again whenever it ends."""
        began = monotonic()
        child = Child(name, command, self.home.logs / f"{name}.log", environment)
        stack.push_async_callback(child.stop)
        await child.start_ready(
            healthy, seconds=_START, started=lambda: self._note(child.name, child.process())
        )
        self._watch(stack, self._keep(child))
        self._report(f"{name}: ready in {monotonic() - began:.1f} s")

    def _watch(self, stack: AsyncExitStack, keeping: Awaitable[None]) -> None:
        watcher = asyncio.ensure_future(keeping)
        self._watchers.append(watcher)

        async def end() -> None:
            # Before the service is stopped, or the watcher would take that for a failure.
            watcher.cancel()
            await asyncio.wait([watcher])

        stack.push_async_callback(end)

    async def _keep(self, child: Child) -> None:
        pause = _FIRST_PAUSE
        while True:
            began = monotonic()
            status = await child.wait()
            if monotonic() - began > _STEADY:
                pause = _FIRST_PAUSE
            self._report(f"{child.name}: ended unexpectedly ({status}), starts again in {pause:g} s")
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            await child.start()
            self._note(child.name, child.process())

    async def _keep_postgres(self) -> None:
        """PostgreSQL is no child of ours: its own starter detaches it, so that it can outlive a supervisor."""
        pause = _FIRST_PAUSE
        while True:
            await asyncio.sleep(pause)
            if await asyncio.to_thread(self._postgres.process) is not None:
                pause = _FIRST_PAUSE
                continue
            self._report("postgres: ended unexpectedly, starts again")
            try:
                await self._postgres.start()
                self._note("postgres", self._postgres.process())
            except EmbeddedError as problem:
                self._report(f"postgres: {problem}")
                pause = min(pause * 2, _LONGEST_PAUSE)

    def _note(self, name: str, process: Process | None) -> None:
        """Write down what runs now. PostgreSQL is not among what a successor ends: it is used again as it is."""
        if process is not None:
            self._processes[name] = process
            self.home.remember({key: one for key, one in self._processes.items() if key != "postgres"})

    async def _load_examples(self, endpoints: Endpoints) -> None:
        began = monotonic()
        try:
            loaded = await load_examples(self.home, endpoints)
        except (EmbeddedError, httpx.HTTPError) as problem:
            # The system runs all the same; whoever wrote the example has to see why it was not taken.
            self._report(f"examples: {problem}")
        else:
            self._report(f"examples: {loaded} loaded in {monotonic() - began:.1f} s")


async def load_examples(home: Home, endpoints: Endpoints) -> int:
    """Submit every shipped example proposal as its lead; the same key each time, so a restart submits none twice.

    One that an earlier version shipped with other words stays as it was submitted.

    Raises:
        EmbeddedError: the API refuses one.
    """
    count = 0
    async with httpx.AsyncClient(base_url=endpoints.api, timeout=60, trust_env=False) as client:
        for file in sorted(resources.directory("examples").glob("*.json")):
            proposal = json.loads(file.read_text(encoding="utf-8"))
            if "work_packages" not in proposal:
                continue  # a report or another thing to try
            lead = next(one["directorate"] for one in proposal["partners"] if one["role"] == "lead")
            token = await identity.fetch_token(home, f"{lead}-lead")
            headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": f"example-{file.stem}"}
            for document in proposal["documents"]:
                content = (file.parent / "documents" / document["name"]).read_bytes()
                path = f"/v1/attachments/{document['sha256']}"
                _taken(await client.put(path, content=content, headers=headers), document["name"])
            answer = await client.post("/v1/proposals", json=proposal, headers=headers)
            if answer.is_error and answer.json().get("code") == "idempotency_key_reused":
                continue
            _taken(answer, file.name)
            count += 1
    return count


def _taken(answer: httpx.Response, name: str) -> None:
    if answer.is_error:
        raise EmbeddedError(f"the example {name} was refused: {answer.text}")


async def _answers(url: str) -> bool:
    async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
        try:
            return (await client.get(url)).is_success
        except httpx.HTTPError:
            return False


async def _is_polled(client: Client, task_queue: str) -> bool:
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=task_queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    )
    try:
        found = await client.workflow_service.describe_task_queue(request, timeout=timedelta(seconds=2))
    except RPCError:
        return False
    return bool(found.pollers)
