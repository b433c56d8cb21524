"""Funding agreements over HTTP: drawn up before they are signed, and just what is signed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from temporalio.testing import TimeSkipper

from countersign.domain.canonical import content_hash
from countersign.runtime.embedded.services import Services
from tests.journeys.journey import Journey
from tests.people import Office, minimal_proposal

pytestmark = pytest.mark.services


@pytest.fixture
async def journey(office: Office, services: Services, skipper: TimeSkipper) -> Journey:
    """A small initiative whose proposal is before both sides."""
    made = Journey(office, services, skipper, minimal_proposal())
    await made.submit()
    await made.clear()
    return made


def base(journey: Journey) -> str:
    return f"/v1/initiatives/{journey.id}/funding-agreements"


async def listed(journey: Journey, who: str = "il-officer") -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await journey.office.get(who, base(journey)))["items"]
    return items


async def test_what_is_signed_is_what_can_be_read_in_the_languages_of_each_side(journey: Journey) -> None:
    office = journey.office
    assert await listed(journey) == []
    none = await office.call("il-officer", "GET", f"{base(journey)}/il")
    assert (none.status_code, none.json()["code"]) == (404, "not_found")

    await journey.decide("proposal")
    matter = await journey.matter("agreement")
    reference = (await office.get("il-officer", f"/v1/initiatives/{journey.id}"))["reference"]
    items = await listed(journey)
    assert [(one["directorate"], one["number"]) for one in items] == [
        ("az", f"{reference}/az/1"),
        ("il", f"{reference}/il/1"),
    ]
    assert {(one["edition"], one["matter"], one["signed_at"]) for one in items} == {
        (1, matter["number"], None)
    }
    path = f"/v1/initiatives/{journey.id}/matters/{matter['number']}"
    subject = (await office.get("az-reviewer", path))["subject"]
    assert content_hash(subject) == matter["content_hash"]
    decided = (await office.get("il-officer", f"/v1/initiatives/{journey.id}/matters/2"))["content_hash"]
    decision = await office.get("il-officer", f"/v1/initiatives/{journey.id}/matters/2/decision")
    for one in items:
        side = one["directorate"]
        document = await office.get("az-auditor", f"{base(journey)}/{side}")
        assert content_hash(document) == one["content_hash"]
        named = {"number": one["number"], "content_hash": one["content_hash"]}
        assert subject["funding_agreements"][side] == named
        assert document["drawn_up_on"] == one["drawn_up_on"] == matter["opened_at"][:10]
        assert document["proposal"] == {"version": 1, "content_hash": decided}
        assert document["approvals"] == {"matter": 2, "decision": content_hash(decision)}

    history = await office.get("il-auditor", f"/v1/initiatives/{journey.id}/history")
    numbers = {
        one["sentence"] for one in history["items"] if "funding agreements drawn up" in one["sentence"]
    }
    assert numbers == {f"Had the funding agreements drawn up: {reference}/il/1, {reference}/az/1."}

    he = await office.call("il-legal", "GET", f"{base(journey)}/il?language=he")
    assert (he.status_code, he.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert he.headers["content-language"] == "he"
    assert he.text.startswith(f"הסכם מימון {reference}/il/1\n")
    assert "- Dugma Institute: 100,000.01 ILS\n" in he.text
    az = await office.call("az-lead", "GET", f"{base(journey)}/az?language=az")
    assert "- Nümunə Institute: 50,000.03 AZN\n" in az.text
    for address in (
        f"{base(journey)}/az?language=he",
        f"{base(journey)}/ge",
        f"{base(journey)}/il?edition=2",
    ):
        missing = await office.call("il-legal", "GET", address)
        assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    stranger = await office.call("az-partner", "GET", f"{base(journey)}/az")
    assert (stranger.status_code, stranger.json()["code"]) == (404, "not_found")

    await journey.decide("agreement")
    await journey.reach("active")
    (signed,) = {one["signed_at"] for one in await listed(journey, "il-lead")}
    assert datetime.fromisoformat(signed) >= datetime.fromisoformat(matter["opened_at"])


async def test_nothing_is_signed_while_one_side_has_not(journey: Journey) -> None:
    await journey.decide("proposal")
    matter = await journey.matter("agreement")
    await journey.office.carry(journey.id, matter, "il")
    assert [one["signed_at"] for one in await listed(journey, "az-officer")] == [None, None]


async def test_an_approval_that_ran_out_makes_another_edition(journey: Journey) -> None:
    office = journey.office
    await journey.decide("proposal")
    matter = await journey.matter("agreement")
    first = await listed(journey)
    extension = f"/v1/initiatives/{journey.id}/matters/{matter['number']}/extension"
    longer = {"working_days": 120, "reasons": "the budget is late"}
    for head in ("il-head", "az-deputy"):
        assert (await office.call(head, "POST", extension, body=longer)).status_code == 200
    opened = datetime.fromisoformat(matter["opened_at"])
    await journey.skip_to(opened + timedelta(days=181))
    again = await journey.matter("proposal")
    await journey.reach("decision")
    # Nobody decided on the first edition, and it can still be read.
    assert {(one["edition"], one["signed_at"]) for one in await listed(journey)} == {(1, None)}
    for side in ("il", "az"):
        await office.carry(journey.id, again, side)
    anew = await journey.matter("agreement")
    second = await listed(journey)
    assert {(one["edition"], one["matter"]) for one in second} == {(2, anew["number"])}
    assert [one["number"][-5:] for one in second] == ["/az/2", "/il/2"]
    assert second[0]["drawn_up_on"] > first[0]["drawn_up_on"]
    for one in (first[0], second[0]):
        address = f"{base(journey)}/az?edition={one['edition']}"
        assert content_hash(await office.get("il-head", address)) == one["content_hash"]
    assert (await office.get("il-head", f"{base(journey)}/il"))["edition"] == 2
    await office.carry(journey.id, anew, "il")
    await office.carry(journey.id, anew, "az")
    await journey.reach("active")
    assert all(one["signed_at"] for one in await listed(journey))
