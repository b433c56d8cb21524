"""The servers that are measured: the embedded ones, made durable, with every worker a process of its own."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from countersign.runtime.embedded.services import Services, embedded_services
from countersign.runtime.resources import default_agreement
from countersign.store.session import Database


@dataclass
class Measured:
    """The running servers; ``processes`` are the roots whose CPU is counted, by name.

    ``twins`` is the client of the bare twin, which encrypts nothing.
    """

    services: Services
    database: Database
    twins: Client
    processes: dict[str, psutil.Process] = field(default_factory=dict)

    @property
    def client(self) -> Client:
        return self.services.client

    def cpu(self) -> dict[str, float]:
        """CPU seconds of each process so far, its children and those of them that have ended included."""
        return {name: _cpu(process) for name, process in self.processes.items()}

    def memory(self) -> dict[str, int]:
        """Bytes resident in each process with its children."""
        return {
            name: sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))
            for name, process in self.processes.items()
        }

    @asynccontextmanager
    async def process(self, name: str, *arguments: str, **environment: str) -> AsyncIterator[psutil.Process]:
        """A Python process beside the servers, for as long as the block lasts."""
        log = self.services.home.logs / f"{name}.log"
        with log.open("ab") as out:
            running = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                stdout=out,
                stderr=out,
                env=os.environ | self.environment() | environment,
            )
        self.processes[name] = psutil.Process(running.pid)
        try:
            yield self.processes[name]
        finally:
            del self.processes[name]
            if running.returncode is None:
                running.terminate()
            await running.wait()

    def environment(self) -> dict[str, str]:
        """The settings of a process that uses these servers."""
        settings = self.services.settings()
        return {
            "COUNTERSIGN_DATABASE_URL": settings.database_url,
            "COUNTERSIGN_TEMPORAL_ADDRESS": settings.temporal_address,
            "COUNTERSIGN_TEMPORAL_NAMESPACE": settings.temporal_namespace,
            "COUNTERSIGN_AGREEMENT": str(settings.agreement),
            "COUNTERSIGN_REQUESTS_PER_MINUTE": "0",  # a load is what the limit keeps out
            "COUNTERSIGN_SIGNING_KEYS": str(settings.signing_keys),
            "COUNTERSIGN_PAYLOAD_KEYS": str(settings.payload_keys),
        }

    @property
    def as_owner(self) -> dict[str, str]:
        """What a program that is compared with has set: it makes a table of its own, which no process of ours may."""
        return {"COUNTERSIGN_DATABASE_URL": self.services.database_url}

    async def polled(self, queue: str) -> None:
        """Wait until somebody serves a task queue."""
        request = DescribeTaskQueueRequest(
            namespace=self.client.namespace,
            task_queue=TaskQueue(name=queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        )
        for _ in range(600):
            if (await self.client.workflow_service.describe_task_queue(request)).pollers:
                return
            await asyncio.sleep(0.05)
        raise TimeoutError(f"nobody serves {queue}")


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    total = times.user + times.system + times.children_user + times.children_system
    for child in process.children(recursive=True):
        try:
            own = child.cpu_times()
        except psutil.NoSuchProcess:
            continue  # ended between the two looks: counted with its parent's children from now on
        total += own.user + own.system
    return total


@asynccontextmanager
async def servers(place: Path) -> AsyncIterator[Measured]:
    """PostgreSQL and Temporal, both durable at a power cut, and a database of the caller's own connections."""
    # Every reservation is held against a budget, as in use, and no budget is ever used up.
    text = default_agreement().read_text(encoding="utf-8")
    vast = re.sub(
        r"(?m)^amounts = .*", lambda line: re.sub(r'"[^"]* (\w+)"', r'"9,000,000,000,000 \1"', line[0]), text
    )
    (place / "agreement.toml").write_text(vast, encoding="utf-8")
    os.environ["COUNTERSIGN_AGREEMENT"] = str(place / "agreement.toml")
    async with embedded_services(place / "home", persistent=True) as services:
        database = Database(services.database_url)
        twins = await Client.connect(
            services.temporal_address,
            namespace=services.temporal_namespace,
            data_converter=pydantic_data_converter,
        )
        measured = Measured(services, database, twins)
        temporal, postgres = services.temporal.process(), services.postgres.process()
        assert temporal is not None
        assert postgres is not None
        measured.processes |= {
            "temporal": psutil.Process(temporal.pid),
            "postgresql": psutil.Process(postgres.pid),
        }
        try:
            yield measured
        finally:
            await database.close()
