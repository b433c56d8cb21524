"""Workflow histories on the real servers: archived when a run has ended, and read from there as from Temporal."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from sqlalchemy import text
from temporalio.client import WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import ActivityEnvironment

from countersign import worker as worker_process
from countersign.activities.archive import Archiving, Packed, Sweep
from countersign.api import history
from countersign.domain.matter import Response
from countersign.domain.proposal import Proposal
from countersign.domain.stage import Stage
from countersign.runtime import archive, replaying
from countersign.runtime.build import build_id
from countersign.runtime.embedded.services import Services, embedded_services
from countersign.runtime.migrate import migrate
from countersign.runtime.payload_codec import configured
from countersign.runtime.temporal import connect, prepare_namespace
from countersign.runtime.verification import Archive, Verified, verify
from countersign.store import histories
from countersign.store import verification as stored
from countersign.store.roles import WORKER
from countersign.store.session import Database
from countersign.workflows.archive import ArchiveWorkflow, Swept
from tests.domain.lives import two_sides
from tests.eventually import eventually
from tests.people import minimal_proposal
from tests.store.making import new_id
from tests.workflows.carrying import Carried, in_force
from tests.workflows.resetting import reset

LATER: Final = datetime(9000, 1, 1, tzinfo=UTC)
"""Lives of their own clocks are over by then."""

pytestmark = [pytest.mark.services, pytest.mark.slow]


class Place:
    """A record and a namespace of their own, with workers on them."""

    def __init__(self, services: Services, name: str, url: str, client: Any) -> None:
        self.client, self.owner = client, Database(url, pool_size=4)
        self.settings = services.settings(
            database_url=services.postgres.url(name, role=WORKER),
            temporal_namespace=client.namespace,
            task_queue=name,
        )
        self.codec = configured(self.settings)
        self.agreement = in_force(self.settings)

    def life(self, months: int | None = None) -> Carried:
        proposal = two_sides()[1] if months is None else Proposal.model_validate(minimal_proposal(months))
        return Carried(self.client, self.owner, self.agreement, proposal, queue=self.settings.task_queue)

    async def sweep(self, *, complete: bool = False) -> Swept:
        swept: Swept = await self.client.execute_workflow(
            ArchiveWorkflow.run, complete, id=f"sweep-{new_id()}", task_queue=self.settings.task_queue
        )
        return swept

    async def archived(self, life: Carried) -> list[histories.Kept]:
        async with self.owner.reading() as connection:
            return await histories.of(connection, life.id)

    async def runs(self, life: Carried) -> list[WorkflowHistory]:
        return await archive.runs(self.client, self.codec, self.owner, life.id)

    async def verified(self, *, replay: bool = False, **changes: Any) -> Verified:
        async with self.owner.transaction() as connection:
            await stored.at_one_moment(connection)
            how = Archive(keys=self.codec.ring, replay=replay, **changes)
            return await verify(connection, self.agreement, archive=how)

    async def tamper(self, statement: str, **values: Any) -> None:
        """As somebody who may do everything to the database."""
        async with self.owner.transaction() as connection:
            await connection.execute(text("SET LOCAL session_replication_role = replica"))
            for table in ("workflow_history", "audit_entry"):
                await connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))
            await connection.execute(text(statement), values)


@asynccontextmanager
async def at_work(services: Services, namespace: str, retention: timedelta) -> AsyncIterator[Place]:
    name = f"archive_{secrets.token_hex(4)}"
    url = await services.postgres.create_database(name)
    await migrate(url)
    client = await connect(services.settings(temporal_namespace=namespace), lazy=False)
    await prepare_namespace(client, retention)
    place = Place(services, name, url, client)
    async with worker_process.running(client, place.settings):
        yield place
    await place.owner.close()


@pytest.fixture(scope="module")
async def place(services: Services) -> AsyncIterator[Place]:
    async with at_work(services, "archive", timedelta(days=3)) as made:
        yield made


@dataclass(frozen=True)
class Archived:
    """A whole life in several runs, and what Temporal told of it before and after it ended, when none was archived."""

    life: Carried
    on_the_way: list[WorkflowHistory]
    live: list[WorkflowHistory]
    swept: Swept


@pytest.fixture(scope="module")
async def closed(place: Place) -> Archived:
    life = await place.life(24).begin()
    await life.carry_to(Stage.ACTIVE)
    await place.sweep()
    assert await place.archived(life) == []  # it has not ended
    on_the_way = await place.runs(life)
    await life.carry_to(Stage.CLOSED)
    await life.handle.result()
    live = await place.runs(life)
    return Archived(life, on_the_way, live, await place.sweep())


def told(runs: list[WorkflowHistory]) -> list[dict[str, Any]]:
    return [one.model_dump(mode="json") for run in runs for one in history.sentences(run)]


async def test_every_run_is_archived_when_it_has_ended_and_once(place: Place, closed: Archived) -> None:
    runs, kept = closed.live, await place.archived(closed.life)
    assert len(runs) >= 3
    assert closed.swept == Swept(archived=len(runs))
    assert [one.run.run_id for one in kept] == [one.run_id for one in runs]
    assert [one.run.status for one in kept] == [*["continued_as_new"] * (len(runs) - 1), "completed"]
    assert [one.run.continued_to for one in kept] == [one.run_id for one in runs[1:]] + [None]
    assert {one.run.builds for one in kept} == {(build_id(),)}
    assert [one.run.events for one in kept] == [len(one.events) for one in runs]
    assert await place.sweep() == Swept(archived=0)
    assert await place.sweep(complete=True) == Swept(archived=0)


async def test_a_live_history_and_an_archived_one_cannot_be_told_apart(
    place: Place, closed: Archived
) -> None:
    before = closed.on_the_way[0].events
    assert closed.live[0].events[: len(before)] == before
    archived = await place.runs(closed.life)
    assert history.as_temporal_json(archived) == history.as_temporal_json(closed.live)
    assert told(archived) == told(closed.live)
    assert [list(one.events) for one in archived] == [list(one.events) for one in closed.live]


async def test_nothing_of_an_archived_history_can_be_read_in_the_database(
    place: Place, closed: Archived
) -> None:
    kept = await place.archived(closed.life)
    content = b"".join(one.content or b"" for one in kept)
    for plain in (closed.life.id, closed.life.applicant.person, "sign_off", "eventId", "payloads"):
        assert plain.encode() not in content
    sealed = archive.Reading(place.codec.ring)
    assert closed.life.applicant.person in "".join(
        part.data.decode(errors="replace")
        for one in kept
        for event in sealed.history(one).events
        for part in event.workflow_execution_started_event_attributes.input.payloads
    )


async def test_the_histories_of_a_life_agree_with_its_trail_and_replay_to_it(
    place: Place, closed: Archived
) -> None:
    found = await place.verified(replay=True, over_since=LATER)
    assert found.faults == []
    assert found.histories >= 3
    assert found.unread == 0


async def test_a_run_that_was_reset_is_archived_and_the_one_in_its_place_follows_it(place: Place) -> None:
    life = await place.life().begin()
    await life.all_sign()
    await life.reached(Stage.DECISION)
    before = await reset(place.client, life.handle.id)
    await place.sweep()
    (kept,) = await place.archived(life)
    assert (kept.run.run_id, kept.run.status) == (before, "terminated")
    runs = await place.runs(life)
    assert len(runs) == 2  # the second one, too, says that it began as the first
    assert (await place.verified(replay=True)).faults == []
    await life.withdraw()
    await life.handle.result()
    assert await place.sweep(complete=True) == Swept(archived=1)
    last = (await place.archived(life))[-1].run
    assert (last.run_id, last.status) == ((await life.handle.describe()).run_id, "completed")
    archived = await place.runs(life)
    assert archived[1].events[: len(runs[1].events)] == runs[1].events
    assert (await place.verified(replay=True, over_since=LATER)).faults == []


async def test_a_run_that_temporal_does_not_list_is_found_by_asking_for_it(place: Place) -> None:
    life = await place.life().begin()
    await life.all_sign(Response.RETURN)
    await life.withdraw()
    await life.handle.result()
    swept = await place.sweep(complete=True)
    assert swept.missing == ()
    (kept,) = await place.archived(life)
    assert (kept.run.status, kept.run.continued_from) == ("completed", None)


async def test_a_run_that_something_is_wrong_with_holds_up_no_other(place: Place) -> None:
    lives = [await place.life().begin() for _ in range(2)]
    for life in lives:
        await life.withdraw()
        await life.handle.result()
        await listed_as_closed(place, life)
    bad, good = [(await life.handle.describe()).run_id for life in lives]
    press = archive.Press(place.codec)

    def pack(history: WorkflowHistory, run: str) -> Packed:
        if run == bad:
            raise ValueError("it cannot be told")
        return press.pack(history, run)

    archiving = Archiving(place.owner, place.client, place.agreement.id, pack)
    for complete in (False, True):
        swept = await ActivityEnvironment().run(
            archiving.archive_histories, Sweep(at=datetime.now(UTC), complete=complete)
        )
        assert swept.failed == (bad,)
        assert swept.missing == ()
        assert [one.run.run_id for one in await place.archived(lives[1])] == [good]
        assert await place.archived(lives[0]) == []
    assert await place.sweep() == Swept(archived=1)
    assert [one.run.run_id for one in await place.archived(lives[0])] == [bad]


async def test_what_ended_long_ago_is_left_to_the_complete_sweep(place: Place) -> None:
    life = await place.life().begin()
    await life.withdraw()
    await life.handle.result()
    await listed_as_closed(place, life)
    archiving = Archiving(place.owner, place.client, place.agreement.id, archive.Press(place.codec).pack)
    much_later = datetime.now(UTC) + timedelta(days=4)

    async def swept(*, complete: bool) -> Swept:
        found: Swept = await ActivityEnvironment().run(
            archiving.archive_histories, Sweep(at=much_later, complete=complete)
        )
        return found

    await swept(complete=False)
    assert await place.archived(life) == []
    assert (await swept(complete=True)).failed == ()
    assert len(await place.archived(life)) == 1


# ---- after Temporal's retention


SHORT: Final = {
    "system.namespaceMinRetentionLocal": '"1s"',
    "history.retentionTimerJitterDuration": '"1ms"',
}


@pytest.fixture(scope="module")
async def forgetful(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """On a Temporal server that forgets a run ten seconds after it has ended."""
    async with (
        embedded_services(tmp_path_factory.mktemp("forgetful"), dynamic_config=SHORT) as services,
        at_work(services, "forgetful", timedelta(seconds=10)) as made,
    ):
        yield made


async def forgotten(life: Carried) -> None:
    """Wait until Temporal has nothing of it any more."""

    async def is_gone() -> bool:
        try:
            await life.handle.describe()
        except RPCError as error:
            return error.status is RPCStatusCode.NOT_FOUND
        return False

    await eventually(is_gone, seconds=60)


async def listed_as_closed(place: Place, life: Carried) -> None:
    """Wait until Temporal lists its last run among those that ended: a moment after it did."""
    last = (await life.handle.describe()).run_id

    async def is_listed() -> bool:
        found = place.client.list_workflows(
            f"WorkflowId = '{life.handle.id}' AND ExecutionStatus = 'Completed'"
        )
        return last in [one.run_id async for one in found]

    await eventually(is_listed)


async def test_what_temporal_has_forgotten_is_read_exported_and_replayed(forgetful: Place) -> None:
    life = await forgetful.life(24).begin()
    sweeping = asyncio.create_task(_sweep_on(forgetful))
    await life.carry_to(Stage.CLOSED)
    await life.handle.result()
    sweeping.cancel()
    await listed_as_closed(forgetful, life)
    await forgetful.sweep()
    assert await forgetful.sweep(complete=True) == Swept(archived=0)
    await forgotten(life)
    assert [one async for one in forgetful.client.list_workflows("WorkflowType = 'InitiativeWorkflow'")] == []

    runs = await forgetful.runs(life)
    assert len(runs) >= 3
    sentences = [one["sentence"] for one in told(runs)]
    assert (sentences[0], sentences[-1]) == ("The workflow began.", "The workflow ended: closed.")
    exported = json.loads(history.as_temporal_json(runs))
    again = [WorkflowHistory.from_json(life.handle.id, one) for one in exported["runs"]]
    found = await replaying.replayed(again)
    assert found.failures == {}
    trail = await life.trail()
    assert [found.entries[one.sequence] for one in trail] == list(trail)
    verified = await forgetful.verified(replay=True, over_since=LATER)
    assert verified.faults == []
    assert await forgetful.sweep(complete=True) == Swept(archived=0)


async def _sweep_on(place: Place) -> None:
    while True:
        await place.sweep()
        await asyncio.sleep(1)


async def test_a_run_that_was_forgotten_before_it_was_archived_is_named(forgetful: Place) -> None:
    life = await forgetful.life().begin()
    await life.withdraw()
    await life.handle.result()
    await forgotten(life)
    swept = await forgetful.sweep(complete=True)
    assert swept.missing == (life.id,)
    found = await forgetful.verified(over_since=LATER)
    named = {(one.trail, one.problem) for one in found.faults}
    assert named == {(life.id, "it is over, and its history is not archived")}
    # What was over a moment ago may wait for the next sweep.
    assert (await forgetful.verified(over_since=datetime.now(UTC) - timedelta(days=1))).faults == []
