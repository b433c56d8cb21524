"""The ledger on record: with the step that it follows from, and refusing what money must not do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from alembic import command
from asyncpg import CheckViolationError
from sqlalchemy import insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from countersign.domain.amounts import Amount
from countersign.domain.funding import BankOutcome
from countersign.domain.ledger import Account, Entry, Transaction, book_of, ledger_of
from countersign.domain.proposal import Proposal
from countersign.domain.stage import Stage
from countersign.runtime.embedded.services import Services
from countersign.runtime.migrate import alembic_config, migrate
from countersign.store import documents, ledger, record
from countersign.store import tables as t
from countersign.store.session import Database
from tests.amendments import joined
from tests.domain.test_ending import no_accounts_come
from tests.people import minimal_proposal
from tests.store.making import Steps

pytestmark = pytest.mark.services


async def lived(database: Database, until: Stage, *, pay: bool = False) -> Steps:
    """A life that stands in the record, up to a stage, with its first tranche paid if that is wanted."""
    life = Steps()
    life.begin()
    life.reach(until)
    if pay:
        life.pay(1)
    return await written(database, life)


async def written(database: Database, life: Steps) -> Steps:
    """Write what is not there yet; what is, stays as it is."""
    await life.prepare(database)
    async with database.transaction() as connection:
        for entry in life.entries:
            if entry.action == "report.submitted" and entry.subject:
                await documents.keep(connection, entry.subject, {"a": "report"})
    for step in life.steps:
        await record.append(database, step)
    return life


async def on_record(database: Database, life: Steps) -> tuple[Transaction, ...]:
    return tuple([one async for one in ledger.all_transactions(database, life.state.id)])


@pytest.fixture(scope="module")
async def life(database: Database) -> Steps:
    """An active initiative whose first tranche is paid."""
    return await lived(database, Stage.ACTIVE, pay=True)


async def test_the_ledger_of_a_whole_life_is_what_its_trail_comes_to(database: Database) -> None:
    life = await lived(database, Stage.CLOSED)
    assert await on_record(database, life) == ledger_of(life.entries)
    async with database.reading() as connection:
        balances = await ledger.balances(connection, life.state.id)
    book = book_of(life.state)
    assert {(one.directorate, one.unit, one.account): one.minor for one in balances} == {
        (place.directorate, place.unit, place.account.value): minor
        for place, minor in book.balances.items()
        if minor
    }
    disbursed = {one.directorate: one.minor for one in balances if one.account == Account.DISBURSED}
    assert disbursed == {"il": 100_000_01, "az": 50_000_03}


async def test_the_same_step_again_posts_nothing_twice(database: Database, life: Steps) -> None:
    before = await on_record(database, life)
    for step in life.steps:
        assert step.ledger == () or await record.append(database, step) is not None
    assert await on_record(database, life) == before != ()


async def test_a_page_goes_on_after_the_one_before(database: Database, life: Steps) -> None:
    whole = await on_record(database, life)
    read: list[Transaction] = []
    async with database.reading() as connection:
        while page := await ledger.transactions(
            connection,
            life.state.id,
            after=ledger.Position(read[-1].sequence, read[-1].number) if read else None,
            limit=3,
        ):
            read += page
    assert tuple(read) == whole


async def test_a_step_without_a_ledger_is_taken_as_older_workers_wrote_it(database: Database) -> None:
    life = Steps()
    life.begin()
    await life.prepare(database)
    for step in life.steps:
        older = step.model_dump_json(exclude={"ledger"}).encode()
        assert await record.append(database, older) == ()


async def test_a_step_that_overpays_leaves_nothing(database: Database) -> None:
    life = await lived(database, Stage.ACTIVE)
    stood, before = len(life.steps), await on_record(database, life)
    life.pay(1)
    step = next(one for one in life.steps[stood:] if one.ledger)  # the instruction
    for earlier in life.steps[stood : life.steps.index(step)]:
        assert await record.append(database, earlier) == ()
    (own, *others) = step.ledger
    committed = life.state.commitments[own.directorate][0]
    too_much = own.model_copy(update={"entries": tuple(by(one, committed.minor + 1) for one in own.entries)})
    with pytest.raises(CheckViolationError, match="would stand at"):
        await record.append(database, step.model_copy(update={"ledger": (too_much, *others)}))
    async with database.reading() as connection:
        found = await connection.scalar(
            select(t.audit_entry.c.hash).filter_by(
                initiative_id=life.state.id, sequence=step.entries[0].sequence
            )
        )
        tranche = await connection.scalar(
            select(t.tranche.c.body).filter_by(initiative_id=life.state.id, number=1)
        )
    assert found is None
    assert tranche is not None
    assert tranche["shares"]["il"]["state"] == "authorised"
    assert await on_record(database, life) == before
    await written(database, life)  # as it should be, it goes through
    assert await on_record(database, life) == ledger_of(life.entries)


def by(entry: Entry, minor: int) -> Entry:
    return entry.model_copy(update={"minor": minor if entry.minor > 0 else -minor})


# ---- what the database refuses to whoever writes into it, superusers included


Lines = Sequence[tuple[str, int]]


async def post(
    database: Database,
    life: Steps,
    *lines: tuple[str, int],
    side: str = "il",
    unit: str = "ILS",
    number: int = 90,
    before: str = "SELECT 1",
    **more: Any,
) -> None:
    """A transaction by hand, behind the rules' back, after the last entry of the trail."""
    key = {"initiative_id": life.state.id, "sequence": life.state.sequence, "number": number} | more
    async with database.transaction() as connection:
        await connection.execute(text(before))
        await connection.execute(text("SET LOCAL session_replication_role = replica"))
        values = {"at": datetime.now(UTC), "directorate": side, "unit": unit, "code": "by_hand"}
        await connection.execute(insert(t.ledger_transaction), key | values)
        for account, minor in lines:
            await connection.execute(insert(t.ledger_entry), key | {"account": account, "minor": minor})


BEYOND = 100_000_01 + 1  # ILS, minor units; the whole commitment and one


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ([], "has no entries"),
        ([("disbursed", 1)], "does not balance"),
        ([("disbursed", 1), ("treasury", -2)], "does not balance"),
        ([("disbursed", 2), ("treasury", -1), ("instructed", -2)], "does not balance"),
        ([("disbursed", BEYOND), ("treasury", -BEYOND)], "would stand at"),
        ([("instructed", BEYOND), ("treasury", -BEYOND)], "would stand at"),
        ([("disbursed", 1), ("instructed", -1)], "would stand at"),
        ([("appropriation", BEYOND), ("committed", -BEYOND)], "would stand at"),
        ([("appropriation", 100_000_01), ("committed", -100_000_01)], "would stand at"),
        ([("appropriation", 1), ("reserved", -1)], "would stand at"),
        ([("treasury", BEYOND), ("recovered", -BEYOND)], "would stand at"),
        ([("disbursed", 0), ("treasury", 0)], "moves_something"),
        ([("petty_cash", 1), ("treasury", -1)], "ck_ledger_entry_account"),
    ],
)
async def test_a_transaction_that_breaks_a_rule_is_refused(
    database: Database, life: Steps, lines: Lines, fault: str
) -> None:
    before = await on_record(database, life)
    with pytest.raises(IntegrityError, match=fault):
        await post(database, life, *lines)
    assert await on_record(database, life) == before


@pytest.mark.parametrize(("side", "unit"), [("il", "AZN"), ("az", "ILS"), ("il", "EUR"), ("xx", "ILS")])
async def test_a_side_s_accounts_are_in_its_own_units(
    database: Database, life: Steps, side: str, unit: str
) -> None:
    with pytest.raises(IntegrityError, match="is no unit of"):
        await post(database, life, ("appropriation", -1), ("reserved", 1), side=side, unit=unit)


async def test_no_instant_of_the_past_is_overdrawn_either(database: Database) -> None:
    """Enough is committed in the end; it was not when the money went."""
    life = await lived(database, Stage.ACTIVE)
    first = next(one for one in life.entries if one.action == "commitment.fixed")
    with pytest.raises(IntegrityError, match="would stand at"):
        await post(database, life, ("instructed", 1), ("treasury", -1), sequence=first.sequence)


async def test_nothing_is_added_to_a_transaction_that_stands(database: Database, life: Steps) -> None:
    paid = (await on_record(database, life))[-1]
    line = {"initiative_id": paid.initiative, "sequence": paid.sequence, "number": paid.number}
    with pytest.raises(IntegrityError, match="does not balance"):
        async with database.transaction() as connection:
            await connection.execute(
                insert(t.ledger_entry), line | {"account": Account.TREASURY.value, "minor": 5}
            )


async def test_a_transaction_follows_from_an_entry_of_the_trail(database: Database, life: Steps) -> None:
    key = {"initiative_id": life.state.id, "sequence": life.state.sequence + 1, "number": 1}
    values = {"at": datetime.now(UTC), "directorate": "il", "unit": "ILS", "code": "by_hand"}
    with pytest.raises(IntegrityError, match="audit_entry"):
        async with database.transaction() as connection:
            await connection.execute(insert(t.ledger_transaction), key | values)


async def test_of_two_payments_at_once_for_the_last_of_a_commitment_one_is_made(database: Database) -> None:
    life = await lived(database, Stage.ACTIVE)
    rest = life.state.commitments["il"][0].minor

    async def pay(number: int) -> bool:
        try:
            await post(database, life, ("disbursed", rest), ("treasury", -rest), number=number)
        except IntegrityError:
            return False
        return True

    made = await asyncio.gather(*(pay(number) for number in range(90, 98)))
    assert sum(made) == 1


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
async def test_where_a_payment_made_meanwhile_is_not_seen_nothing_is_entered(
    database: Database, life: Steps, level: str
) -> None:
    isolation = f"SET TRANSACTION ISOLATION LEVEL {level}"
    with pytest.raises(IntegrityError, match="isolation level"):
        await post(
            database,
            life,
            ("disbursed", 1),
            ("treasury", -1),
            before=isolation,
        )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_entry SET minor = minor + 1",
        "UPDATE ledger_entry SET minor = minor WHERE false",
        "UPDATE ledger_transaction SET directorate = 'az'",
        "DELETE FROM ledger_entry",
        "DELETE FROM ledger_transaction",
        "TRUNCATE ledger_entry",
        "TRUNCATE ledger_transaction CASCADE",
        "TRUNCATE initiative CASCADE",
        "SET LOCAL session_replication_role = replica; DELETE FROM ledger_entry",
    ],
)
async def test_the_ledger_is_never_changed(database: Database, life: Steps, statement: str) -> None:
    before = await on_record(database, life)

    async def execute() -> None:
        async with database.transaction() as connection:
            for one in statement.split("; "):
                await connection.execute(text(one))

    with pytest.raises(IntegrityError, match="append-only"):
        await execute()
    assert await on_record(database, life) == before


async def test_the_statements_add_up_what_was_entered_per_area_and_year(services: Services) -> None:
    url = await services.postgres.create_database("statements")
    await migrate(url)
    database = Database(url, pool_size=2)
    try:
        lives = [await lived(database, Stage.ACTIVE, pay=True), await lived(database, Stage.CLOSED)]
        area, agreement = lives[0].state.proposal.area, lives[0].agreement.id
        async with database.reading() as connection:
            whole = await ledger.statements(connection, agreement)
            one_year = await ledger.statements(connection, agreement, directorate="il", year=2027)
            elsewhere = await ledger.statements(connection, agreement, area="human_capital")
            nobody = await ledger.statements(connection, "another-programme")
    finally:
        await database.close()
    posted = [one for life in lives for one in ledger_of(life.entries)]
    assert {(one.area, one.year) for one in whole} == {(area, one.at.year) for one in posted}
    assert (elsewhere, nobody) == ([], [])
    for account in Account:
        for side in ("il", "az"):
            expected = sum(
                entry.minor
                for one in posted
                for entry in one.entries
                if one.directorate == side and entry.account is account
            )
            found = [one.minor for one in whole if (one.directorate, one.account) == (side, account)]
            assert sum(found) == expected
    assert one_year == [one for one in whole if (one.directorate, one.year) == ("il", 2027)] != []


async def test_what_was_on_record_before_there_was_a_ledger_is_posted_by_the_migration(
    services: Services,
) -> None:
    url = await services.postgres.create_database("earlier")
    await migrate(url)
    database = Database(url, pool_size=2)
    try:
        life = await lived(database, Stage.ACTIVE, pay=True)
        await asyncio.to_thread(command.downgrade, alembic_config(url), "0003")
        with pytest.raises(DBAPIError):
            await on_record(database, life)
        await migrate(url)
        assert await on_record(database, life) == ledger_of(life.entries)
        while life.go_on():
            pass
        await written(database, life)
        assert life.stage() is Stage.CLOSED
        assert await on_record(database, life) == ledger_of(life.entries)
    finally:
        await database.close()


def test_amounts_of_the_ledger_are_those_of_the_commitment() -> None:
    assert Amount(BEYOND - 1, "ILS") == Steps().begin().reach(Stage.CONTRACTING).state.commitments["il"][0]


async def test_money_comes_back_of_what_the_bank_has_booked_of_a_part_that_failed(database: Database) -> None:
    """Two partners in one part: one payment arrives, the other comes back; then the initiative is ended."""
    body = joined(minimal_proposal(), "zarf", "dugma", 30_000_00)
    life = Steps(proposal=Proposal.model_validate(body))
    life.begin().reach(Stage.ACTIVE)
    for side in life.sides:
        life.authorise(1, side)
    first, second = life.state.tranches[0].shares["il"].instructions
    assert life.bank(1, "il", BankOutcome.BOOKED, first).status == "counted"
    assert life.bank(1, "il", BankOutcome.RETURNED, second).status == "counted"
    life.confirm(1, "az")
    life.terminate("il")
    no_accounts_come(life)
    (claimed,) = [one for one in life.state.tranches if one.is_recovery]
    assert claimed.shares["il"].amounts == (first.amount,)
    assert life.authorise(claimed.number, "il").status == "counted"
    assert life.confirm(claimed.number, "il").status == "counted"
    await written(database, life)
    assert await on_record(database, life) == ledger_of(life.entries)
