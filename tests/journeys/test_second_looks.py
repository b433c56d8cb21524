"""Complaints, corrections, conditions that take several tries, approvals that run out."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from temporalio.testing import TimeSkipper

from countersign.runtime.embedded.services import Services
from tests.eventually import eventually
from tests.journeys.journey import Journey
from tests.people import Office, minimal_proposal


@pytest.fixture
async def journey(office: Office, services: Services, skipper: TimeSkipper) -> Journey:
    """A small initiative whose proposal is before both sides."""
    made = Journey(office, services, skipper, minimal_proposal())
    await made.submit()
    await made.clear()
    await made.matter("proposal")
    return made


async def put(journey: Journey, changed: dict[str, Any]) -> httpx.Response:
    """Put a version in the place of the current one."""
    path = f"/v1/initiatives/{journey.id}/proposal"
    tag = (await journey.office.call(journey.lead, "GET", path)).headers["etag"]
    return await journey.office.call(journey.lead, "PUT", path, body=changed, headers={"If-Match": tag})


async def test_an_upheld_complaint_reopens_the_decision(journey: Journey) -> None:
    path = f"/v1/initiatives/{journey.id}/complaint"
    early = await journey.office.call(journey.lead, "POST", path, body={"reasons": "unfair"})
    assert (early.status_code, early.json()["code"]) == (409, "stage_closed")
    await journey.decide("proposal", ("refuse", "approve"))
    await journey.office.until_stage(journey.id, "not_approved")
    staff = await journey.office.call("il-head", "POST", path, body={"reasons": "unfair"})
    assert (staff.status_code, staff.json()["code"]) == (403, "forbidden")
    here = await journey.office.get(journey.lead, f"/v1/initiatives/{journey.id}")
    since, until = (datetime.fromisoformat(here[one]) for one in ("stage_since", "complaint_until"))
    assert until == since + timedelta(days=30)
    lodged = await journey.office.call(journey.lead, "POST", path, body={"reasons": "The table was there."})
    assert lodged.status_code == 200, lodged.text
    here = await journey.office.get(journey.lead, f"/v1/initiatives/{journey.id}")
    assert here["complaint_until"] is None
    twice = await journey.office.call(journey.lead, "POST", path, body={"reasons": "again"})
    assert twice.json()["code"] == "out_of_order"
    matter = await journey.matter("complaint")
    detail = await journey.office.get(
        "az-reviewer", f"/v1/initiatives/{journey.id}/matters/{matter['number']}"
    )
    assert detail["subject"]["reasons"] == "The table was there."
    await journey.decide("complaint")
    await journey.office.until_stage(journey.id, "decision")
    await journey.decide("proposal")
    await journey.matter("agreement")


async def test_a_dismissed_complaint_is_the_last_word(journey: Journey) -> None:
    await journey.decide("proposal", ("refuse", "approve"))
    await journey.office.until_stage(journey.id, "not_approved")
    path = f"/v1/initiatives/{journey.id}/complaint"
    await journey.office.call(journey.lead, "POST", path, body={"reasons": "unfair"})
    await journey.decide("complaint", ("refuse", "approve"))
    ended = await journey.handle.result()
    assert ended["stage"] == "not_approved"


async def test_a_complaint_after_thirty_days_is_too_late(journey: Journey) -> None:
    await journey.decide("proposal", ("refuse", "approve"))
    await journey.reach_end("not_approved")
    path = f"/v1/initiatives/{journey.id}/complaint"
    late = await journey.office.call(journey.lead, "POST", path, body={"reasons": "unfair"})
    assert (late.status_code, late.json()["code"]) == (409, "stage_closed")


async def test_an_administrative_edit_leaves_sign_offs_and_is_signed_over_by_the_sides_keys(
    journey: Journey,
) -> None:
    office, matter = journey.office, await journey.matter("proposal")
    await office.carry(journey.id, matter, "il")
    await office.until_countersigned(journey.id, matter, "il")
    corrected = minimal_proposal()
    corrected["partners"][1]["name"]["en"] = "Nümunə Instituté"
    answer = await put(journey, corrected)
    assert answer.status_code == 200, answer.text
    after = await journey.matter("proposal")
    assert after["number"] == matter["number"]
    assert after["content_hash"] != matter["content_hash"]
    assert after["sides"]["il"]["position_in"] is True
    old = await office.sign("az-officer", journey.id, matter=matter)
    assert old.json()["code"] == "stale_content"
    await office.carry(journey.id, after, "az")
    decided = await office.until_decided(journey.id, matter["number"])
    assert decided["outcome"] == "approved"
    version = await office.get("il-head", f"/v1/initiatives/{journey.id}/proposal/versions/2")
    assert version["differences"] == [
        {"place": "partners[1].name.en", "before": "Nümunə Institute", "after": "Nümunə Instituté"}
    ]


async def test_a_substantive_edit_waits_for_a_return(journey: Journey) -> None:
    for change in (
        {"duration_months": 24},
        {"summary": {"en": "It is smaller."}},
        {"title": {"en": "A small  project!"}},
    ):
        answer = await put(journey, minimal_proposal() | change)
        assert answer.status_code in (409, 422), change
        assert answer.json()["code"] in ("stage_closed", "invalid")
    another = minimal_proposal()
    another["partners"][1]["name"]["en"] = "Quite Another Foundation"
    assert (await put(journey, another)).json()["code"] == "stage_closed"
    assert (await journey.office.get("il-head", f"/v1/initiatives/{journey.id}"))["version"] == 1


async def test_refused_evidence_can_be_replaced_and_each_condition_has_its_sides_own_deadline(
    journey: Journey,
) -> None:
    office, base = journey.office, f"/v1/initiatives/{journey.id}"
    matter = await journey.matter("proposal")
    il, az = {"conditions": ["An ethics board is named."]}, {"conditions": ["A host is named."]}
    await office.carry(journey.id, matter, "il", "approve_with_conditions", **il)
    await office.carry(journey.id, matter, "az", "approve_with_conditions", **az)
    await office.until_stage(journey.id, "conditions")
    first, second = (await office.get("il-head", base))["conditions"]
    assert first["deadline"] != second["deadline"]  # Israel and Azerbaijan count their own working days
    await office.call("il-lead", "POST", f"{base}/conditions/1/evidence", body={"text": "Annex 1"})
    other = await office.call("az-officer", "POST", f"{base}/conditions/1/refusal", body={"reasons": "no"})
    assert other.json()["code"] == "not_your_office"
    refused = await office.call(
        "il-officer", "POST", f"{base}/conditions/1/refusal", body={"reasons": "blank"}
    )
    assert refused.status_code == 200
    nothing = await office.call("il-head", "POST", f"{base}/conditions/1/clearance")
    assert nothing.json()["code"] == "out_of_order"
    view = (await office.get("il-lead", base))["conditions"][0]
    assert (view["evidence"], view["refused"], view["cleared"]) == ([], ["blank"], False)
    await office.call("il-lead", "POST", f"{base}/conditions/1/evidence", body={"text": "Annex 1, filled in"})
    assert (await office.call("il-head", "POST", f"{base}/conditions/1/clearance")).status_code == 200
    await journey.skip_to(datetime.fromisoformat(second["deadline"]) + timedelta(hours=1))
    await journey.reach_end("lapsed")


async def test_approvals_that_run_out_before_the_agreements_are_signed_are_given_anew(
    journey: Journey,
) -> None:
    """Both heads have the agreements' deadline moved so far that the approvals, valid for 180 days, run out first."""
    await journey.decide("proposal")
    agreement = await journey.matter("agreement")
    path = f"/v1/initiatives/{journey.id}/matters/{agreement['number']}/extension"
    for who in ("il-head", "az-deputy"):
        body = {"working_days": 120, "reasons": "an election"}
        assert (await journey.office.call(who, "POST", path, body=body)).status_code == 200
    now = await journey.skipper.get_current_time(journey.handle)
    await journey.skip_to(now + timedelta(days=179))
    assert await journey.office.stage(journey.id) == "contracting"
    await journey.skip_to(now + timedelta(days=181))
    await journey.office.until_stage(journey.id, "decision")
    old = await journey.office.get(
        "il-auditor", f"/v1/initiatives/{journey.id}/matters/{agreement['number']}"
    )
    assert old["outcome"] == "void"

    async def anew() -> bool:
        return bool((await journey.matter("proposal"))["number"] > agreement["number"])

    assert await eventually(anew)
    await journey.decide("proposal")
    await journey.decide("agreement")
    await journey.reach("active")
