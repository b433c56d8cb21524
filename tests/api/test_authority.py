"""Who may sign, for whom: chains, changed minds, mandates, declared interests."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from temporalio.testing import TimeSkipper

from countersign.domain.ids import workflow_id
from countersign.runtime.embedded.services import Services
from tests.api.test_tokens import claims as token_claims
from tests.api.test_tokens import own_key, signed
from tests.eventually import eventually
from tests.people import SIGNERS, Office, minimal_proposal


@pytest.fixture
async def proposal(office: Office, initiative: str) -> dict[str, Any]:
    """The open matter in which the proposal is decided; ``id`` is the initiative."""
    clearance = await office.open_matter(initiative)
    for who in SIGNERS["clearance"]:
        await office.sign(who, initiative, matter=clearance)
    return {**await office.open_matter_of(initiative, "proposal"), "id": initiative}


async def give(
    office: Office, who: str, delegate: str, key: str | None = None, **changes: Any
) -> httpx.Response:
    now = datetime.now(UTC)
    body = {
        "delegate": delegate,
        "kinds": ["clearance", "proposal"],
        "ceiling": [],
        "valid_from": (now - timedelta(hours=1)).isoformat(),
        "valid_to": (now + timedelta(days=300)).isoformat(),
    }
    return await office.call(who, "POST", "/v1/mandates", body=body | changes, key=key)


async def test_a_chain_goes_office_by_office_and_its_end_is_the_sides_position(
    office: Office, proposal: dict[str, Any]
) -> None:
    out_of_turn = await office.sign("il-head", proposal["id"], matter=proposal)
    assert out_of_turn.json()["code"] == "not_your_office"
    for who in ("il-officer", "il-legal"):
        answer = await office.sign(who, proposal["id"], matter=proposal)
        assert answer.json()["matter"]["sides"]["il"]["position_in"] is False
    answer = await office.sign("il-head", proposal["id"], matter=proposal)
    assert answer.json()["matter"]["sides"]["il"]["position"] == "approve"


async def test_a_step_above_a_ceiling_applies_only_above_it(office: Office) -> None:
    big = minimal_proposal()
    big["budget"][1]["amount"]["minor"] = 100_000_01
    initiative = (await office.submit(big))["id"]
    clearance = await office.open_matter_of(initiative, "clearance")
    for who in SIGNERS["clearance"]:
        await office.sign(who, initiative, matter=clearance)
    matter = await office.open_matter_of(initiative, "proposal")
    assert await office.carry(initiative, matter, "az") == ["az-officer", "az-reviewer", "az-deputy"]


async def test_a_side_changes_its_position_until_the_other_one_is_in_and_both_stay_on_record(
    office: Office, proposal: dict[str, Any]
) -> None:
    await office.carry(proposal["id"], proposal, "il")
    changed = await office.sign(
        "il-head", proposal["id"], "approve_with_conditions", matter=proposal, conditions=["A host is named."]
    )
    assert changed.json()["matter"]["sides"]["il"]["position"] == "approve_with_conditions"
    same = await office.sign(
        "il-head", proposal["id"], "approve_with_conditions", matter=proposal, conditions=["A host is named."]
    )
    assert same.json()["code"] == "already_signed"
    signed = [one for one in await office.trail(proposal["id"]) if one["action"] == "matter.signed"]
    assert signed[-1]["body"]["replaces"] == "il/il-head"
    view = await office.get("il-head", f"/v1/initiatives/{proposal['id']}/matters/{proposal['number']}")
    own = view["sides"]["il"]["sign_offs"]
    assert [(one["person"], one["replaced"]) for one in own][-2:] == [
        ("il/il-head", True),
        ("il/il-head", False),
    ]

    await office.carry(proposal["id"], proposal, "az")
    await office.until_decided(proposal["id"], proposal["number"])
    late = await office.sign("il-head", proposal["id"], matter=proposal)
    assert late.json()["code"] == "matter_closed"
    await office.until_stage(proposal["id"], "conditions")


async def test_a_return_that_is_taken_back_lets_the_chain_go_on(
    office: Office, proposal: dict[str, Any]
) -> None:
    returned = await office.sign(
        "il-officer", proposal["id"], "return", matter=proposal, reasons="a table is missing"
    )
    assert returned.json()["matter"]["sides"]["il"]["position"] == "return"
    found = await office.sign("il-officer", proposal["id"], matter=proposal)
    assert found.json()["matter"]["sides"]["il"]["position_in"] is False
    assert "matter.position_withdrawn" in [one["action"] for one in await office.trail(proposal["id"])]
    assert await office.carry(proposal["id"], proposal, "il") == ["il-legal", "il-head"]


async def test_a_delegate_signs_on_behalf_of_whoever_gave_the_mandate(
    office: Office, proposal: dict[str, Any]
) -> None:
    await office.sign("il-officer", proposal["id"], matter=proposal)
    for_counsel = {"on_behalf_of": "il/il-legal"}
    without = await office.sign("il-secretariat", proposal["id"], matter=proposal, **for_counsel)
    assert (without.status_code, without.json()["code"]) == (409, "mandate_exceeded")
    given = await give(office, "il-legal", "il/il-secretariat")
    assert given.status_code == 201, given.text
    assert given.json()["offices"] == ["legal_counsel"]
    inbox = (await office.get("il-secretariat", "/v1/inbox"))["items"]
    assert proposal["id"] in [one["initiative"] for one in inbox]
    signed = await office.sign("il-secretariat", proposal["id"], matter=proposal, **for_counsel)
    assert signed.status_code == 200, signed.text
    entry = next(
        one for one in reversed(await office.trail(proposal["id"])) if one["action"] == "matter.signed"
    )
    assert (entry["actor"], entry["on_behalf_of"]) == ("il/il-secretariat", "il/il-legal")
    assert entry["body"]["office"] == "legal_counsel"
    # Neither the delegate nor the delegator signs a second time in the matter.
    both = await office.sign("il-legal", proposal["id"], matter=proposal)
    assert both.json()["code"] in ("already_signed", "not_your_office")
    await office.call("il-legal", "DELETE", f"/v1/mandates/{given.json()['id']}")


async def test_delegator_and_delegate_never_both_sign_in_one_matter(
    office: Office, proposal: dict[str, Any]
) -> None:
    """The head gives the programme officer a mandate: then one of the two steps is missing its own person."""
    given = await give(office, "il-head", "il/il-officer")
    assert (await office.sign("il-officer", proposal["id"], matter=proposal)).status_code == 200
    assert (await office.sign("il-legal", proposal["id"], matter=proposal)).status_code == 200
    answer = await office.sign("il-officer", proposal["id"], matter=proposal, on_behalf_of="il/il-head")
    assert (answer.status_code, answer.json()["code"]) == (409, "already_signed")
    await office.call("il-head", "DELETE", f"/v1/mandates/{given.json()['id']}")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"kinds": ["clearance"]}, "mandate_exceeded"),
        ({"ceiling": [{"minor": 100_000_00, "unit": "ILS"}]}, "mandate_exceeded"),
        ({"ceiling": [{"minor": 100_000_01, "unit": "ILS"}]}, None),
        ({"valid_from": (datetime.now(UTC) + timedelta(days=1)).isoformat()}, "mandate_expired"),
    ],
)
async def test_a_mandate_outside_its_kinds_ceiling_or_dates_never_counts(
    changes: dict[str, Any], code: str | None, office: Office, proposal: dict[str, Any]
) -> None:
    given = await give(office, "az-officer", "az/az-secretariat", **changes)
    assert given.status_code == 201, given.text
    il = await give(office, "il-officer", "il/il-secretariat", **changes)
    answer = await office.sign(
        "il-secretariat", proposal["id"], matter=proposal, on_behalf_of="il/il-officer"
    )
    assert answer.json().get("code") == code
    for who, mandate in (("az-officer", given), ("il-officer", il)):
        await office.call(who, "DELETE", f"/v1/mandates/{mandate.json()['id']}")


async def test_a_mandate_ends_with_its_time_on_the_initiatives_own_clock(
    office: Office, proposal: dict[str, Any], services: Services, skipper: TimeSkipper
) -> None:
    until = datetime.now(UTC) + timedelta(days=5)
    given = await give(office, "il-officer", "il/il-secretariat", valid_to=until.isoformat())
    handle = services.client.get_workflow_handle(workflow_id(proposal["id"]))
    await skipper.fast_forward(handle, timedelta(days=6))
    answer = await office.sign(
        "il-secretariat", proposal["id"], matter=proposal, on_behalf_of="il/il-officer"
    )
    assert answer.json()["code"] == "mandate_expired"
    await office.call("il-officer", "DELETE", f"/v1/mandates/{given.json()['id']}")


async def test_a_revoked_mandate_ends_at_once_also_for_matters_that_are_open(
    office: Office, proposal: dict[str, Any]
) -> None:
    given = (await give(office, "il-officer", "il/il-secretariat")).json()
    stranger = await office.call("az-deputy", "DELETE", f"/v1/mandates/{given['id']}")
    assert stranger.status_code == 404
    colleague = await office.call("il-legal", "DELETE", f"/v1/mandates/{given['id']}")
    assert (colleague.status_code, colleague.json()["code"]) == (403, "forbidden")
    head = await office.call("il-head", "DELETE", f"/v1/mandates/{given['id']}")
    assert head.json()["revoked_at"] is not None
    answer = await office.sign(
        "il-secretariat", proposal["id"], matter=proposal, on_behalf_of="il/il-officer"
    )
    assert answer.json()["code"] == "mandate_expired"


async def test_a_mandate_is_not_passed_on_and_stays_inside_the_directorate(office: Office) -> None:
    given = (await give(office, "il-head", "il/il-secretariat")).json()
    passed_on = (await give(office, "il-secretariat", "il/il-officer")).json()
    assert passed_on["offices"] == ["secretariat"]  # what one holds, never what one was lent
    for delegate in ("az/az-deputy", "il/il-head", "nobody"):
        refused = await give(office, "il-head", delegate)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    for who in ("il-lead", "il-auditor"):
        refused = await give(office, who, "il/il-officer")
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    for one in (given, passed_on):
        await office.call("il-head", "DELETE", f"/v1/mandates/{one['id']}")


async def test_the_same_key_gives_one_mandate_and_another_content_is_told_so(office: Office) -> None:
    key, until = str(uuid.uuid4()), (datetime.now(UTC) + timedelta(days=9)).isoformat()
    start = datetime.now(UTC).isoformat()
    same = {"valid_from": start, "valid_to": until}
    answers = await asyncio.gather(
        *(give(office, "il-legal", "il/il-secretariat", key=key, **same) for _ in range(10))
    )
    assert {one.status_code for one in answers} == {201}
    assert len({one.json()["id"] for one in answers}) == 1
    other = await give(office, "il-legal", "il/il-officer", key=key, **same)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    await office.call("il-legal", "DELETE", f"/v1/mandates/{answers[0].json()['id']}")


async def test_a_sides_mandates_are_its_own_and_auditors_see_all(office: Office) -> None:
    given = (await give(office, "az-reviewer", "az/az-secretariat")).json()
    identifiers = {
        who: [one["id"] for one in (await office.get(who, "/v1/mandates"))["items"]]
        for who in ("az-officer", "il-head", "il-auditor")
    }
    assert given["id"] in identifiers["az-officer"]
    assert given["id"] in identifiers["il-auditor"]
    assert given["id"] not in identifiers["il-head"]
    assert (await office.call("az-lead", "GET", "/v1/mandates")).status_code == 403
    await office.call("az-reviewer", "DELETE", f"/v1/mandates/{given['id']}")


async def test_whoever_declares_an_interest_decides_no_more_and_what_they_signed_no_longer_counts(
    office: Office, proposal: dict[str, Any]
) -> None:
    path = f"/v1/initiatives/{proposal['id']}/conflicts"
    await office.carry(proposal["id"], proposal, "il")
    declared = await office.call("il-legal", "POST", path, body={"reasons": "my sister works there"})
    assert declared.status_code == 200
    view = await office.get("il-head", f"/v1/initiatives/{proposal['id']}/matters/{proposal['number']}")
    assert view["sides"]["il"]["position_in"] is False
    assert view["sides"]["il"]["waits_for_office"] == "legal_counsel"
    again = await office.sign("il-legal", proposal["id"], matter=proposal)
    assert again.json()["code"] == "conflict_of_interest"
    inbox = (await office.get("il-legal", "/v1/inbox"))["items"]
    assert proposal["id"] not in [one["initiative"] for one in inbox]
    twice = await office.call("il-legal", "POST", path, body={"reasons": "again"})
    assert twice.json()["code"] == "out_of_order"
    applicant = await office.call("il-lead", "POST", path, body={"reasons": "it is mine"})
    assert (applicant.status_code, applicant.json()["code"]) == (403, "forbidden")
    # Nor does somebody else sign on behalf of whoever has the interest.
    given = await give(office, "il-legal", "il/il-secretariat")
    lent = await office.sign("il-secretariat", proposal["id"], matter=proposal, on_behalf_of="il/il-legal")
    assert lent.json()["code"] == "conflict_of_interest"
    await office.call("il-legal", "DELETE", f"/v1/mandates/{given.json()['id']}")


async def test_an_interest_of_whoever_has_the_longest_id_is_on_record(
    office: Office, proposal: dict[str, Any], services: Services
) -> None:
    subject = "x" * 200
    key = own_key(services, "il")

    async def call(method: str, path: str, offices: list[str], body: Any = None) -> httpx.Response:
        token = signed(key, token_claims(sub=subject, offices=offices))
        return await office.call(None, method, path, body=body, token=token)

    async def waits() -> bool:
        items = (await call("GET", "/v1/inbox?limit=200", ["programme_officer"])).json()["items"]
        return proposal["id"] in [one["initiative"] for one in items]

    assert await waits()
    path = f"/v1/initiatives/{proposal['id']}/conflicts"
    declared = await call("POST", path, ["programme_officer"], {"reasons": "my sister works there"})
    assert declared.status_code == 200, declared.text
    (found,) = (
        await office.get("il-auditor", f"/v1/audit?initiative={proposal['id']}&action=conflict.declared")
    )["items"]
    assert found["entry"]["actor"] == f"il/{subject}"
    assert not await waits()


async def test_a_substitute_takes_over_an_office_in_the_middle_of_a_matter(
    office: Office, proposal: dict[str, Any], services: Services
) -> None:
    """Whom a side's issuer names as the holder now is who signs now; what the former one signed still counts."""
    await office.sign("il-officer", proposal["id"], matter=proposal)
    claims = token_claims(sub="il-substitute", offices=["legal_counsel"])
    path = f"/v1/initiatives/{proposal['id']}/matters/{proposal['number']}/sign-offs"
    body = {"id": str(uuid.uuid4()), "response": "approve", "content_hash": proposal["content_hash"]}
    token = signed(own_key(services, "il"), claims)
    answer = await office.call(None, "POST", path, body=body, token=token)
    assert answer.status_code == 200, answer.text
    view = await office.get("il-head", f"/v1/initiatives/{proposal['id']}/matters/{proposal['number']}")
    assert [one["person"] for one in view["sides"]["il"]["sign_offs"]] == [
        "il/il-officer",
        "il/il-substitute",
    ]
    assert view["sides"]["il"]["waits_for_office"] == "head"


async def test_a_signal_with_fields_of_a_newer_sender_counts(
    office: Office, proposal: dict[str, Any], services: Services
) -> None:
    handle = services.client.get_workflow_handle(workflow_id(proposal["id"]))
    message = {
        "id": "from-another-system",
        "matter": proposal["number"],
        "response": "approve",
        "content_hash": proposal["content_hash"],
        "caller": {
            "person": "il/il-officer",
            "directorate": "il",
            "offices": ["programme_officer"],
            "assurance": "high",
        },
        "priority": 3,
    }
    await handle.signal("sign_off", message)

    async def counted() -> bool:
        trail = await office.trail(proposal["id"])
        return any(one["action"] == "matter.signed" and one["message"] == message["id"] for one in trail)

    assert await eventually(counted)
