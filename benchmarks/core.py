"""The work itself: the engine, the bare twin and the peers, with the same messages on the same servers, in turns."""

from __future__ import annotations

import asyncio
import json
import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from temporalio.client import Client

from benchmarks import bare
from benchmarks.rows import Goal, Row, at_least, at_most, row
from benchmarks.servers import Measured
from benchmarks.work import QUEUE, Work

PEERS: Final[Mapping[str, tuple[str, ...]]] = {
    "DBOS, a workflow an initiative": ("dbos_peer", "--way", "initiative"),
    "DBOS, a workflow a message": ("dbos_peer", "--way", "message"),
    "SpiffWorkflow": ("spiff_peer",),
    "ORM state machine": ("orm_peer",),
}
LIVING: Final = "DBOS, a workflow an initiative"
"""The peer that, like the engine, keeps something alive for each initiative; the others keep a row.

It is the one that is to be beaten, and so has its turn in every round; the others are many times as fast, and have one.
"""

PEERS_AT_ONCE: Final[Mapping[int, int]] = {1: 5, 25: 25}
"""How many initiatives at once the peers are measured with, and how many they carry."""

PYTHON: Final = Path(".venv-bench/bin/python")


Carried = tuple[float, Mapping[str, Sequence[float]]]
"""What some lives took: seconds in all, and of each answer by the name of its message."""


@dataclass
class Rounds:
    """What the rounds of one contender came to; CPU in milliseconds an initiative, its own processes' only."""

    rates: list[float] = field(default_factory=list)
    medians: list[float] = field(default_factory=list)
    sign_offs: list[float] = field(default_factory=list)
    p95s: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    by_process: dict[str, list[float]] = field(default_factory=dict)

    def took(
        self,
        initiatives: int,
        seconds: float,
        answers: Mapping[str, Sequence[float]],
        cpu: Mapping[str, float],
    ) -> None:
        every = [one for some in answers.values() for one in some]
        self.rates.append(initiatives / seconds)
        self.medians.append(statistics.median(every) * 1000)
        self.sign_offs.append(statistics.median(answers["sign_off"]) * 1000)
        self.p95s.append(statistics.quantiles(every, n=20)[-1] * 1000)
        self.cpu.append(sum(cpu.values()) / initiatives * 1000)
        for name, spent in cpu.items():
            self.by_process.setdefault(name, []).append(spent / initiatives * 1000)


async def measure(measured: Measured, quick: bool) -> list[Row]:
    """Everything that a user's choice between them depends on, at 1, 25 and 100 at once."""
    work = Work(measured)
    await work.prepare()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(measured.process("worker", "-m", "countersign", "worker"))
        compared = measured.process("bare worker", "-m", "benchmarks.bare", **measured.as_owner)
        await stack.enter_async_context(compared)
        for queue in (QUEUE, bare.QUEUE):
            await measured.polled(queue)
        contest = _Contest(measured, work)
        await contest.warm_up()
        rows = await contest.hold(
            1, initiatives=3 if quick else 8, rounds=2 if quick else 3, living=not quick
        )
        rows += await contest.hold(25, initiatives=25, rounds=1 if quick else 3)
        if not quick:
            rows += await contest.hold(100, initiatives=100, rounds=1, living=False)
    # These bring processes of their own; the engine's would only be in their way.
    return rows if quick else rows + await contest.hold_others()


class _Contest:
    def __init__(self, measured: Measured, work: Work) -> None:
        self._measured, self._work = measured, work
        self._twins: Client = measured.twins
        self._messages: list[bare.Message] = []
        self._file = measured.services.home.path / "messages.json"
        self._ours: dict[int, Rounds] = {}

    async def warm_up(self) -> None:
        """A few lives that do not count; the messages of the first are what everybody else gets."""
        raw = (await self._work.carry(1, 1)).messages
        self._messages = [
            bare.Message(id=one["message"]["id"], name=one["name"], body=one["message"]) for one in raw
        ]
        self._file.write_text(json.dumps(raw), encoding="utf-8")
        await self._work.carry(10, 10)
        await bare.carry(self._twins, self._messages, 5, 5)

    async def hold(self, at_once: int, *, initiatives: int, rounds: int, living: bool = True) -> list[Row]:
        """The engine against the bare twin, and against the peer that keeps initiatives alive (``living``)."""
        ours, twin, peer = self._ours.setdefault(at_once, Rounds()), Rounds(), Rounds()

        async def engine() -> Carried:
            lives = await self._work.carry(initiatives, at_once)
            return lives.seconds, {name: some for name, some in lives.answers.items() if name != "submit"}

        for _ in range(rounds):
            await self._round(ours, initiatives, engine, "worker")
            await self._round(
                twin,
                initiatives,
                lambda: bare.carry(self._twins, self._messages, initiatives, at_once),
                "bare worker",
            )
            if living:
                await self._peer(LIVING, at_once, peer)
        goals: dict[str, Goal] = {}
        if at_once == 1:
            goals["answer"] = at_most(0.8)
        if at_once == 25:
            goals |= {"rate": at_least(1.5), "cpu": at_most(0.65)}
        at = f"{at_once} at once"
        return [
            _row(f"initiatives, {at}", "/s", ours.rates, twin.rates, goals.get("rate")),
            _row(f"CPU for an initiative, {at}", "ms", ours.cpu, twin.cpu, goals.get("cpu")),
            *(
                _row(
                    f"CPU for an initiative, {at}: {process}",
                    "ms",
                    ours.by_process[process],
                    twin.by_process[other],
                )
                for process, other in (
                    ("worker", "bare worker"),
                    ("temporal", "temporal"),
                    ("postgresql", "postgresql"),
                )
            ),
            _row(
                f"durable answer to a sign-off, {at}, median",
                "ms",
                ours.sign_offs,
                twin.sign_offs,
                goals.get("answer"),
            ),
            _row(f"durable answer to a message, {at}, median", "ms", ours.medians, twin.medians),
            _row(f"durable answer to a message, {at}, 95th percentile", "ms", ours.p95s, twin.p95s),
            *(self._against(LIVING, at_once, peer) if living else ()),
        ]

    async def _round(
        self,
        rounds: Rounds,
        initiatives: int,
        carry: Callable[[], Awaitable[Carried]],
        worker: str,
    ) -> None:
        before = self._measured.cpu()
        seconds, answers = await carry()
        after = self._measured.cpu()
        # Temporal cleans up for a moment after the last answer; what it does by then is the work's own.
        spent = {name: after[name] - before[name] for name in (worker, "temporal", "postgresql")}
        rounds.took(initiatives, seconds, answers, spent)

    async def hold_others(self) -> list[Row]:
        """The engine against what else a user would take; each peer is one process, client and all."""
        rows: list[Row] = []
        for name in PEERS:
            if name == LIVING:
                continue
            for at_once in PEERS_AT_ONCE:
                took = Rounds()
                await self._peer(name, at_once, took)
                rows += self._against(name, at_once, took)
        return rows

    def _against(self, name: str, at_once: int, took: Rounds) -> list[Row]:
        ours, at = self._ours[at_once], f"{at_once} at once"
        goal = at_least(1.7) if (name, at_once) == (LIVING, 25) else None
        return [
            row(f"initiatives, {at}", "/s", ours.rates, took.rates, against=name, goal=goal),
            row(f"CPU for an initiative, {at}", "ms", ours.cpu, took.cpu, against=name),
            row(f"durable answer to a message, {at}, median", "ms", ours.medians, took.medians, against=name),
        ]

    async def _peer(self, name: str, at_once: int, took: Rounds) -> None:
        """One round of a peer."""
        module, *way = PEERS[name]
        initiatives = PEERS_AT_ONCE[at_once]
        url = self._measured.services.database_url.replace("+asyncpg", "")
        before = self._measured.cpu()["postgresql"]
        running = await asyncio.create_subprocess_exec(
            *(str(PYTHON), "-m", f"benchmarks.peers.{module}", "--database-url", url, *way),
            *("--messages", str(self._file), "--initiatives", str(initiatives), "--at-once", str(at_once)),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await running.communicate()
        if running.returncode:
            raise RuntimeError(f"{module} ended with {running.returncode}")
        figures = json.loads(out)
        # PostgreSQL worked for the lives before those that count as well.
        database = self._measured.cpu()["postgresql"] - before
        took.rates.append(initiatives / figures["seconds"])
        took.medians.append(figures["answers"]["median"] * 1000)
        took.cpu.append((figures["cpu"] / initiatives + database / (initiatives + figures["before"])) * 1000)


def _row(name: str, unit: str, ours: list[float], twin: list[float], goal: Goal | None = None) -> Row:
    return row(name, unit, ours, twin, against="bare twin", goal=goal)
