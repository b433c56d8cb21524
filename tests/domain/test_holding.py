"""A payment that its own side holds, and lets go on: what it stops, and what it does not."""

from __future__ import annotations

import pytest

from countersign.domain import steps
from countersign.domain.audit import AuditEntry
from countersign.domain.commands import DeclareConflict
from countersign.domain.funding import BankOutcome, PaymentState, Share
from countersign.domain.initiative import replay
from countersign.domain.matter import Caller
from countersign.domain.projection import Task
from countersign.domain.stage import Stage
from tests.domain.lives import Life, active_life, holder, three_sides


def share(life: Life, side: str = "il", number: int = 1) -> Share:
    tranche = life.state.tranche(number)
    assert tranche is not None
    return tranche.shares[side]


def failed_life() -> Life:
    life = active_life()
    for side in life.sides:
        life.authorise(1, side)
    told = next(one for one in share(life).instructions if one.is_money)
    assert life.bank(1, "il", BankOutcome.RETURNED, told).status == "counted"
    return life


def test_a_held_part_keeps_what_it_was_who_holds_it_and_why() -> None:
    life = active_life()
    assert life.hold(1, "il").status == "counted"
    held = share(life)
    assert (held.state, held.held_from) == (PaymentState.HELD, PaymentState.DUE)
    assert (held.held_by, held.held_reasons) == (
        "il/finance_officer-third",
        "The account was looked at.",
    )
    assert [(one.task, one.office) for one in life.waited_for() if one.directorate == "il"] == [
        (Task.RESUME, "finance_officer")
    ]
    assert life.hold(1, "il").code == "out_of_order"
    assert life.authorise(1, "il").code == "out_of_order"
    assert life.resume(1, "il").status == "counted"
    assert share(life) == held.model_copy(
        update={"state": PaymentState.DUE, "held_from": None, "held_by": None, "held_reasons": None}
    )
    assert life.resume(1, "il").code == "out_of_order"


def test_one_held_part_keeps_the_whole_tranche_from_being_released() -> None:
    life = active_life(three_sides())
    life.hold(1, "az")
    for side in ("il", "ge"):
        assert life.authorise(1, side).status == "counted"
        assert life.confirm(1, side).code == "out_of_order"
    assert not any(entry.action == "tranche.instructed" for entry in life.entries)
    assert {(one.task, one.directorate) for one in life.waited_for() if one.number == 1} >= {
        (Task.RESUME, "az")
    }
    life.resume(1, "az")
    life.authorise(1, "az")
    assert all(share(life, side).state is PaymentState.INSTRUCTED for side in life.sides)


def test_an_authorised_part_that_was_held_is_authorised_anew() -> None:
    life = active_life()
    first, other = (holder("il", "finance_officer", who) for who in ("first", "other"))
    life.authorise(1, "il", first)
    assert life.hold(1, "il").status == "counted"
    assert life.authorise(1, "az").status == "counted"  # nothing follows: il's is not let go
    assert life.resume(1, "il").status == "counted"
    part = share(life)
    assert (part.state, part.authorised_by, part.authorised_before) == (
        PaymentState.DUE,
        None,
        (first.person,),
    )
    assert not any(entry.action == "tranche.instructed" for entry in life.entries)
    assert life.authorise(1, "il", other).status == "counted"
    assert share(life).state is PaymentState.INSTRUCTED
    assert [one.attempt for one in share(life).instructions] == [None] * len(share(life).instructions)
    # As with what is tried again: who authorised it before brings no bank's word on it.
    told = next(one for one in share(life).instructions if one.is_money)
    assert life.bank(1, "il", BankOutcome.BOOKED, told, first).code == "four_eyes"
    assert life.confirm(1, "il", other).code == "four_eyes"
    assert life.confirm(1, "il", holder("il", "finance_officer", "second")).status == "counted"


def test_once_every_side_has_authorised_it_is_too_late() -> None:
    life = active_life()
    life.away = {"il"}
    for side in life.sides:
        life.authorise(1, side)
    assert share(life).state is PaymentState.AUTHORISED
    assert [life.hold(1, side).code for side in life.sides] == ["out_of_order"] * 2
    life.away = set()
    life.settle()
    assert life.hold(1, "il").code == "out_of_order"
    life.confirm(1, "il")
    assert life.hold(1, "il").code == "out_of_order"


def test_a_failed_part_can_be_held_and_goes_on_as_failed() -> None:
    life = failed_life()
    assert life.hold(1, "il").status == "counted"
    assert life.authorise(1, "il").code == "out_of_order"
    assert life.confirm(1, "az").status == "counted"  # that money is out, and stays so
    life.resume(1, "il")
    assert share(life).state is PaymentState.FAILED
    life.authorise(1, "il")
    assert share(life).state is PaymentState.INSTRUCTED


def test_a_bank_that_was_told_is_on_record_whatever_was_held_meanwhile() -> None:
    life = active_life()
    life.away = {"az"}
    for side in life.sides:
        life.authorise(1, side)
    told = next(one for one in share(life).instructions if one.is_money)
    life.bank(1, "il", BankOutcome.RETURNED, told)
    assert life.hold(1, "il").status == "counted"
    tranche = life.state.tranches[0]
    asked = steps.to_instruct(life.state, tranche)
    assert set(asked) == {"az"}
    assert steps.released(life.state) == (tranche,)  # it was released; held is what would be tried again
    life.write(steps.instructed(life.state, 1, asked))
    assert share(life, "az").state is PaymentState.INSTRUCTED
    assert share(life).state is PaymentState.HELD


def test_another_payment_that_comes_back_leaves_a_held_part_held() -> None:
    life = failed_life()
    life.hold(1, "il")
    others = [one for one in share(life).instructions if one.is_money and one.outcome is None]
    for one in others:
        life.bank(1, "il", BankOutcome.RETURNED, one)
    assert (share(life).state, share(life).held_from) == (PaymentState.HELD, PaymentState.FAILED)


def test_a_part_that_falls_due_while_it_is_held_is_due_once_it_goes_on() -> None:
    life = active_life()
    assert life.hold(2, "il").status == "counted"
    life.pay(1)
    life.now = life.state.reports[0].ends_at
    life.report(1)
    life.all_sign()
    assert (share(life, "il", 2).state, share(life, "il", 2).held_from) == (
        PaymentState.HELD,
        PaymentState.DUE,
    )
    assert share(life, "az", 2).state is PaymentState.DUE
    life.resume(2, "il")
    assert share(life, "il", 2).state is PaymentState.DUE


def test_a_held_part_of_the_plan_goes_on_as_planned() -> None:
    life = active_life()
    life.hold(2, "il")
    life.resume(2, "il")
    assert share(life, "il", 2).state is PaymentState.PLANNED


def test_an_initiative_closes_only_when_nothing_is_held() -> None:
    life = active_life()
    life.reach(Stage.CLOSING)
    last = life.state.tranches[-1].number
    assert life.hold(last, "il").status == "counted"
    life.all_sign()
    life.authorise(last, "az")
    assert (share(life, "il", last).held_from, life.stage()) == (PaymentState.DUE, Stage.CLOSING)
    assert not steps.all_paid(life.state)
    life.reach(Stage.CLOSED)
    assert share(life, "il", last).state is PaymentState.PAID


@pytest.mark.parametrize(
    ("caller", "code"),
    [
        (holder("il", "finance_officer"), None),
        (holder("il", "head"), None),
        (holder("az", "deputy_minister"), "not_your_office"),
        (holder("az", "finance_officer"), "not_your_office"),
        (holder("il", "secretariat"), "not_your_office"),
        (Caller(person="applicants/plonit"), "not_your_office"),
    ],
    ids=lambda one: one.person if isinstance(one, Caller) else None,
)
def test_who_answers_for_a_sides_money_holds_it(caller: Caller, code: str | None) -> None:
    life = active_life()
    assert life.hold(1, "il", caller).code == code
    if code is not None:
        life.hold(1, "il")
    assert life.resume(1, "il", caller).code == code


def test_an_interest_bars_and_what_is_not_there_is_not_held() -> None:
    life = active_life()
    assert life.hold(99, "il").code == "not_found"
    assert life.hold(1, "xx", holder("xx", "finance_officer")).code == "not_your_office"
    caller = holder("il", "finance_officer", "third")
    life.send(DeclareConflict(id=life.next_id(), caller=caller, reasons="My cousin."))
    assert life.hold(1, "il").code == "conflict_of_interest"
    early = Life(life.agreement, life.proposal).begin().reach(Stage.CONTRACTING)
    assert early.hold(1, "il").code == "stage_closed"


def test_the_trail_tells_it_again() -> None:
    life = active_life()
    empty, known = life.state, len(life.entries)
    life.authorise(1, "il")
    life.hold(1, "il")
    life.hold(2, "az")
    life.resume(1, "il")
    life.authorise(1, "il", holder("il", "finance_officer", "other"))
    life.authorise(1, "az")
    entries = [AuditEntry.model_validate_json(one.model_dump_json()) for one in life.entries[known:]]
    assert replay(empty, entries) == life.state
