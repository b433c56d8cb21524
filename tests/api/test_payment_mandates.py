"""Mandates of finance officers over HTTP: who acts for whom, and four eyes through all of it."""

from __future__ import annotations

import uuid
from itertools import count
from typing import Any

import httpx
import pytest
from temporalio.testing import TimeSkipper

from countersign.runtime.embedded.services import Services
from tests.api.test_authority import give
from tests.journeys.journey import Journey
from tests.people import Office, minimal_proposal

pytestmark = pytest.mark.services

FIRST, SECOND, CLERK, HEAD = "il-finance-1", "il-finance-2", "il-secretariat", "il-head"
COUNSEL, OFFICER = "il-legal", "il-officer"
"""Delegates of one test each: a mandate that was revoked is still remembered as one."""


class Paying:
    """An active initiative, and what finance officers and their delegates send to its first tranche."""

    def __init__(self, office: Office, journey: Journey) -> None:
        self.office, self.journey, self.id = office, journey, journey.id

    async def post(
        self, who: str, act: str, behalf: str | None = None, side: str = "il", **fields: Any
    ) -> httpx.Response:
        path = f"/v1/initiatives/{self.id}/tranches/1/{side}/{act}"
        body = {"on_behalf_of": f"{side}/{behalf}"} if behalf else None
        return await self.office.call(who, "POST", path, body=body, **fields)

    async def code(self, who: str, act: str, behalf: str | None = None, side: str = "il") -> str | None:
        answer = await self.post(who, act, behalf, side)
        code: str | None = answer.json().get("code")
        assert (answer.status_code == 200) == (code is None), answer.text
        return code

    async def share(self, side: str = "il") -> dict[str, Any]:
        found: dict[str, Any] = (await self.journey.tranches())[0]["shares"][side]
        return found

    async def inbox(self, who: str) -> list[str]:
        items = (await self.office.get(who, "/v1/inbox?limit=200"))["items"]
        return [one["task"] for one in items if one["initiative"] == self.id]


@pytest.fixture
async def paying(office: Office, services: Services, skipper: TimeSkipper) -> Paying:
    return await paying_first_tranche(office, services, skipper)


async def paying_first_tranche(office: Office, services: Services, skipper: TimeSkipper) -> Paying:
    """A small initiative whose first tranche is due."""
    journey = Journey(office, services, skipper, minimal_proposal())
    await journey.submit()
    await journey.clear()
    await journey.approve_and_sign()
    return Paying(office, journey)


class Lending:
    """Mandates that are revoked when the test is over: the people are those of every other test."""

    def __init__(self, office: Office) -> None:
        self._office, self._given = office, list[tuple[str, str]]()

    async def __call__(self, who: str, delegate: str, **changes: Any) -> None:
        given = await give(self._office, who, f"il/{delegate}", **({"kinds": ["payment"]} | changes))
        assert given.status_code == 201, given.text
        self._given.append((who, given.json()["id"]))

    async def revoke_all(self) -> None:
        for who, identifier in self._given:
            await self._office.call(who, "DELETE", f"/v1/mandates/{identifier}")


@pytest.fixture
async def lend(office: Office) -> Any:
    lending = Lending(office)
    yield lending
    await lending.revoke_all()


async def test_a_delegate_finds_the_payment_in_their_inbox_and_authorises_it_for_who_is_away(
    paying: Paying, lend: Lending, office: Office
) -> None:
    assert await paying.inbox(COUNSEL) == []
    assert await paying.code(COUNSEL, "authorisation") == "not_your_office"
    assert await paying.code(COUNSEL, "authorisation", FIRST) == "mandate_exceeded"
    await lend(FIRST, COUNSEL, kinds=["report", "payment"])
    assert await paying.inbox(COUNSEL) == ["authorise"]
    key = str(uuid.uuid4())
    first = await paying.post(COUNSEL, "authorisation", FIRST, key=key)
    again = await paying.post(COUNSEL, "authorisation", FIRST, key=key, process=1)
    assert (first.status_code, first.json()) == (200, again.json())
    other = await paying.post(COUNSEL, "authorisation", key=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    share = await paying.share()
    assert (share["authorised_by"], share["authorised_for"]) == (f"il/{COUNSEL}", f"il/{FIRST}")
    entry = (await office.trail(paying.id))[first.json()["sequence"] - 1]
    assert (entry["action"], entry["actor"], entry["on_behalf_of"]) == (
        "tranche.authorised",
        f"il/{COUNSEL}",
        f"il/{FIRST}",
    )

    assert await paying.code("az-finance-1", "authorisation", side="az") is None
    await paying.journey.all_shares(1, "instructed")
    # Neither of the two is waited for now, nor the one through the other.
    assert (await paying.inbox(FIRST), await paying.inbox(COUNSEL)) == ([], [])
    assert await paying.inbox(SECOND) == ["confirm"]


AUTHORISED = {"alone": (FIRST, None), "for": (CLERK, FIRST), "by": (FIRST, SECOND)}


@pytest.mark.parametrize("way", AUTHORISED)
async def test_whoever_has_a_hand_in_the_authorisation_has_none_in_what_follows(
    way: str, paying: Paying, lend: Lending, office: Office
) -> None:
    for delegator, delegate in (
        (FIRST, CLERK),
        (FIRST, SECOND),
        (FIRST, HEAD),
        (SECOND, FIRST),
        (SECOND, CLERK),
        (SECOND, HEAD),
    ):
        await lend(delegator, delegate)
    who, behalf = AUTHORISED[way]
    hands = {who, behalf} - {None}
    assert await paying.code(who, "authorisation", behalf) is None
    assert await paying.code("az-finance-1", "authorisation", side="az") is None
    await paying.journey.all_shares(1, "instructed")
    tried = count()
    for confirming, of in (
        (FIRST, None),
        (SECOND, None),
        (CLERK, FIRST),
        (CLERK, SECOND),
        (HEAD, FIRST),
        (HEAD, SECOND),
        (FIRST, SECOND),
        (SECOND, FIRST),
    ):
        if {confirming, of} & hands:
            assert await paying.code(confirming, "confirmation", of) == "four_eyes", (confirming, of)
            next(tried)
    assert next(tried) >= 5
    assert (await paying.share())["state"] == "instructed"
    if way != "by":  # then no finance officer of the side is left
        assert "confirm" in await paying.inbox(HEAD)
        assert await paying.code(HEAD, "confirmation", SECOND) is None
        assert (await paying.share())["confirmed_by"] == f"il/{HEAD}"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"kinds": ["report"]}, "mandate_exceeded"),
        ({"ceiling": [{"minor": 39_999_99, "unit": "ILS"}]}, "mandate_exceeded"),
        ({"ceiling": [{"minor": 40_000_02, "unit": "ILS"}]}, None),
    ],
)
async def test_a_mandate_for_payments_is_bounded_by_the_part_that_is_paid(
    changes: dict[str, Any], code: str | None, paying: Paying, lend: Lending
) -> None:
    await lend(FIRST, OFFICER, **changes)
    assert await paying.code(OFFICER, "authorisation", FIRST) == code


async def test_what_is_lent_is_an_office_and_an_interest_is_nobodys_to_lend(
    paying: Paying, lend: Lending, office: Office
) -> None:
    await lend(HEAD, CLERK)
    assert await paying.code(CLERK, "authorisation", HEAD) == "not_your_office"
    await lend(FIRST, CLERK)
    assert await paying.code(CLERK, "authorisation", FIRST, side="az") == "not_your_office"
    path = f"/v1/initiatives/{paying.id}/conflicts"
    declared = await office.call(FIRST, "POST", path, body={"reasons": "my sister works there"})
    assert declared.status_code == 200
    assert await paying.code(CLERK, "authorisation", FIRST) == "conflict_of_interest"

    refused = [one for one in await office.trail(paying.id) if one["action"] == "message.refused"]
    assert refused[-1]["body"]["code"] == "conflict_of_interest"


async def test_a_body_that_says_something_else_is_told_so(paying: Paying, office: Office) -> None:
    path = f"/v1/initiatives/{paying.id}/tranches/1/il/authorisation"
    answer = await office.call(FIRST, "POST", path, body={"for": "il/il-finance-2"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert (await office.call(FIRST, "POST", path, body={})).status_code == 200
