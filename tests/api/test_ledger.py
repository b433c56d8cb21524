"""The ledger over HTTP: in pages, as CSV, of the whole programme, and for whom."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from temporalio.testing import TimeSkipper

from countersign.domain.audit import AuditEntry
from countersign.domain.ledger import ledger_of
from countersign.runtime.embedded.services import Services
from tests.journeys.journey import Journey
from tests.people import Office, minimal_proposal

READERS = (
    "il-officer", "az-deputy", "il-finance-1", "il-secretariat", "az-secretariat", "il-auditor", "az-auditor",
)  # fmt: skip


@pytest.fixture(scope="session")
async def carried() -> dict[str, Journey]:
    return {}


@pytest.fixture
async def journey(
    office: Office, services: Services, skipper: TimeSkipper, carried: dict[str, Journey]
) -> Journey:
    """An active initiative whose first tranche is paid; one for all tests here, which only read."""
    if "one" not in carried:
        own = Journey(office, services, skipper, minimal_proposal())
        await own.submit()
        await own.clear()
        await own.approve_and_sign()
        await own.pay(1)
        carried["one"] = own
    carried["one"].office = office  # whose connections are open
    return carried["one"]


def path_of(journey: Journey) -> str:
    return f"/v1/initiatives/{journey.id}/ledger"


def balance(balances: list[dict[str, Any]], side: str, account: str) -> int:
    return sum(one["minor"] for one in balances if (one["directorate"], one["account"]) == (side, account))


async def test_the_ledger_is_what_the_trail_comes_to_with_its_balances(
    office: Office, journey: Journey
) -> None:
    found = await office.get("il-finance-1", path_of(journey))
    entries = [AuditEntry.model_validate(one) for one in await office.trail(journey.id)]
    derived = [one.model_dump(mode="json", exclude={"initiative"}) for one in ledger_of(entries)]
    assert found["items"] == derived != []
    assert found["next"] is None
    paid = {
        side: share["amounts"][0]["minor"] for side, share in (await journey.tranches())[0]["shares"].items()
    }
    for side, committed in (("il", 100_000_01), ("az", 50_000_03)):
        assert balance(found["balances"], side, "committed") == committed
        assert balance(found["balances"], side, "disbursed") == paid[side]
        assert balance(found["balances"], side, "treasury") == -paid[side]
        assert balance(found["balances"], side, "instructed") == 0


async def test_it_is_read_in_pages(office: Office, journey: Journey) -> None:
    whole = await office.get("az-auditor", path_of(journey))
    read: list[Any] = []
    cursor = ""
    while True:
        page = await office.get("az-auditor", f"{path_of(journey)}?limit=3{cursor}")
        assert len(page["items"]) <= 3
        assert page["balances"] == whole["balances"]
        read += page["items"]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert read == whole["items"]


@pytest.mark.parametrize(
    ("query", "headers"),
    [("?format=csv", {}), ("", {"Accept": "text/csv"}), ("", {"Accept": "text/csv;q=0.9, text/plain"})],
)
async def test_it_is_exported_as_csv_one_row_an_entry(
    office: Office, journey: Journey, query: str, headers: dict[str, str]
) -> None:
    answer = await office.call("il-lead", "GET", path_of(journey) + query, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["vary"] == "Accept"
    whole = (await office.get("il-lead", path_of(journey)))["items"]
    reference = (await office.get("il-lead", f"/v1/initiatives/{journey.id}"))["reference"]
    assert f'filename="{reference}-ledger.csv"' in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [(r["sequence"], r["number"], r["code"], r["account"], r["minor"]) for r in rows] == [
        (str(one["sequence"]), str(one["number"]), one["code"], entry["account"], str(entry["minor"]))
        for one in whole
        for entry in one["entries"]
    ]
    assert {r["initiative"] for r in rows} == {reference}
    committed = next(r for r in rows if (r["directorate"], r["account"]) == ("il", "committed"))
    assert (committed["minor"], committed["amount"], committed["unit"]) == ("10000001", "100000.01", "ILS")
    assert answer.text.count("\r\n") == len(rows) + 1


async def test_json_is_what_is_given_unless_csv_is_asked_for(office: Office, journey: Journey) -> None:
    for query, accept in (("?format=json", "text/csv"), ("", "*/*"), ("", "application/json, text/csv")):
        answer = await office.call("il-head", "GET", path_of(journey) + query, headers={"Accept": accept})
        assert answer.headers["content-type"] == "application/json"


async def test_both_directorates_auditors_and_those_who_take_part_read_it_and_no_stranger(
    office: Office, journey: Journey
) -> None:
    whole = await office.get("il-auditor", path_of(journey))
    for who in (*READERS, "il-lead", "az-lead"):
        assert await office.get(who, path_of(journey)) == whole
    for query in ("", "?format=csv"):
        stranger = await office.call("az-partner", "GET", path_of(journey) + query)
        assert (stranger.status_code, stranger.json()["code"]) == (404, "not_found")
        nobody = await office.call(None, "GET", path_of(journey) + query)
        assert (nobody.status_code, nobody.json()["code"]) == (401, "unauthenticated")


async def test_an_initiative_without_money_has_an_empty_ledger(office: Office, initiative: str) -> None:
    path = f"/v1/initiatives/{initiative}/ledger"
    assert await office.get("il-lead", path) == {"items": [], "next": None, "balances": [], "standings": []}
    exported = await office.call("il-lead", "GET", f"{path}?format=csv")
    assert len(exported.text.splitlines()) == 1


@pytest.mark.parametrize("bad", ["cursor=x", "cursor=1", "cursor=1.9999999999", "limit=0", "format=xml"])
async def test_a_bad_question_is_invalid(office: Office, journey: Journey, bad: str) -> None:
    answer = await office.call("il-head", "GET", f"{path_of(journey)}?{bad}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


async def test_the_programme_s_ledger_is_told_per_area_and_year_to_everybody_but_applicants(
    office: Office, journey: Journey
) -> None:
    # Other tests' initiatives are paid meanwhile: what is told at one time adds up by itself.
    own = await office.get("il-secretariat", path_of(journey))
    area = journey.proposal["area"]
    year = own["items"][-1]["at"][:4]
    whole = await office.get("il-secretariat", "/v1/ledger")
    some = await office.get("il-secretariat", f"/v1/ledger?directorate=az&area={area}&year={year}")
    assert {(one["directorate"], one["area"], one["year"]) for one in some["items"]} == {
        ("az", area, int(year))
    }
    for told in (whole, some):
        for one in told["balances"]:
            assert one["minor"] == sum(
                item["minor"]
                for item in told["items"]
                if all(item[key] == one[key] for key in ("directorate", "unit", "account"))
            )
    assert balance(some["balances"], "az", "committed") >= balance(own["balances"], "az", "committed")
    assert await office.get("az-auditor", "/v1/ledger?year=1999") == {"items": [], "balances": []}
    for who in READERS:
        assert (await office.call(who, "GET", "/v1/ledger")).status_code == 200
    refused = await office.call("il-lead", "GET", "/v1/ledger")
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    for bad in ("year=27x", "directorate=IL", "area=a%20b", "year=0"):
        answer = await office.call("il-head", "GET", f"/v1/ledger?{bad}")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
