"""A bank that answers directly, as the embedded default has one: booked when told, settled when confirmed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from countersign import worker
from countersign.activities.payments import AnsweringBank, PaymentOrder
from countersign.domain.funding import BankOutcome, PaymentState
from countersign.domain.ledger import faults, ledger_of
from countersign.domain.projection import Task
from countersign.domain.proposal import Proposal
from countersign.domain.stage import Stage
from countersign.runtime.embedded.services import Services
from countersign.runtime.temporal import connect
from countersign.store import ledger
from countersign.store.session import Database
from tests.eventually import eventually
from tests.people import minimal_proposal
from tests.workflows.carrying import Carried, in_force

pytestmark = pytest.mark.services


@pytest.fixture
async def life(services: Services, database: Database) -> AsyncIterator[Carried]:
    """An initiative whose worker has such a bank for every side."""
    settings = services.settings(task_queue="answering", bank="answering")
    client = await connect(settings, lazy=False)
    proposal = Proposal.model_validate(minimal_proposal(12))
    async with worker.running(client, settings):
        yield await Carried(client, database, in_force(settings), proposal, queue="answering").begin()


async def test_what_it_is_told_is_booked_at_once_and_settled_when_it_is_confirmed(
    life: Carried, database: Database
) -> None:
    await life.carry_to(Stage.ACTIVE)
    for _ in ("il", "az"):
        await life.do(await life.next())

    async def booked() -> bool:
        shares = (await life.state()).tranches[0].shares.values()
        return all(one.is_booked and one.state is PaymentState.INSTRUCTED for one in shares)

    await eventually(booked)
    entries = [entry for entry in await life.trail() if entry.action == "payment.booked"]
    assert [(one.actor, one.body["directorate"]) for one in entries] == [("system", "il"), ("system", "az")]
    assert all(one.body["bank_reference"] == f"BOOKED-{one.body['end_to_end_id']}" for one in entries)
    for _ in ("il", "az"):
        waits = await life.next()
        assert waits.task is Task.CONFIRM
        await life.do(waits)
    state = await life.state()
    assert {one.state for one in state.tranches[0].shares.values()} == {PaymentState.SETTLED}
    on_record = [one async for one in ledger.all_transactions(database, life.id)]
    assert tuple(on_record) == ledger_of(await life.trail())
    assert faults(await life.trail(), on_record) == []


async def test_asked_twice_it_answers_the_same_and_a_claim_it_only_puts_on_record(
    life: Carried, database: Database
) -> None:
    await life.carry_to(Stage.ACTIVE)
    for _ in ("il", "az"):
        await life.do(await life.next())

    async def instructed() -> bool:
        return bool((await life.state()).tranches[0].shares["il"].instructions)

    await eventually(instructed)
    state = await life.state()
    told = state.tranches[0].shares["il"].instructions
    assert {one.outcome for one in told} == {BankOutcome.BOOKED}
    order = PaymentOrder(
        initiative=life.id, tranche=1, directorate="il", instructions=told, at=(await life.trail())[0].instant
    )
    bank = AnsweringBank(database)
    first, again = await bank.instruct(order), await bank.instruct(order)
    assert first == again
    assert set(first.booked) == {one.end_to_end_id for one in told}
    assert (await bank.instruct(order.model_copy(update={"claim": True}))).booked == {}
