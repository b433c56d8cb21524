"""Suspending, taking back, ending with notice and asking for the resumption at the command line."""

from __future__ import annotations

from datetime import timedelta

import pytest
from temporalio.testing import TimeSkipper

from countersign.runtime.embedded.services import Services
from tests.cli.conftest import Terminal
from tests.journeys.journey import Journey
from tests.people import Office, minimal_proposal

WHY = ("--reasons", "The lab has lost its licence.")


@pytest.fixture
async def journey(office: Office, services: Services, skipper: TimeSkipper) -> Journey:
    """An active initiative."""
    own = Journey(office, services, skipper, minimal_proposal())
    await own.submit()
    await own.clear()
    await own.approve_and_sign()
    return own


async def test_a_side_suspends_takes_back_and_the_applicant_asks_that_it_goes_on(
    terminal: Terminal, office: Office, journey: Journey
) -> None:
    wrong = await terminal("suspend", journey.id, *WHY, who="il-officer")
    assert (wrong.status, "not_your_office: " in wrong.err) == (1, True)
    soon = await terminal("suspend", journey.id, *WHY, "--notice-days", "2", who="il-head")
    assert (soon.status, "invalid: " in soon.err) == (1, True)
    announced = await terminal("suspend", journey.id, *WHY, who="il-head")
    assert announced.status == 0, announced
    assert f"The suspension of {journey.id} is announced" in announced.out
    shown = await terminal("show", journey.id, who="az-deputy")
    assert "see to the coming suspension of version 1" in shown.out
    back = await terminal("take-back", journey.id, "suspension", who="il-head")
    assert back.status == 0, back
    again = await terminal("take-back", journey.id, "suspension", who="il-head")
    assert (again.status, "out_of_order: " in again.err) == (1, True)

    ended = await terminal("terminate", journey.id, *WHY, "--notice-days", "60", who="az-deputy")
    assert ended.status == 0, ended
    assert (await terminal("take-back", journey.id, "termination", who="az-deputy")).status == 0
    assert await office.stage(journey.id) == "active"

    await terminal("suspend", journey.id, *WHY, who="az-deputy")
    early = await terminal("ask-resumption", journey.id, *WHY, who="il-lead")
    assert (early.status, "stage_closed: " in early.err) == (1, True)
    now = await journey.skipper.get_current_time(journey.handle)
    await journey.skip_to(now + timedelta(days=15))
    await journey.reach("suspended")
    asked = await terminal("ask-resumption", journey.id, *WHY, who="il-lead")
    assert asked.status == 0, asked
    assert (await journey.matter("resumption"))["about"] == "resumption"
