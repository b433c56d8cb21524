"""A part that is away: everything that needs it waits visibly, everything else goes on."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from temporalio.client import WorkflowHistory

from countersign import worker
from countersign.domain import audit
from countersign.domain.audit import AuditEntry
from countersign.domain.funding import BankOutcome, PaymentState
from countersign.domain.ledger import ledger_of
from countersign.domain.matter import Outcome
from countersign.domain.projection import Task, Waiting
from countersign.domain.stage import Stage
from countersign.runtime.embedded.services import Services
from countersign.store import tables as t
from countersign.store.ledger import all_transactions
from countersign.store.session import Database, RecordAway
from tests.domain.lives import two_sides
from tests.eventually import eventually
from tests.outbox import write_accounts
from tests.people import SIGNERS, Office, minimal_proposal
from tests.workflows.carrying import Carried, in_force

pytestmark = [pytest.mark.services, pytest.mark.faults]


async def test_a_position_waits_for_its_directorates_worker_and_the_other_side_goes_on(
    apart: Services, apart_database: Database
) -> None:
    _, proposal = two_sides()
    settings = apart.settings(task_queue="unsigned", directorates=["il"])
    async with worker.running(apart.client, settings):
        agreement = in_force(settings)
        life = await Carried(apart.client, apart_database, agreement, proposal, queue="unsigned").begin()
        await life.reached(Stage.ELIGIBILITY)

        # The one whose worker is away signs first; its position is in, and waits for its key.
        await life.side_signs("az", matter=1)
        await asyncio.sleep(1)
        (waiting,) = [one for one in await life.waiting() if one.directorate == "az"]
        position = (await life.matter(1)).positions["az"]
        assert waiting == Waiting(task=Task.COUNTERSIGN, number=1, directorate="az", since=position.at)

        # The other side signs, and is countersigned with its own key; only the outcome waits.
        await life.side_signs("il", matter=1)
        matter = await life.countersigned(1, "il")
        assert (set(matter.positions), set(matter.countersigned)) == ({"il", "az"}, {"il"})
        await asyncio.sleep(1)
        assert await life.waiting() == [waiting]
        assert (await life.matter(1)).is_open
        assert not any(entry.action == "matter.decided" for entry in await life.trail())
        assert await life.stage() is Stage.ELIGIBILITY

        # Nothing waits in line behind it: another initiative gets as far, and messages are answered.
        other = await Carried(apart.client, apart_database, agreement, proposal, queue="unsigned").begin()
        await other.reached(Stage.ELIGIBILITY)
        await other.side_signs("il", matter=1)
        await other.countersigned(1, "il")
        assert (await other.withdraw()).status == "counted"
        await other.reached(Stage.WITHDRAWN)

        side = apart.settings(task_queue="unsigned", directorates=["az"], serve_initiatives=False)
        async with worker.running(apart.client, side):
            decided = await life.decided(1)
            await life.reached(Stage.DECISION)
    assert decided.outcome is Outcome.APPROVED
    assert set(decided.countersigned) == {"il", "az"}
    signed = [
        entry.body["directorate"] for entry in await life.trail() if entry.action == "matter.countersigned"
    ]
    assert signed == ["il", "az"]
    assert audit.chain_faults(await life.trail()) == []


async def test_a_position_waits_for_a_key_that_is_not_there_yet(
    apart: Services, apart_database: Database, tmp_path: Path
) -> None:
    """A worker that serves a side without its key: the position waits until somebody puts it there."""
    _, proposal = two_sides()
    shutil.copy(apart.home.keys / "il.jwk.json", tmp_path)
    settings = apart.settings(task_queue="keyless", signing_keys=tmp_path)
    async with worker.running(apart.client, settings):
        life = Carried(apart.client, apart_database, in_force(settings), proposal, queue="keyless")
        await life.begin()
        await life.reached(Stage.ELIGIBILITY)
        for side in ("il", "az"):
            await life.side_signs(side, matter=1)
        await life.countersigned(1, "il")
        await asyncio.sleep(1)
        assert [(one.task, one.directorate) for one in await life.waiting()] == [(Task.COUNTERSIGN, "az")]
        shutil.copy(apart.home.keys / "az.jwk.json", tmp_path)
        assert (await life.decided(1)).outcome is Outcome.APPROVED


async def test_one_sides_part_of_a_tranche_waits_for_its_worker_and_nothing_else_does(
    apart: Services, apart_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, proposal = two_sides()
    settings = apart.settings(task_queue="absent", directorates=["il"])
    side = apart.settings(task_queue="absent", directorates=["az"], serve_initiatives=False)
    agreement = in_force(settings)
    async with worker.running(apart.client, settings):
        life, other = (
            Carried(apart.client, apart_database, agreement, proposal, queue="absent") for _ in range(2)
        )
        await life.begin()
        await life.reached(Stage.ELIGIBILITY)
        async with worker.running(apart.client, side):  # until every position is countersigned
            await life.carry_to(Stage.ACTIVE)
        while due := [one for one in await life.waiting() if one.task is Task.AUTHORISE]:
            await life.do(due[0])
        il = await life.bank_told(1, "il")
        assert (await life.share(1, "az")).state is PaymentState.AUTHORISED
        waiting = [(one.task, one.directorate, one.office) for one in await life.waiting() if one.number == 1]
        assert (Task.INSTRUCT, "az", None) in waiting
        assert (Task.CONFIRM, "il", "finance_officer") in waiting

        # It is confirmed and its bank's word counts, each in a run of its own: no run is held up by who is away.
        with monkeypatch.context() as short:
            short.setattr("countersign.workflows.initiative.MESSAGES_PER_RUN", 1)
            await life.do(next(one for one in await life.waiting() if one.task is Task.CONFIRM))
            for payment in il:
                await life.bank_says(1, "il", BankOutcome.BOOKED, payment)
            assert len(await eventually(partial(runs_beyond, life, 1 + len(il)))) == 2 + len(il)
        assert (await life.share(1, "il")).state is PaymentState.SETTLED

        # The other initiatives go on as far as they do not need that worker, and so does the rest of this one.
        await other.begin()
        await other.reached(Stage.ELIGIBILITY)
        for directorate in ("il", "az"):
            await other.side_signs(directorate, matter=1)
        await other.countersigned(1, "il")
        answer = await life.withdraw()
        assert (answer.status, answer.code) == ("refused", "stage_closed")

        async with worker.running(apart.client, side):
            await life.bank_told(1, "az")
            await other.carry_to(Stage.ACTIVE)
            while (one := await life.next()).task is not Task.REPORT:
                await life.do(one)
    entries = await life.trail()
    instructed = [
        list(entry.body["instructions"]) for entry in entries if entry.action == "tranche.instructed"
    ]
    assert instructed == [["il"], ["az"]]
    assert [entry.body["directorate"] for entry in entries if entry.action == "tranche.paid"] == ["il", "az"]
    rows = await on_record(apart_database, life.id)
    told = [one for side in ("il", "az") for one in (await life.share(1, side)).instructions]
    assert sorted(rows) == sorted(one.end_to_end_id for one in told)
    ledger = tuple([one async for one in all_transactions(apart_database, life.id)])
    assert ledger == ledger_of(entries)


async def runs_beyond(life: Carried, number: int) -> list[WorkflowHistory] | None:
    """The runs of a life, once there are more than so many."""
    found = await life.histories()
    return found if len(found) > number else None


async def on_record(database: Database, initiative: str) -> list[str]:
    """The end-to-end ids that banks were told of."""
    p = t.payment_instruction.c
    async with database.reading() as connection:
        found = await connection.scalars(select(p.end_to_end_id).where(p.initiative_id == initiative))
        return list(found.all())


async def test_a_side_that_is_away_holds_up_neither_another_tranche_nor_what_is_tried_again(
    apart: Services, apart_database: Database
) -> None:
    _, proposal = two_sides()
    settings = apart.settings(task_queue="retried", directorates=["il"])
    side = apart.settings(task_queue="retried", directorates=["az"], serve_initiatives=False)
    async with worker.running(apart.client, settings):
        life = Carried(apart.client, apart_database, in_force(settings), proposal, queue="retried")
        await life.begin()
        await life.reached(Stage.ELIGIBILITY)
        async with worker.running(apart.client, side):
            await life.carry_to(Stage.ACTIVE)
        while due := [one for one in await life.waiting() if one.task is Task.AUTHORISE]:
            await life.do(due[0])
        (first, *_) = await life.bank_told(1, "il")
        await life.bank_says(1, "il", BankOutcome.RETURNED, first)
        again = next(one for one in await life.waiting() if one.task is Task.AUTHORISE)
        assert again.directorate == "il"
        await life.do(again)

        async def tried_again() -> bool:
            return (await life.share(1, "il")).instructions[-1].replaces == first.end_to_end_id

        await eventually(tried_again)
        assert (await life.share(1, "az")).state is PaymentState.AUTHORISED
        async with worker.running(apart.client, side):
            await life.bank_told(1, "az")


async def test_a_payment_waits_for_an_account_that_is_missing_and_goes_out_once_it_is_there(
    apart: Services, apart_database: Database, tmp_path: Path
) -> None:
    _, proposal = two_sides()
    settings = apart.settings(
        task_queue="accountless", signing_keys=tmp_path, payment_outbox=tmp_path / "outbox"
    )
    for side in ("il", "az"):
        shutil.copy(apart.home.keys / f"{side}.jwk.json", tmp_path)

    def files(side: str) -> list[Path]:
        return sorted((tmp_path / "outbox" / side).glob("*.xml"))

    async with worker.running(apart.client, settings):
        life = Carried(apart.client, apart_database, in_force(settings), proposal, queue="accountless")
        await life.begin()
        await life.carry_to(Stage.ACTIVE)
        partner = {one.directorate: one.id for one in proposal.partners}
        reference = life.beginning.reference
        write_accounts(tmp_path, "il", reference, (partner["il"],))
        while due := [one for one in await life.waiting() if one.task is Task.AUTHORISE]:
            await life.do(due[0])
        await asyncio.sleep(1)
        waiting = [(one.task, one.directorate) for one in await life.waiting() if one.number == 1]
        assert (Task.INSTRUCT, "az") in waiting
        assert (len(files("il")), files("az")) == (1, [])
        assert (await life.share(1, "il")).state is PaymentState.INSTRUCTED
        assert (await life.share(1, "az")).state is PaymentState.AUTHORISED

        write_accounts(tmp_path, "az", reference, (partner["az"],))
        told = {side: await life.bank_told(1, side) for side in ("il", "az")}
        for side in ("il", "az"):
            (file,) = files(side)
            text = file.read_text()
            assert all(text.count(one.end_to_end_id) == 1 for one in told[side])


async def test_a_record_that_starts_or_shuts_down_is_away_and_not_broken() -> None:
    """PostgreSQL says so itself (SQLSTATE 57P03) to whoever connects in that moment."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(4))
        if await reader.readexactly(size - 4) == (80877103).to_bytes(4):  # whether we speak TLS
            writer.write(b"N")
            await reader.readexactly(int.from_bytes(await reader.readexactly(4)) - 4)
        said = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is shutting down\0\0"
        writer.write(b"E" + (len(said) + 4).to_bytes(4) + said)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        database = Database(f"postgresql+asyncpg://somebody@127.0.0.1:{port}/countersign")
        for opened in (database.transaction, database.reading):
            with pytest.raises(RecordAway):
                async with opened():
                    pass
        assert not await database.is_ready()
        await database.close()


async def test_sign_offs_sent_while_the_record_is_away_are_answered_or_can_be_sent_again(
    services: Services, office: Office
) -> None:
    submitted = await office.submit(minimal_proposal())
    initiative = submitted["id"]
    matter = await office.open_matter(initiative)
    ids = {who: str(uuid.uuid4()) for who in SIGNERS["clearance"]}

    async def sign(who: str, process: int) -> int:
        answer = await office.sign(who, initiative, matter=matter, id=ids[who], process=process)
        if answer.status_code == 503:
            assert answer.json()["code"] == "unavailable"
        return answer.status_code

    await services.postgres.stop()
    try:
        first = await asyncio.gather(*(sign(who, n) for n, who in enumerate(ids)))
        assert set(first) == {503}
        ready = await office.call(None, "GET", "/health/ready")
        live = await office.call(None, "GET", "/health/live")
        assert (ready.status_code, live.status_code) == (503, 200)
    finally:
        await services.postgres.start()

    async def signed() -> bool:
        again = await asyncio.gather(*(sign(who, n) for n, who in enumerate(ids)))
        assert set(again) <= {200, 503}
        return set(again) == {200}

    await eventually(signed)

    async def decided() -> bool:
        return await office.stage(initiative) == "decision"

    await eventually(decided)
    await _each_once(await office.trail(initiative), list(ids.values()))


async def test_sign_offs_under_way_when_the_record_goes_away_are_delayed_and_not_lost(
    services: Services, office: Office
) -> None:
    """Taken by the workflow before the record went: the step is tried until the record is there again."""
    submitted = [await office.submit(minimal_proposal()) for _ in range(4)]
    matters = [await office.open_matter(one["id"]) for one in submitted]
    ids = {(n, who): str(uuid.uuid4()) for n in range(4) for who in SIGNERS["clearance"]}

    async def sign(n: int, who: str, *, by_signal: bool) -> int:
        headers = {"Prefer": "respond-async"} if by_signal else None
        answer = await office.sign(
            who, submitted[n]["id"], matter=matters[n], id=ids[n, who], process=n % 2, headers=headers
        )
        return answer.status_code

    sending = [asyncio.create_task(sign(n, who, by_signal=bool(n % 2))) for n, who in ids]
    await asyncio.sleep(0.02)
    await services.postgres.stop()
    await asyncio.sleep(1)
    await services.postgres.start()
    statuses = dict(zip(ids, await asyncio.gather(*sending), strict=True))
    assert set(statuses.values()) <= {200, 202, 503}
    for n, who in ids:
        if statuses[n, who] == 503:

            async def again(n: int = n, who: str = who) -> bool:
                return await sign(n, who, by_signal=False) == 200

            await eventually(again)
    for n, one in enumerate(submitted):

        async def decided(initiative: str = one["id"]) -> bool:
            return await office.stage(initiative) == "decision"

        await eventually(decided, seconds=40)
        await _each_once(await office.trail(one["id"]), [i for (m, _), i in ids.items() if m == n])


async def _each_once(trail: list[dict[str, Any]], ids: list[str]) -> None:
    messages = [entry["message"] for entry in trail if entry.get("message")]
    assert sorted(messages) == sorted(ids)
    entries = [AuditEntry.model_validate(entry) for entry in trail]
    assert audit.chain_faults(entries) == []


async def test_the_message_that_ended_an_initiative_gets_the_same_answer_again(office: Office) -> None:
    """Its answer may be the one that got lost; the sender cannot know, and sends it again."""
    submitted = await office.submit(minimal_proposal())
    path, body = f"/v1/initiatives/{submitted['id']}/withdrawal", {"reasons": "We thought again."}
    key = str(uuid.uuid4())
    first = await office.call("il-lead", "POST", path, body=body, key=key)
    assert first.status_code == 200, first.text

    async def over() -> bool:
        return await office.stage(submitted["id"]) == "withdrawn"

    await eventually(over)
    await asyncio.sleep(0.5)
    again = await office.call("il-lead", "POST", path, body=body, key=key)
    assert (again.status_code, again.json()) == (first.status_code, first.json())
