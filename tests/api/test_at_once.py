"""The same thing at the same instant, through two processes."""

from __future__ import annotations

import asyncio
import uuid

from sqlalchemy import func, select

from countersign.store import tables
from countersign.store.session import Database
from tests.people import Office, minimal_proposal


async def test_the_same_idempotency_key_twenty_times_at_once_is_one_initiative(
    office: Office, database: Database
) -> None:
    key, proposal = str(uuid.uuid4()), minimal_proposal()
    answers = await asyncio.gather(
        *(
            office.call("il-lead", "POST", "/v1/proposals", body=proposal, key=key, process=i % 2)
            for i in range(20)
        )
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len({answer.json()["reference"] for answer in answers}) == 1
    async with database.reading() as connection:
        table = tables.initiative
        count = await connection.scalar(
            select(func.count()).where(table.c.reference == answers[0].json()["reference"])
        )
    assert count == 1


async def test_the_same_key_with_another_proposal_is_told_so(office: Office) -> None:
    key = str(uuid.uuid4())
    await office.submit(minimal_proposal(), key=key)
    other = await office.call("il-lead", "POST", "/v1/proposals", body=minimal_proposal(24), key=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_keys_belong_to_their_caller(office: Office) -> None:
    key = str(uuid.uuid4())
    mine = await office.submit(minimal_proposal(), who="il-lead", key=key)
    theirs = await office.submit(minimal_proposal(), who="az-lead", key=key)
    assert mine["id"] != theirs["id"]


async def test_both_sides_sign_at_the_same_instant_and_both_count_once(office: Office) -> None:
    for _ in range(5):
        initiative = (await office.submit(minimal_proposal()))["id"]
        matter = await office.open_matter_of(initiative, "clearance")
        answers = await asyncio.gather(
            office.sign("il-legal", initiative, matter=matter, process=0),
            office.sign("az-officer", initiative, matter=matter, process=1),
        )
        assert [answer.status_code for answer in answers] == [200, 200]
        await office.open_matter_of(initiative, "proposal")
        actions = [one["action"] for one in await office.trail(initiative)]
        assert actions.count("matter.signed") == 2
        assert actions.count("matter.decided") == 1


async def test_the_same_sign_off_through_both_processes_has_one_effect_and_one_answer(
    office: Office, initiative: str
) -> None:
    matter = await office.open_matter(initiative)
    answers = await asyncio.gather(
        *(office.sign("il-legal", initiative, matter=matter, id="twice", process=i % 2) for i in range(10))
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["sequence"] for answer in answers}) == 1
    signed = [one for one in await office.trail(initiative) if one["action"] == "matter.signed"]
    assert [one["message"] for one in signed] == ["twice"]


async def test_one_person_with_two_ids_at_once_counts_once(office: Office, initiative: str) -> None:
    matter = await office.open_matter(initiative)
    answers = await asyncio.gather(
        *(office.sign("il-legal", initiative, matter=matter, process=i % 2) for i in range(10))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9
    codes = {answer.json().get("code") for answer in answers if answer.status_code == 409}
    assert codes == {"already_signed"}
    actions = [one["action"] for one in await office.trail(initiative)]
    assert actions.count("matter.signed") == 1
    assert actions.count("message.refused") == 9


async def test_a_refused_id_sent_again_gets_the_same_refusal_once_in_the_trail(
    office: Office, initiative: str
) -> None:
    first = await office.sign("il-head", initiative, id="no")
    again = await office.sign("il-head", initiative, id="no")
    assert first.json() == again.json()
    trail = await office.trail(initiative)
    assert [one["action"] for one in trail].count("message.refused") == 1


async def test_an_id_used_for_another_message_is_told_so(office: Office, initiative: str) -> None:
    assert (await office.sign("il-legal", initiative, id="once")).status_code == 200
    other = await office.sign("il-legal", initiative, "refuse", id="once", reasons="on second thought")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
