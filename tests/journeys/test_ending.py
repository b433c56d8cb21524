"""Initiatives that end before their end, and money that comes back."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from temporalio.testing import TimeSkipper

from countersign.banking.money import written
from countersign.domain.canonical import content_hash
from countersign.domain.proposal import Proposal
from countersign.runtime.embedded.services import Services
from tests.api.test_bank_statements import brought, verdicts
from tests.banking.making import details, entry
from tests.journeys.journey import Journey, paid_journey
from tests.people import Office

pytestmark = pytest.mark.services

HEADS = {"il": "il-head", "az": "az-deputy"}


@pytest.fixture
async def journey(office: Office, services: Services, skipper: TimeSkipper) -> Journey:
    return await paid_journey(office, services, skipper)


async def post(journey: Journey, who: str, path: str, body: Any = None) -> Any:
    """A POST on the initiative that counts."""
    answer = await journey.office.call(who, "POST", f"/v1/initiatives/{journey.id}/{path}", body=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def refused(journey: Journey, who: str, path: str, body: Any = None) -> tuple[int, str]:
    answer = await journey.office.call(who, "POST", f"/v1/initiatives/{journey.id}/{path}", body=body)
    return answer.status_code, answer.json()["code"]


async def standing(journey: Journey, side: str) -> dict[str, int]:
    found = await journey.office.get(f"{side}-auditor", f"/v1/initiatives/{journey.id}/ledger")
    (one,) = [one for one in found["standings"] if one["directorate"] == side]
    assert isinstance(one, dict)
    return one


async def test_one_side_ends_it_in_month_seven_and_both_have_their_unspent_money_back(
    journey: Journey,
) -> None:
    await journey.report(1)
    await journey.skip_to(
        datetime.fromisoformat((await journey.reports())[0]["ends_at"]) + timedelta(days=25)
    )
    why = {"reasons": "The other partner left the field."}
    assert await refused(journey, "il-officer", "termination", why) == (409, "not_your_office")
    assert await refused(journey, journey.lead, "termination", why) == (409, "not_your_office")
    await post(journey, "az-deputy", "termination", why)
    await journey.reach("terminated")
    assert await refused(journey, "il-head", "termination", why) == (409, "stage_closed")
    assert await refused(journey, "il-finance-1", "tranches/2/il/authorisation") == (409, "stage_closed")

    # Nobody reports what was spent in the weeks since the last report, and nobody complains in time.
    last = (await journey.reports())[1]
    assert (last["cut_short"], last["final"]) == (True, True)
    await journey.skip_to(datetime.fromisoformat(last["due_at"]) + timedelta(hours=1))
    await journey.no_complaint_comes()
    assert await refused(journey, journey.lead, "complaint", {"reasons": "Too late."}) == (
        409,
        "stage_closed",
    )

    paid = {side: await standing(journey, side) for side in ("il", "az")}
    claimed = await journey.office.recovery(journey.id)
    for side, share in claimed["shares"].items():
        assert share["amounts"][0]["minor"] == paid[side]["unspent"] > 0
        assert share["state"] == "due"
    number = claimed["number"]
    claim = await journey.office.get("il-auditor", f"/v1/initiatives/{journey.id}/tranches/{number}/claim")
    trail = await journey.office.trail(journey.id)
    assert content_hash(claim) == next(one["subject"] for one in trail if one["action"] == "tranche.claimed")

    # il's money comes back by the bank, and two of its officers say so.
    (il,) = claim["claims"]["il"]
    await post(journey, "il-finance-1", f"tranches/{number}/il/authorisation")
    await journey.office.until_share(journey.id, number, "il", "instructed")
    amount = {"amount": written(il["amount"]["minor"], "ILS"), "currency": "ILS"}
    line = entry(details(il["end_to_end_id"]), direction="CRDT", **amount)
    assert verdicts(await brought(journey.office, line)) == ["matched"]
    assert verdicts(await brought(journey.office, line)) == ["duplicate"]
    assert await refused(journey, "il-finance-1", f"tranches/{number}/il/confirmation") == (409, "four_eyes")
    await post(journey, "il-finance-2", f"tranches/{number}/il/confirmation")
    await journey.office.until_share(journey.id, number, "il", "settled")

    # az gives its claim up: its partner is gone.
    gone = {"reasons": "The partner is wound up."}
    assert await refused(journey, "il-head", f"tranches/{number}/az/write-off", gone) == (
        409,
        "not_your_office",
    )
    await post(journey, "az-deputy", f"tranches/{number}/az/write-off", gone)
    await journey.reach_end("terminated")

    il_now, az_now = await standing(journey, "il"), await standing(journey, "az")
    assert (il_now["recovered"], il_now["unspent"]) == (paid["il"]["unspent"], 0)
    assert (az_now["recovered"], az_now["unspent"]) == (0, paid["az"]["unspent"])
    # What was never let go is free again.
    assert il_now["committed"] == il_now["disbursed"]


async def test_what_the_partners_did_not_spend_is_claimed_back_before_it_closes(journey: Journey) -> None:
    """Every report claims one agora and one qəpik; costs once accepted may still turn out ineligible."""
    partners = Proposal.model_validate(journey.proposal).partners
    currency = {"il": "ILS", "az": "AZN"}
    costs = [
        {
            "partner": one.id,
            "category": "personnel",
            "description": "Little",
            "amount": {"minor": 2, "unit": currency[one.directorate]},
        }
        for one in partners
    ]
    reports = await journey.reports()
    for report in reports:
        await journey.skip_to(datetime.fromisoformat(report["ends_at"]) + timedelta(hours=1))
        body = {"narrative": {"en": "Little was done."}, "costs": costs}
        await post(journey, journey.lead, f"reports/{report['number']}", body)
        await journey.decide("report")
        if not report["final"]:
            await journey.pay(report["number"] + 1)
    await journey.reach("closing")
    before = await journey.matter("closure")
    wrong = {"partner": "dugma", "amount": {"minor": 1, "unit": "ILS"}, "reasons": "A private journey."}
    assert await refused(journey, "az-officer", "reports/1/disallowance", wrong) == (404, "not_found")
    too_much = wrong | {"amount": {"minor": 3, "unit": "ILS"}}
    assert await refused(journey, "il-officer", "reports/1/disallowance", too_much) == (422, "invalid")
    await post(journey, "il-officer", "reports/1/disallowance", wrong)
    anew = await journey.matter("closure")
    assert anew["number"] > before["number"]
    await journey.decide("closure")
    paid = await standing(journey, "il")
    assert paid["accepted"] == 2 * len(reports) - 1
    claimed = await journey.office.recovery(journey.id)
    assert claimed["shares"]["il"]["claims"] == {"dugma": claimed["shares"]["il"]["amounts"]}
    assert claimed["shares"]["il"]["amounts"] == [{"minor": paid["unspent"], "unit": "ILS"}]
    number = claimed["number"]
    for side in ("il", "az"):
        await post(journey, f"{side}-finance-1", f"tranches/{number}/{side}/authorisation")
        await journey.office.until_share(journey.id, number, side, "instructed")
        await post(journey, f"{side}-finance-2", f"tranches/{number}/{side}/confirmation")
    await journey.reach("closed")
    now = await standing(journey, "il")
    assert (now["recovered"], now["unspent"]) == (paid["unspent"], 0)
    certificate = await journey.office.get("az-auditor", f"/v1/initiatives/{journey.id}/closure-certificate")
    trail = await journey.office.trail(journey.id)
    assert content_hash(certificate) == trail[-1]["subject"]
    assert trail[-1]["action"] == "closure.certified"
    (row,) = certificate["accounts"]["il"]
    assert (row["paid"], row["accepted"], row["recovered"]) == (
        paid["disbursed"],
        paid["accepted"],
        paid["unspent"],
    )
    assert set(certificate["decisions"]) == {"proposal", "agreement", "closure"}
