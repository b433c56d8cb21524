"""A change of code while initiatives run: each goes on in the shape in which it began (workflows/patches.py)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta

import pytest
from temporalio import workflow

from countersign import worker
from countersign.domain import audit
from countersign.domain.projection import Task, Waiting
from countersign.domain.proposal import Proposal
from countersign.domain.stage import Stage
from countersign.runtime.embedded.services import Services
from countersign.runtime.temporal import connect
from countersign.store.session import Database
from countersign.workflows.initiative import InitiativeWorkflow
from tests.eventually import eventually
from tests.people import minimal_proposal
from tests.workflows.carrying import Carried, in_force
from tests.workflows.test_replay import replayer
from tests.workflows.test_signposts import attributes, stands

pytestmark = pytest.mark.services

QUEUE = "change-of-code"

At = Callable[[], AbstractAsyncContextManager[None]]


@pytest.fixture
def at_work(services: Services) -> At:
    """A worker that knows nothing of what one before it had in memory."""

    @asynccontextmanager
    async def working() -> AsyncIterator[None]:
        settings = services.settings(task_queue=QUEUE)
        async with worker.running(await connect(settings, lazy=False), settings):
            yield

    return working


@pytest.fixture
def life(services: Services, database: Database) -> Carried:
    proposal = Proposal.model_validate(minimal_proposal(12))
    settings = services.settings(task_queue=QUEUE)
    return Carried(services.client, database, in_force(settings), proposal, queue=QUEUE)


async def terminated_by_older_code(life: Carried, at_work: At, monkeypatch: pytest.MonkeyPatch) -> None:
    """One side ends it with money paid, and a worker begins to wind it up that knows no complaints about that."""
    with monkeypatch.context() as older:
        older.setattr(workflow, "patched", lambda _: False)
        async with at_work():
            await life.begin()
            await life.carry_to(Stage.ACTIVE)
            while (one := await life.next()).task is not Task.REPORT:
                await life.do(one)
            await life.terminate("il")
            await last_report(life)


async def last_report(life: Carried) -> Waiting:
    """The report on what was spent, once it was cut short."""

    async def cut() -> bool:
        return (await life.state()).reports[0].cut_short

    await eventually(cut)
    return await life.next()


@pytest.fixture
def short_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first run is a long one as soon as it has refused a message."""

    def is_long(self: InitiativeWorkflow) -> bool:
        refused = any(one.answer.status == "refused" for one in self._state.answers.values())
        return refused and not workflow.info().continued_run_id

    monkeypatch.setattr(InitiativeWorkflow, "_is_long", is_long)


async def in_a_new_run(life: Carried) -> None:
    """It refuses a complaint, and goes on in another run."""
    assert (await life.complain()).code == "stage_closed"

    async def went_on() -> bool:
        return len(await life.histories()) == 2

    await eventually(went_on)


async def until_claimed(life: Carried) -> None:
    """The time for the last report passes, and what was paid is claimed back."""
    last = await last_report(life)
    assert last.deadline is not None
    await life.pass_until(last.deadline + timedelta(minutes=1))

    async def claimed() -> bool:
        return any(one.is_recovery for one in (await life.state()).tranches)

    await eventually(claimed)


async def replays(life: Carried) -> None:
    for run in await life.histories():
        result = await replayer(converter=life.client.data_converter).replay_workflow(
            run, raise_on_replay_failure=False
        )
        assert result.replay_failure is None


async def ends_without_a_complaint(life: Carried) -> None:
    """Each side has what it claims; nobody was ever told that they might complain, and the trail is one chain."""
    for _ in range(4):
        await life.do()
    await life.handle.result()
    await replays(life)
    entries = await life.trail()
    assert audit.chain_faults(entries) == []
    assert "complaint.window_opened" not in [one.action for one in entries]
    assert (await life.state()).is_over


async def test_what_older_code_began_to_wind_up_is_wound_up_in_its_way(
    life: Carried, at_work: At, monkeypatch: pytest.MonkeyPatch
) -> None:
    await terminated_by_older_code(life, at_work, monkeypatch)
    async with at_work():
        refused = await life.complain()
        assert (refused.code, refused.detail) == ("stage_closed", "the initiative is terminated")
        await until_claimed(life)
        await ends_without_a_complaint(life)


async def test_once_money_is_claimed_back_no_new_run_lets_anybody_complain(
    life: Carried, at_work: At, short_run: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    await terminated_by_older_code(life, at_work, monkeypatch)
    async with at_work():
        await until_claimed(life)
        await in_a_new_run(life)
        await ends_without_a_complaint(life)


async def test_a_new_run_before_that_lets_the_applicant_complain_with_all_that_follows(
    life: Carried, at_work: At, short_run: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    await terminated_by_older_code(life, at_work, monkeypatch)
    async with at_work():
        await in_a_new_run(life)
        await life.complaint_is_decided()
        await life.all_sign()
        await life.reached(Stage.ACTIVE)
        assert (await life.state()).reports[0].uncut is None
        await replays(life)


# ---- what it is found by in Temporal


async def test_what_began_under_older_code_is_found_by_as_much_as_before_and_by_more_from_its_next_run_on(
    life: Carried, at_work: At, short_run: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(workflow, "patched", lambda _: False)
        async with at_work():
            await life.begin()
            await life.side_signs("il")
    async with at_work():
        await life.side_signs("az")
        await life.reached(Stage.DECISION)
        assert await attributes(life) == {"Stage": "decision", "Area": "civilian_sectors"}
        await in_a_new_run(life)
        await stands(life, Stage.DECISION, "az", "il")
        await life.side_signs("az", matter=2)
        await stands(life, Stage.DECISION, "il")
        await replays(life)
