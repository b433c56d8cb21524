"""What the peers share: the message and its record, the database of their own, the clients and the line of figures."""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID, uuid4

import asyncpg
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.engine import URL, make_url

Sent = dict[str, Any]
"""A message as its sender has it: nobody has looked into it yet."""

WARM_UP = 10
"""Lives before those that count, at most."""

TABLE = """
CREATE TABLE message (
    initiative text NOT NULL,
    id uuid NOT NULL,
    number integer NOT NULL,
    name text NOT NULL,
    body jsonb NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (initiative, id)
)
"""


class BenchMessage(BaseModel):
    """The form that every peer holds every message against before it takes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: UUID
    name: str = Field(min_length=1, max_length=100)
    body: dict[str, Any]


class Peer(Protocol):
    """One way to carry an initiative; what it answers must be durable before it answers."""

    async def begin(self, initiative: str) -> None:
        """Open an initiative."""

    async def take(self, initiative: str, sent: Sent) -> int:
        """Validate, record and count a message; the answer is how many the initiative has taken with it."""


Opened = Callable[["Task"], AbstractAsyncContextManager[Peer]]


@dataclass(frozen=True, slots=True)
class Task:
    """What to do, and the database of the peer's own to do it in."""

    database: URL
    messages: tuple[dict[str, Any], ...]
    initiatives: int
    at_once: int

    def url(self, driver: str = "postgresql") -> str:
        """The URL of the database for one of its drivers."""
        return self.database.set(drivername=driver).render_as_string(hide_password=False)


def run(name: str, package: str, opened: Opened | dict[str, Opened]) -> None:
    """Be the program of a peer: read the command line, measure, print the one line.

    A peer that can go about it in several ways has them by their names, and the first of them is what it does unasked.

    Raises:
        SystemExit: not every message is in the database.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.peers.{name}_peer")
    parser.add_argument(
        "--database-url", required=True, help="a database beside which the peer makes its own"
    )
    parser.add_argument("--messages", required=True, type=Path, help="JSON: [{name, message}] of one life")
    parser.add_argument("--initiatives", required=True, type=int, help="how many lives count")
    parser.add_argument("--at-once", required=True, type=int, help="how many of them at the same time")
    ways = opened if isinstance(opened, dict) else {"": opened}
    if isinstance(opened, dict):
        parser.add_argument("--way", choices=tuple(ways), help="how the peer goes about it")
    parser.set_defaults(way=next(iter(ways)))
    given = parser.parse_args()
    beside = make_url(given.database_url)
    task = Task(
        database=beside.set(database=f"{beside.database}_peer_{name}"),
        messages=tuple(json.loads(given.messages.read_text(encoding="utf-8"))),
        initiatives=given.initiatives,
        at_once=given.at_once,
    )
    figures = asyncio.run(_measure(beside, task, ways[given.way]))
    way = {"way": given.way} if given.way else {}
    print(json.dumps({"peer": name, "version": version(package)} | way | figures))


async def _measure(beside: URL, task: Task, opened: Opened) -> dict[str, Any]:
    await _make_anew(beside, task)
    warm_up = min(WARM_UP, task.initiatives, task.at_once)
    async with opened(task) as peer:
        await _lives(peer, task, warm_up)
        before, began = time.process_time(), time.perf_counter()
        answers = await _lives(peer, task, task.initiatives)
        seconds, cpu = time.perf_counter() - began, time.process_time() - before
    await _check(task, (warm_up + task.initiatives) * len(task.messages))
    return {
        "initiatives": task.initiatives,
        "before": warm_up,
        "at_once": task.at_once,
        "messages": len(task.messages),
        "seconds": seconds,
        "cpu": cpu,
        "answers": {
            "median": statistics.median(answers),
            "p95": statistics.quantiles(answers, n=20, method="inclusive")[-1],
        },
    }


async def _lives(peer: Peer, task: Task, initiatives: int) -> list[float]:
    """So many lives by so many clients, each of which takes up the next initiative when its last is over."""
    answers: list[float] = []

    async def client(todo: Iterator[str]) -> None:
        for initiative in todo:
            await peer.begin(initiative)
            for number, entry in enumerate(task.messages, 1):
                sent = {"id": str(uuid4()), "name": entry["name"], "body": entry["message"]}
                began = time.perf_counter()
                taken = await peer.take(initiative, sent)
                answers.append(time.perf_counter() - began)
                if taken != number:
                    raise RuntimeError(f"message {number} of {initiative} was answered with {taken}")

    todo = iter([str(uuid4()) for _ in range(initiatives)])
    async with asyncio.TaskGroup() as clients:
        for _ in range(min(initiatives, task.at_once)):
            clients.create_task(client(todo))
    return answers


async def _make_anew(beside: URL, task: Task) -> None:
    """An empty database of the peer's own, so that no run inherits the tables of the last one."""
    name = f'"{task.database.database}"'
    async with connected(beside.set(drivername="postgresql")) as connection:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {name}")
    async with connected(task.database.set(drivername="postgresql")) as connection:
        await connection.execute(TABLE)


async def _check(task: Task, expected: int) -> None:
    async with connected(task.database.set(drivername="postgresql")) as connection:
        found = await connection.fetchval("SELECT count(*) FROM message")
    if found != expected:
        sys.exit(f"{expected} messages were answered, but {found} are in the database")


@asynccontextmanager
async def connected(url: URL) -> AsyncIterator[Any]:
    """A plain connection."""
    connection = await asyncpg.connect(url.render_as_string(hide_password=False))
    try:
        yield connection
    finally:
        await connection.close()
