"""Finding initiatives by a text, and what waits for a person, in the orders that the indexes hold."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

import pytest

from countersign.domain.agreement import MatterKind
from countersign.domain.mandate import Mandate
from countersign.domain.matter import Response
from countersign.domain.projection import Task
from countersign.domain.proposal import Proposal
from countersign.domain.stage import Stage
from countersign.store import documents, initiatives, record
from countersign.store.roles import Reader
from countersign.store.session import Database
from tests.domain.lives import START, holder
from tests.people import minimal_proposal
from tests.store.making import Steps, new_id

pytestmark = pytest.mark.services


async def written(database: Database, life: Steps) -> None:
    for step in life.steps:
        await record.append(database, step)
    life.steps.clear()


async def titled(database: Database, **title: str) -> Steps:
    """An initiative on record under that title."""
    life = Steps()
    life.proposal = Proposal.model_validate(minimal_proposal(title=title))
    await life.prepare(database)
    life.begin()
    await written(database, life)
    return life


async def found(database: Database, text: str, **filters: Any) -> list[str]:
    async with database.read_by(Reader("staff", "il/anybody", "il")).reading() as connection:
        return [one.id for one in await initiatives.search(connection, text=text, limit=500, **filters)]


async def test_a_part_of_the_title_or_reference_is_found_in_whatever_case(database: Database) -> None:
    word = secrets.token_hex(5)
    life = await titled(
        database, en=f'A 100% "Plain" {word} under_score', az=f"Kiçik layihə {word}-Şə", he=f"מיזם {word} קטן"
    )
    one = life.state.id
    for text in (
        word,
        word.upper(),
        word[2:5],
        f'PLAIN\\" {word}',
        f"KIÇIK LAYIHƏ {word}".replace("I", "i"),
        f"{word}-şƏ",
        f"{word} קטן",
        life.state.reference,
        life.state.reference[-8:].upper(),
    ):
        assert one in await found(database, text), text
    assert await found(database, word, stage="eligibility", waits_for="il") == [one]
    assert await found(database, word, stage="closed") == []
    assert await found(database, f"{word} under%score") == []
    assert await found(database, f"{word} underXscore") == []
    assert await found(database, f"{word[::-1]} nobody has this") == []


async def test_a_text_of_one_or_two_letters_is_found_too(database: Database) -> None:
    life = await titled(database, en=f"Ω{secrets.token_hex(3)}ж")
    for text in ("Ω", "ж", "Ж"):
        assert life.state.id in await found(database, text), text


async def test_a_new_title_is_found_and_the_old_one_no_longer(database: Database) -> None:
    before, after = secrets.token_hex(5), secrets.token_hex(5)
    life = await titled(database, en=before)
    assert await found(database, before) == [life.state.id]
    life.all_sign(Response.RETURN)
    life.revise(title={"en": after})
    async with database.transaction() as connection:
        await documents.keep(connection, life.proposal.content_hash(), life.proposal.document_form())
    await written(database, life)
    assert await found(database, after) == [life.state.id]
    assert await found(database, before) == []


async def test_what_waits_in_several_ways_is_one_item_and_the_soonest_comes_first(database: Database) -> None:
    lives = [await titled(database, en="One of several") for _ in range(3)]
    later = Steps()
    later.now += timedelta(days=3)
    await later.prepare(database)
    later.begin()
    await written(database, later)
    mine = [one.state.id for one in (*lives, later)]
    me, colleague = f"il/{secrets.token_hex(6)}", f"il/{secrets.token_hex(6)}"

    def mandate(**changes: Any) -> Mandate:
        values = {
            "id": new_id(),
            "directorate": "il",
            "delegator": colleague,
            "delegate": me,
            "offices": ("legal_counsel", "head"),
            "kinds": (MatterKind.CLEARANCE,),
            "valid_from": START,
            "valid_to": START + timedelta(days=300),
            "given_at": START,
        }
        return Mandate.model_validate(values | changes)

    async def inbox(**given: Any) -> list[str]:
        asked: dict[str, Any] = {
            "person": me,
            "directorate": "il",
            "offices": ("head",),
            "limit": 500,
        }
        reader = Reader("staff", str((asked | given)["person"]), "il")
        async with database.read_by(reader).reading() as connection:
            items = await initiatives.inbox(connection, **(asked | given))
        soonest = [one.waiting.deadline for one in items if one.waiting.deadline]
        assert soonest == sorted(soonest)
        return [one.initiative for one in items if one.initiative in mine]

    assert await inbox() == []
    assert await inbox(offices=("legal_counsel",)) == mine
    assert await inbox(offices=("head", "legal_counsel"), mandates=[mandate(), mandate()]) == mine
    assert await inbox(mandates=[mandate()]) == mine
    assert await inbox(mandates=[mandate(kinds=(MatterKind.REPORT,))]) == []
    assert await inbox(offices=()) == []
    assert await inbox(offices=("legal_counsel",), person=lives[0].applicant.person) == []


async def test_a_mandate_for_payments_shows_them_and_nothing_else_of_its_office(database: Database) -> None:
    life = Steps()
    await life.prepare(database)
    life.begin().reach(Stage.ACTIVE)
    await written(database, life)
    me, officer = f"il/{secrets.token_hex(6)}", holder("il", "finance_officer", "first")

    async def inbox(**changes: Any) -> list[tuple[Task, int]]:
        values = {
            "id": new_id(),
            "directorate": "il",
            "delegator": officer.person,
            "delegate": me,
            "offices": ("finance_officer", "programme_officer"),
            "kinds": ("payment",),
            "valid_from": START,
            "valid_to": START + timedelta(days=300),
            "given_at": START,
        }
        async with database.read_by(Reader("staff", me, "il")).reading() as connection:
            items = await initiatives.inbox(
                connection,
                person=me,
                directorate="il",
                offices=("secretariat",),
                mandates=[Mandate.model_validate(values | changes)],
                limit=500,
            )
        mine = [one.waiting for one in items if one.initiative == life.state.id]
        return [(one.task, one.number) for one in mine]

    assert await inbox() == [(Task.AUTHORISE, 1)]
    assert await inbox(kinds=(MatterKind.REPORT,)) == []
    assert await inbox(offices=("programme_officer",)) == []
    life.lend(officer, holder("il", "head"))
    for side in life.sides:
        behalf = officer if side == "il" else None
        caller = holder(side, "head") if behalf else None
        assert life.authorise(1, side, caller, behalf).status == "counted"
    await written(database, life)
    assert await inbox() == []  # it was authorised for that very officer
    assert await inbox(delegator=holder("il", "head").person) == []
    assert await inbox(delegator="il/another") == [(Task.CONFIRM, 1)]
