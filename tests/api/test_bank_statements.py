"""A bank's statement over HTTP: settled, failed and tried again; and everything that must change nothing."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update
from temporalio.testing import TimeSkipper

from countersign.api.bank_statements import _Telling
from countersign.api.errors import Problem
from countersign.api.identity import Identity
from countersign.banking.camt054 import Limits, read_notification
from countersign.banking.matching import CURRENCIES, match
from countersign.banking.money import written
from countersign.runtime.embedded.services import Services
from countersign.store import payments, statements
from countersign.store import tables as t
from countersign.store.session import Database
from tests.banking.making import details, entry, notification
from tests.eventually import eventually
from tests.journeys.journey import Journey
from tests.people import Office, minimal_proposal

pytestmark = pytest.mark.services


class Paying:
    """An initiative whose first tranche both banks were told of."""

    def __init__(self, office: Office, database: Database, journey: Journey) -> None:
        self.office, self.database, self.journey, self.id = office, database, journey, journey.id

    async def told(self, side: str) -> list[Any]:
        """What the side's bank was told of, the latest attempt last."""
        p = t.payment_instruction.c
        async with self.database.reading() as connection:
            found = await connection.execute(
                select(t.payment_instruction)
                .where(p.initiative_id == self.id, p.directorate == side, p.unit != "GPUh")
                .order_by(p.instructed_at)
            )
            return list(found.all())

    async def line(self, side: str, number: int = -1, **changes: Any) -> str:
        """A line of the bank's on a payment of the side."""
        one = (await self.told(side))[number]
        returned = changes.pop("returned", "")
        fields = {"amount": written(one.minor, one.unit), "currency": one.unit} | changes
        return entry(details(one.end_to_end_id, returned=returned), **fields)

    async def state(self, side: str) -> str:
        return str((await self.journey.tranches())[0]["shares"][side]["state"])

    async def post(self, who: str, path: str) -> httpx.Response:
        return await self.office.call(who, "POST", f"/v1/initiatives/{self.id}/tranches/1/{path}")

    async def confirm(self, side: str) -> None:
        assert (await self.post(f"{side}-finance-2", f"{side}/confirmation")).status_code == 200

    async def trail(self) -> list[str]:
        return [one["action"] for one in await self.office.trail(self.id)]


@pytest.fixture
async def paying(office: Office, services: Services, skipper: TimeSkipper, database: Database) -> Paying:
    journey = Journey(office, services, skipper, minimal_proposal())
    await journey.submit()
    await journey.clear()
    await journey.approve_and_sign()
    made = Paying(office, database, journey)
    for side in ("il", "az"):
        assert (await made.post(f"{side}-finance-1", f"{side}/authorisation")).status_code == 200
    await journey.all_shares(1, "instructed")
    return made


async def brought(
    office: Office, *lines: str, who: str = "il-finance-2", content: bytes | None = None, **fields: Any
) -> httpx.Response:
    sent = notification(*lines).encode() if content is None else content
    headers = {"Content-Type": "application/xml"}
    return await office.call(who, "POST", "/v1/bank-statements", content=sent, headers=headers, **fields)


def verdicts(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert sum(found["counts"].values()) == len(found["items"])
    return [one["verdict"] for one in found["items"]]


async def test_what_the_bank_booked_is_settled_and_the_same_statement_again_changes_nothing(
    paying: Paying, office: Office, database: Database
) -> None:
    await paying.confirm("il")
    line = await paying.line("il")
    answer = await brought(office, line, key="the-first")
    assert verdicts(answer) == ["matched"]
    found = answer.json()
    assert (found["again"], found["directorate"], found["imported_by"]) == (False, "il", "il/il-finance-2")
    (item,) = found["items"]
    assert (item["outcome"], item["tranche"], item["bank_reference"]) == ("booked", 1, "B-1")
    assert item["initiative"].startswith("ILAZ-")
    assert (await paying.state("il"), await paying.state("az")) == ("settled", "instructed")
    after = await paying.trail()
    assert after[-2:] == ["payment.booked", "tranche.settled"]

    same = await brought(office, line, key="the-first", process=1)
    assert same.json() == found
    again = await brought(office, line, process=1)
    assert (verdicts(again), again.json()["again"]) == (["duplicate"], True)
    assert await paying.trail() == after
    other = await brought(office, line, line, key="the-first")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")

    content = "sha256:" + hashlib.sha256(notification(line).encode()).hexdigest()
    found = await office.get("il-auditor", "/v1/audit?action=bank_statement.imported&actor=il/il-finance-2")
    imports = [one["entry"] for one in found["items"] if one["entry"]["subject"] == content]
    assert [(one["body"]["counts"], one["body"]["again"]) for one in imports] == [
        ({"duplicate": 1}, True),
        ({"matched": 1}, False),
    ]
    assert {one["initiative"] for one in imports} == {statements.book("il")}


async def test_a_payment_that_came_back_is_authorised_again_paid_under_a_new_id_and_settled(
    paying: Paying, office: Office
) -> None:
    (first,) = await paying.told("il")
    back = await paying.line("il", direction="CRDT", returned="AC04")
    assert verdicts(await brought(office, await paying.line("il"), back)) == ["matched", "matched"]
    assert await paying.state("il") == "failed"
    inbox = (await office.get("il-finance-1", "/v1/inbox"))["items"]
    assert ("authorise", 1) in [
        (one["task"], one["number"]) for one in inbox if one["initiative"] == paying.id
    ]
    assert (await paying.post("il-finance-1", "il/authorisation")).status_code == 200

    async def again() -> bool:
        return await paying.state("il") == "instructed"

    await eventually(again)
    before, second = await paying.told("il")
    assert before == first
    assert second.end_to_end_id != first.end_to_end_id
    assert (second.minor, second.unit) == (first.minor, first.unit)
    assert len(await paying.told("az")) == 1  # the other side is told of nothing twice
    share = (await paying.journey.tranches())[0]["shares"]["il"]
    assert share["end_to_end_ids"] == [second.end_to_end_id]
    assert [
        (one["attempt"], one["replaces"], one["outcome"], one["partner"]) for one in share["payments"]
    ] == [
        (1, None, "returned", "dugma"),
        (2, first.end_to_end_id, None, "dugma"),
    ]
    late = await brought(office, entry(details(first.end_to_end_id), amount=written(first.minor, "ILS")))
    assert verdicts(late) == ["unclear"]
    assert verdicts(await brought(office, await paying.line("il"))) == ["matched"]
    assert await paying.state("il") == "instructed"  # and its officers have not said so yet
    await paying.confirm("il")
    assert await paying.state("il") == "settled"
    trail = await paying.trail()
    assert trail.count("payment.failed") == 1
    assert trail.count("tranche.instructed") == 2


async def test_an_import_that_broke_off_is_finished_under_its_key_and_says_what_it_did(
    paying: Paying, office: Office, database: Database
) -> None:
    line, key = await paying.line("il"), f"broken-off-{paying.id}"
    first = await brought(office, line, key=key)
    after = await paying.trail()
    s = t.bank_statement.c
    async with (
        database.transaction() as connection
    ):  # as if the process had died before it could write the result
        await connection.execute(
            update(t.bank_statement).where(s.key == key).values(ended_at=None, result=None)
        )
    again = await brought(office, line, key=key, process=1)
    assert again.json() == first.json()
    assert await paying.trail() == after


async def test_lines_that_are_not_right_are_told_one_by_one_and_change_nothing(
    paying: Paying, office: Office
) -> None:
    before = await paying.trail()
    answer = await brought(
        office,
        entry(details("CSUNHEARDOF")),
        await paying.line("az"),
        await paying.line("il", amount="1.00"),
        await paying.line("il", currency="USD"),
        await paying.line("il", status="PDNG"),
    )
    assert verdicts(answer) == ["unmatched", "not_yours", "wrong_amount", "wrong_currency", "pending"]
    assert answer.json()["items"][1]["initiative"] is None
    assert await paying.trail() == before
    assert await paying.state("il") == "instructed"


async def test_whoever_authorised_does_not_bring_the_banks_word(paying: Paying, office: Office) -> None:
    line = await paying.line("il")
    for key in ("one", "one", "two"):
        answer = await brought(office, line, who="il-finance-1", key=f"{paying.id}-{key}")
        assert (answer.status_code, answer.json()["code"]) == (409, "four_eyes")
    assert (await paying.trail())[-2:] == ["message.refused"] * 2
    assert await paying.state("il") == "instructed"
    assert verdicts(await brought(office, line)) == ["matched"]


async def test_only_a_finance_officer_of_a_side_imports(paying: Paying, office: Office) -> None:
    line = await paying.line("il")
    for who, status, code in (
        ("il-head", 409, "not_your_office"),
        ("il-lead", 403, "forbidden"),
        ("il-auditor", 403, "forbidden"),
        (None, 401, "unauthenticated"),
    ):
        answer = await office.call(who, "POST", "/v1/bank-statements", content=notification(line).encode())
        assert (answer.status_code, answer.json()["code"]) == (status, code), who
    assert verdicts(await brought(office, line, who="az-finance-2")) == ["not_yours"]
    assert await paying.state("il") == "instructed"


async def test_two_officers_with_the_same_statement_at_once_make_it_count_once(
    paying: Paying, office: Office
) -> None:
    line = await paying.line("il")
    answers = await asyncio.gather(*(brought(office, line, process=i % 2) for i in range(6)))
    found = sorted(verdict for answer in answers for verdict in verdicts(answer))
    assert found == ["duplicate"] * 5 + ["matched"]
    assert (await paying.trail()).count("payment.booked") == 1


GOOD = notification(entry(details("CSX")))
BOMB = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>' + GOOD.replace(
    "NTF-1", "&b;"
)
OUTSIDE = '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + GOOD.replace("NTF-1", "&a;")


@pytest.mark.parametrize(
    ("status", "code", "content"),
    [
        (422, "invalid", b""),
        (422, "invalid", b"{}"),
        (422, "invalid", b"\xff\xfe\x00"),
        (422, "invalid", GOOD[: len(GOOD) // 2].encode()),
        (422, "invalid", BOMB.encode()),
        (422, "invalid", OUTSIDE.encode()),
        (422, "invalid", GOOD.replace("camt.054.001.08", "camt.053.001.08").encode()),
        (422, "invalid", GOOD.replace("camt.054.001.08", "camt.054.001.99").encode()),
        (422, "invalid", GOOD.replace("<CdtDbtInd>DBIT", "<CdtDbtInd>BOTH").encode()),
        (422, "invalid", GOOD.replace('Ccy="ILS"', 'Ccy="XXX"').encode()),
        (413, "too_large", GOOD.encode() + b" " * 2_000_000),
        (413, "too_large", GOOD.encode() + b" " * 3_000_000),
    ],
)
async def test_what_is_no_statement_is_told_and_leaves_nothing(
    office: Office, database: Database, status: int, code: str, content: bytes
) -> None:
    async def imports() -> int:
        async with database.reading() as connection:
            return len((await connection.execute(select(t.bank_statement.c.key))).all())

    before = await imports()
    answer = await brought(office, content=content)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert await imports() == before


class Away:
    """A workflow engine that does not answer."""

    async def tell(self, *_: object) -> None:
        raise Problem("unavailable", "not now")


async def test_an_engine_that_is_away_is_told_as_such_and_the_import_stays_unfinished(
    paying: Paying, database: Database
) -> None:
    (one,) = await paying.told("il")
    line = await paying.line("il")
    notice = read_notification(notification(line).encode(), Limits(currencies=CURRENCIES))
    async with database.reading() as connection:
        told = await payments.told(connection, {one.end_to_end_id})
    me = Identity(
        person="il/il-finance-2",
        name="",
        contact=None,
        role="staff",
        directorate="il",
        offices=("finance_officer",),
    )
    telling = _Telling(Away(), database, me, "a-key", notice.content, resumed=False)  # type: ignore[arg-type]
    with pytest.raises(Problem, match="unavailable"):
        await telling.all(match(notice, told, "il"), told)
    assert await paying.state("il") == "instructed"


async def test_an_import_needs_a_key(office: Office, services: Services) -> None:
    async with httpx.AsyncClient(base_url=office.urls[0], trust_env=False) as client:
        headers = {"Authorization": f"Bearer {services.token('il-finance-2')}"}
        answer = await client.post("/v1/bank-statements", content=GOOD.encode(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_required")
