"""The search over the trail of the whole programme: what it finds, in which order, and for whom."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from countersign.domain.ids import uuid7
from countersign.store import mandates
from tests.people import Office, minimal_proposal


async def searched(office: Office, who: str = "il-auditor", **filters: str | int) -> list[dict[str, Any]]:
    """Everything that a search finds, page by page."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = await office.get(who, f"/v1/audit?{urlencode(filters | cursor)}")
        found += page["items"]
        if page["next"] is None:
            return found
        cursor = {"cursor": page["next"]}


async def test_an_auditor_of_either_side_finds_every_entry_once_the_latest_first(
    office: Office, initiative: str
) -> None:
    await office.sign("il-head", initiative)
    entries = await office.trail(initiative)
    found = await searched(office, "il-auditor", initiative=initiative, limit=3)
    assert [one["entry"] for one in found] == entries[::-1]
    assert await searched(office, "az-auditor", initiative=found[0]["reference"]) == found


@pytest.mark.parametrize("who", ["il-head", "az-secretariat", "il-lead"])
async def test_nobody_else_searches(office: Office, initiative: str, who: str) -> None:
    for path in ("/v1/audit", f"/v1/audit?initiative={initiative}", "/v1/audit?action=nonsense"):
        answer = await office.call(who, "GET", path)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert (await office.call(None, "GET", "/v1/audit")).status_code == 401


async def test_entries_of_several_initiatives_are_found_by_who_and_what(office: Office) -> None:
    made = [(await office.submit(minimal_proposal()))["id"] for _ in range(3)]
    for one in made:
        await office.open_matter_of(one, "clearance")
        assert (await office.sign("il-head", one)).status_code == 409
    refused = await searched(office, actor="il/il-head", action="message.refused", limit=2)
    assert [one["entry"]["initiative"] for one in refused if one["entry"]["initiative"] in made] == made[::-1]
    assert all(one["reference"] for one in refused)
    mine = await searched(office, actor="il/il-head", limit=100)
    assert {one["entry"]["actor"] for one in mine} == {"il/il-head"}
    opened = await searched(office, action="matter.opened", limit=1000)
    assert set(made) <= {one["entry"]["initiative"] for one in opened}
    ats = [one["entry"]["at"] for one in opened]
    assert ats == sorted(ats, reverse=True)


async def test_a_time_begins_with_from_and_ends_before_to(office: Office, initiative: str) -> None:
    await office.sign("il-head", initiative)
    entries = await office.trail(initiative)
    refused = next(one for one in entries if one["action"] == "message.refused")
    at = datetime.fromisoformat(refused["at"])
    a_moment = timedelta(microseconds=1)
    elsewhere = at.astimezone().isoformat()
    expected = [one["entry"]["sequence"] for one in await searched(office, initiative=initiative)]

    async def sequences(**times: str) -> list[int]:
        found = await searched(office, initiative=initiative, **times)
        return [one["entry"]["sequence"] for one in found]

    assert [one for one in expected if one >= refused["sequence"]] == await sequences(**{"from": elsewhere})
    assert [one for one in expected if one < refused["sequence"]] == await sequences(to=at.isoformat())
    just_then = await sequences(**{"from": at.isoformat(), "to": (at + a_moment).isoformat()})
    assert refused["sequence"] in just_then
    assert await sequences(**{"from": "2126-01-01T00:00:00Z"}) == []


async def test_mandates_are_found_too(office: Office) -> None:
    now = datetime.now(UTC)
    body = {
        "delegate": "il/il-officer",
        "kinds": ["clearance"],
        "valid_from": now.isoformat(),
        "valid_to": (now + timedelta(days=1)).isoformat(),
    }
    given = await office.call("il-legal", "POST", "/v1/mandates", body=body)
    assert given.status_code == 201, given.text
    found = await searched(office, action="mandate.given", actor="il/il-legal")
    assert found[0]["entry"]["body"]["id"] == given.json()["id"]
    assert found[0]["reference"] is None
    assert {one["entry"]["initiative"] for one in found} == {mandates.book("il")}
    assert found[0] in await searched(office, initiative=mandates.book("il"), action="mandate.given")


@pytest.mark.parametrize(
    "bad",
    [
        "action=matter.sined",
        "cursor=x",
        "cursor=2027-01-01T00:00:00.000000Z",
        "from=2027-01-01",
        "from=2027-01-01T00:00:00",
        "from=0001-01-01T00:00:00Z",
        "to=9999-12-31T23:59:59-14:00",
        "from=2027-02-01T00:00:00Z&to=2027-02-01T00:00:00Z",
        "actor=two%20words",
        "limit=1001",
        "initiative=a/b",
    ],
)
async def test_a_bad_filter_is_invalid_and_not_an_empty_answer(office: Office, bad: str) -> None:
    answer = await office.call("il-auditor", "GET", f"/v1/audit?{bad}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid"), answer.text


async def test_an_unknown_reference_is_not_found_and_an_unknown_id_has_no_entries(office: Office) -> None:
    answer = await office.call("il-auditor", "GET", "/v1/audit?initiative=ILAZ-1999-0001")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    nobody = str(uuid7(datetime.now(UTC), b"0" * 10))
    assert await searched(office, initiative=nobody) == []
