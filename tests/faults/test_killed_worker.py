"""The trail leads (ADR 0007): a step that is on record and that the workflow has forgotten is adopted, not redone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from temporalio.client import RPCError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCStatusCode

from countersign.domain import audit
from countersign.domain.initiative import replay
from countersign.domain.matter import Response
from countersign.domain.projection import Task
from countersign.domain.proposal import Proposal
from countersign.domain.stage import Stage
from countersign.runtime.embedded.services import Services
from countersign.store import tables as t
from countersign.store.session import Database
from countersign.workflows.messages import Answer, Begin, Ended
from tests.domain.lives import two_sides
from tests.people import minimal_proposal
from tests.processes import started
from tests.workflows.carrying import Carried, in_force

pytestmark = [pytest.mark.services, pytest.mark.faults, pytest.mark.slow]


@asynccontextmanager
async def dying_workers(services: Services, place: Path, dies: str) -> AsyncIterator[list[int]]:
    """Three workers, each started again whenever it has killed itself; gives the statuses of those that ended.

    They serve the queue that is named after the place, so that no test has to do with what another one left.
    """
    settings = services.settings()
    env = os.environ | {
        "COUNTERSIGN_DATABASE_URL": settings.database_url,
        "COUNTERSIGN_TEMPORAL_ADDRESS": settings.temporal_address,
        "COUNTERSIGN_TEMPORAL_NAMESPACE": settings.temporal_namespace,
        "COUNTERSIGN_TASK_QUEUE": place.name,
        "COUNTERSIGN_AGREEMENT": str(settings.agreement),
        "COUNTERSIGN_SIGNING_KEYS": str(settings.signing_keys),
        "COUNTERSIGN_PAYLOAD_KEYS": str(settings.payload_keys),
        "DIES": dies,
    }
    ended: list[int] = []

    async def one() -> None:
        while True:
            with (place / "worker.log").open("ab") as output:
                process = await started(
                    "tests.faults.dying_worker", env=env, stdout=output.fileno(), stderr=output.fileno()
                )
            try:
                ended.append(await process.wait())
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()

    async with asyncio.TaskGroup() as group:
        running = [group.create_task(one()) for _ in range(3)]
        yield ended
        for task in running:
            task.cancel()


class Impatient(Carried):
    """Sends every message again under its id until there is an answer; keeps what it sent and was told."""

    task_timeout = timedelta(seconds=1)
    hurried = False

    def __init__(self, services: Services, database: Database, place: Path, proposal: Proposal) -> None:
        agreement = in_force(services.settings())
        super().__init__(services.client, database, agreement, proposal, queue=place.name)
        self.told: list[tuple[Any, Answer | None]] = []
        self.answers = 0

    async def send(self, command: Any) -> Answer:
        answer = await self.ask(command)
        self.told.append((command, answer))
        # It ended before it could answer: what became of it is on record all the same.
        return answer or Answer(status="counted", sequence=0)

    async def ask(self, command: Any) -> Answer | None:
        """The answer, however often it takes; none when the initiative is over."""
        while True:
            try:
                async with asyncio.timeout(3):
                    answer = await super().send(command)
                self.answers += 1
                return answer
            except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
                continue
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND:
                    return None
                if error.status is not RPCStatusCode.FAILED_PRECONDITION:
                    raise
                await asyncio.sleep(0.2)  # Temporal takes no updates while workflow tasks go on failing


async def whole_life(life: Impatient) -> None:
    await life.begin()
    await life.carry_to(Stage.CLOSING)
    for command, answer in life.told:
        assert await life.ask(command) == answer
    await life.carry_to(Stage.CLOSED)


async def returned_and_withdrawn(life: Impatient) -> None:
    await life.begin()
    await life.carry_to(Stage.DECISION)
    await life.all_sign(Response.RETURN)
    await life.reached(Stage.REVISION)
    await life.carry_to(Stage.CONTRACTING)
    for command, answer in life.told:
        assert await life.ask(command) == answer
    await life.withdraw()


@asynccontextmanager
async def as_long_as_it_goes_on(*lives: Impatient, seconds: float = 60) -> AsyncIterator[None]:
    """For as long as there is something new on a trail, or told to a sender, every so many seconds.

    How many workers die on the way, and how long each takes to start, is not for a clock to say.
    """
    clock = asyncio.get_running_loop().time

    async def watch(limit: asyncio.Timeout) -> None:
        seen = None
        while True:
            now = [(len(await life.trail()), life.answers) for life in lives]
            if now != seen:
                limit.reschedule(clock() + seconds)
            seen = now
            await asyncio.sleep(1)

    async with asyncio.timeout(seconds) as limit, asyncio.TaskGroup() as group:
        watching = group.create_task(watch(limit))
        yield
        watching.cancel()


async def states_of_runs(life: Impatient) -> list[Begin]:
    """What each run began with."""
    begun = []
    for history in await life.histories():
        payloads = history.events[0].workflow_execution_started_event_attributes.input.payloads
        begun += await life.client.data_converter.decode(payloads, [Begin])
    return begun


@pytest.mark.parametrize(
    ("every", "lived"), [(1, [returned_and_withdrawn]), (3, [whole_life, returned_and_withdrawn])]
)
async def test_a_worker_killed_after_any_commit_loses_nothing_and_does_nothing_twice(
    apart: Services,
    apart_database: Database,
    tmp_path: Path,
    every: int,
    lived: list[Callable[[Impatient], Awaitable[None]]],
) -> None:
    proposal = Proposal.model_validate(minimal_proposal(12))
    lives = [Impatient(apart, apart_database, tmp_path, proposal) for _ in lived]
    async with as_long_as_it_goes_on(*lives), dying_workers(apart, tmp_path, str(every)) as ended:
        await asyncio.gather(*(live(life) for live, life in zip(lived, lives, strict=True)))
        results = [await life.handle.result() for life in lives]
    assert len(ended) >= 8, ended
    assert set(ended) == {-9}
    await hold(lives, results)


async def hold(lives: list[Impatient], results: list[Any]) -> None:
    """The record, the workflows and what senders were told say the same."""
    for life, result in zip(lives, results, strict=True):
        entries = await life.trail()
        state = replay(life.beginning, entries)
        over = Ended.model_validate(result)
        assert (over.stage, over.entries, over.head) == (state.stage, state.sequence, state.head)
        assert audit.chain_faults(entries) == []
        sent = [(command.caller.person, command.id) for command, _ in life.told]
        on_trail = [(entry.actor, entry.message) for entry in entries if entry.message is not None]
        assert sorted(on_trail) == sorted(sent)
        for command, answer in life.told:
            if answer is not None:
                assert entries[answer.sequence - 1].message == command.id
        for begin in await states_of_runs(life):
            if begin.state is not None:
                assert begin.state == replay(life.beginning, entries[: begin.state.sequence])


@pytest.mark.parametrize("stages", ["eligibility,decision,contracting,active,closing", "closed"])
async def test_a_worker_killed_as_a_stage_is_entered_goes_on_from_that_stage(
    apart: Services, apart_database: Database, tmp_path: Path, stages: str
) -> None:
    life = Impatient(apart, apart_database, tmp_path, two_sides()[1])
    async with as_long_as_it_goes_on(life), dying_workers(apart, tmp_path, stages) as ended:
        await whole_life(life)
        result = await life.handle.result()
    assert len(ended) == len(stages.split(","))
    await hold([life], [result])


async def test_every_payment_is_instructed_once_however_often_a_worker_dies(
    apart: Services, apart_database: Database, tmp_path: Path
) -> None:
    life = Impatient(apart, apart_database, tmp_path, two_sides()[1])
    async with as_long_as_it_goes_on(life), dying_workers(apart, tmp_path, "2"):
        await life.begin()
        await life.carry_to(Stage.ACTIVE)
        while (one := await life.next()).task is not Task.REPORT:
            await life.do(one)
    async with apart_database.reading() as connection:
        query = select(t.payment_instruction).where(t.payment_instruction.c.initiative_id == life.id)
        rows = (await connection.execute(query)).all()
    state = await life.state()
    tranche = state.tranches[0]
    wanted = {
        one.end_to_end_id: (side, one.amount.minor)
        for side, share in tranche.shares.items()
        for one in share.instructions
    }
    assert {row.end_to_end_id: (row.directorate, row.minor) for row in rows} == wanted
    assert len(wanted) == len(rows) == 2
