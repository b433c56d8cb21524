"""``countersign funding-agreement``: a list, a text to read, a document to keep."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.testing import TimeSkipper

from countersign.domain.canonical import content_hash
from countersign.runtime.embedded.services import Services
from tests.cli.conftest import Terminal
from tests.journeys.journey import Journey
from tests.people import Office, minimal_proposal

pytestmark = pytest.mark.services


async def test_they_are_listed_told_in_a_language_and_kept_as_json(
    terminal: Terminal, office: Office, services: Services, skipper: TimeSkipper
) -> None:
    journey = Journey(office, services, skipper, minimal_proposal())
    await journey.submit()
    await journey.clear()
    early = await terminal("funding-agreement", journey.id)
    assert (early.status, "drawn up when every side has approved" in early.out) == (0, True)
    await journey.decide("proposal")
    await journey.matter("agreement")

    command = ("funding-agreement", journey.id)
    listed, raw, told, hebrew, document, other, unnamed, both, nobody = await asyncio.gather(
        terminal(*command, who="il-officer"),
        terminal.json(*command, who="il-lead"),
        terminal(*command, "--side", "il", who="il-legal"),
        terminal.remotely(*command, "--side", "il", "--language", "he", who="il-legal"),
        terminal.json(*command, "--side", "az", "--edition", "1"),
        terminal(*command, "--side", "az", "--language", "he"),
        terminal(*command, "--language", "he"),
        terminal(*command, "--side", "az", "--language", "az", "--json"),
        terminal(*command, "--side", "ge"),
    )
    assert raw == await office.get("az-auditor", f"/v1/initiatives/{journey.id}/funding-agreements")
    az, il = raw["items"]
    assert listed.status == 0, listed
    (row,) = [one for one in listed.out.splitlines() if il["number"] in one]
    assert "not yet" in row
    assert il["content_hash"] in row
    assert told.out.startswith(f"FUNDING AGREEMENT {il['number']}\n")
    assert hebrew.status == 0, hebrew
    assert hebrew.out.startswith("הסכם מימון")
    assert content_hash(document) == az["content_hash"]
    assert (other.status, f"{az['number']} is given in" in other.err) == (1, True)
    assert (unnamed.status, "--side" in unnamed.err) == (2, True)
    assert (both.status, "either --language or --json" in both.err) == (2, True)
    assert (nobody.status, "not_found: " in nobody.err) == (1, True)
