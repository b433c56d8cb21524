"""Three years with a report every month, ten amendments and three suspensions: runs stay short, nothing is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from countersign import worker
from countersign.domain import audit
from countersign.domain.amendment import AmendmentState
from countersign.domain.commands import AskResumption, Suspend
from countersign.domain.ledger import faults
from countersign.domain.projection import Task
from countersign.domain.proposal import Proposal
from countersign.domain.reporting import FINISHED
from countersign.domain.schedule import ReportKind
from countersign.domain.stage import Stage
from countersign.runtime.embedded.services import Services
from countersign.runtime.temporal import connect
from countersign.store import ledger
from countersign.store.session import Database
from tests.amendments import asking, joined, shifted
from tests.audit.whole import faults_of
from tests.domain.lives import holder
from tests.people import ROOT, minimal_proposal
from tests.workflows.carrying import Carried, in_force
from tests.workflows.test_replay import replayer

pytestmark = [pytest.mark.services, pytest.mark.slow]

MONTHS = 36
AMENDED = (2, 5, 8, 11, 14, 17, 20, 23, 26, 29)
SUSPENDED = (6, 18, 30)


async def test_three_years_of_monthly_reports_ten_amendments_and_three_suspensions(
    services: Services, database: Database, tmp_path: Path
) -> None:
    shipped = (ROOT / "agreements" / "il-az-ai.toml").read_text(encoding="utf-8")
    path = tmp_path / "agreement.toml"
    path.write_text(
        shipped.replace('id = "il-az-ai"', 'id = "long-life"')
        .replace("period_months = 6", "period_months = 1\nfinancial_every = 3")
        .replace("notice_days = 14", "notice_days = 0"),
        encoding="utf-8",
    )
    settings = services.settings(agreement=path, task_queue="long-life")
    agreement = in_force(settings)
    proposal = Proposal.model_validate(minimal_proposal(MONTHS) | {"agreement": "long-life"})
    client = await connect(settings, lazy=False)
    async with worker.running(client, settings):
        life = await Carried(client, database, agreement, proposal, queue="long-life").begin()
        await life.carry_to(Stage.ACTIVE)
        for month in range(1, MONTHS):
            if month in AMENDED:
                await amend(life, AMENDED.index(month) + 1)
            if month in SUSPENDED:
                await suspend_and_resume(life)
            await until_finished(life, month)
        await life.carry_to(Stage.CLOSED)
        await life.handle.result()
        histories = await life.histories()

    state = await life.state()
    assert len(state.reports) == MONTHS
    accounts = [one.number for one in state.reports if one.costs and any(one.costs.values())]
    assert accounts == [one.number for one in state.reports if one.kind is ReportKind.BOTH]
    assert accounts == list(range(3, MONTHS + 1, 3))
    assert {one.state for one in state.amendments} == {AmendmentState.MADE, AmendmentState.NOTIFIED}
    assert len(state.amendments) == len(AMENDED)
    entries = await life.trail()
    assert audit.chain_faults(entries) == []
    stages = [one.body["stage"] for one in entries if one.action == "stage.entered"]
    assert stages.count("suspended") == len(SUSPENDED)
    assert not [one.action for one in entries if one.action in ("report.overdue", "report.escalated")]
    on_record = [one async for one in ledger.all_transactions(database, life.id)]
    assert faults(entries, on_record) == []
    assert await faults_of(database, life.id) == []
    lengths = [len(one.events) for one in histories]
    assert max(lengths) < 1000, lengths  # of the 5,000 that would still be well
    assert len(lengths) >= MONTHS - 1
    for history in (histories[0], histories[17], histories[-1]):
        result = await replayer(converter=client.data_converter).replay_workflow(
            history, raise_on_replay_failure=False
        )
        assert result.replay_failure is None


async def amend(life: Carried, number: int) -> None:
    """The odd ones are a mere notice; of the others every side decides, while a message is under way."""
    body = life.proposal.document_form()
    if number % 2:
        await life.amend(shifted(body, "dugma", 100))
    else:
        await life.amend(joined(body, "zarf", "dugma", 1000) if number == 4 else asking(body, "dugma", 600))
        await life.approve_amendment()
    await life.amendment(number)


async def suspend_and_resume(life: Carried) -> None:
    """One side suspends it and the other asks to resume; the same message in flight twice has one answer."""
    il, az = (holder(side, life.agreement.terms().sides[side].head) for side in ("il", "az"))
    suspend = Suspend(id=life.message_id(), caller=il, reasons="The other partner is on strike.")
    first, again = await asyncio.gather(life.send(suspend), life.send(suspend))
    assert first == again
    assert first.status == "counted", first
    await life.reached(Stage.SUSPENDED)
    asked = AskResumption(id=life.message_id(), caller=az, reasons="The strike is over.")
    assert (await life.send(asked)).status == "counted"
    matter = (await life.state()).matters[-1]
    for side in matter.chains:
        await life.side_signs(side, matter=matter.number)
    await life.reached(Stage.ACTIVE)


async def until_finished(life: Carried, number: int) -> None:
    """Everybody does what they are waited for until a report is accepted and what it releases is paid."""
    while True:
        state = await life.state()
        report = state.report(number)
        assert report is not None
        if report.state in FINISHED and (await life.next()).task is Task.REPORT:
            return
        await life.do(await life.next())
