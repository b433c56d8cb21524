"""The ways in which an initiative does not go straight through."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from temporalio.testing import TimeSkipper

from countersign.runtime.embedded.services import Services
from tests.eventually import eventually
from tests.journeys.journey import Journey, asked_for
from tests.people import Office, minimal_proposal


@pytest.fixture
async def journey(office: Office, services: Services, skipper: TimeSkipper) -> Journey:
    """A small initiative that has been submitted."""
    made = Journey(office, services, skipper, minimal_proposal())
    await made.submit()
    return made


async def view(journey: Journey) -> dict[str, Any]:
    found: dict[str, Any] = await journey.office.get("il-auditor", f"/v1/initiatives/{journey.id}")
    return found


async def last_actions(journey: Journey, count: int) -> list[str]:
    return [one["action"] for one in (await journey.office.trail(journey.id))[-count:]]


async def test_one_refusal_ends_it_and_the_other_sides_position_is_on_record_all_the_same(
    journey: Journey,
) -> None:
    await journey.clear()
    matter = await journey.matter("proposal")
    refused = await journey.office.sign(
        "il-officer", journey.id, "refuse", matter=matter, reasons="no budget this year"
    )
    assert refused.status_code == 200
    assert (await view(journey))["stage"] == "decision"
    await journey.office.carry(journey.id, matter, "az")
    await journey.reach_end("not_approved")
    closed = await journey.office.get(
        "il-auditor", f"/v1/initiatives/{journey.id}/matters/{matter['number']}"
    )
    assert closed["outcome"] == "refused"
    assert closed["sides"]["az"]["position"] == "approve"
    assert (await view(journey))["stage_reason"] == "il: no budget this year"


async def test_a_proposal_that_breaks_the_automatic_conditions_is_ineligible_with_every_reason(
    office: Office, services: Services, skipper: TimeSkipper
) -> None:
    proposal = minimal_proposal(
        months=60, documents=[], declarations={"civil_use": False, "export_control": "none"}
    )
    proposal["partners"][1]["directorate"] = "il"
    proposal["budget"][1]["amount"]["unit"] = "ILS"
    journey = Journey(office, services, skipper, proposal)
    journey.id = (await office.submit(proposal))["id"]
    await journey.reach_end("ineligible")
    checked = next(one for one in await office.trail(journey.id) if one["action"] == "eligibility.checked")
    rules = [fault.split(":")[0] for fault in checked["body"]["faults"]]
    assert rules == ["consortium", "duration", "civil_use", "document", "document", "document"]


async def test_a_refused_clearance_makes_it_ineligible(journey: Journey) -> None:
    await journey.decide("clearance", ("approve", "refuse"))
    await journey.reach_end("ineligible")


async def test_an_applicant_withdraws_and_the_open_matter_is_void(journey: Journey) -> None:
    path = f"/v1/initiatives/{journey.id}/withdrawal"
    answer = await journey.office.call("il-lead", "POST", path, body={"reasons": "the lab moved"}, key="w1")
    again = await journey.office.call("il-lead", "POST", path, body={"reasons": "the lab moved"}, key="w1")
    assert answer.status_code == 200
    await journey.reach_end("withdrawn")
    assert await last_actions(journey, 3) == ["initiative.withdrawn", "matter.voided", "stage.entered"]
    assert again.status_code in (200, 409)  # 409 once the workflow is over: nothing more happens to it
    late = await journey.office.call("il-lead", "POST", path, body={"reasons": "again"})
    assert (late.status_code, late.json()["code"]) == (409, "stage_closed")


async def test_nobody_withdraws_what_is_active(journey: Journey) -> None:
    await journey.clear()
    await journey.approve_and_sign()
    path = f"/v1/initiatives/{journey.id}/withdrawal"
    answer = await journey.office.call("il-lead", "POST", path, body={"reasons": "too late"})
    assert (answer.status_code, answer.json()["code"]) == (409, "stage_closed")
    assert (await view(journey))["stage"] == "active"
    assert await last_actions(journey, 1) == ["message.refused"]


async def test_silence_is_never_consent_a_matter_lapses_after_deadline_and_grace(journey: Journey) -> None:
    await journey.clear()
    matter = await journey.matter("proposal")
    await journey.office.carry(journey.id, matter, "il")
    deadlines = [datetime.fromisoformat(side["deadline"]) for side in matter["sides"].values()]
    await journey.skip_to(max(deadlines) + timedelta(days=1))
    assert (await view(journey))["stage"] == "decision"
    await journey.skip_to(max(deadlines) + timedelta(days=40))
    await journey.reach_end("lapsed")
    lapsed = next(one for one in await journey.office.trail(journey.id) if one["action"] == "matter.lapsed")
    assert lapsed["body"]["silent"] == ["az"]


async def test_a_return_that_nobody_answers_lapses(journey: Journey) -> None:
    await journey.clear()
    await journey.decide("proposal", ("return", "return"))
    await journey.reach("revision")
    deadline = datetime.fromisoformat((await view(journey))["stage_deadline"])
    await journey.skip_to(deadline + timedelta(hours=1))
    await journey.reach_end("lapsed")


async def test_each_condition_is_cleared_by_the_side_that_set_it_before_contracting(journey: Journey) -> None:
    office, base = journey.office, f"/v1/initiatives/{journey.id}"
    await journey.clear()
    matter = await journey.matter("proposal")
    il, az = (
        {"conditions": ["An ethics board is named."]},
        {"conditions": ["A host is named.", "Data stays."]},
    )
    await office.carry(journey.id, matter, "il", "approve_with_conditions", **il)
    await office.carry(journey.id, matter, "az", "approve_with_conditions", **az)
    await journey.reach("conditions")
    conditions = (await view(journey))["conditions"]
    assert [(one["number"], one["directorate"]) for one in conditions] == [(1, "il"), (2, "az"), (3, "az")]

    early = await office.call("il-head", "POST", f"{base}/conditions/1/clearance")
    assert early.json()["code"] == "out_of_order"
    for number in (1, 2, 3):
        evidence = {"text": f"Annex {number}"}
        given = await office.call("il-lead", "POST", f"{base}/conditions/{number}/evidence", body=evidence)
        assert given.status_code == 200, given.text
    other = await office.call("il-head", "POST", f"{base}/conditions/2/clearance")
    assert (other.status_code, other.json()["code"]) == (409, "not_your_office")
    for who, number in (("il-head", 1), ("az-reviewer", 2), ("az-reviewer", 3)):
        assert (await view(journey))["stage"] == "conditions"
        assert (await office.call(who, "POST", f"{base}/conditions/{number}/clearance")).status_code == 200
    await journey.reach("contracting")


async def test_a_returned_funding_agreement_is_put_before_both_sides_anew(journey: Journey) -> None:
    await journey.clear()
    await journey.decide("proposal")
    first = await journey.matter("agreement")
    await journey.decide("agreement", ("approve", "return"))

    async def another() -> dict[str, Any] | None:
        opened = await journey.matter("agreement")
        return opened if opened["number"] != first["number"] else None

    second = await eventually(another)
    assert second["sides"]["il"]["position_in"] is False
    await journey.decide("agreement")
    await journey.reach("active")


async def test_a_report_with_changes_requested_comes_again_and_only_then_releases_money(
    journey: Journey,
) -> None:
    await journey.clear()
    await journey.approve_and_sign()
    await journey.pay(1)
    report = (await journey.reports())[0]
    path = f"/v1/initiatives/{journey.id}/reports/1"
    body: dict[str, Any] = {"narrative": {"en": "Done."}, "costs": []}
    early = await journey.office.call("il-lead", "POST", path, body=body)
    assert (early.status_code, early.json()["code"]) == (409, "not_due")
    await journey.skip_to(datetime.fromisoformat(report["ends_at"]) + timedelta(days=1))
    assert (await journey.office.call("il-lead", "POST", path, body=body)).status_code == 200
    await journey.decide("report", ("approve", "return"))
    report = (await journey.reports())[0]
    assert report["state"] == "changes_requested"
    assert (await journey.tranches())[1]["shares"]["il"]["state"] == "planned"
    body["narrative"]["en"] = "Done, and this is how."
    assert (await journey.office.call("il-lead", "POST", path, body=body)).status_code == 200
    await journey.decide("report")
    assert (await journey.reports())[0]["state"] == "accepted"
    assert (await journey.tranches())[1]["shares"]["il"]["state"] == "due"


async def test_a_report_that_does_not_come_falls_overdue_and_can_still_come(journey: Journey) -> None:
    await journey.clear()
    await journey.approve_and_sign()
    report = (await journey.reports())[0]
    await journey.skip_to(datetime.fromisoformat(report["due_at"]) + timedelta(hours=1))

    async def overdue() -> bool:
        return bool((await journey.reports())[0]["state"] == "overdue")

    await eventually(overdue)
    await journey.report(1)
    assert (await journey.reports())[0]["state"] == "accepted"


async def test_the_last_tranche_pays_no_more_than_the_accepted_costs_leave(journey: Journey) -> None:
    await journey.clear()
    await journey.approve_and_sign()
    await journey.pay(1)
    reports = await journey.reports()
    for report in reports[:-1]:
        await journey.report(report["number"])
        await journey.pay(report["number"] + 1)
    last = reports[-1]
    await journey.skip_to(datetime.fromisoformat(last["ends_at"]) + timedelta(days=1))
    # The Israeli partner spent nothing in the last period, the other one all that was planned.
    planned = (await journey.tranches())[-1]["shares"]["az"]["amounts"][0]["minor"]
    third = asked_for(journey.proposal)["az"]["AZN"] // 3
    cost = {
        "partner": "numune",
        "category": "personnel",
        "description": "One post",
        "amount": {"minor": third + 1, "unit": "AZN"},
    }
    body = {"narrative": {"en": "Done."}, "costs": [cost]}
    path = f"/v1/initiatives/{journey.id}/reports/{last['number']}"
    assert (await journey.office.call("il-lead", "POST", path, body=body)).status_code == 200
    await journey.decide("report")
    closure = await journey.matter("closure")
    subject = (
        await journey.office.get("az-deputy", f"/v1/initiatives/{journey.id}/matters/{closure['number']}")
    )["subject"]
    (il,) = subject["reconciliation"]["il"]
    assert il["paid"] > il["accepted"]
    assert il["unspent"] == il["paid"] - il["accepted"]
    number = len(await journey.tranches())
    await journey.decide("closure")
    await journey.all_shares(number, "due")
    shares = (await journey.tranches())[number - 1]["shares"]
    assert list(shares) == ["az"]  # nothing more is due to the side whose money was not spent
    assert shares["az"]["amounts"][0]["minor"] <= planned
    await journey.pay(number)
    # That side has money back instead, and the initiative closes when it has come.
    claimed = (await journey.office.recovery(journey.id))["shares"]
    assert {side: one["amounts"][0]["minor"] for side, one in claimed.items()} == {"il": il["unspent"]}
    assert await journey.office.stage(journey.id) == "closing"
    await journey.pay(number + 1)
    await journey.reach("closed")


async def test_a_signal_counts_like_an_update_and_a_strange_one_is_recorded_as_refused(
    journey: Journey, services: Services
) -> None:
    matter = await journey.matter("clearance")
    taken = await journey.office.sign(
        "il-legal", journey.id, matter=matter, headers={"Prefer": "respond-async"}
    )
    assert (taken.status_code, taken.headers["preference-applied"]) == (202, "respond-async")
    await journey.handle.signal("sign_off", {"id": "s-1", "nonsense": [1, {"a": None}]})
    await journey.handle.signal("sign_off", 42)
    wrong = await journey.office.sign(
        "il-lead", journey.id, matter=matter, headers={"Prefer": "respond-async"}
    )
    assert wrong.status_code == 202

    async def all_refused() -> list[dict[str, Any]] | None:
        found = await journey.office.trail(journey.id)
        return found if sum(one["action"] == "message.refused" for one in found) == 3 else None

    trail = await eventually(all_refused)
    refused = [one for one in trail if one["action"] == "message.refused"]
    assert {one["body"]["code"] for one in refused} == {"invalid", "not_your_office"}
    assert sum(one["action"] == "matter.signed" for one in trail) == 1
    assert "s-1" in json.dumps(refused)
    await journey.office.sign("az-officer", journey.id, matter=matter)
    await journey.matter("proposal")
