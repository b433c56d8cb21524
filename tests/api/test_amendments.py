"""Amendments over HTTP: who may ask for one, who sees it, and the same key again."""

from __future__ import annotations

import pytest
from temporalio.testing import TimeSkipper

from countersign.runtime.embedded.services import Services
from tests.amendments import extended
from tests.journeys.journey import Journey
from tests.people import Office, minimal_proposal

pytestmark = pytest.mark.services


@pytest.fixture
async def journey(office: Office, services: Services, skipper: TimeSkipper) -> Journey:
    """A small active initiative."""
    made = Journey(office, services, skipper, minimal_proposal())
    await made.submit()
    await made.clear()
    await made.approve_and_sign()
    return made


async def test_who_takes_part_asks_and_whoever_may_see_the_initiative_sees_what_became_of_it(
    journey: Journey,
) -> None:
    office, path = journey.office, f"/v1/initiatives/{journey.id}/amendments"
    read = await office.get("az-lead", f"/v1/initiatives/{journey.id}/proposal")
    more = extended(journey.proposal, 0)
    more["partners"][1]["participants"] = [{"name": "Ploni Almoni", "email": "ploni@example.org"}]
    body = {
        "proposal": more,
        "replaces": read["content_hash"],
        "reasons": "He joined us.",
    }
    for who, status, code in (("il-head", 403, "forbidden"), ("az-partner", 404, "not_found")):
        answer = await office.call(who, "POST", path, body=body)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    none = await office.call("az-lead", "POST", path, body=body | {"reasons": ""})
    assert none.status_code == 422
    wrong = extended(journey.proposal, 0) | {"area": "no_such_area"}
    answer = await office.call("az-lead", "POST", path, body=body | {"proposal": wrong})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert answer.json()["errors"][0]["place"] == "area"

    first = await office.call("az-lead", "POST", path, body=body, key="a-1")
    assert first.status_code == 201, first.text
    again = await office.call("az-lead", "POST", path, body=body, key="a-1", process=1)
    assert (again.status_code, again.json()) == (201, first.json())
    other = await office.call("az-lead", "POST", path, body=body | {"reasons": "He did."}, key="a-1")
    assert other.json()["code"] == "idempotency_key_reused"

    views = [(await office.get(who, path))["items"] for who in ("il-head", "il-lead", "az-auditor")]
    assert views[0] == views[1] == views[2]
    (one,) = views[0]
    assert (one["state"], one["kinds"], one["changed"]) == (
        "notified",
        ["administrative"],
        ["partners[1].participants"],
    )
    assert one["asked_by"] == "applicants/az-lead"
    stranger = await office.call("az-partner", "GET", path)
    assert stranger.status_code == 404
    # It has begun another edition of the funding agreements, for which nobody had to sign.
    listed = (await office.get("il-head", f"/v1/initiatives/{journey.id}/funding-agreements"))["items"]
    assert {(a["edition"], a["amendment"], a["matter"], a["signed_at"]) for a in listed} == {
        (2, 1, None, None)
    }


async def test_an_open_amendment_is_before_the_heads_and_its_events_are_heard(journey: Journey) -> None:
    office, base = journey.office, f"/v1/initiatives/{journey.id}"
    read = await office.get(journey.lead, f"{base}/proposal")
    body = {
        "proposal": extended(journey.proposal, 6),
        "replaces": read["content_hash"],
        "reasons": "The machines came late.",
    }
    asked = await office.call(journey.lead, "POST", f"{base}/amendments", body=body)
    assert asked.status_code == 201, asked.text
    for who in ("il-head", "az-deputy"):
        inbox = await office.inbox(who)
        mine = [one for one in inbox if one["initiative"] == journey.id]
        assert [(one["task"], one["number"]) for one in mine] == [("sign_off", asked.json()["matter"])]
    await journey.decide("amendment")
    history = await office.get("il-auditor", f"{base}/history")
    assert any("ask_amendment" in one["sentence"] for one in history["items"])
