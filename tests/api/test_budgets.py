"""Budgets over HTTP and at the command line: what is left of them, for those who watch the whole programme."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from countersign.runtime.embedded.services import Services
from tests.cli.conftest import run
from tests.people import Office, minimal_proposal

pytestmark = pytest.mark.services

ASKED = 100_000_01
"""Agorot that the small proposal asks of il."""


async def of_il(office: Office, year: int | None = None) -> dict[str, Any]:
    path = "/v1/budgets" + (f"?year={year}" if year else "")
    items = (await office.get("il-secretariat", path))["items"]
    (found,) = [one for one in items if (one["directorate"], one["unit"], one["area"]) == ("il", "ILS", None)]
    assert isinstance(found, dict)
    return found


async def test_an_approval_takes_from_the_budget_of_its_year_and_a_withdrawal_gives_it_back(
    office: Office,
) -> None:
    year = datetime.now(UTC).year
    before, later = await of_il(office), await of_il(office, year + 1)
    initiative = (await office.submit(minimal_proposal()))["id"]
    for kind in ("clearance", "proposal"):
        matter = await office.open_matter_of(initiative, kind)
        for side in ("il", "az"):
            await office.carry(initiative, matter, side, "approve")
    await office.until_stage(initiative, "contracting")
    taken = await of_il(office)
    assert (taken["year"], taken["ceiling"], taken["waiting"]) == (year, before["ceiling"], [])
    assert taken["left"] == taken["ceiling"] - taken["taken"]
    trail = (await office.get("il-auditor", f"/v1/initiatives/{initiative}/ledger"))["balances"]
    assert {(one["directorate"], one["account"]): one["minor"] for one in trail}["il", "reserved"] == ASKED
    assert (await of_il(office, year + 1))["taken"] == later["taken"]
    answer = await office.call(
        "il-lead", "POST", f"/v1/initiatives/{initiative}/withdrawal", body={"reasons": "We thought again."}
    )
    assert answer.status_code == 200, answer.text


async def test_budgets_are_for_those_who_see_the_whole_programme(office: Office) -> None:
    for who in ("il-officer", "az-finance-1", "az-auditor"):
        assert (await office.call(who, "GET", "/v1/budgets")).status_code == 200
    refused = await office.call("il-lead", "GET", "/v1/budgets")
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    for year in ("1", "soon", "2027-01"):
        assert (await office.call("il-auditor", "GET", f"/v1/budgets?year={year}")).status_code == 422


async def test_the_command_line_tells_what_is_left(office: Office, services: Services) -> None:
    url, token = office.urls[0], services.token("az-auditor")
    told = await run("budgets", COUNTERSIGN_URL=url, COUNTERSIGN_TOKEN=token)
    assert told.status == 0, told
    rows = [line.split() for line in told.out.splitlines()]
    assert any(row[1:3] == ["az", "supercomputing"] and "GPUh" in row for row in rows)
    raw = await run("budgets", "--json", "--year", "2031", COUNTERSIGN_URL=url, COUNTERSIGN_TOKEN=token)
    assert {(one["year"], one["taken"]) for one in raw.json["items"]} == {(2031, 0)}
