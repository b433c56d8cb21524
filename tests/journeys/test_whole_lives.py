"""Every shipped example from proposal to closure, through two returns, as its people would carry it."""

from __future__ import annotations

import pytest
from temporalio.testing import TimeSkipper

from countersign.domain.audit import AuditEntry, chain_faults
from countersign.runtime.embedded.services import Services
from countersign.store.session import Database
from tests.audit.whole import faults_of
from tests.journeys.journey import Journey, asked_for
from tests.people import Office, example

EXAMPLES = (
    "supercomputer-allocation",
    "water-loss-detection",
    "doctoral-exchange-school",
    "low-resource-language-models",
)


@pytest.mark.parametrize("name", EXAMPLES)
async def test_an_example_goes_from_proposal_through_two_returns_to_closure(
    name: str, office: Office, services: Services, skipper: TimeSkipper, database: Database
) -> None:
    journey = Journey(office, services, skipper, example(name))
    await journey.submit()
    await journey.clear()
    await journey.returned_and_revised(("return", "approve"), "One side's change.")
    await journey.clear()
    await journey.returned_and_revised(("approve", "return"), "The other side's change.")
    await journey.clear()
    await journey.approve_and_sign()
    await journey.pay(1)
    reports = await journey.reports()
    milestones = len(journey.proposal.get("milestones", ()))
    assert len(reports) == -(-journey.proposal["duration_months"] // 6) + milestones
    released = {one["report"]: one["number"] for one in await journey.tranches()}
    for report in reports:
        await journey.report(report["number"])
        if report["number"] in released:
            await journey.pay(released[report["number"]])
    await journey.close()

    assert await journey.paid() == asked_for(example(name))
    entries = await office.trail(journey.id)
    assert [(one["action"], one["actor"]) for one in entries] == journey.expected
    assert [one["sequence"] for one in entries] == list(range(1, len(entries) + 1))
    assert chain_faults(AuditEntry.model_validate(one) for one in entries) == []
    assert await faults_of(database, journey.id) == []
    view = await office.get(journey.lead, f"/v1/initiatives/{journey.id}")
    assert view["stage"] == "closed"
    assert view["waiting"] == []
    assert [one["number"] for one in view["versions"]] == [1, 2, 3]
    assert view["versions"][1]["changed"] == ["summary.en"]
    ended = await journey.handle.result()
    assert ended["head"] == entries[-1]["hash"]
