"""Holding a payment over HTTP: who may, when it is too late, and what the other side sees of it."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from temporalio.testing import TimeSkipper

from countersign.runtime.embedded.services import Services
from tests.api.test_payment_mandates import FIRST, HEAD, SECOND, Paying, paying_first_tranche
from tests.people import Office

pytestmark = pytest.mark.services

WHY = {"reasons": "The account is another's."}


@pytest.fixture
async def paying(office: Office, services: Services, skipper: TimeSkipper) -> Paying:
    return await paying_first_tranche(office, services, skipper)


async def stop(paying: Paying, who: str, act: str = "hold", side: str = "il", **fields: Any) -> Any:
    path = f"/v1/initiatives/{paying.id}/tranches/1/{side}/{act}"
    return await paying.office.call(who, "POST", path, **({"body": WHY} | fields))


async def test_a_held_part_waits_for_its_own_side_and_nobody_is_paid(paying: Paying, office: Office) -> None:
    key = str(uuid.uuid4())
    first = await stop(paying, SECOND, key=key)
    again = await stop(paying, SECOND, key=key, process=1)
    assert (first.status_code, first.json()) == (200, again.json())
    twice = await stop(paying, SECOND)
    assert (twice.status_code, twice.json()["code"]) == (409, "out_of_order")
    assert await paying.code("az-finance-1", "authorisation", side="az") is None
    assert await paying.code(FIRST, "authorisation") == "out_of_order"
    assert (await paying.inbox(FIRST), await paying.inbox(HEAD)) == (["resume"], [])

    seen = {
        who: (await office.get(who, f"/v1/initiatives/{paying.id}/tranches"))["items"][0]["shares"]["il"]
        for who in (FIRST, "il-auditor", "az-auditor", "az-finance-1", "il-lead")
    }
    assert {(one["state"], one["held_from"]) for one in seen.values()} == {("held", "due")}
    why = {who: (one["held_by"], one["held_reasons"]) for who, one in seen.items()}
    own = (f"il/{SECOND}", WHY["reasons"])
    assert why == {
        FIRST: own,
        "il-auditor": own,
        "az-auditor": own,
        "az-finance-1": (None, None),
        "il-lead": (None, None),
    }

    resumed = await stop(paying, HEAD, "resumption", body={"reasons": "It was looked at."})
    assert resumed.status_code == 200
    assert (await stop(paying, HEAD, "resumption")).json()["code"] == "out_of_order"
    assert await paying.code(FIRST, "authorisation") is None
    await paying.journey.all_shares(1, "instructed")
    late = await stop(paying, SECOND)
    assert (late.status_code, late.json()["code"]) == (409, "out_of_order")
    told = [
        (one["action"], one["actor"], one["body"]["reasons"])
        for one in await office.trail(paying.id)
        if one["action"] in ("tranche.held", "tranche.resumed")
    ]
    assert told == [
        ("tranche.held", f"il/{SECOND}", WHY["reasons"]),
        ("tranche.resumed", f"il/{HEAD}", "It was looked at."),
    ]


@pytest.mark.parametrize(
    ("who", "fields", "status", "code"),
    [
        ("il-secretariat", {}, 409, "not_your_office"),
        ("az-finance-1", {}, 409, "not_your_office"),
        ("il-lead", {}, 409, "not_your_office"),
        (FIRST, {"body": {}}, 422, "invalid"),
        (FIRST, {"body": {"reasons": " "}}, 422, "invalid"),
        (FIRST, {"side": "ge"}, 409, "not_your_office"),
    ],
)
async def test_what_holds_nothing(
    who: str, fields: dict[str, Any], status: int, code: str, paying: Paying
) -> None:
    answer = await stop(paying, who, **fields)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert (await paying.share())["state"] == "due"


async def test_an_authorised_part_that_was_held_waits_to_be_authorised_anew(paying: Paying) -> None:
    assert await paying.code(FIRST, "authorisation") is None
    assert (await stop(paying, SECOND)).status_code == 200
    assert await paying.code("az-finance-1", "authorisation", side="az") is None
    assert (await stop(paying, FIRST, "resumption")).status_code == 200
    share = await paying.share()
    assert (share["state"], share["authorised_by"], share["end_to_end_ids"]) == ("due", None, [])
    assert await paying.code(FIRST, "authorisation") is None
    await paying.journey.all_shares(1, "instructed")
