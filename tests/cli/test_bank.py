"""``countersign bank import``: what finance officers and their scripts see."""

from __future__ import annotations

from pathlib import Path

import pytest
from temporalio.testing import TimeSkipper

from countersign.banking.money import written
from countersign.runtime.embedded.services import Services
from tests.banking.making import details, entry, notification
from tests.cli.conftest import Terminal
from tests.journeys.journey import Journey
from tests.people import Office, minimal_proposal

pytestmark = pytest.mark.services


async def test_a_statement_is_imported_told_line_by_line_and_only_once(
    terminal: Terminal, office: Office, services: Services, skipper: TimeSkipper, tmp_path: Path
) -> None:
    journey = Journey(office, services, skipper, minimal_proposal())
    await journey.submit()
    await journey.clear()
    await journey.approve_and_sign()
    await journey.pay(1)
    (told,) = (await journey.tranches())[0]["shares"]["il"]["payments"]
    amount = told["amount"]
    line = entry(details(told["end_to_end_id"]), amount=written(amount["minor"], amount["unit"]))
    file = tmp_path / "statement.xml"
    file.write_text(notification(line), encoding="utf-8")

    eyes = await terminal("bank", "import", file, who="il-finance-1")
    assert (eyes.status, "four_eyes: " in eyes.err) == (1, True)
    first = await terminal("bank", "import", file, who="il-finance-2")
    assert first.status == 0, first
    assert told["end_to_end_id"] in first.out
    assert "1 matched." in first.out
    again = await terminal("bank", "import", "-", "--json", who="il-finance-2", stdin=file.read_text())
    assert (again.status, again.json["again"], again.json["counts"]) == (0, True, {"duplicate": 1})

    file.write_text(notification(line, entry(details("CSX"))), encoding="utf-8")
    other = await terminal("bank", "import", file, who="il-finance-2")
    assert (other.status, "1 line(s) did not count" in other.err) == (1, True)
    file.write_text("<no/>", encoding="utf-8")
    assert (await terminal("bank", "import", file, who="il-finance-2")).status == 1
    assert (await terminal("bank", "import", tmp_path / "none", who="il-finance-2")).status == 2
