"""HTTP: reads and sign-offs through the API, against bare endpoints of FastAPI on the same servers, in turns A B A B.

``python -m benchmarks.http [--quick]`` runs this part alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
from sqlalchemy import func, select

from benchmarks import load, work
from benchmarks.bare import QUEUE as BARE_QUEUE
from benchmarks.bare import Bare
from benchmarks.rows import Row, at_least, row, table
from benchmarks.servers import Measured, servers
from countersign.domain.ids import uuid7, workflow_id
from countersign.domain.matter import Caller, Response
from countersign.domain.proposal import contact_key
from countersign.runtime.embedded import identity
from countersign.runtime.embedded.ports import free_ports
from countersign.store import initiatives
from countersign.store import tables as t
from countersign.store.roles import API
from countersign.workflows.initiative import InitiativeWorkflow
from countersign.workflows.messages import Begin, Submit

READER: Final = "il-officer"
MATTERS: Final = 3
"""Clearance, proposal and funding agreement: what is signed before an initiative is active."""


@dataclass
class Side:
    """One of the two programs, and what was measured of it."""

    name: str
    port: int
    rates: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)

    def took(self, what: str, answers: float, seconds: float, cpu: float) -> None:
        self.rates.setdefault(what, []).append(answers / seconds)
        self.cpu.setdefault(what, []).append(cpu / answers * 1000)


async def measure(measured: Measured, quick: bool) -> list[Row]:
    """Reads and sign-offs of both."""
    async with (
        measured.process("worker", "-m", "countersign", "worker"),
        measured.process("bare worker", "-m", "benchmarks.bare", **measured.as_owner),
    ):
        return await _hold(measured, quick)


async def _hold(measured: Measured, quick: bool) -> list[Row]:
    for queue in (work.QUEUE, BARE_QUEUE):
        await measured.polled(queue)
    await work.Work(measured).prepare()
    async with _programs(measured) as (ours, bare):
        await _reads(measured, ours, bare, quick)
        for number in range(-1, 1 if quick else 3):
            each = 1 if quick or number < 0 else 2  # the first round warms up and does not count
            await _sign(measured, ours, each, counted=number >= 0)
            await _tell(measured, bare, each, counted=number >= 0)
    return [
        _rate("HTTP reads of an initiative", "initiative", ours, bare, "bare SELECT endpoint", 0.9),
        _rate("HTTP reads of a matter", "matter", ours, bare, "bare SELECT endpoint"),
        _rate("HTTP reads of the inbox", "inbox", ours, bare, "bare SELECT endpoint"),
        _rate("HTTP reads of the list, 50 a page", "list", ours, bare, "bare SELECT endpoint"),
        _cpu("CPU of the API for a read of an initiative", "initiative", ours, bare, "bare SELECT endpoint"),
        _rate("HTTP sign-offs", "sign-off", ours, bare, "bare update endpoint", 0.8),
        _rate("HTTP sign-offs with what follows from them", "settled", ours, bare, "bare update endpoint"),
        _cpu("CPU of the API for a sign-off", "sign-off", ours, bare, "bare update endpoint"),
    ]


def _rate(name: str, what: str, ours: Side, bare: Side, against: str, goal: float | None = None) -> Row:
    reference = bare.rates["sign-off" if what in ("sign-off", "settled") else "initiative"]
    return row(
        name, "1/s", ours.rates[what], reference, against=against, goal=at_least(goal) if goal else None
    )


def _cpu(name: str, what: str, ours: Side, bare: Side, against: str) -> Row:
    return row(name, "ms", ours.cpu[what], bare.cpu[what], against=against)


@asynccontextmanager
async def _programs(measured: Measured) -> AsyncIterator[tuple[Side, Side]]:
    """Both programs, each a process of its own."""
    ours, bare = (Side(name, port) for name, port in zip(("api", "bare api"), free_ports(0, 0), strict=True))
    issuers = json.dumps(measured.services.issuers)
    async with (
        measured.process(
            *("api", "-m", "countersign", "api"),
            COUNTERSIGN_PORT=str(ours.port),
            COUNTERSIGN_ISSUERS=issuers,
            COUNTERSIGN_DATABASE_URL=measured.services.postgres.url(role=API),
        ),
        measured.process(
            *("bare api", "-m", "benchmarks.bare_api"), COUNTERSIGN_PORT=str(bare.port), **measured.as_owner
        ),
    ):
        for side in (ours, bare):
            await _ready(side)
        yield ours, bare


async def _ready(side: Side) -> None:
    async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(30):
        while True:
            try:
                if (await client.get(f"http://127.0.0.1:{side.port}/health/ready")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)


async def _reads(measured: Measured, ours: Side, bare: Side, quick: bool) -> None:
    identifier = (await _opened(measured, 60))[-1]
    token = measured.services.token(READER)
    paths = {
        "initiative": f"/v1/initiatives/{identifier}",
        "matter": f"/v1/initiatives/{identifier}/matters/1",
        "inbox": "/v1/inbox",
        "list": "/v1/initiatives",
    }
    seconds = 2.0 if quick else 3.0

    async def one(side: Side, what: str, path: str, seconds: float, *, counted: bool) -> None:
        before = measured.cpu()[side.name]
        began = time.perf_counter()
        rate = await load.reads(side.port, path, token if side is ours else None, seconds)
        took = time.perf_counter() - began
        if counted:
            side.took(what, rate * took, took, measured.cpu()[side.name] - before)

    for number in range(-1, 2 if quick else 3):
        counted = number >= 0
        for what, path in paths.items():
            if what == "initiative":
                await one(
                    bare, what, f"/initiatives/{identifier}", seconds if counted else 1, counted=counted
                )
            await one(ours, what, path, seconds if counted and what == "initiative" else 1, counted=counted)


async def _opened(measured: Measured, number: int) -> list[str]:
    """So many new initiatives, each with its clearance before both sides."""
    proposal, agreement = work.proposal(), work.agreement()
    lead = proposal.lead
    assert lead is not None
    applicant = Caller(person="applicants/bench", contact=contact_key(lead.contact.email))

    async def submit() -> str:
        identifier = str(uuid7(datetime.now(UTC), secrets.token_bytes(10)))
        submission = Submit(
            initiative=identifier,
            reference=f"BENCH-{identifier[-12:]}",
            agreement=agreement.id,
            agreement_version=agreement.version,
            content_hash=proposal.content_hash(),
            applicant=applicant,
        )
        handle = await measured.client.start_workflow(
            InitiativeWorkflow.run,
            Begin(submission=submission),
            id=workflow_id(identifier),
            task_queue=work.QUEUE,
        )
        await handle.execute_update(InitiativeWorkflow.submitted)
        return identifier

    identifiers = await asyncio.gather(*(submit() for _ in range(number)))
    await _before_both(measured, identifiers, 1)
    return identifiers


async def _before_both(measured: Measured, identifiers: list[str], number: int) -> None:
    """Wait until the matter of that number is open in all of them; beyond the last, until all are active."""
    statement = (
        select(func.count())
        .select_from(t.matter)
        .where(t.matter.c.initiative_id.in_(identifiers), t.matter.c.number == number)
        if number <= MATTERS
        else select(func.count())
        .select_from(t.initiative)
        .where(t.initiative.c.id.in_(identifiers), t.initiative.c.stage == "active")
    )
    async with asyncio.timeout(60), measured.database.reading() as connection:
        while True:
            if await connection.scalar(statement) == len(identifiers):
                return
            await asyncio.sleep(0.02)


async def _sign(measured: Measured, ours: Side, each: int, *, counted: bool) -> None:
    """Sign what stands before activity on so many initiatives a connection, the clock stopped between matters.

    A second clock runs on until what follows from the sign-offs is done and the next matter is before both sides.
    """
    identifiers = await _opened(measured, each * load.CONNECTIONS)
    tokens = {
        (one.side, office): measured.services.token(one.name)
        for one in reversed(identity.people())
        for office in one.offices
    }
    answers, seconds, settled, cpu = 0, 0.0, 0.0, 0.0
    for number in range(1, MATTERS + 1):
        lines: list[list[bytes]] = [[] for _ in range(load.CONNECTIONS)]
        for index, identifier in enumerate(identifiers):
            lines[index % load.CONNECTIONS] += await _sign_offs(measured, identifier, number, tokens)
        before, began = measured.cpu()[ours.name], time.perf_counter()
        answers += await load.send(ours.port, lines)
        seconds += time.perf_counter() - began
        cpu += measured.cpu()[ours.name] - before
        await _before_both(measured, identifiers, number + 1)
        settled += time.perf_counter() - began
    if counted:
        ours.took("sign-off", answers, seconds, cpu)
        ours.took("settled", answers, settled, cpu)


async def _sign_offs(
    measured: Measured, identifier: str, number: int, tokens: dict[tuple[str | None, str], str]
) -> list[bytes]:
    async with measured.database.reading() as connection:
        matter = await initiatives.matter(connection, identifier, number)
    assert matter is not None
    path = f"/v1/initiatives/{identifier}/matters/{number}/sign-offs"
    return [
        load.request(
            path,
            tokens[side, step.office],
            json.dumps(
                {
                    "id": f"{number}-{side}-{step.office}",
                    "response": Response.APPROVE,
                    "content_hash": matter.content_hash,
                }
            ).encode(),
        )
        for side, chain in matter.chains.items()
        for step in chain
    ]


async def _tell(measured: Measured, bare: Side, each: int, *, counted: bool) -> None:
    """As many messages to bare twins, in the same portions."""
    portions = (2, 6, 4)
    handles = [
        await measured.twins.start_workflow(
            Bare.run, sum(portions), id=f"bare-http-{secrets.token_hex(8)}", task_queue=BARE_QUEUE
        )
        for _ in range(each * load.CONNECTIONS)
    ]
    answers, seconds, cpu = 0, 0.0, 0.0
    for number, portion in enumerate(portions):
        lines: list[list[bytes]] = [[] for _ in range(load.CONNECTIONS)]
        for index, handle in enumerate(handles):
            body = {"response": "approve", "content_hash": "sha256:" + "0" * 64}
            lines[index % load.CONNECTIONS] += [
                load.request(
                    f"/twins/{handle.id}/messages",
                    body=json.dumps({"id": f"{number}-{which}", "name": "sign_off", "body": body}).encode(),
                )
                for which in range(portion)
            ]
        before, began = measured.cpu()[bare.name], time.perf_counter()
        answers += await load.send(bare.port, lines)
        seconds += time.perf_counter() - began
        cpu += measured.cpu()[bare.name] - before
    if counted:
        bare.took("sign-off", answers, seconds, cpu)


async def alone(quick: bool) -> None:
    with tempfile.TemporaryDirectory() as place:
        async with servers(Path(place)) as measured:
            print(table(await measure(measured, quick)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    asyncio.run(alone(parser.parse_args().quick))
