"""The ledger at the command line: as tables, JSON and CSV."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.testing import TimeSkipper

from countersign.runtime.embedded.services import Services
from tests.cli.conftest import Terminal
from tests.journeys.journey import Journey, paid_journey
from tests.people import Office


@pytest.fixture
async def journey(office: Office, services: Services, skipper: TimeSkipper) -> Journey:
    return await paid_journey(office, services, skipper)


async def test_the_ledger_is_told_in_tables_in_json_and_in_csv(
    terminal: Terminal, office: Office, journey: Journey
) -> None:
    told, raw, exported, away, both, stranger = await asyncio.gather(
        terminal("ledger", journey.id, who="il-finance-1"),
        terminal.json("ledger", journey.id),
        terminal("ledger", journey.id, "--csv"),
        terminal.remotely("ledger", journey.id, "--csv", who="az-lead"),
        terminal("ledger", journey.id, "--csv", "--json"),
        terminal("ledger", journey.id, who="az-partner"),
    )
    path = f"/v1/initiatives/{journey.id}/ledger"
    assert told.status == 0, told
    made = [one for one in told.out.splitlines() if "commitment made" in one and " il " in one]
    assert [one.split()[-4:] for one in made] == [["reserved", "committed", "100,000.01", "ILS"]]
    assert "Balances" in told.out
    assert any(one.split() == ["il", "appropriation", "-100,000.01", "ILS"] for one in told.out.splitlines())
    assert raw == await office.get("az-auditor", path)
    csv = (await office.call("az-auditor", "GET", f"{path}?format=csv")).text
    assert (exported.status, exported.out) == (0, csv)
    assert (away.status, away.out) == (0, csv)
    assert (both.status, "either --csv or --json" in both.err) == (2, True)
    assert (stranger.status, "not_found: " in stranger.err) == (1, True)
