"""Writing a step: once, whole, and only at the place it belongs to."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asyncpg import PostgresError
from pydantic import ValidationError
from sqlalchemy import func, select

from countersign.domain import audit
from countersign.domain.audit import AuditEntry
from countersign.domain.canonical import content_hash
from countersign.domain.initiative import replay
from countersign.domain.matter import Response
from countersign.domain.projection import Step
from countersign.domain.stage import Stage
from countersign.store import documents, initiatives, record, trail
from countersign.store import tables as t
from countersign.store.roles import Reader
from countersign.store.session import Database
from tests.store.making import Steps, actions, new_id

pytestmark = pytest.mark.services


async def written(database: Database, life: Steps) -> Steps:
    await life.prepare(database)
    for step in life.steps:
        assert await record.append(database, step) == ()
    return life


async def everything(database: Database, initiative: str) -> dict[str, list[Any]]:
    """Every row of an initiative, table by table."""
    rows: dict[str, list[Any]] = {}
    async with database.reading() as connection:
        for table in t.metadata.sorted_tables:
            own = table.c.id if table is t.initiative else table.c.get("initiative_id")
            if own is not None:
                key = list(table.primary_key.columns)
                found = await connection.execute(select(table).where(own == initiative).order_by(*key))
                rows[table.name] = [tuple(row) for row in found]
    return rows


async def test_the_same_step_again_writes_nothing(database: Database) -> None:
    life = Steps()
    life.begin()
    await written(database, life)
    before = await everything(database, life.state.id)
    for _ in range(2):
        assert await record.append(database, life.steps[-1]) == ()
    assert await everything(database, life.state.id) == before
    assert len(before["audit_entry"]) == life.state.sequence
    assert len(before["event"]) > 0


async def test_a_whole_life_is_on_record_as_the_rules_have_it(database: Database) -> None:
    life = Steps()
    life.begin()
    life.all_sign()
    life.all_sign(Response.RETURN)
    first, second = life.proposal, None
    life.revise()
    second = life.proposal
    life.reach(Stage.ACTIVE)
    for _ in range(6):
        life.go_on()
    async with database.transaction() as connection:
        for one in (first, second):
            await documents.keep(connection, one.content_hash(), one.document_form())
        for entry in life.entries:
            if entry.action == "report.submitted" and entry.subject:
                await documents.keep(connection, entry.subject, {"a": "report"})
    await written(database, life)
    async with database.reading() as connection:
        stood = await initiatives.find(connection, life.state.id)
        assert await initiatives.matters(connection, life.state.id) == list(life.state.matters)
        assert await initiatives.tranches(connection, life.state.id) == list(life.state.tranches)
        assert await initiatives.reports(connection, life.state.id) == list(life.state.reports)
        assert await initiatives.waiting(connection, life.state.id) == life.waited_for()
        assert await trail.entries_from(connection, life.state.id) == tuple(life.entries)
        versions = await initiatives.versions(connection, life.state.id)
        for entry in life.entries:
            if entry.action == "matter.opened" and entry.subject:
                assert await documents.find(connection, entry.subject) is not None
    assert stood is not None
    auditor = database.read_by(Reader("auditor", "audit/auditor"))
    for name in (stood.id, stood.reference):
        whole = await initiatives.whole(database, name)
        assert whole is not None
        assert (whole.initiative, whole.waiting, whole.versions) == (stood, life.waited_for(), versions)
        assert await initiatives.look_up(database, name) == stood
        for matter in life.state.matters:
            seen = await initiatives.before(auditor, name, matter.number)
            assert seen is not None
            assert (seen.initiative, seen.seen) == (stood, initiatives.Seen(matter))
            assert seen.subject is not None
        assert (await initiatives.before(auditor, name, 99)) == initiatives.Before(stood, None, None)
    for name in (new_id(), "T-none"):
        assert await initiatives.whole(database, name) is None
        assert await initiatives.before(database, name, 1) is None
    assert (stood.stage, stood.sequence, stood.version) == (life.stage(), life.state.sequence, 2)
    assert [one.content_hash for one in versions] == [first.content_hash(), second.content_hash()]
    assert stood.title == second.title


async def test_another_step_at_the_same_place_gets_what_stands_there_and_writes_nothing(
    database: Database,
) -> None:
    life, other = Steps(), Steps()
    other.state = life.state
    life.begin()
    await written(database, life)
    before = life.state
    life.sign("il")
    assert await record.append(database, life.sign_off) == ()
    stands = await everything(database, life.state.id)

    other.begin()
    other.sign("az", Response.REFUSE)  # at the same sequence, something else
    assert other.sign_off.entries[0].sequence == before.sequence + 1
    standing = await record.append(database, other.sign_off)
    assert [one.hash for one in standing] == [one.hash for one in life.sign_off.entries]
    assert await everything(database, life.state.id) == stands


async def test_what_stands_there_can_be_adopted_and_gives_the_state_that_is_on_record(
    database: Database,
) -> None:
    life, other = Steps(), Steps()
    other.state = life.state
    life.begin()
    other.begin()
    await written(database, life)
    before, known = life.state, len(life.steps)
    life.sign("il")
    life.sign("az")  # and everything that follows from both positions
    assert [actions(step)[0] for step in life.steps[known:]] == [
        "matter.signed", "matter.countersigned", "matter.signed", "matter.countersigned", "stage.entered",
    ]  # fmt: skip
    for step in life.steps[known:]:
        assert await record.append(database, step) == ()
    other.sign("az", Response.REFUSE)
    standing = await record.append(database, other.sign_off)
    assert [one.hash for one in standing] == [
        entry.hash for step in life.steps[known:] for entry in step.entries
    ]
    assert replay(before, standing) == life.state


async def test_entries_after_a_step_that_is_there_already_continue_the_state_after_it(
    database: Database,
) -> None:
    """An attempt whose answer was late finds its own entries, and those that another attempt wrote after them."""
    life = Steps()
    life.begin()
    await written(database, life)
    before, known = life.state, len(life.steps)
    life.sign("il")
    mine = life.sign_off
    assert mine is life.steps[known]
    life.sign("az")
    for step in life.steps[known:]:
        assert await record.append(database, step) == ()
    standing = await record.append(database, mine)
    # Whoever adopts them goes on from the state that it knows: the one before its step.
    assert replay(before, standing) == life.state


def other_than(step: Step, actor: str) -> Step:
    """A step at the same place that says something else."""
    entries: list[AuditEntry] = []
    previous = step.entries[0].previous
    for entry in step.entries:
        fields = entry.model_dump(exclude={"hash"}) | {"actor": actor, "previous": previous}
        entries.append(AuditEntry(**fields, hash=audit.entry_hash(fields)))
        previous = entries[-1].hash
    return step.model_copy(update={"entries": tuple(entries)})


async def test_of_two_steps_at_the_same_place_and_time_exactly_one_wins(database: Database) -> None:
    for _ in range(5):
        life = Steps()
        life.begin()
        await written(database, life)
        life.sign("il")
        rivals = [other_than(life.sign_off, f"il/rival-{n}") for n in range(8)]
        answers = await asyncio.gather(*(record.append(database, one) for one in rivals))
        winners = [rival for rival, answer in zip(rivals, answers, strict=True) if answer == ()]
        assert len(winners) == 1
        for answer in answers:
            assert answer in ((), winners[0].entries)
        async with database.reading() as connection:
            entries = await trail.entries_from(connection, life.state.id)
        assert audit.chain_faults(entries) == []
        assert entries[-len(winners[0].entries) :] == winners[0].entries


async def test_of_the_same_step_by_two_workers_at_once_both_are_told_that_it_is_written(
    database: Database,
) -> None:
    life = Steps()
    life.begin()
    await written(database, life)
    known = len(life.steps)
    life.sign("il")
    assert len(life.steps) == known + 2  # the sign-off, and the side's key
    for step in life.steps[known:]:
        answers = await asyncio.gather(*(record.append(database, step) for _ in range(8)))
        assert set(answers) == {()}
    async with database.reading() as connection:
        query = select(func.count()).where(t.audit_entry.c.initiative_id == life.state.id)
        assert await connection.scalar(query) == life.state.sequence


async def test_a_step_that_fails_halfway_leaves_nothing(database: Database) -> None:
    life = Steps()
    life.begin()
    await written(database, life)
    before = await everything(database, life.state.id)
    life.sign("il")
    mine = life.sign_off
    broken = mine.projection.model_copy(update={"content_hash": "sha256:" + "9" * 64})
    with pytest.raises(PostgresError, match="content_hash"):
        await record.append(database, mine.model_copy(update={"projection": broken}))
    assert await everything(database, life.state.id) == before
    assert await record.append(database, mine) == ()


async def test_the_joint_decision_is_kept_under_the_hash_that_the_trail_names(database: Database) -> None:
    life = Steps()
    life.begin()
    life.all_sign()
    await written(database, life)
    decided = life.state.matters[0]
    assert decided.decision is not None
    async with database.reading() as connection:
        document = await documents.find(connection, decided.decision)
    assert document is not None
    assert content_hash(document) == decided.decision
    assert document["positions"] == {"il": "jws-il", "az": "jws-az"}
    assert (document["matter"], document["outcome"]) == (1, "approved")


async def test_a_stale_hash_of_any_length_does_not_stop_an_initiative(database: Database) -> None:
    life = Steps()
    life.begin()
    await written(database, life)
    known = len(life.entries)
    for zeros in (0, 63, 65, 100):  # of another length it is no message at all
        with pytest.raises(ValidationError, match="content_hash"):
            life.sign("il", content_hash="sha256:" + "0" * zeros)
    assert len(life.entries) == known
    stale = "sha256:" + "0" * 64
    answer = life.sign("il", content_hash=stale)
    assert (answer.status, answer.code) == ("refused", "stale_content")
    assert actions(life.steps[-1]) == ["message.refused"]
    assert life.steps[-1].entries[0].subject == stale
    assert await record.append(database, life.steps[-1]) == ()
    life.sign("il")
    assert await record.append(database, life.sign_off) == ()
