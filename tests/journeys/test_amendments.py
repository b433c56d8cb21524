"""Amendments as people make them: beside payments and reports, which follow from the version in force."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from temporalio.testing import TimeSkipper

from countersign.domain.canonical import content_hash
from countersign.runtime.embedded.services import Services
from tests.amendments import asking, extended, joined, shifted
from tests.eventually import eventually
from tests.journeys.journey import Journey, asked_for
from tests.people import Office, minimal_proposal

Body = dict[str, Any]


@pytest.fixture
async def journey(office: Office, services: Services, skipper: TimeSkipper) -> Journey:
    """An active initiative of fourteen months: reports after six, twelve and fourteen."""
    made = Journey(office, services, skipper, minimal_proposal(14))
    await made.submit()
    await made.clear()
    await made.approve_and_sign()
    return made


async def ask(journey: Journey, changed: Body, reasons: str = "It turned out otherwise.") -> Any:
    """The lead asks for a version; the JSON of the 201."""
    base = f"/v1/initiatives/{journey.id}"
    now = (await journey.office.get(journey.lead, f"{base}/proposal"))["content_hash"]
    body = {"proposal": changed, "replaces": now, "reasons": reasons}
    answer = await journey.office.call(journey.lead, "POST", f"{base}/amendments", body=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def became(journey: Journey, number: int, state: str) -> Body:
    """Wait until an amendment is in a state; the amendment."""

    async def there() -> Body | None:
        items = (await journey.office.get("il-auditor", f"/v1/initiatives/{journey.id}/amendments"))["items"]
        found: Body = next(one for one in items if one["number"] == number)
        return found if found["state"] == state else None

    return await eventually(there)


async def decide(journey: Journey, number: int) -> None:
    """Both sides approve the matter of an amendment."""
    found = await journey.office.get("il-auditor", f"/v1/initiatives/{journey.id}/matters/{number}")
    for side in ("il", "az"):
        await journey.office.carry(journey.id, found, side)


async def actions(journey: Journey, *wanted: str) -> list[str]:
    """The actions of the trail that begin with one of some words."""
    return [
        one["action"] for one in await journey.office.trail(journey.id) if one["action"].startswith(wanted)
    ]


async def test_a_partner_joins_while_a_tranche_is_instructed_and_is_paid_from_the_next_one_on(
    journey: Journey,
) -> None:
    office, base = journey.office, f"/v1/initiatives/{journey.id}"
    for side in ("il", "az"):
        answer = await office.call(f"{side}-finance-1", "POST", f"{base}/tranches/1/{side}/authorisation")
        assert answer.status_code == 200
    await journey.all_shares(1, "instructed")
    first = (await journey.tranches())[0]
    asked = await ask(journey, joined(journey.proposal, "misal", "numune", 20_000_00))
    assert (asked["number"], asked["weight"]) == (1, "major")

    # What is signed is a document with both versions in it, and with all that would follow.
    path = f"{base}/matters/{asked['matter']}"
    matter = await office.get("az-deputy", path)
    assert matter["kind"] == "amendment"
    assert content_hash(matter["subject"]) == matter["content_hash"]
    assert matter["subject"]["proposal"]["content_hash"] == asked["content_hash"]
    view = await became(journey, 1, "asked")
    assert view["kinds"] == ["partners", "budget_shift"]
    assert view["reasons"] == matter["subject"]["reasons"] == "It turned out otherwise."

    # The payment goes on beside it, to whom it was authorised for.
    for side in ("il", "az"):
        await office.call(f"{side}-finance-2", "POST", f"{base}/tranches/1/{side}/confirmation")
    await decide(journey, asked["matter"])
    made = await became(journey, 1, "made")
    assert (made["version"], made["matter"]) == (2, asked["matter"])
    after = (await journey.tranches())[0]
    assert after["shares"]["az"]["payments"] == first["shares"]["az"]["payments"]
    assert after["shares"]["az"]["state"] == "paid"
    assert {one["partner"] for one in after["shares"]["az"]["payments"]} == {"numune"}

    # Its edition of the funding agreements names the new partner.
    listed = (await office.get("il-officer", f"{base}/funding-agreements"))["items"]
    assert {(one["edition"], one["amendment"], one["matter"]) for one in listed} == {(2, 1, asked["matter"])}
    assert all(one["signed_at"] for one in listed)
    document = await office.get("az-officer", f"{base}/funding-agreements/az")
    assert [one["partner"] for one in document["beneficiaries"]] == ["numune", "misal"]
    assert document["amendment"]["number"] == 1
    versions = (await office.get("il-head", base))["versions"]
    assert [(one["number"], one["submitted_by"]) for one in versions] == [
        (1, journey.applicant),
        (2, journey.applicant),
    ]

    journey.proposal = joined(journey.proposal, "misal", "numune", 20_000_00)
    await journey.report(1)
    await journey.pay(2)
    second = (await journey.tranches())[1]
    assert {one["partner"] for one in second["shares"]["az"]["payments"]} == {"numune", "misal"}
    await journey.report(2)
    await journey.pay(3)
    await journey.report(3)
    await journey.close()
    assert await journey.paid() == asked_for(journey.proposal)


async def test_an_extension_while_a_report_is_overdue_moves_its_date_and_no_timer_fires_for_the_old_one(
    journey: Journey,
) -> None:
    office = journey.office
    await journey.pay(1)
    await journey.report(1)
    await journey.report(2)
    last = (await journey.reports())[2]
    end, due = (datetime.fromisoformat(last[key]) for key in ("ends_at", "due_at"))
    await journey.skip_to(end - timedelta(days=10, hours=1))
    asked = await ask(journey, extended(journey.proposal, 6))
    await journey.skip_to(due + timedelta(hours=1))

    async def overdue() -> bool:
        return bool((await journey.reports())[2]["state"] == "overdue")

    await eventually(overdue)
    await decide(journey, asked["matter"])
    await became(journey, 1, "made")
    moved = (await journey.reports())[2:]
    assert [(one["state"], one["final"]) for one in moved] == [("scheduled", False), ("scheduled", True)]
    assert moved[0]["starts_at"] == last["starts_at"]
    later = datetime.fromisoformat(moved[0]["due_at"])
    assert later > due + timedelta(days=90)
    waiting = (await office.get("il-lead", f"/v1/initiatives/{journey.id}"))["waiting"]
    assert [one["deadline"] for one in waiting if one["task"] == "report"] == [moved[0]["due_at"]]

    # Time goes on to just before the new date: nothing is overdue again; then it is.
    await journey.skip_to(later - timedelta(hours=1))
    assert await actions(journey, "report.overdue") == ["report.overdue"]
    await journey.skip_to(later + timedelta(hours=1))

    async def overdue_again() -> bool:
        return len(await actions(journey, "report.overdue")) == 2

    await eventually(overdue_again)
    journey.proposal = extended(journey.proposal, 6)
    await journey.report(3)
    assert [one["trigger"] for one in await journey.tranches()] == ["signature", *["report"] * 3, "closure"]


async def test_a_notice_an_increase_and_a_refusal_one_after_the_other(journey: Journey) -> None:
    office, base = journey.office, f"/v1/initiatives/{journey.id}"
    minor = await ask(journey, shifted(journey.proposal, "dugma", 5_000_00))
    assert (minor["weight"], minor["matter"]) == ("minor", None)
    notified = await became(journey, 1, "notified")
    assert (notified["version"], notified["edition"]) == (2, 2)
    changed = shifted(journey.proposal, "dugma", 5_000_00)

    more = asking(changed, "dugma", 30_000_00)
    stale = {"proposal": more, "replaces": notified["replaces"], "reasons": "More."}
    answer = await office.call(journey.lead, "POST", f"{base}/amendments", body=stale)
    assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")
    asked = await ask(journey, more)
    second = await office.call(
        "az-lead", "POST", f"{base}/amendments", body=stale | {"replaces": notified["content_hash"]}
    )
    assert (second.status_code, second.json()["code"]) == (409, "out_of_order")
    await decide(journey, asked["matter"])
    await became(journey, 2, "made")
    assert (
        sum(
            amount["minor"]
            for tranche in await journey.tranches()
            for amount in tranche["shares"]["il"]["amounts"]
        )
        == asked_for(more)["il"]["ILS"]
    )
    ledger = (await office.get("il-auditor", f"{base}/ledger"))["items"]
    assert [one["code"] for one in ledger if one["code"] == "commitment_increased"] == [
        "commitment_increased"
    ]

    third = await ask(journey, asking(more, "numune", -10_000_00))
    found = await office.get("il-auditor", f"{base}/matters/{third['matter']}")
    await office.carry(journey.id, found, "il")
    await office.carry(journey.id, found, "az", "refuse", reasons="The work is still to be done.")
    rejected = await became(journey, 3, "rejected")
    assert "The work is still to be done." in rejected["reason"]
    assert rejected["version"] is None
    assert await actions(journey, "amendment.") == [
        "amendment.asked", "amendment.notified", "amendment.asked", "amendment.made", "amendment.asked",
        "amendment.rejected",
    ]  # fmt: skip
    assert await office.stage(journey.id) == "active"
