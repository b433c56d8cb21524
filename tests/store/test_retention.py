"""Redacting people from the record: all of them, once, and nobody's before the time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from countersign.domain import audit
from countersign.domain.canonical import content_hash
from countersign.domain.commands import ExaminedProposal, Revise, Withdraw
from countersign.domain.errors import RuleBroken
from countersign.domain.facts import RecordRedacted
from countersign.domain.initiative import replay
from countersign.domain.matter import Response
from countersign.domain.proposal import summarise
from countersign.domain.retention import Rule
from countersign.domain.stage import Stage
from countersign.store import (
    documents,
    drafts,
    initiatives,
    retention,
)
from countersign.store import tables as t
from countersign.store.drafts import Draft
from countersign.store.retention import Due
from countersign.store.session import Database
from tests.domain.test_ending import no_accounts_come, nobody_complains
from tests.store.making import new_id
from tests.store.named import LONG_AGO, NOW, Named, due, entries_of, kept, places_of, redact

pytestmark = pytest.mark.services


async def test_nobody_is_named_anywhere_after_a_redaction_and_the_trail_still_verifies(
    database: Database,
) -> None:
    life = Named()
    life.begin()
    life.all_sign()
    life.all_sign(Response.RETURN)
    life.another_version()
    life.reach(Stage.ACTIVE)
    refused = Named("Never taken", life.names).proposal
    command = Revise(
        id=life.next_id(),
        caller=life.applicant,
        content_hash=refused.content_hash(),
        replaces=life.state.content_hash,
    )
    assert life.send(command, ExaminedProposal(summary=summarise(refused))).status == "refused"
    life.proposals.append(refused)
    life.reach(Stage.CLOSED)
    async with database.transaction() as connection:
        for entry in life.entries:
            if entry.action == "report.submitted" and entry.subject:
                await documents.keep(connection, entry.subject, {"a": "report"})
    await life.on_record(database)
    async with database.transaction() as connection:
        body = {"narrative": {"en": f"Plonit {life.names} has not begun."}}
        draft = Draft(content_hash(body), body, "applicants/plonit", LONG_AGO)
        assert await drafts.put(connection, life.id, 1, draft, replaces=None)
    assert set(await places_of(database, life.names)) == {"document", "report_draft"}
    before = await initiatives.look_up(database, life.id)
    assert before is not None
    assert before.people != ()
    assert await people(database, life) == set(before.people)

    done = await redact(database, life)

    assert await places_of(database, life.names) == []
    hashes = {one.content_hash() for one in life.proposals}
    assert len(hashes) == 3
    assert life.state.stage_since is not None
    assert done == RecordRedacted(
        documents=tuple(sorted(hashes)), ended_at=life.state.stage_since, years=10, directorate=None
    )
    for one in life.proposals:
        found = await kept(database, one.content_hash())
        assert found.redacted_at == NOW
        assert content_hash(found.body) != one.content_hash()
        left, whole = found.body, one.document_form()
        for partner in (*left["partners"], *whole["partners"]):
            del partner["contact"], partner["participants"]
        assert left == whole
    entries = await entries_of(database, life)
    assert audit.chain_faults(entries) == []
    assert entries[:-1] == tuple(life.entries)
    assert (entries[-1].action, entries[-1].actor, entries[-1].instant) == (
        "record.redacted",
        "operator",
        NOW,
    )
    assert RecordRedacted.model_validate(entries[-1].body) == done
    assert replay(life.beginning, entries).stage is Stage.CLOSED
    after = await initiatives.look_up(database, life.id)
    assert after is not None
    assert (after.people, after.sequence, after.stage) == ((), entries[-1].sequence, Stage.CLOSED)
    assert after.title == before.title
    assert await people(database, life) == set()


async def people(database: Database, life: Named) -> set[str]:
    """Whom the rows have who say which initiatives somebody has a part in."""
    person = t.initiative_person.c
    async with database.reading() as connection:
        return set(await connection.scalars(select(person.person).where(person.initiative_id == life.id)))


async def test_versions_that_amendments_made_or_did_not_make_are_redacted_too(database: Database) -> None:
    life = Named()
    life.begin()
    life.reach(Stage.ACTIVE)
    assert life.amend(title={"en": "Another project"}).status == "counted"
    life.all_sign()
    assert life.amend(title={"en": "A third one"}).status == "counted"
    life.all_sign(Response.REFUSE)
    life.proposals = list(life.versions.values())
    assert life.terminate("il").status == "counted"
    nobody_complains(life)
    await life.on_record(database)
    done = await redact(database, life)
    assert done is not None
    assert done.documents == tuple(sorted(life.versions))
    assert len(done.documents) == 3
    assert await places_of(database, life.names) == []


async def test_a_document_that_only_the_body_of_an_entry_names_is_redacted_too(database: Database) -> None:
    life = Named()
    other = Named("Named in passing", life.names).proposal
    life.proposals.append(other)
    life.begin()
    life.send(Withdraw(id=life.next_id(), caller=life.applicant, reasons=other.content_hash()))
    await life.on_record(database)
    await redact(database, life)
    assert (await kept(database, other.content_hash())).redacted_at == NOW
    assert await places_of(database, life.names) == []


async def test_what_is_not_a_proposal_stays_as_it_is(database: Database) -> None:
    life = Named()
    life.begin()
    life.reach(Stage.CONTRACTING)
    life.withdraw()
    await life.on_record(database)
    subjects = [one.content_hash for one in life.state.matters if one.kind == "agreement"]
    assert subjects
    await redact(database, life)
    for one in subjects:
        found = await kept(database, one)
        assert (found.redacted_at, content_hash(found.body)) == (None, one)


async def test_subscribers_hear_of_a_redaction(database: Database) -> None:
    life = Named()
    life.begin()
    life.withdraw()
    await life.on_record(database)
    await redact(database, life)
    async with database.reading() as connection:
        statement = (
            select(t.event).where(t.event.c.initiative_id == life.id).order_by(t.event.c.sequence.desc())
        )
        last = (await connection.execute(statement.limit(1))).mappings().one()
    assert (last["type"], last["sequence"]) == ("record.redacted", life.state.sequence + 1)
    assert last["data"] == {"initiative": life.id, "reference": life.state.reference}


async def test_redacted_twice_is_once_also_at_the_same_instant(database: Database) -> None:
    life = Named()
    life.begin()
    life.withdraw()
    await life.on_record(database)
    assert [one.id for one in await due(database, life)] == [life.id]
    done = await asyncio.gather(*(redact(database, life) for _ in range(5)))
    assert len([one for one in done if one is not None]) == 1
    assert await redact(database, life, NOW + timedelta(days=1)) is None
    assert [one.action for one in await entries_of(database, life)].count("record.redacted") == 1
    assert await due(database, life) == []


async def test_initiatives_that_name_the_same_people_are_all_redacted_whichever_comes_first(
    database: Database,
) -> None:
    lives = [Named(names="shared-" + new_id())]
    lives += [Named(names=lives[0].names) for _ in range(4)]
    assert len({life.proposal.content_hash() for life in lives}) == 1
    for life in lives:
        life.begin()
        life.withdraw()
        await life.on_record(database)
    done = await asyncio.gather(*(redact(database, life) for life in lives))
    shared = (lives[0].proposal.content_hash(),)
    assert sorted((one.documents, one.kept) for one in done if one) == [((), shared)] * 4 + [(shared, ())]
    assert await places_of(database, lives[0].names) == []


async def test_a_document_that_a_running_initiative_rests_on_is_kept(database: Database) -> None:
    ended = Named()
    running = Named(names=ended.names)
    ended.begin()
    ended.withdraw()
    running.begin()
    shared = running.proposal.content_hash()
    assert shared == ended.proposal.content_hash()
    for life in (ended, running):
        await life.on_record(database)
    done = await redact(database, ended)
    assert done is not None
    assert (done.documents, done.kept) == ((), (shared,))
    found = await kept(database, shared)
    assert (found.redacted_at, content_hash(found.body)) == (None, shared)
    assert await due(database, ended) == []
    running.withdraw()
    await running.on_record(database)
    assert (await redact(database, running)) is not None
    assert await places_of(database, ended.names) == []


async def test_a_redacted_proposal_that_is_submitted_anew_is_whole_again(database: Database) -> None:
    life = Named()
    life.begin()
    life.withdraw()
    await life.on_record(database)
    await redact(database, life)
    content = life.proposal.content_hash()
    async with database.transaction() as connection:
        await documents.keep(connection, content, life.proposal.document_form())
    found = await kept(database, content)
    assert (found.redacted_at, content_hash(found.body)) == (None, content)


def in_decision(life: Named) -> None:
    life.all_sign()


def refused(life: Named) -> None:
    life.all_sign()
    life.all_sign(Response.REFUSE)


def complaining(life: Named) -> None:
    refused(life)
    assert life.complain().status == "counted"


def dismissed(life: Named) -> None:
    complaining(life)
    life.all_sign(Response.REFUSE)


def not_cleared(life: Named) -> None:
    life.all_sign(Response.REFUSE)


def lapsed(life: Named) -> None:
    life.pass_time(timedelta(days=60))


def promised_and_refused(life: Named) -> None:
    life.reach(Stage.CONTRACTING)
    life.all_sign(Response.REFUSE)


def promised_and_final(life: Named) -> None:
    promised_and_refused(life)
    life.pass_time(timedelta(days=31))


def paid(life: Named) -> None:
    life.reach(Stage.ACTIVE)
    life.pay(1)


def ended(life: Named) -> None:
    paid(life)
    assert life.terminate("il").status == "counted"


def ended_with_nothing_paid(life: Named) -> None:
    """Nobody is waited for, and yet a complaint may come."""
    life.reach(Stage.ACTIVE)
    assert life.terminate("il").status == "counted"
    assert life.waited_for() == []


def complaining_of_the_end(life: Named) -> None:
    ended(life)
    assert life.complain().status == "counted"


def reinstated(life: Named) -> None:
    complaining_of_the_end(life)
    life.all_sign()


def claiming(life: Named) -> None:
    ended(life)
    no_accounts_come(life)


def wound_up(life: Named) -> None:
    claiming(life)
    while life.go_on():
        pass


RUNNING: list[tuple[Callable[[Named], None], Stage]] = [
    (in_decision, Stage.DECISION),
    (complaining, Stage.NOT_APPROVED),
    (promised_and_refused, Stage.NOT_APPROVED),
    (paid, Stage.ACTIVE),
    (ended, Stage.TERMINATED),
    (ended_with_nothing_paid, Stage.TERMINATED),
    (complaining_of_the_end, Stage.TERMINATED),
    (reinstated, Stage.SUSPENDED),
    (claiming, Stage.TERMINATED),
]
OVER: list[tuple[Callable[[Named], Any], Stage]] = [
    (not_cleared, Stage.INELIGIBLE),
    (refused, Stage.NOT_APPROVED),
    (dismissed, Stage.NOT_APPROVED),
    (promised_and_final, Stage.NOT_APPROVED),
    (Named.withdraw, Stage.WITHDRAWN),
    (lapsed, Stage.LAPSED),
    (wound_up, Stage.TERMINATED),
]


@pytest.mark.parametrize(("live", "stage"), RUNNING, ids=lambda one: getattr(one, "__name__", None))
async def test_one_that_is_not_over_is_neither_listed_nor_redacted(
    database: Database, live: Callable[[Named], None], stage: Stage
) -> None:
    life = Named()
    life.begin()
    live(life)
    assert life.stage() is stage
    await life.on_record(database)
    assert await due(database, life) == []
    with pytest.raises(RuleBroken, match=f"stage_closed: .* is {stage} and not over"):
        await redact(database, life)
    assert "document" in await places_of(database, life.names)
    assert await entries_of(database, life) == tuple(life.entries)


@pytest.mark.parametrize(("live", "stage"), OVER, ids=lambda one: getattr(one, "__name__", None))
async def test_one_that_is_over_is_listed_from_the_day_on_when_its_years_are(
    database: Database, live: Callable[[Named], Any], stage: Stage
) -> None:
    life = Named()
    life.begin()
    live(life)
    assert life.stage() is stage
    ended = life.state.stage_since
    assert ended is not None
    await life.on_record(database)
    at = ended.replace(year=ended.year + 10)
    a_moment = timedelta(microseconds=1)
    assert await due(database, life, at=at - a_moment) == []
    with pytest.raises(RuleBroken, match=f"not_due: .* is kept until {at:%Y-%m-%d}"):
        await redact(database, life, at - a_moment)
    expected = Due(life.id, life.state.reference, stage, ended, at, Rule(10))
    assert await due(database, life, at=at) == [expected]
    assert await redact(database, life, at) is not None
    assert await due(database, life) == []


async def test_an_unknown_initiative_is_not_found(database: Database) -> None:
    with pytest.raises(RuleBroken, match="not_found"):
        await retention.redact(database, new_id(), NOW, "operator")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE document SET redacted_at = now(), body = '{}'",
        "UPDATE document SET redacted_at = now(), body = jsonb_set(body, '{duration_months}', '1')",
        "UPDATE document SET redacted_at = now(), created_at = now()",
        "UPDATE document SET redacted_at = now(), content_hash = 'sha256:' || repeat('0', 64)",
        "UPDATE document SET redacted_at = NULL",
        "UPDATE document SET body = jsonb_set(body, '{partners,0,contact,name}', '\"Another\"')",
    ],
)
async def test_the_database_lets_nothing_be_changed_but_people(database: Database, statement: str) -> None:
    life = Named()
    life.begin()
    life.withdraw()
    await life.on_record(database)
    content = life.proposal.content_hash()
    before = await kept(database, content)
    with pytest.raises(IntegrityError, match="append-only"):
        async with database.transaction() as connection:
            await connection.execute(text(f"{statement} WHERE content_hash = :key"), {"key": content})
    assert await kept(database, content) == before
