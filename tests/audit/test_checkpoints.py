"""Checkpoints on the real servers: made by a workflow, signed by every side, but not over a rewritten past."""

from __future__ import annotations

import base64
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from temporalio.client import Client, ScheduleHandle
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError
from temporalio.testing import ActivityEnvironment

from countersign import worker as worker_process
from countersign.activities.checkpoints import LATEST, Checkpoints, Cosigning, CosigningOrder, SignedLine
from countersign.activities.notes import signed_by
from countersign.activities.signing import Signing
from countersign.domain import merkle
from countersign.domain.agreement import ProgrammeAgreement
from countersign.domain.checkpoint import origin_of, read_note
from countersign.runtime.embedded.services import Services
from countersign.runtime.migrate import migrate
from countersign.runtime.temporal import connect, prepare_namespace, schedule_audit
from countersign.store import books, log
from countersign.store.roles import WORKER
from countersign.store.session import Database
from countersign.workflows.checkpoints import CHECKPOINTS, CheckpointMade, CheckpointWorkflow
from tests.eventually import eventually
from tests.store.making import new_id
from tests.workflows.carrying import in_force

pytestmark = pytest.mark.services

NAMESPACE = "checkpoints"
"""Of these tests alone: in another one somebody else serves the sides' queues."""

NOW = datetime(2027, 3, 1, tzinfo=UTC)


class Place:
    """A record of its own, its workers' settings, and the checkpoints that the sides keep."""

    def __init__(self, services: Services, client: Client, name: str, url: str, checkpoints: Path) -> None:
        self.client, self.checkpoints = client, checkpoints
        self.owner = Database(url, pool_size=2)
        self.database = Database(services.postgres.url(name, role=WORKER), pool_size=4)
        self.settings = services.settings(
            database_url=services.postgres.url(name, role=WORKER),
            temporal_namespace=NAMESPACE,
            task_queue=name,
            checkpoints=checkpoints,
        )
        self.agreement: ProgrammeAgreement = in_force(self.settings)

    async def record(self, number: int) -> str:
        book = new_id()
        async with self.database.transaction() as connection:
            for _ in range(number):
                await books.append(
                    connection, book, "test.happened", "system", NOW, {"a": secrets.token_hex(3)}
                )
        return book

    async def made(self) -> log.Made | None:
        async with self.database.reading() as connection:
            return await log.checkpoint(connection)

    def latest(self, side: str) -> Any:
        return read_note((self.checkpoints / side / LATEST).read_text(encoding="utf-8"))

    @property
    def makers(self) -> Checkpoints:
        return Checkpoints(self.database, self.agreement)

    def signers(self, checkpoints: Path | None = None) -> Cosigning:
        served = self.agreement.directorate_ids
        return Cosigning(Signing(self.settings.signing_keys, served), checkpoints or self.checkpoints)

    async def sign(self, order: CosigningOrder) -> Any:
        return await ActivityEnvironment().run(self.signers().cosign_checkpoint, order)

    async def orders(self) -> dict[str, CosigningOrder]:
        due = await ActivityEnvironment().run(self.makers.make_checkpoint, NOW)
        assert due is not None
        return {one.directorate: one for one in due.orders}


@pytest.fixture(scope="module")
async def client(services: Services) -> Client:
    """A client of that namespace."""
    made = await connect(services.settings(temporal_namespace=NAMESPACE), lazy=False)
    await prepare_namespace(made)
    return made


@pytest.fixture
async def place(services: Services, client: Client, tmp_path: Path) -> AsyncIterator[Place]:
    name = f"checkpoints_{secrets.token_hex(4)}"
    url = await services.postgres.create_database(name)
    await migrate(url)
    made = Place(services, client, name, url, tmp_path / "checkpoints")
    yield made
    await made.owner.close()
    await made.database.close()


@asynccontextmanager
async def workers(place: Place, directorates: list[str] | None = None) -> AsyncIterator[None]:
    """Workers on a client of their own."""
    client = await connect(place.settings, lazy=False)
    settings = place.settings.model_copy(update={"directorates": directorates})
    async with worker_process.running(client, settings):
        yield


async def run(place: Place) -> CheckpointMade | None:
    found: CheckpointMade | None = await place.client.execute_workflow(
        CheckpointWorkflow.run, id=f"checkpoint-{new_id()}", task_queue=place.settings.task_queue
    )
    return found


async def test_every_side_signs_what_was_recorded_and_keeps_it_for_its_audit_office(place: Place) -> None:
    async with workers(place):
        assert await run(place) is None or (await place.made()) is not None
        first_book = await place.record(5)
        made = await run(place)
        assert made is not None
        assert (set(made.signed), made.refused) == (set(place.agreement.directorate_ids), {})
        first = await place.made()
        assert first is not None
        assert first.signed.checkpoint.origin == origin_of(place.agreement.id)
        assert signed_by(first.signed, place.agreement.signing_key) == (
            frozenset(place.agreement.directorate_ids),
            [],
        )

        await place.record(300)
        again = await run(place)
        assert again is not None
        assert again.size == made.size + 300
        for side in place.agreement.directorate_ids:
            assert place.latest(side).checkpoint.size == again.size
            kept = place.checkpoints / side / f"{made.size:012d}.checkpoint"
            assert read_note(kept.read_text(encoding="utf-8")).checkpoint == first.signed.checkpoint
        async with place.database.reading() as connection:
            index = await log.index_of(connection, first_book, 3)
            assert index is not None
            proof = await log.inclusion_proof(connection, index, again.size)
            leaf = await log.leaf_at(connection, index)
        last = await place.made()
        assert last is not None
        assert merkle.root_by_inclusion(leaf, index, again.size, proof) == last.signed.checkpoint.root
        # Nothing was recorded since: there is nothing to sign.
        assert (await run(place)) == CheckpointMade(size=again.size)


async def test_no_side_signs_over_a_past_that_was_rewritten(place: Place) -> None:
    await place.record(20)
    for side, order in (await place.orders()).items():
        assert (await place.sign(order)).line is not None, side
    async with place.owner.transaction() as connection:
        for table in ("audit_entry", "log_leaf", "log_tile", "log_checkpoint", "log_signature"):
            await connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))
        await connection.execute(
            text("UPDATE audit_entry SET hash = 'sha256:' || repeat('a', 64) WHERE position = 7")
        )
        await connection.execute(text("TRUNCATE log_leaf, log_tile, log_signature, log_checkpoint"))
    await place.record(5)
    for order in (await place.orders()).values():
        # The record knows of no signature any more; the side does.
        answer = await place.sign(order)
        assert (answer.line, answer.known) == (None, 20)
        shown = await ActivityEnvironment().run(
            place.makers.order_cosigning, order.directorate, order.size, answer.known
        )
        with pytest.raises(ApplicationError, match="does not begin with the one that it was") as refused:
            await place.sign(shown)
        assert (refused.value.type, refused.value.non_retryable) == ("inconsistent", True)
        assert place.latest(order.directorate).checkpoint.size == 20


async def test_no_side_signs_a_log_that_lost_its_end(place: Place) -> None:
    await place.record(20)
    for order in (await place.orders()).values():
        await place.sign(order)
    async with place.owner.transaction() as connection:
        for table in ("audit_entry", "log_leaf", "log_tile", "log_checkpoint", "log_signature"):
            await connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))
        await connection.execute(text("DELETE FROM audit_entry WHERE sequence > 15"))
        await connection.execute(text("TRUNCATE log_leaf, log_tile, log_signature, log_checkpoint"))
    for order in (await place.orders()).values():
        answer = await place.sign(order)
        with pytest.raises(ApplicationError, match="has signed a log of 20 entries, and this one has 15"):
            await ActivityEnvironment().run(
                place.makers.order_cosigning, order.directorate, order.size, answer.known
            )


async def test_a_workflow_tells_which_side_would_not_sign_and_the_others_sign(place: Place) -> None:
    await place.record(4)
    (il, *others) = place.agreement.directorate_ids
    other = place.checkpoints / il
    other.mkdir(parents=True)
    strange = (await place.orders())[il].checkpoint.text.replace(
        origin_of(place.agreement.id), "countersign/other"
    )
    (other / LATEST).write_text(f"{strange}\n— countersign/other/{il} AAAAAAAAAAAA\n", encoding="utf-8")
    async with workers(place):
        made = await run(place)
    assert made is not None
    assert set(made.signed) == set(others)
    assert "has signed countersign/other" in made.refused[il]


async def test_signing_again_gives_the_same_line_and_a_broken_file_none(place: Place) -> None:
    await place.record(3)
    order = next(iter((await place.orders()).values()))
    first = await place.sign(order)
    # As if the answer had been lost on its way.
    known = await place.sign(order)
    assert (known.line, known.known) == (None, 3)
    shown = await ActivityEnvironment().run(place.makers.order_cosigning, order.directorate, 3, 3)
    assert (await place.sign(shown)).line == first.line
    (place.checkpoints / order.directorate / LATEST).write_text("half a no", encoding="utf-8")
    with pytest.raises(ApplicationError, match="cannot be read") as refused:
        await place.sign(shown)
    assert not refused.value.non_retryable
    with pytest.raises(ApplicationError, match="COUNTERSIGN_CHECKPOINTS is not set"):
        await ActivityEnvironment().run(
            Cosigning(Signing(place.settings.signing_keys, [order.directorate]), None).cosign_checkpoint,
            shown,
        )


async def test_a_signature_that_is_not_that_sides_is_not_kept(place: Place) -> None:
    await place.record(3)
    orders = await place.orders()
    il, az = orders["il"], orders["az"]
    line = (await place.sign(il)).line
    assert line is not None
    altered = base64.b64encode(b"\0" * 68).decode()
    for side, wrong in (("az", line), ("il", f"— {line.split()[1]} {altered}\n")):
        with pytest.raises(ApplicationError, match="not that side's signature"):
            await ActivityEnvironment().run(
                place.makers.keep_cosignature, SignedLine(directorate=side, size=3, line=wrong, at=NOW)
            )
    assert await place.made() is None
    assert az.size == 3


async def test_a_schedule_has_them_made_as_often_as_is_set_and_by_none_when_that_is_never(
    place: Place,
) -> None:
    client = place.client
    handle = client.get_schedule_handle(CHECKPOINTS)
    try:
        for minutes in (60, 60, 5):
            await schedule_audit(client, place.settings.task_queue, checkpoints=minutes, archive=0)
            # Temporal takes a moment over what is updated.
            await eventually(partial(_every, handle, minutes))
        await place.record(3)
        async with workers(place, None):
            await schedule_audit(client, place.settings.task_queue, checkpoints=5, archive=0)
            await handle.trigger()

            async def signed() -> bool:
                made = await place.made()
                return made is not None and set(made.by) == set(place.agreement.directorate_ids)

            await eventually(signed)
    finally:
        await schedule_audit(client, place.settings.task_queue, checkpoints=0, archive=0)
    with pytest.raises(RPCError):
        await handle.describe()
    await schedule_audit(client, place.settings.task_queue, checkpoints=0, archive=0)


async def _every(handle: ScheduleHandle, minutes: int) -> bool:
    spec = (await handle.describe()).schedule.spec
    return [one.every for one in spec.intervals] == [timedelta(minutes=minutes)]
