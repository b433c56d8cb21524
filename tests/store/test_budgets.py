"""Budgets on record: held by the database, whoever writes and however many at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from countersign.domain import steps
from countersign.domain.agreement import Budget, ProgrammeAgreement
from countersign.domain.amounts import Amount
from countersign.domain.budget import Lack
from countersign.domain.initiative import replay
from countersign.domain.projection import Step
from countersign.domain.proposal import Proposal
from countersign.domain.stage import Stage
from countersign.store import budgets, documents, initiatives, record, trail
from countersign.store import tables as t
from countersign.store.budgets import BudgetExceeded
from countersign.store.session import Database
from tests.amendments import asking, extended
from tests.domain.lives import START, body_of, two_sides
from tests.people import minimal_proposal
from tests.store.making import Steps, actions, new_id

pytestmark = pytest.mark.services

ASKED = 100_000_01
"""Agorot that the small proposal asks of il."""


async def programme(database: Database, *wanted: Budget) -> ProgrammeAgreement:
    """A programme of its own, so that no other test takes from its budgets."""
    agreement, _ = two_sides()
    own = agreement.model_copy(update={"id": f"test-{new_id()}"[:40], "budget": wanted})
    async with database.transaction() as connection:
        await budgets.put(connection, own, START)
    return own


def of(side: str, *amounts: Amount, area: str | None = None, year: int | None = None) -> Budget:
    return Budget(directorate=side, area=area, year=year, amounts=amounts)


async def approved(
    database: Database, agreement: ProgrammeAgreement, asked: int = ASKED
) -> tuple[Steps, Step]:
    """An initiative on record up to its approval, and the step that would reserve its money."""
    body = minimal_proposal(agreement=agreement.id)
    body["budget"][0]["amount"]["minor"] = asked
    life = Steps(agreement, Proposal.model_validate(body))
    life.begin().reach(Stage.CONTRACTING)
    await life.prepare(database)
    at = next(i for i, step in enumerate(life.steps) if "commitment.fixed" in actions(step))
    for step in life.steps[:at]:
        assert await record.append(database, step) == ()
    return life, life.steps[at]


async def deferred(database: Database, life: Steps, lacking: tuple[Lack, ...]) -> Step:
    """Its wait for money on record; the step that would reserve it after that."""
    at = next(i for i, step in enumerate(life.steps) if "commitment.fixed" in actions(step))
    entries = [entry for step in life.steps[:at] for entry in step.entries]
    life.entries, life.steps = entries, life.steps[:at]
    life.state = replay(life.beginning, entries)
    life.write(steps.defer(life.state, Stage.DECISION, lacking))
    assert await record.append(database, life.steps[-1]) == ()
    life.write(steps.enter(life.state, Stage.DECISION, Stage.CONTRACTING, deadlines=life.deadlines()))
    return life.steps[-1]


async def reserve(database: Database, step: Step) -> tuple[Lack, ...]:
    """What is lacking for a step; nothing when it was written."""
    try:
        assert await record.append(database, step) == ()
    except BudgetExceeded as exceeded:
        return exceeded.lacking
    return ()


async def used(database: Database, agreement: ProgrammeAgreement, side: str = "il") -> int:
    async with database.reading() as connection:
        found = await budgets.positions(connection, agreement.id, START.year)
    return next(one.taken for one in found if one.directorate == side)


async def test_of_two_at_the_same_instant_exactly_one_gets_the_last_money(database: Database) -> None:
    agreement = await programme(database, of("il", Amount(ASKED + 1, "ILS")), of("az", Amount(10**9, "AZN")))
    (_, first), (_, second) = [await approved(database, agreement) for _ in range(2)]
    came = await asyncio.gather(reserve(database, first), reserve(database, second))
    (refused,) = [one for one in came if one]
    assert came.count(()) == 1
    assert refused == (Lack(directorate="il", unit="ILS", year=START.year, wanted=ASKED, left=1),)
    assert await used(database, agreement) == ASKED


async def test_whatever_comes_at_once_no_budget_is_overdrawn_and_nobody_is_refused_for_nothing(
    database: Database,
) -> None:
    random, ceiling = Random(5), 1_000_000
    agreement = await programme(database, of("il", Amount(ceiling, "ILS")))
    asked = [random.randint(1, ceiling // 4) for _ in range(16)]
    made = [await approved(database, agreement, one) for one in asked]
    came = await asyncio.gather(*(reserve(database, step) for _, step in made))
    taken = sum(one for one, lacking in zip(asked, came, strict=True) if not lacking)
    assert await used(database, agreement) == taken <= ceiling
    assert any(came)
    for one, lacking in zip(asked, came, strict=True):
        assert not lacking or one > ceiling - taken


async def test_who_waits_is_not_overtaken_by_somebody_who_wants_less(database: Database) -> None:
    agreement = await programme(database, of("il", Amount(100, "ILS")))
    (_, much), (_, little) = await approved(database, agreement, 60), await approved(database, agreement, 10)
    waiter, wants = await approved(database, agreement, 50)
    assert await reserve(database, much) == ()
    lacking = await reserve(database, wants)
    assert [(one.left, one.ahead) for one in lacking] == [(40, 0)]
    again = await deferred(database, waiter, lacking)
    behind = await reserve(database, little)
    assert [(one.left, one.ahead) for one in behind] == [(40, 1)]
    assert await reserve(database, again) == lacking  # its own place is not before it
    async with database.transaction() as connection:
        wider = agreement.model_copy(update={"budget": (of("il", Amount(115, "ILS")),)})
        assert await budgets.put(connection, wider, START)
    third, wants = await approved(database, agreement, 5)
    last = await deferred(database, third, await reserve(database, wants))
    async with database.reading() as connection:
        assert await budgets.waiting(connection, agreement.id) == [waiter.state.id, third.state.id]
    assert [one.ahead for one in await reserve(database, last)] == [1]
    assert await reserve(database, again) == ()
    assert await reserve(database, last) == ()
    async with database.reading() as connection:
        assert await budgets.waiting(connection, agreement.id) == []
    behind = await reserve(database, little)
    assert [(one.left, one.ahead) for one in behind] == [(0, 0)]


async def test_who_waits_a_second_time_waits_at_the_end(database: Database) -> None:
    agreement = await programme(database, of("il", Amount(1, "ILS")))
    waiters = [await approved(database, agreement, 2) for _ in range(2)]
    lacking = (Lack(directorate="il", unit="ILS", year=START.year, wanted=2, left=1),)
    for life, step in waiters:
        assert await reserve(database, step)
        await deferred(database, life, lacking)
    first, second = (life for life, _ in waiters)
    entries = first.entries[
        : first.steps[-2].entries[-1].sequence
    ]  # not the reservation: it was never written
    first.state, first.entries = replay(first.beginning, entries), entries
    async with database.reading() as connection:
        assert await budgets.waiting(connection, agreement.id) == [first.state.id, second.state.id]
    known = len(first.steps)
    first.write(steps.renew(first.state, first.deadlines()))
    first.write(steps.defer(first.state, Stage.DECISION, lacking))
    for step in first.steps[known:]:
        assert await record.append(database, step) == ()
    async with database.reading() as connection:
        assert await budgets.waiting(connection, agreement.id) == [second.state.id, first.state.id]


async def test_an_area_has_a_budget_of_its_own_inside_the_one_for_all(database: Database) -> None:
    agreement = await programme(
        database, of("il", Amount(100, "ILS")), of("il", Amount(10, "ILS"), area="civilian_sectors")
    )
    _, step = await approved(database, agreement, 11)
    assert [(one.area, one.left) for one in await reserve(database, step)] == [("civilian_sectors", 10)]
    _, step = await approved(database, agreement, 9)
    assert await reserve(database, step) == ()
    _, step = await approved(database, agreement, 200)
    assert [(one.area, one.left) for one in await reserve(database, step)] == [
        (None, 91),
        ("civilian_sectors", 1),
    ]


async def test_a_year_with_a_budget_of_its_own_is_bounded_by_that(database: Database) -> None:
    agreement = await programme(
        database, of("il", Amount(100, "ILS")), of("il", Amount(7, "ILS"), year=START.year)
    )
    _, step = await approved(database, agreement, 8)
    assert [one.left for one in await reserve(database, step)] == [7]
    async with database.reading() as connection:
        (now,) = await budgets.positions(connection, agreement.id, START.year)
        (later,) = await budgets.positions(connection, agreement.id, START.year + 1)
    assert (now.ceiling, later.ceiling) == (7, 100)


async def test_what_is_given_back_can_be_taken_again_in_the_year_it_was_reserved_in(
    database: Database,
) -> None:
    agreement = await programme(database, of("il", Amount(ASKED, "ILS")))
    life, step = await approved(database, agreement)
    assert await reserve(database, step) == ()
    assert await used(database, agreement) == ASKED
    known = len(life.steps)
    life.now = datetime(START.year + 1, 2, 1, tzinfo=UTC)
    life.withdraw()
    for one in life.steps[known:]:
        assert await record.append(database, one) == ()
    assert await used(database, agreement) == 0
    async with database.reading() as connection:
        use = await connection.execute(
            select(t.budget_use).where(t.budget_use.c.agreement_id == agreement.id)
        )
    assert list(use) == []


async def carried_out(database: Database, agreement: ProgrammeAgreement, asked: int = ASKED) -> Steps:
    """An active initiative on record."""
    life, _ = await approved(database, agreement, asked)
    at = next(i for i, step in enumerate(life.steps) if "commitment.fixed" in actions(step))
    life.reach(Stage.ACTIVE)
    for step in life.steps[at:]:
        assert await record.append(database, step) == ()
    return life


async def amended(database: Database, life: Steps, body: dict[str, Any]) -> Step:
    """An amendment that every side approved on record, and the step by which it takes effect."""
    known = len(life.steps)
    assert life.amend(**body).status == "counted"
    life.all_sign()
    async with database.transaction() as connection:
        for one in life.versions.values():
            await documents.keep(connection, one.content_hash(), one.document_form())
    for step in life.steps[known:-1]:
        assert await record.append(database, step) == ()
    return life.steps[-1]


async def test_an_increase_takes_what_is_left_of_the_year_it_was_reserved_in_and_a_decrease_gives_back(
    database: Database,
) -> None:
    agreement = await programme(database, of("il", Amount(ASKED + 100, "ILS")))
    life = await carried_out(database, agreement)
    life.now = datetime(START.year + 1, 2, 1, tzinfo=UTC)
    step = await amended(database, life, asking(body_of(life.proposal), "dugma", 100))
    assert actions(step)[0] == "amendment.made"
    assert await reserve(database, step) == ()
    assert await used(database, agreement) == ASKED + 100
    other, wants = await approved(database, agreement, 40)
    assert [one.left for one in await reserve(database, wants)] == [0]
    step = await amended(database, life, asking(body_of(life.proposal_in_force), "dugma", -150))
    assert await reserve(database, step) == ()
    assert await used(database, agreement) == ASKED - 50
    assert await reserve(database, wants) == ()
    assert other.state.stage is Stage.CONTRACTING
    async with database.reading() as connection:
        use = await connection.execute(
            select(t.budget_use).where(
                t.budget_use.c.agreement_id == agreement.id, t.budget_use.c.unit == "ILS"
            )
        )
    assert sorted((one.year, one.minor) for one in use) == [(START.year, 40), (START.year, ASKED - 50)]


async def test_an_increase_beyond_the_budget_is_refused_whole_and_says_what_is_left(
    database: Database,
) -> None:
    agreement = await programme(database, of("il", Amount(ASKED + 100, "ILS")))
    life = await carried_out(database, agreement)
    step = await amended(database, life, asking(body_of(life.proposal), "dugma", 101))
    lack = Lack(directorate="il", unit="ILS", year=START.year, wanted=101, left=100)
    assert await reserve(database, step) == (lack,)
    assert await used(database, agreement) == ASKED
    async with database.reading() as connection:
        entries = await trail.entries_from(connection, life.state.id)
        versions = await initiatives.versions(connection, life.state.id)
    assert "amendment.made" not in [one.action for one in entries]
    assert [one.number for one in versions] == [1]


async def test_an_increase_does_not_overtake_who_waits_for_money(database: Database) -> None:
    agreement = await programme(database, of("il", Amount(ASKED + 100, "ILS")))
    life = await carried_out(database, agreement)
    waiter, wants = await approved(database, agreement, 500)
    await deferred(database, waiter, await reserve(database, wants))
    step = await amended(database, life, asking(body_of(life.proposal), "dugma", 1))
    assert [(one.wanted, one.left, one.ahead) for one in await reserve(database, step)] == [(1, 100, 1)]


async def test_a_unit_that_an_amendment_begins_with_counts_against_the_year_of_the_amendment(
    database: Database,
) -> None:
    agreement = await programme(database, of("il", Amount(40, "GPUh"), year=START.year + 1))
    areas = tuple(
        one.model_copy(
            update={"ceilings": {"il": (*one.ceilings["il"], Amount(90, "GPUh")), "az": one.ceilings["az"]}}
        )
        for one in agreement.area
    )
    agreement = agreement.model_copy(update={"area": areas})
    for hours, left in ((50, [40]), (40, [])):
        life = await carried_out(database, agreement)
        life.now = datetime(START.year + 1, 2, 1, tzinfo=UTC)
        body = body_of(life.proposal)
        compute = {"partner": "dugma", "category": "compute", "description": "Training"}
        body["budget"].append(compute | {"amount": {"minor": hours, "unit": "GPUh"}})
        lacking = await reserve(database, await amended(database, life, body))
        assert [one.left for one in lacking] == left


async def test_what_a_shorter_initiative_plans_no_more_is_no_row_any_more(database: Database) -> None:
    agreement = await programme(database, of("il", Amount(ASKED, "ILS")))
    life = await carried_out(database, agreement)
    step = await amended(database, life, extended(body_of(life.proposal), -6))
    assert await reserve(database, step) == ()
    async with database.reading() as connection:
        tranches = await initiatives.tranches(connection, life.state.id)
        reports = await initiatives.reports(connection, life.state.id)
        versions = await initiatives.versions(connection, life.state.id)
    assert (tuple(tranches), tuple(reports)) == (life.state.tranches, life.state.reports)
    assert [(one.number, one.submitted_by) for one in versions] == [
        (1, life.applicant.person), (2, life.applicant.person),
    ]  # fmt: skip


async def test_a_change_of_budgets_is_on_record_and_the_same_ones_again_are_not(database: Database) -> None:
    agreement = await programme(database, of("il", Amount(5, "ILS")))
    async with database.transaction() as connection:
        assert not await budgets.put(connection, agreement, START)
        assert await budgets.put(connection, agreement.model_copy(update={"budget": ()}), START)
    async with database.reading() as connection:
        entries = await trail.entries_from(connection, budgets.book(agreement.id))
        assert await budgets.positions(connection, agreement.id, START.year) == []
    assert [(one.action, len(one.body["budgets"])) for one in entries] == [
        ("budget.set", 1),
        ("budget.set", 0),
    ]


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
async def test_not_even_a_superuser_writes_beyond_a_budget(database: Database, isolation: str) -> None:
    agreement = await programme(database, of("il", Amount(ASKED, "ILS")))
    life, step = await approved(database, agreement)
    assert await reserve(database, step) == ()
    one = step.ledger[0]
    key = {"initiative_id": life.state.id, "sequence": one.sequence, "number": 9}
    posted = key | {"at": one.at, "directorate": "il", "unit": "ILS", "code": one.code}
    lines = [{"account": "reserved", "minor": 1}, {"account": "appropriation", "minor": -1}]

    async def write() -> None:
        async with database.transaction() as connection:
            await connection.execute(text(f"SET TRANSACTION ISOLATION LEVEL {isolation}"))
            await connection.execute(t.ledger_transaction.insert(), posted)
            await connection.execute(t.ledger_entry.insert(), [key | line for line in lines])

    with pytest.raises(DBAPIError, match=r"leaves|isolation level"):
        await write()
    async with database.reading() as connection:
        count = await connection.scalar(
            select(func.count()).select_from(t.ledger_transaction).filter_by(initiative_id=life.state.id)
        )
    assert count == len(step.ledger)
