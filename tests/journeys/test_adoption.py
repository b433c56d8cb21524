"""A running initiative is moved to a newer version of the programme agreement, as people do it."""

from __future__ import annotations

from datetime import datetime, timedelta

from temporalio.testing import TimeSkipper

from countersign.domain.agreement import ProgrammeAgreement
from countersign.domain.schedule import add_months
from countersign.runtime.embedded.services import Services
from countersign.store import agreements
from countersign.store.session import Database
from tests.journeys.journey import Journey
from tests.journeys.test_amendments import actions, became, decide
from tests.people import Office, minimal_proposal

REASONS = "Half-yearly reports were too many."


async def registered(database: Database, agreement: ProgrammeAgreement) -> ProgrammeAgreement:
    """A version with a report a year, on record as the system that starts with it would put it there."""
    yearly = agreement.reporting.model_copy(update={"period_months": 12, "overdue_limit_days": 90})
    newer = agreement.model_copy(update={"version": agreement.version + 1, "reporting": yearly})
    async with database.transaction() as connection:
        await agreements.register(connection, newer)
    return newer


async def test_both_sides_move_a_running_initiative_to_a_newer_version_and_its_dates_move(
    office: Office,
    services: Services,
    skipper: TimeSkipper,
    database: Database,
    agreement: ProgrammeAgreement,
) -> None:
    journey = Journey(office, services, skipper, minimal_proposal(20))
    await journey.submit()
    await journey.clear()
    await journey.approve_and_sign()
    await journey.pay(1)
    base = f"/v1/initiatives/{journey.id}"
    newer = await registered(database, agreement)
    body = {"agreement_version": newer.version, "reasons": REASONS}
    path = f"{base}/amendments/agreement"

    for who, code in (("il-officer", "not_your_office"), ("az-finance-1", "not_your_office")):
        assert (await office.call(who, "POST", path, body=body)).json()["code"] == code
    unknown = await office.call("il-head", "POST", path, body=body | {"agreement_version": 999})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    assert unknown.json()["detail"] == "there is no version 999 of the agreement"
    assert (await actions(journey, "message."))[-1] == "message.refused"
    same = await office.call("il-head", "POST", path, body=body | {"agreement_version": agreement.version})
    assert (same.status_code, same.json()["code"]) == (422, "invalid")

    asked = await office.call("az-deputy", "POST", path, body=body, headers={"Idempotency-Key": "move-it"})
    again = await office.call("az-deputy", "POST", path, body=body, headers={"Idempotency-Key": "move-it"})
    assert asked.status_code == 201, asked.text
    assert again.json() == asked.json()
    matter = await office.get("il-head", f"{base}/matters/{asked.json()['matter']}")
    assert matter["subject"]["adopts"] == {"version": newer.version, "content_hash": newer.content_hash()}
    before = await journey.reports()
    await decide(journey, asked.json()["matter"])
    made = await became(journey, 1, "made")
    assert (made["kinds"], made["agreement_version"]) == (["agreement"], newer.version)
    assert made["changed"] == [
        "agreement.reporting.period_months",
        "agreement.reporting.overdue_limit_days",
    ]

    view = await office.get("il-lead", base)
    assert (view["agreement_version"], view["version"]) == (newer.version, 1)
    start = datetime.fromisoformat(before[0]["starts_at"])
    after = await journey.reports()
    assert [one["ends_at"] for one in before] != [one["ends_at"] for one in after]
    assert [datetime.fromisoformat(one["ends_at"]) for one in after] == [
        add_months(start, 12),
        add_months(start, 20),
    ]
    editions = (await office.get("il-head", f"{base}/funding-agreements"))["items"]
    assert {one["edition"] for one in editions} == {2}
    document = await office.get("il-head", f"{base}/funding-agreements/il")
    assert document["programme"]["version"] == newer.version
    assert document["reports"]["period_months"] == 12
    # What was paid stays; the rest is spread over what the newer version has.
    tranches = await journey.tranches()
    assert [(one["trigger"], one["report"]) for one in tranches] == [
        ("signature", None),
        ("report", 1),
        ("closure", None),
    ]
    assert sum(one["shares"]["il"]["amounts"][0]["minor"] for one in tranches) == 100_000_01
    assert tranches[0]["shares"]["il"]["state"] == "paid"

    # Nobody is reminded, and nothing is late, on the dates that were.
    told = len(await actions(journey, "report."))
    await journey.skip_to(datetime.fromisoformat(before[0]["due_at"]) + timedelta(days=70))
    assert len(await actions(journey, "report.")) == told
    assert await office.stage(journey.id) == "active"
    await journey.report(1)
    await journey.pay(2)
    await journey.report(2)
    await journey.close()
    await journey.reach_end("closed")
