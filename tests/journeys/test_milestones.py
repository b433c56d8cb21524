"""Reports on milestones beside the regular ones: due when, called what, and moved by an amendment."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from temporalio.testing import TimeSkipper

from countersign.domain.schedule import add_months
from countersign.runtime.embedded.services import Services
from tests.amendments import with_milestones
from tests.journeys.journey import Journey
from tests.journeys.test_amendments import actions, ask, became, decide
from tests.people import Office, minimal_proposal

Body = dict[str, Any]


def months(reports: list[Body]) -> list[tuple[int, str | None, str]]:
    """Of each report after how many months it ends, its milestone, and its state."""
    start = datetime.fromisoformat(reports[0]["starts_at"])
    after = {add_months(start, month): month for month in range(1, 40)}
    return [
        (after[datetime.fromisoformat(one["ends_at"])], one["milestone"], one["state"]) for one in reports
    ]


async def test_milestones_are_reported_on_moved_and_late_while_the_regular_reports_go_their_way(
    office: Office, services: Services, skipper: TimeSkipper
) -> None:
    proposal = with_milestones(minimal_proposal(14), {"plan": 2, "pilot": 8})
    journey = Journey(office, services, skipper, proposal)
    await journey.submit()
    await journey.clear()
    await journey.approve_and_sign()
    base = f"/v1/initiatives/{journey.id}"

    text = (await office.call("il-head", "GET", f"{base}/funding-agreements/il?language=en")).text
    assert "- Report 1: milestone “Plan”, month 2\n- Report 2: months 1 to 6\n" in text
    reports = await journey.reports()
    assert months(reports) == [
        (2, "plan", "scheduled"),
        (6, None, "scheduled"),
        (8, "pilot", "scheduled"),
        (12, None, "scheduled"),
        (14, None, "scheduled"),
    ]
    assert reports[0]["title"] == {
        "en": "Report 1: milestone “Plan”, month 2",
        "he": "דוח 1: אבן הדרך ”Plan”, חודש 2",
        "az": "1 nömrəli hesabat: “Plan” mərhələsi, ay 2",
    }
    assert reports[1]["title"]["en"] == "Report 2: progress and accounts, months 1 to 6"
    assert reports[4]["title"]["az"] == "5 nömrəli yekun hesabat: 13\u201314 aylar"
    # Two regular reports before the final one: as many tranches between the first and the last.
    assert [(one["trigger"], one["report"]) for one in await journey.tranches()] == [
        ("signature", None),
        ("report", 2),
        ("report", 4),
        ("closure", None),
    ]

    await journey.pay(1)
    # A report on a milestone has no accounts, and releases nothing.
    await journey.skip_to(datetime.fromisoformat(reports[0]["ends_at"]) + timedelta(hours=1))
    cost = {"partner": "dugma", "category": "travel", "description": "A trip"}
    costly = {"narrative": {"en": "Done."}, "costs": [cost | {"amount": {"minor": 5, "unit": "ILS"}}]}
    refused = await office.call(journey.lead, "POST", f"{base}/reports/1", body=costly)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    assert "costs: this report has no accounts" in refused.json()["detail"]
    journey.expected.append(("message.refused", journey.applicant))
    await journey.report(1)
    assert (await journey.reports())[0]["costs"] == {"il": [], "az": []}
    await journey.report(2)
    await journey.pay(2)

    # The pilot takes longer, and another milestone comes: both sides decide, and the dates move.
    moved = with_milestones(journey.proposal, {"plan": 2, "pilot": 11, "open": 12})
    asked = await ask(journey, moved, "The pilot district floods in winter.")
    assert (asked["weight"], asked["matter"] is None) == ("major", False)
    await decide(journey, asked["matter"])
    await became(journey, 1, "made")
    journey.proposal = moved
    assert months(await journey.reports()) == [
        (2, "plan", "accepted"),
        (6, None, "accepted"),
        (11, "pilot", "scheduled"),
        (12, "open", "scheduled"),
        (12, None, "scheduled"),
        (14, None, "scheduled"),
    ]
    assert [(one["trigger"], one["report"]) for one in await journey.tranches()][2] == ("report", 5)

    # Nobody is reminded of the month that was: the report is late counted from the new one.
    pilot = (await journey.reports())[2]
    await journey.skip_to(datetime.fromisoformat(reports[2]["due_at"]) + timedelta(days=5))
    assert "report.overdue" not in await actions(journey, "report.")
    await journey.skip_to(datetime.fromisoformat(pilot["due_at"]) + timedelta(days=8))
    assert (await actions(journey, "report."))[-2:] == ["report.overdue", "report.reminded"]
    assert (await journey.reports())[2]["state"] == "overdue"

    for number in (3, 4, 5):
        await journey.report(number)
    await journey.pay(3)
    await journey.report(6)
    assert [one["action"] for one in await office.trail(journey.id)].count("tranche.due") == 3
    await journey.close()
    await journey.reach_end("closed")
