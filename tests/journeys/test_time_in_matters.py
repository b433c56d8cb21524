"""What time brings about while a matter is open, on the initiative's own clock."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

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
    return made


async def clock_entries(journey: Journey, matter: dict[str, Any]) -> list[tuple[str, str, int]]:
    """Reminders and escalations of a matter as the trail has them: action, side, percent."""
    return [
        (one["action"].removeprefix("matter."), one["body"]["directorate"], one["body"].get("percent", 100))
        for one in await journey.office.trail(journey.id)
        if one["action"] in ("matter.reminded", "matter.escalated")
        and one["body"]["matter"] == matter["number"]
    ]


async def test_each_silent_side_is_reminded_at_half_and_at_four_fifths_and_escalated_at_its_deadline(
    journey: Journey,
) -> None:
    matter = await journey.matter("proposal")
    opened = datetime.fromisoformat(matter["opened_at"])
    az = datetime.fromisoformat(matter["sides"]["az"]["deadline"])
    await journey.office.carry(journey.id, matter, "il")
    await journey.skip_to(opened + (az - opened) * 0.5 - timedelta(minutes=1))
    assert await clock_entries(journey, matter) == []
    await journey.skip_to(opened + (az - opened) * 0.5 + timedelta(minutes=1))
    assert await clock_entries(journey, matter) == [("reminded", "az", 50)]
    await journey.skip_to(opened + (az - opened) * 0.8 + timedelta(minutes=1))
    assert await clock_entries(journey, matter) == [("reminded", "az", 50), ("reminded", "az", 80)]
    inbox = await journey.office.inbox("az-officer")
    assert [one["reminded"] for one in inbox if one["initiative"] == journey.id] == [80]
    await journey.skip_to(az + timedelta(minutes=1))
    assert (await clock_entries(journey, matter))[-1] == ("escalated", "az", 100)


async def test_the_office_that_a_silent_one_escalates_to_is_told_and_signs_nothing_in_its_place(
    journey: Journey,
) -> None:
    office = journey.office
    matter = await journey.matter("proposal")
    await journey.skip_to(datetime.fromisoformat(matter["sides"]["il"]["deadline"]) + timedelta(minutes=1))
    own = await office.get("il-head", f"/v1/initiatives/{journey.id}/matters/{matter['number']}")
    assert own["sides"]["il"]["escalated_to"] == "head"
    theirs = await office.get("az-officer", f"/v1/initiatives/{journey.id}/matters/{matter['number']}")
    assert theirs["sides"]["il"]["escalated_to"] is None

    async def told(who: str) -> list[str]:
        inbox = await office.inbox(who)
        return [one["task"] for one in inbox if one["initiative"] == journey.id]

    assert await told("il-head") == ["escalated"]
    assert await told("il-officer") == ["sign_off"]
    signed = await office.sign("il-head", journey.id, matter=matter)
    assert signed.json()["code"] == "not_your_office"

    # The late office signs: its silence is over, and that of the next one is told at once.
    assert (await office.sign("il-officer", journey.id, matter=matter)).status_code == 200

    async def next_one_is_told() -> bool:
        entries = await office.trail(journey.id)
        told = [str(one["body"]["office"]) for one in entries if one["action"] == "matter.escalated"]
        return told[-1] == "legal_counsel"

    assert await eventually(next_one_is_told)


async def test_the_head_extends_its_own_sides_deadline_and_the_reminders_move_with_it(
    journey: Journey,
) -> None:
    office = journey.office
    matter = await journey.matter("proposal")
    path = f"/v1/initiatives/{journey.id}/matters/{matter['number']}/extension"
    body = {"working_days": 10, "reasons": "the counsel is ill"}
    for who, code in (
        ("il-legal", "not_your_office"),
        ("il-lead", "not_your_office"),
        ("az-officer", "not_your_office"),
    ):
        refused = await office.call(who, "POST", path, body=body)
        assert (refused.status_code, refused.json()["code"]) == (409, code)
    await office.carry(journey.id, matter, "az")
    before = datetime.fromisoformat(matter["sides"]["il"]["deadline"])
    opened = datetime.fromisoformat(matter["opened_at"])
    await journey.skip_to(opened + (before - opened) * 0.5 + timedelta(minutes=1))
    assert (await office.call("il-head", "POST", path, body=body, key="x1")).status_code == 200
    assert (await office.call("il-head", "POST", path, body=body, key="x1")).status_code == 200
    after = datetime.fromisoformat((await journey.matter("proposal"))["sides"]["il"]["deadline"])
    assert timedelta(days=13) <= after - before <= timedelta(days=25)
    # The old deadline passes without a word: its timer is gone.
    await journey.skip_to(before + timedelta(minutes=1))
    entries = await clock_entries(journey, matter)
    assert ("escalated", "il", 100) not in entries
    await journey.skip_to(after + timedelta(minutes=1))
    assert (await clock_entries(journey, matter))[-1] == ("escalated", "il", 100)
    extended = [one for one in await office.trail(journey.id) if one["action"] == "matter.deadline_extended"]
    assert [one["actor"] for one in extended] == ["il/il-head"]
    late = await office.call("az-deputy", "POST", path, body=body)
    assert late.json()["code"] == "matter_closed"  # its position is in


async def test_an_extended_matter_lapses_later(journey: Journey) -> None:
    matter = await journey.matter("proposal")
    path = f"/v1/initiatives/{journey.id}/matters/{matter['number']}/extension"
    body = {"working_days": 60, "reasons": "an election"}
    assert (await journey.office.call("az-deputy", "POST", path, body=body)).status_code == 200
    deadline = datetime.fromisoformat((await journey.matter("proposal"))["sides"]["az"]["deadline"])
    await journey.skip_to(deadline + timedelta(days=3))
    assert await journey.office.stage(journey.id) == "decision"
    await journey.skip_to(deadline + timedelta(days=40))
    await journey.reach_end("lapsed")

    async def lapsed() -> bool:
        return any(one["action"] == "matter.lapsed" for one in await journey.office.trail(journey.id))

    assert await eventually(lapsed)
