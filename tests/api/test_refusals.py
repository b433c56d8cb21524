"""What does not count: the right code, nothing changed, and on record."""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from countersign.store import tables
from countersign.store.session import Database
from tests.people import SIGNERS, Office, minimal_proposal


async def standing(office: Office, initiative: str) -> dict[str, Any]:
    """What an initiative shows of itself, without what a recorded refusal changes: the trail's length."""
    view: dict[str, Any] = await office.get("il-auditor", f"/v1/initiatives/{initiative}")
    matters = await office.get("il-auditor", f"/v1/initiatives/{initiative}/matters")
    del view["sequence"]
    return {"view": view, "matters": matters}


async def refused_in_trail(
    office: Office, initiative: str, answer: httpx.Response, code: str, who: str
) -> None:
    """The answer is a problem with that code, and the trail's last entry says the same."""
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == code
    assert problem["type"] == f"urn:countersign:problem:{code}"
    last = (await office.trail(initiative))[-1]
    assert last["action"] == "message.refused"
    assert last["actor"] == who
    assert last["body"]["code"] == code
    assert last["body"]["detail"] == problem["detail"]


async def recorded_refusal(database: Database, answer: httpx.Response) -> dict[str, Any]:
    """The refusal of a request that reached no initiative, as the record has it."""
    async with database.reading() as connection:
        table = tables.refusal
        statement = select(table).where(table.c.request_id == answer.headers["x-request-id"])
        return dict((await connection.execute(statement)).mappings().one())


@pytest.mark.parametrize(
    ("who", "person", "code", "status"),
    [
        ("az-reviewer", "az/az-reviewer", "not_your_office", 409),
        ("il-head", "il/il-head", "not_your_office", 409),
        ("il-lead", "applicants/il-lead", "not_your_office", 409),
        ("il-auditor", "audit-il/il-auditor", "not_your_office", 409),
    ],
)
async def test_a_sign_off_without_the_office_changes_nothing_and_is_recorded(
    who: str, person: str, code: str, status: int, office: Office, initiative: str
) -> None:
    before = await standing(office, initiative)
    matter = await office.open_matter(initiative)
    answer = await office.sign(who, initiative, matter=matter)
    assert answer.status_code == status
    await refused_in_trail(office, initiative, answer, code, person)
    assert await standing(office, initiative) == before


async def test_the_wrong_directorate_cannot_take_the_other_ones_step(office: Office, initiative: str) -> None:
    """Both sides' chains wait; a holder of an office that the other side also has still signs for their own only."""
    await office.sign("az-officer", initiative)
    await office.until_countersigned(initiative, await office.open_matter(initiative), "az")
    before = await standing(office, initiative)
    answer = await office.sign("az-officer", initiative)
    await refused_in_trail(office, initiative, answer, "already_signed", "az/az-officer")
    other = await office.sign("il-officer", initiative)
    await refused_in_trail(office, initiative, other, "not_your_office", "il/il-officer")
    assert await standing(office, initiative) == before


async def test_stale_content_does_not_count(office: Office, initiative: str) -> None:
    before = await standing(office, initiative)
    answer = await office.sign("il-legal", initiative, content_hash="sha256:" + "a" * 64)
    await refused_in_trail(office, initiative, answer, "stale_content", "il/il-legal")
    assert await standing(office, initiative) == before


async def test_a_closed_matter_takes_no_sign_off(office: Office, initiative: str) -> None:
    clearance = await office.open_matter(initiative)
    await office.sign("il-legal", initiative, matter=clearance)
    await office.sign("az-officer", initiative, matter=clearance)
    await office.open_matter_of(initiative, "proposal")
    before = await standing(office, initiative)
    answer = await office.sign("il-legal", initiative, matter=clearance)
    await refused_in_trail(office, initiative, answer, "matter_closed", "il/il-legal")
    assert await standing(office, initiative) == before


async def test_an_office_holder_who_takes_part_does_not_decide(office: Office) -> None:
    proposal = minimal_proposal()
    own = {"name": "Ploni Almoni", "email": "IL-legal@il.countersign.example"}
    proposal["partners"][0]["participants"] = [own]
    initiative = (await office.submit(proposal))["id"]
    await office.open_matter_of(initiative, "clearance")
    answer = await office.sign("il-legal", initiative)
    await refused_in_trail(office, initiative, answer, "conflict_of_interest", "il/il-legal")
    assert [one["initiative"] for one in (await office.get("il-legal", "/v1/inbox"))["items"]].count(
        initiative
    ) == 0


@pytest.mark.parametrize("response", ["return", "refuse"])
async def test_returning_and_refusing_need_reasons(response: str, office: Office, initiative: str) -> None:
    answer = await office.sign("il-legal", initiative, response)
    assert answer.status_code == 422
    await refused_in_trail(office, initiative, answer, "invalid", "il/il-legal")


async def test_a_matter_that_does_not_exist_is_not_found(office: Office, initiative: str) -> None:
    matter = await office.open_matter(initiative)
    answer = await office.sign("il-legal", initiative, matter=matter | {"number": 99})
    assert answer.status_code == 404
    await refused_in_trail(office, initiative, answer, "not_found", "il/il-legal")


async def test_who_authorised_never_confirms_and_nothing_is_paid_out_of_order(office: Office) -> None:
    initiative = (await office.submit(minimal_proposal()))["id"]
    for kind in ("clearance", "proposal", "agreement"):
        matter = await office.open_matter_of(initiative, kind)
        for who in SIGNERS[kind]:
            assert (await office.sign(who, initiative, matter=matter)).status_code == 200
    await office.until_stage(initiative, "active")
    path = f"/v1/initiatives/{initiative}/tranches/1"

    async def post(who: str, side: str, act: str, number: int = 1) -> httpx.Response:
        return await office.call(who, "POST", f"{path[:-1]}{number}/{side}/{act}")

    wrong = await post("az-finance-1", "il", "authorisation")
    await refused_in_trail(office, initiative, wrong, "not_your_office", "az/az-finance-1")
    early = await post("il-finance-2", "il", "confirmation")
    await refused_in_trail(office, initiative, early, "out_of_order", "il/il-finance-2")
    not_due = await post("il-finance-1", "il", "authorisation", number=2)
    await refused_in_trail(office, initiative, not_due, "out_of_order", "il/il-finance-1")
    unknown = await post("il-finance-1", "il", "authorisation", number=77)
    await refused_in_trail(office, initiative, unknown, "not_found", "il/il-finance-1")

    assert (await post("il-finance-1", "il", "authorisation")).status_code == 200
    one_sided = await office.get("il-auditor", f"/v1/initiatives/{initiative}/tranches")
    shares = one_sided["items"][0]["shares"]
    assert (shares["il"]["state"], shares["az"]["state"]) == ("authorised", "due")
    assert shares["il"]["end_to_end_ids"] == []

    assert (await post("az-finance-1", "az", "authorisation")).status_code == 200
    await office.until_shares(initiative, 1, "instructed")
    same = await post("il-finance-1", "il", "confirmation")
    await refused_in_trail(office, initiative, same, "four_eyes", "il/il-finance-1")
    assert (await post("il-finance-2", "il", "confirmation")).status_code == 200
    twice = await post("il-finance-2", "il", "confirmation")
    await refused_in_trail(office, initiative, twice, "out_of_order", "il/il-finance-2")


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 400),
        (b"[]", 422),
        (b"", 422),
        (b'{"agreement": "il-az-ai"}', 422),
        (json.dumps(minimal_proposal() | {"surprise": 1}).encode(), 422),
        (json.dumps(minimal_proposal(duration_months=1.5)).encode(), 422),
        (json.dumps(minimal_proposal(area="alchemy")).encode(), 422),
        (json.dumps(minimal_proposal(title={"en": "a null \0 in it"})).encode(), 422),
        (json.dumps(minimal_proposal(summary={"en": "turned \u202e around"})).encode(), 422),
        (json.dumps(minimal_proposal(title={"en": "half a pair \ud800"})).encode(), 422),
        (b"\xff\xfe{}", 400),
        (b"[" * 100_000, 400),
        (b'{"duration_months": ' + b"9" * 10_000 + b"}", 400),
    ],
)
async def test_a_malformed_body_is_invalid_and_recorded(
    content: bytes, status: int, office: Office, database: Database
) -> None:
    answer = await office.call("il-lead", "POST", "/v1/proposals", content=content)
    assert (answer.status_code, answer.json()["code"]) == (status, "invalid")
    refusal = await recorded_refusal(database, answer)
    # What is no JSON at all is refused before anybody asks who sent it.
    assert (refusal["code"], refusal["person"]) == (
        "invalid",
        None if status == 400 else "applicants/il-lead",
    )


async def test_every_fault_of_a_proposal_is_told_at_once_with_its_place(office: Office) -> None:
    proposal = minimal_proposal(area="alchemy", kind="party")
    proposal["budget"][1]["amount"]["unit"] = "ILS"
    proposal["work_packages"][0]["lead"] = "nobody"
    answer = await office.call("il-lead", "POST", "/v1/proposals", body=proposal)
    assert {one["place"] for one in answer.json()["errors"]} == {
        "area",
        "kind",
        "budget[1].amount",
        "work_packages[0].lead",
    }


async def test_an_amount_is_never_a_fraction(office: Office) -> None:
    proposal = minimal_proposal()
    proposal["budget"][0]["amount"]["minor"] = 1000.0
    answer = await office.call("il-lead", "POST", "/v1/proposals", body=proposal)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


@pytest.mark.parametrize(
    "identifier", [str(uuid.uuid4()), "ILAZ-1999-0001", "../../etc/passwd", "%00", "x" * 61]
)
async def test_an_unknown_initiative_is_not_found_and_recorded(
    identifier: str, office: Office, database: Database
) -> None:
    answer = await office.call("il-head", "GET", f"/v1/initiatives/{identifier}")
    assert answer.status_code in (404, 422)
    assert answer.json()["code"] in ("not_found", "invalid")
    assert (await recorded_refusal(database, answer))["status"] == answer.status_code


async def test_applicants_do_not_see_what_they_have_no_part_in(office: Office, initiative: str) -> None:
    assert (await office.call("az-lead", "GET", f"/v1/initiatives/{initiative}")).status_code == 200
    stranger = await office.call("az-partner", "GET", f"/v1/initiatives/{initiative}")
    assert (stranger.status_code, stranger.json()["code"]) == (404, "not_found")
    listed = await office.get("az-partner", "/v1/initiatives?limit=200")
    assert initiative not in [one["id"] for one in listed["items"]]


async def test_only_applicants_submit_and_only_auditors_read_the_trail(
    office: Office, initiative: str
) -> None:
    submitted = await office.call("il-head", "POST", "/v1/proposals", body=minimal_proposal())
    assert (submitted.status_code, submitted.json()["code"]) == (403, "forbidden")
    for what in ("audit", "history"):
        answer = await office.call("il-head", "GET", f"/v1/initiatives/{initiative}/{what}")
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_a_body_beyond_the_limit_is_too_large(office: Office) -> None:
    answer = await office.call(
        "il-lead", "POST", "/v1/proposals", content=b'{"a":"' + b"x" * 3_000_000 + b'"}'
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_a_write_without_an_idempotency_key_is_told_so(office: Office, services: Any) -> None:
    async with httpx.AsyncClient(base_url=office.urls[0], trust_env=False) as client:
        headers = {"Authorization": f"Bearer {services.token('il-lead')}"}
        answer = await client.post("/v1/proposals", json=minimal_proposal(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_required")


async def test_sums_beyond_what_an_amount_can_be_are_refused_before_they_reach_a_workflow(
    office: Office,
) -> None:
    proposal = minimal_proposal()
    proposal["budget"] = [proposal["budget"][0] | {"amount": {"minor": 10**15, "unit": "ILS"}}] * 12
    answer = await office.call("il-lead", "POST", "/v1/proposals", body=proposal)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert [one["rule"] for one in answer.json()["errors"]] == ["too_much"]
