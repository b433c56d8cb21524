"""Ending before the end, and giving back, at the command line."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from temporalio.testing import TimeSkipper

from countersign.runtime.embedded.services import Services
from tests.cli.conftest import Terminal
from tests.journeys.journey import Journey, paid_journey
from tests.people import Office


@pytest.fixture
async def journey(office: Office, services: Services, skipper: TimeSkipper) -> Journey:
    return await paid_journey(office, services, skipper)


async def test_a_side_ends_it_claims_its_money_back_and_gives_the_claim_up(
    terminal: Terminal, journey: Journey
) -> None:
    why = ("--reasons", "The partner left.")
    early = await terminal("pay", "claim", journey.id, "1", who="il-head")
    assert (early.status, "nothing is claimed back" in early.err) == (1, True)
    wrong = await terminal("terminate", journey.id, *why, who="il-officer")
    assert (wrong.status, "not_your_office" in wrong.err) == (1, True)
    ended = await terminal("terminate", journey.id, *why, who="il-head")
    assert ended.status == 0, ended
    assert "is terminated" in ended.out
    # The partners may still report what they spent up to this day, and complain of it; nobody does.
    last = next(one for one in await journey.reports() if one["cut_short"])
    shown = await terminal("show", journey.id, who="il-lead")
    assert f"complaint  may come until {await journey.complaint_until():%Y-%m-%d}" in shown.out
    await journey.skip_to(datetime.fromisoformat(last["due_at"]) + timedelta(hours=1))
    await journey.no_complaint_comes()
    late = await terminal("complain", journey.id, *why, who="il-lead")
    assert (late.status, "stage_closed" in late.err) == (1, True)
    number = str((await journey.office.recovery(journey.id))["number"])
    claim = await terminal("pay", "claim", journey.id, number, who="il-head")
    assert claim.status == 0, claim
    assert any(line.split()[:2] == ["il", "dugma"] and "ILS" in line for line in claim.out.splitlines())
    for act, who in (("authorise", "il-finance-1"), ("confirm", "il-finance-2")):
        said = await terminal("pay", act, journey.id, number, who=who)
        assert said.status == 0, said
        await journey.office.until_share(
            journey.id, int(number), "il", "instructed" if act == "authorise" else "recovered"
        )
    other = await terminal("pay", "write-off", journey.id, number, "--side", "az", *why, who="il-head")
    assert (other.status, "not_your_office" in other.err) == (1, True)
    given_up = await terminal.json("pay", "write-off", journey.id, number, *why, who="az-deputy")
    assert given_up["status"] == "counted"
    await journey.reach_end("terminated")
    told = await terminal("ledger", journey.id)
    assert "Each side" in told.out


async def test_an_applicant_complains_of_the_end_and_both_sides_look_at_it_again(
    terminal: Terminal, journey: Journey
) -> None:
    why = ("--reasons", "The partner is back.")
    early = await terminal("complain", journey.id, *why, who="il-lead")
    assert (early.status, "stage_closed" in early.err) == (1, True)
    await terminal("terminate", journey.id, *why, who="az-deputy")
    await journey.complaint_until()
    other = await terminal("complain", journey.id, *why, who="il-legal")
    assert (other.status, "forbidden" in other.err) == (1, True)
    lodged = await terminal("complain", journey.id, *why, who="il-lead")
    assert lodged.status == 0, lodged
    assert "The complaint is lodged" in lodged.out
    assert "may come until" not in (await terminal("show", journey.id, who="il-lead")).out
    for who in ("il-legal", "az-reviewer"):
        signed = await terminal("sign", journey.id, "approve", who=who)
        assert signed.status == 0, signed
    await journey.reach("suspended")
    shown = await terminal("show", journey.id, who="il-lead")
    assert "because    a complaint was upheld" in shown.out
    assert (await journey.matter("resumption"))["about"] == "resumption"


async def test_costs_are_disallowed_as_they_are_written(terminal: Terminal, journey: Journey) -> None:
    await journey.report(1)
    part = ("--partner", "dugma", "--reasons", "A private journey.")
    shapeless = await terminal("disallow", journey.id, "1", "--amount", "much", *part, who="il-officer")
    assert (shapeless.status, "is not an amount" in shapeless.err) == (2, True)
    too_much = await terminal(
        "disallow", journey.id, "1", "--amount", "99,000,000.00 ILS", *part, who="il-officer"
    )
    assert (too_much.status, "invalid" in too_much.err) == (1, True)
    done = await terminal("disallow", journey.id, "1", "--amount", "1.00 ILS", *part, who="il-officer")
    assert done.status == 0, done
    assert "1.00 ILS of dugma's costs in report 1 are disallowed" in done.out
