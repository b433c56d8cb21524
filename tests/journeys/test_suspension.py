"""Initiatives that are suspended, and what becomes of them: reports that come too late, resumption, and none."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from temporalio.testing import TimeSkipper

from countersign.cli.rehearsal import report_of
from countersign.domain.canonical import content_hash
from countersign.domain.proposal import Proposal
from countersign.runtime.embedded.services import Services
from tests.eventually import eventually
from tests.journeys.journey import Journey
from tests.journeys.test_ending import post, refused, standing
from tests.people import Office, minimal_proposal

pytestmark = pytest.mark.services

DAY = timedelta(days=1)


@pytest.fixture
async def journey(office: Office, services: Services, skipper: TimeSkipper) -> Journey:
    """An active initiative whose first tranche both sides have paid."""
    made = Journey(office, services, skipper, minimal_proposal())
    await made.submit()
    await made.clear()
    await made.approve_and_sign()
    await made.pay(1)
    return made


async def due_at(journey: Journey, number: int) -> datetime:
    return datetime.fromisoformat((await journey.reports())[number - 1]["due_at"])


async def told_of(journey: Journey, *actions: str) -> list[dict[str, Any]]:
    return [one for one in await journey.office.trail(journey.id) if one["action"] in actions]


async def submit_report(journey: Journey, number: int) -> None:
    """The applicants hand in what they planned to spend in a period."""
    count = len(await journey.reports())
    body = report_of(Proposal.model_validate(journey.proposal), number, count).document_form()
    await post(journey, journey.lead, f"reports/{number}", body)


async def test_reports_that_come_too_late_suspend_it_until_both_sides_resume_it_and_it_is_closed(
    journey: Journey,
) -> None:
    due = await due_at(journey, 1)
    await journey.skip_to(due + 61 * DAY)
    await journey.reach("suspended")
    told = await told_of(journey, "report.reminded", "report.overdue", "report.escalated")
    assert [(one["action"], one["body"].get("days")) for one in told] == [
        ("report.reminded", -14),
        ("report.reminded", -3),
        ("report.overdue", None),
        ("report.reminded", 7),
        ("report.escalated", None),
        ("report.reminded", 30),
    ]
    days = [-14, -3, 0, 7, 14, 30]
    for one, at in zip(told, days, strict=True):
        assert timedelta(0) <= datetime.fromisoformat(one["at"]) - (due + at * DAY) < timedelta(minutes=5)
    here = await journey.office.get("az-auditor", f"/v1/initiatives/{journey.id}")
    assert here["stage_reason"] == "report 1 is more than 60 days late"
    assert {one["task"] for one in here["waiting"]} == {"report", "report_late", "suspended"}

    # The report comes at last; its acceptance makes a tranche due that nobody can let go, and asks both sides.
    await submit_report(journey, 1)
    await journey.decide("report")
    asked = await journey.matter("resumption")
    assert await refused(journey, "il-finance-1", "tranches/2/il/authorisation") == (409, "stage_closed")
    path = f"/v1/initiatives/{journey.id}/matters/{asked['number']}"
    subject = (await journey.office.get("az-deputy", path))["subject"]
    assert content_hash(subject) == asked["content_hash"]
    assert (subject["suspended"]["report"], subject["reports"][0]["state"]) == (1, "accepted")
    await journey.decide("resumption")
    await journey.reach("active")

    await journey.pay(2)
    await journey.carry_out_after(1)


async def test_a_resumption_that_one_side_refuses_ends_it_and_what_was_not_spent_comes_back(
    journey: Journey,
) -> None:
    why = {"reasons": "The lab has lost its licence."}
    assert await refused(journey, "az-officer", "suspension", why) == (409, "not_your_office")
    soon = why | {"notice_days": 3}
    assert await refused(journey, "az-deputy", "suspension", soon) == (422, "invalid")
    await post(journey, "az-deputy", "suspension", why)
    here = await journey.office.get("il-head", f"/v1/initiatives/{journey.id}")
    (began,) = {one["deadline"] for one in here["waiting"] if one["task"] == "suspending"}

    # It is taken back, and announced once more.
    key = {"Idempotency-Key": str(uuid.uuid4())}
    path = f"/v1/initiatives/{journey.id}/suspension"
    for who, status in (("il-head", 409), ("az-deputy", 200), ("az-deputy", 200)):
        answer = await journey.office.call(who, "DELETE", path, headers=key)
        assert answer.status_code == status, answer.text
    await journey.skip_to(datetime.fromisoformat(began) + DAY)
    assert await journey.office.stage(journey.id) == "active"
    await post(journey, "az-deputy", "suspension", why)
    now = await journey.skipper.get_current_time(journey.handle)
    await journey.skip_to(now + 15 * DAY)
    await journey.reach("suspended")

    # Asked once it is returned, and asked again it is refused by one side.
    assert await refused(journey, "il-finance-1", "resumption", why) == (409, "not_your_office")
    await post(journey, journey.lead, "resumption", {"reasons": "It has another one."})
    assert await refused(journey, "il-head", "resumption", why) == (409, "out_of_order")
    await journey.decide("resumption", ("return", "approve"))
    assert await journey.office.stage(journey.id) == "suspended"
    await post(journey, "il-head", "resumption", {"reasons": "See the licence."})
    await journey.decide("resumption", ("approve", "refuse"))
    await journey.reach("terminated")

    # What was spent up to that day is still reported, once, and only the rest is claimed back.
    async def cut() -> bool:
        return bool((await journey.reports())[0]["cut_short"])

    await eventually(cut)
    await submit_report(journey, 1)
    await journey.decide("report")
    await journey.no_complaint_comes()
    claimed = await journey.office.recovery(journey.id)
    number = claimed["number"]
    for side in claimed["shares"]:
        paid = await standing(journey, side)
        assert paid["accepted"] > 0
        assert claimed["shares"][side]["amounts"][0]["minor"] == paid["unspent"] > 0
        await post(journey, f"{side}-finance-1", f"tranches/{number}/{side}/authorisation")
        await journey.office.until_share(journey.id, number, side, "instructed")
        await post(journey, f"{side}-finance-2", f"tranches/{number}/{side}/confirmation")
    await journey.reach_end("terminated")
