"""Budgets: who waits for money, who keeps what is promised, and when it is given back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from countersign.domain import budget, complaining, steps
from countersign.domain.agreement import Budget, MatterKind
from countersign.domain.amounts import Amount
from countersign.domain.budget import Lack
from countersign.domain.ledger import Code, ledger_of
from countersign.domain.matter import Response
from countersign.domain.payment_facts import CommitmentsDeferred, CommitmentsFixed
from countersign.domain.projection import Task, project, waited_for
from countersign.domain.stage import Stage
from tests.domain.lives import Life, two_sides

LACK = Lack(directorate="il", unit="ILS", year=2027, wanted=100_000_01, left=5, ahead=0)


def approved() -> Life:
    """Both sides have approved the proposal; nothing is reserved yet."""
    life = Life(*two_sides()).begin()
    life.all_sign()
    life.settle = lambda: None  # type: ignore[method-assign]
    for side in life.sides:
        while side not in life.state.matters[-1].positions:
            life.sign(side)
        position, matter = life.state.matters[-1].positions[side], life.state.matters[-1]
        life.write(
            steps.countersigned(life.state, matter.number, position, matter.content_hash, f"jws-{side}")
        )
    assert life.stage() is Stage.DECISION
    return life


def deferred() -> Life:
    life = approved()
    life.write(steps.defer(life.state, Stage.DECISION, (LACK,)))
    return life


def test_budgets_are_no_part_of_what_was_agreed_on() -> None:
    agreement, _ = two_sides()
    other = agreement.model_copy(
        update={"budget": (Budget(directorate="il", amounts=(Amount(1, "ILS"),)),), "signing_key": ()}
    )
    assert other.content_hash() == agreement.content_hash()


def test_an_initiative_that_waits_for_money_says_so_and_for_which() -> None:
    life = deferred()
    assert life.entries[-1].action == CommitmentsDeferred.action
    assert life.entries[-1].subject == life.state.content_hash
    (waits,) = [one for one in waited_for(life.state) if one.task is Task.BUDGET]
    assert (waits.directorate, waits.office, waits.since) == ("il", None, life.now)
    assert life.state.stage_reason == (
        "approved, and waits for money: il's budget of 2027 has 0.05 ILS left for 100,000.01 ILS"
    )
    before = life.state.model_copy(update={"deferral": None})
    assert project(before, life.state, life.entries[-1:]).deferred == ("il/ILS/",)


def test_the_same_lack_is_said_once_and_another_one_keeps_the_place_in_time() -> None:
    life = deferred()
    began = life.now
    life.now += timedelta(days=3)
    assert steps.defer(life.state, Stage.DECISION, (LACK,)) == []
    life.write(steps.defer(life.state, Stage.DECISION, (LACK.model_copy(update={"ahead": 2}),)))
    assert life.state.deferral is not None
    assert (life.state.deferral.since, life.state.deferral.lacking[0].ahead) == (began, 2)


def test_with_money_the_wait_is_over_and_the_money_reserved() -> None:
    life = deferred()
    life.write(steps.enter(life.state, Stage.DECISION, Stage.CONTRACTING, deadlines=life.deadlines()))
    assert (life.state.deferral, life.state.reserved, life.stage()) == (None, True, Stage.CONTRACTING)
    assert [one.task for one in waited_for(life.state) if one.task is Task.BUDGET] == []


def test_whoever_withdraws_while_waiting_gives_up_the_place() -> None:
    life = deferred()
    assert life.withdraw().status == "counted"
    assert (life.state.deferral, life.stage()) == (None, Stage.WITHDRAWN)


def test_approvals_that_run_out_before_there_is_money_are_given_anew() -> None:
    life = deferred()
    life.write(steps.renew(life.state, life.deadlines()))
    opened = life.state.matters[-1]
    assert (opened.kind, opened.is_open, life.state.deferral) == (MatterKind.PROPOSAL, True, None)
    assert life.state.stage_reason is None
    assert steps.renew(life.state, life.deadlines()) == []


def test_money_is_reserved_with_the_conditions_and_not_a_second_time_after_them() -> None:
    life = Life(*two_sides()).begin()
    life.all_sign()
    life.all_sign(Response.APPROVE_WITH_CONDITIONS)
    assert (life.stage(), life.state.reserved) == (Stage.CONDITIONS, True)
    life.reach(Stage.CONTRACTING)
    fixed = [one for one in life.entries if one.action == CommitmentsFixed.action]
    assert len(fixed) == 1
    assert [one.code for one in ledger_of(life.entries)] == [Code.COMMITMENT_RESERVED] * 2


def test_what_is_promised_stays_so_while_a_complaint_runs_and_through_the_decision_it_reopens() -> None:
    life = Life(*two_sides()).begin().reach(Stage.CONTRACTING)
    life.all_sign(Response.REFUSE)
    assert (life.stage(), life.state.reserved) == (Stage.NOT_APPROVED, True)
    life.complain()
    life.all_sign()
    life.write(steps.enter(life.state, Stage.NOT_APPROVED, Stage.DECISION, deadlines=life.deadlines()))
    assert life.state.reserved
    life.all_sign()
    assert life.stage() is Stage.CONTRACTING
    codes = [one.code for one in ledger_of(life.entries) if one.directorate == "il"]
    assert codes == [Code.COMMITMENT_RESERVED]


def test_a_complaint_that_is_dismissed_frees_the_money() -> None:
    life = Life(*two_sides()).begin().reach(Stage.CONTRACTING)
    life.all_sign(Response.REFUSE)
    life.complain()
    assert complaining.release_promised(life.state, life.now) == []
    life.all_sign(Response.REFUSE)
    codes = [one.code for one in ledger_of(life.entries) if one.directorate == "il"]
    assert codes == [Code.COMMITMENT_RESERVED, Code.COMMITMENT_RELEASED]
    assert not life.state.reserved


def test_the_next_look_is_in_a_week_or_when_the_year_begins() -> None:
    assert budget.try_again_at(datetime(2027, 3, 1, tzinfo=UTC)) == datetime(2027, 3, 8, tzinfo=UTC)
    assert budget.try_again_at(datetime(2027, 12, 30, tzinfo=UTC)) == datetime(2028, 1, 1, tzinfo=UTC)
    assert budget.year_of(datetime.fromisoformat("2028-01-01T02:00:00+04:00")) == 2027
