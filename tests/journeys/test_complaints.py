"""Complaints about a termination: one that all sides uphold, and one that they dismiss."""

from __future__ import annotations

import asyncio
import uuid
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from temporalio.testing import TimeSkipper

from countersign.cli.rehearsal import report_of
from countersign.domain import ledger
from countersign.domain.audit import AuditEntry, chain_faults
from countersign.domain.canonical import content_hash
from countersign.domain.proposal import Proposal
from countersign.runtime.embedded.services import Services
from countersign.store import ledger as on_record
from countersign.store import trail
from countersign.store.session import Database
from tests.audit.whole import faults_of
from tests.eventually import eventually
from tests.journeys.journey import Journey, paid_journey
from tests.journeys.test_ending import post, refused, standing
from tests.people import Office

pytestmark = pytest.mark.services

WHY = {"reasons": "The other partner left the field."}
UNFAIR = {"reasons": "He is back since Monday, and said so."}


@pytest.fixture
async def journey(office: Office, services: Services, skipper: TimeSkipper) -> Journey:
    """In month seven one side has ended it; the first report was accepted and paid for."""
    made = await paid_journey(office, services, skipper)
    await made.report(1)
    await made.pay(2)
    first = (await made.reports())[0]
    await made.skip_to(datetime.fromisoformat(first["ends_at"]) + timedelta(days=25))
    await post(made, "az-deputy", "termination", WHY)
    await made.reach("terminated")
    await made.complaint_until()
    return made


async def subject(journey: Journey, matter: dict[str, Any]) -> dict[str, Any]:
    """What is before the sides, which its content hash is taken over."""
    path = f"/v1/initiatives/{journey.id}/matters/{matter['number']}"
    found: dict[str, Any] = (await journey.office.get("az-reviewer", path))["subject"]
    assert content_hash(found) == matter["content_hash"]
    return found


async def is_claimed(journey: Journey) -> bool:
    return any(one["trigger"] == "recovery" for one in await journey.tranches())


async def books(journey: Journey, database: Database) -> None:
    """The trail is one chain, and the ledger on record what it comes to."""
    async with database.reading() as connection:
        entries: tuple[AuditEntry, ...] = await trail.entries_from(connection, journey.id)
    assert chain_faults(entries) == []
    written = [one async for one in on_record.all_transactions(database, journey.id)]
    assert ledger.faults(entries, written) == []
    assert await faults_of(database, journey.id) == []


async def test_a_complaint_that_both_sides_uphold_leads_back_to_what_was_carried_out_and_that_is_closed(
    journey: Journey, database: Database
) -> None:
    path = f"/v1/initiatives/{journey.id}"
    here = await journey.office.get(journey.lead, path)
    ended_at, until = (datetime.fromisoformat(here[one]) for one in ("stage_since", "complaint_until"))
    assert until == ended_at + timedelta(days=30)
    assert await refused(journey, "il-head", "complaint", UNFAIR) == (403, "forbidden")
    cut = (await journey.reports())[1]
    assert (cut["cut_short"], cut["ends_at"]) == (True, here["stage_since"])

    # Both partners complain at the same instant: one of the two counts, once, however often it comes.
    keys = {who: str(uuid.uuid4()) for who in ("il-lead", "az-lead")}

    async def complain(who: str) -> httpx.Response:
        return await journey.office.call(who, "POST", f"{path}/complaint", body=UNFAIR, key=keys[who])

    answers = dict(zip(keys, await asyncio.gather(*map(complain, keys)), strict=True))
    assert sorted(one.status_code for one in answers.values()) == [200, 409]
    for who, answer in answers.items():
        again = await complain(who)
        assert (again.status_code, again.json()) == (answer.status_code, answer.json())
        assert answer.status_code == 200 or answer.json()["code"] == "out_of_order"
    assert await refused(journey, journey.lead, "complaint", UNFAIR) == (409, "out_of_order")
    assert (await journey.office.get(journey.lead, path))["complaint_until"] is None
    complaint = await journey.matter("complaint")
    told = await subject(journey, complaint)
    assert datetime.fromisoformat(told["against"]["since"]) == ended_at
    assert told["against"]["stage"] == "terminated"
    assert told["against"]["reason"] == f"az: {WHY['reasons']}"
    assert told["reasons"] == UNFAIR["reasons"]

    # It is before the sides for longer than a complaint could have come, and than the last report: nothing is claimed.
    before = {side: await standing(journey, side) for side in ("il", "az")}
    await journey.skip_to(until + timedelta(days=2))
    assert not await is_claimed(journey)
    await journey.decide("complaint")
    await journey.reach("suspended")
    asked = await journey.matter("resumption")
    why = await subject(journey, asked)
    assert (why["suspended"]["reason"], why["complaint"]["matter"]) == (
        "a complaint was upheld",
        complaint["number"],
    )
    assert {side: await standing(journey, side) for side in ("il", "az")} == before
    assert await refused(journey, journey.lead, "complaint", UNFAIR) == (409, "stage_closed")
    second = (await journey.reports())[1]
    assert (second["cut_short"], second["final"], second["state"]) == (False, False, "scheduled")
    assert datetime.fromisoformat(second["ends_at"]) > ended_at + timedelta(days=140)
    await journey.decide("resumption")
    await journey.reach("active")

    await journey.carry_out_after(1)
    for side in ("il", "az"):
        now = await standing(journey, side)
        assert now["committed"] == now["disbursed"] == now["accepted"] == before[side]["committed"]
        assert (now["recovered"], now["unspent"], now["available"], now["reserved"]) == (0, 0, 0, 0)
    await books(journey, database)


async def test_what_was_accepted_up_to_the_end_stays_so_and_the_next_period_begins_there(
    journey: Journey, database: Database
) -> None:
    """The last report is accepted before the complaint is; ended again by a refusal, it is complained of anew."""
    planned = (await journey.reports())[2]
    cut = (await journey.reports())[1]
    body = report_of(Proposal.model_validate(journey.proposal), 2, 3).document_form()
    await post(journey, journey.lead, "reports/2", body)
    await journey.decide("report")
    assert {one["state"] for one in (await journey.tranches())[2]["shares"].values()} == {"planned"}
    await post(journey, journey.lead, "complaint", UNFAIR)
    await journey.decide("complaint")
    await journey.reach("suspended")
    await journey.all_shares(3, "due")
    second, third = (await journey.reports())[1:]
    assert (second["state"], second["final"], second["ends_at"]) == ("accepted", False, cut["ends_at"])
    assert (third["starts_at"], third["ends_at"]) == (cut["ends_at"], planned["ends_at"])

    await journey.decide("resumption", ("approve", "refuse"))
    await journey.reach("terminated")
    assert await journey.complaint_until() > datetime.fromisoformat(cut["ends_at"]) + timedelta(days=30)
    await post(journey, journey.lead, "complaint", UNFAIR)
    await journey.decide("complaint")
    await journey.decide("resumption")
    await journey.reach("active")
    await journey.pay(3)
    await journey.carry_out_after(2)
    await books(journey, database)


async def test_a_complaint_that_one_side_refuses_lets_the_recovery_go_on_at_once(
    journey: Journey, database: Database
) -> None:
    await post(journey, journey.lead, "complaint", UNFAIR)
    cut = (await journey.reports())[1]
    await journey.skip_to(datetime.fromisoformat(cut["due_at"]) + timedelta(days=5))
    assert not await is_claimed(journey)
    await journey.decide("complaint", ("approve", "refuse"))
    claimed = await journey.office.recovery(journey.id)
    number = claimed["number"]
    assert await refused(journey, journey.lead, "complaint", UNFAIR) == (409, "stage_closed")
    for side in claimed["shares"]:
        unspent = (await standing(journey, side))["unspent"]
        assert claimed["shares"][side]["amounts"][0]["minor"] == unspent > 0
        await post(journey, f"{side}-finance-1", f"tranches/{number}/{side}/authorisation")
        await journey.office.until_share(journey.id, number, side, "instructed")
        await post(journey, f"{side}-finance-2", f"tranches/{number}/{side}/confirmation")
    await journey.reach_end("terminated")
    for side in ("il", "az"):
        now = await standing(journey, side)
        assert (now["unspent"], now["available"], now["committed"]) == (0, 0, now["disbursed"])
    await books(journey, database)


async def test_a_complaint_on_which_a_side_keeps_silent_is_dismissed(journey: Journey) -> None:
    await post(journey, journey.lead, "complaint", UNFAIR)
    matter = await journey.matter("complaint")
    path = f"/v1/initiatives/{journey.id}/matters/{matter['number']}"

    async def lapsed() -> bool:
        now = await journey.skipper.get_current_time(journey.handle)
        await journey.skip_to(now + timedelta(days=10))
        return bool((await journey.office.get("il-auditor", path))["outcome"] == "lapsed")

    await eventually(lapsed)
    assert (await journey.office.recovery(journey.id))["trigger"] == "recovery"
