"""One side pays and the other does not: the alarm on the initiative's own clock, and what waits until it is over."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from temporalio.testing import TimeSkipper

from countersign.runtime.embedded.services import Services
from tests.eventually import eventually
from tests.journeys.journey import Journey
from tests.people import Office, minimal_proposal

SECRETARIATS = ("il-secretariat", "az-secretariat")


@pytest.fixture
async def journey(office: Office, services: Services, skipper: TimeSkipper) -> Journey:
    """An initiative of which il's part of the first tranche is paid, and az's is instructed."""
    made = Journey(office, services, skipper, minimal_proposal())
    await made.submit()
    await made.clear()
    await made.approve_and_sign()
    for side in ("il", "az"):
        await act(made, 1, f"{side}-finance-1", "authorisation")
    await made.all_shares(1, "instructed")
    await act(made, 1, "il-finance-2", "confirmation")
    return made


async def act(journey: Journey, number: int, who: str, what: str) -> None:
    path = f"/v1/initiatives/{journey.id}/tranches/{number}/{who.partition('-')[0]}/{what}"
    answer = await journey.office.call(who, "POST", path)
    assert answer.status_code == 200, answer.text


async def inbox(journey: Journey, who: str) -> list[tuple[str, int]]:
    items = (await journey.office.get(who, "/v1/inbox?limit=200"))["items"]
    return [(one["task"], one["number"]) for one in items if one["initiative"] == journey.id]


async def alarms(journey: Journey) -> list[dict[str, Any]]:
    trail = await journey.office.trail(journey.id)
    return [one["body"] for one in trail if one["action"] == "tranche.diverged"]


async def test_beyond_the_limit_every_secretariat_is_told_and_later_tranches_wait_for_the_missing_part(
    journey: Journey,
) -> None:
    paid_at = datetime.fromisoformat((await journey.tranches())[0]["shares"]["il"]["paid_at"])
    await journey.skip_to(paid_at + timedelta(days=30) - timedelta(minutes=1))
    assert await alarms(journey) == []
    await journey.skip_to(paid_at + timedelta(days=30, minutes=1))
    assert await eventually(lambda: _once(journey)) == [{"number": 1, "paid": ["il"], "unpaid": ["az"]}]
    for who in SECRETARIATS:
        assert await inbox(journey, who) == [("diverged", 1)]
    first = (await journey.tranches())[0]
    assert (first["diverged"], first["diverged_at"] is not None) == (True, True)

    # The report is accepted all the same, and the run goes on in a new one; what that releases waits.
    await journey.report(1)
    await journey.all_shares(2, "due")
    for side in ("il", "az"):
        await act(journey, 2, f"{side}-finance-1", "authorisation")
    await asyncio.sleep(1)
    shares = (await journey.tranches())[1]["shares"]
    assert {one["state"] for one in shares.values()} == {"authorised"}
    view = await journey.office.get("il-lead", f"/v1/initiatives/{journey.id}")
    waits = {(one["task"], one["number"], one["directorate"]) for one in view["waiting"]}
    assert waits >= {("held_back", 2, "il"), ("held_back", 2, "az"), ("confirm", 1, "az")}
    assert not any(task == "diverged" for task, _, _ in waits)  # that is the directorates' own
    assert await inbox(journey, "az-finance-2") == [("confirm", 1)]

    await act(journey, 1, "az-finance-2", "confirmation")
    await journey.all_shares(2, "instructed")
    for who in SECRETARIATS:
        assert await inbox(journey, who) == []
    assert len(await alarms(journey)) == 1


async def _once(journey: Journey) -> list[dict[str, Any]] | None:
    return await alarms(journey) or None


async def test_who_pays_within_the_limit_alarms_nobody(journey: Journey) -> None:
    now = await journey.skipper.get_current_time(journey.handle)
    await journey.skip_to(now + timedelta(days=29))
    await act(journey, 1, "az-finance-2", "confirmation")
    await journey.skip_to(now + timedelta(days=60))
    assert await alarms(journey) == []
    assert await inbox(journey, "il-secretariat") == []
