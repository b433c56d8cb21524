"""Stopping and going on: suspension by a side or by a late report, resumption, and what goes on meanwhile."""

from __future__ import annotations

from datetime import timedelta

import pytest

from countersign.domain import clock, ending, steps
from countersign.domain.agreement import MatterKind
from countersign.domain.audit import AuditEntry
from countersign.domain.canonical import content_hash
from countersign.domain.funding import PaymentState
from countersign.domain.ledger import book_of, ledger_of
from countersign.domain.matter import Matter, Outcome, Response
from countersign.domain.notice import NoticeKind
from countersign.domain.papers import resumption_document
from countersign.domain.projection import Task, step_of
from countersign.domain.reporting import ReportState
from countersign.domain.stage import Stage
from tests.domain.lives import Life, active_life, holder, two_sides
from tests.domain.test_ending import everything_comes_back, no_accounts_come, paid_life
from tests.domain.test_ledger import check

NOTICE = timedelta(days=14)


def suspended_life(life: Life | None = None) -> Life:
    """One side suspended it, and its notice is over."""
    life = life or paid_life()
    assert life.suspend("il").status == "counted"
    life.pass_time(NOTICE)
    assert life.stage() is Stage.SUSPENDED
    return life


def late_life() -> Life:
    """It is suspended as its first report is too late."""
    life = paid_life()
    life.pass_time(life.state.reports[0].due_at + timedelta(days=60) - life.now)
    assert (life.stage(), life.state.suspended_for) == (Stage.SUSPENDED, 1)
    return life


def resumption(life: Life) -> Matter:
    found = life.state.last_matter(MatterKind.RESUMPTION)
    assert found is not None
    return found


def opened(life: Life) -> AuditEntry:
    return next(
        one
        for one in reversed(life.entries)
        if one.action == "matter.opened" and one.body["kind"] == "resumption"
    )


# ---- suspension by a side


def test_a_side_suspends_with_notice_by_the_office_that_speaks_for_it() -> None:
    life = paid_life()
    assert life.suspend("il", holder("il", "finance_officer")).code == "not_your_office"
    assert life.suspend("il", life.applicant).code == "not_your_office"
    assert life.suspend("il", notice_days=13).code == "invalid"
    assert life.suspend("il").status == "counted"
    assert life.suspend("il", life.head("il", "b")).code == "out_of_order"
    effective_at = life.now + NOTICE
    told = [one for one in life.waited_for() if one.task is Task.SUSPENDING]
    assert [(one.directorate, one.deadline) for one in told] == [(one, effective_at) for one in life.sides]
    assert clock.instant_of(clock.coming(life.state)) == effective_at
    life.pass_time(NOTICE - timedelta(seconds=1))
    assert life.stage() is Stage.ACTIVE
    life.pass_time(timedelta(seconds=1))
    assert (life.stage(), life.state.stage_reason) == (Stage.SUSPENDED, "il: The site is flooded.")
    assert life.state.notices == ()
    assert life.suspend("az").code == "stage_closed"


def test_without_a_notice_in_the_agreement_a_suspension_begins_at_once() -> None:
    agreement, proposal = two_sides()
    life = active_life((agreement.model_copy(update={"suspension": None}), proposal))
    assert life.suspend("az").status == "counted"
    assert (life.stage(), life.state.stage_deadline) == (Stage.SUSPENDED, None)


def test_a_side_takes_its_own_notice_back_before_the_suspension_begins() -> None:
    life = paid_life()
    life.suspend("il")
    life.suspend("az", notice_days=30)
    assert life.take_back("il", NoticeKind.SUSPENSION).status == "counted"
    life.pass_time(timedelta(days=20))
    assert life.stage() is Stage.ACTIVE
    life.pass_time(timedelta(days=10))
    assert (life.stage(), life.state.stage_reason) == (Stage.SUSPENDED, "az: The site is flooded.")
    assert life.take_back("az", NoticeKind.SUSPENSION).code == "out_of_order"


@pytest.mark.parametrize("stage", [Stage.DECISION, Stage.CONTRACTING, Stage.CLOSING])
def test_only_what_is_active_is_suspended(stage: Stage) -> None:
    life = Life(*two_sides()).begin().reach(stage)
    assert life.suspend("il").code == "stage_closed"


def test_a_suspension_that_was_announced_is_of_no_effect_once_the_closing_has_begun() -> None:
    life = active_life()
    while (report := life.state.next_report()) is None or not report.final:
        assert life.go_on()
    life.suspend("il", notice_days=300)
    life.reach(Stage.CLOSING)
    assert life.state.notices == ()


# ---- while it is suspended


def test_nothing_is_authorised_or_let_go_while_suspended_and_what_the_bank_was_told_is_confirmed() -> None:
    life = active_life()
    for side in life.sides:
        life.authorise(1, side)
    life.confirm(1, "il")
    suspended_life(life)
    assert {one.task for one in life.waited_for() if one.task is not Task.REPORT} == {
        Task.CONFIRM,
        Task.SUSPENDED,
    }
    assert life.confirm(1, "az").status == "counted"
    life.now = life.state.reports[0].ends_at
    assert life.report(1).status == "counted"
    life.all_sign()
    assert life.state.tranches[1].shares["il"].state is PaymentState.DUE
    assert life.authorise(2, "il").code == "stage_closed"
    assert life.hold(2, "il").code == "stage_closed"


def test_a_part_that_one_side_had_authorised_waits_for_the_other_until_it_is_resumed() -> None:
    life = active_life()
    life.authorise(1, "il")
    suspended_life(life)
    assert life.authorise(1, "az").code == "stage_closed"
    assert steps.released(life.state) == ()
    life.ask_resumption()
    life.all_sign()
    assert life.stage() is Stage.ACTIVE
    assert life.authorise(1, "az").status == "counted"
    assert {one.state for one in life.state.tranches[0].shares.values()} == {PaymentState.INSTRUCTED}


def test_what_all_sides_had_let_go_goes_to_the_bank_of_a_side_whose_worker_was_away() -> None:
    life = active_life()
    life.away = {"az"}
    for side in life.sides:
        life.authorise(1, side)
    suspended_life(life)
    life.away = set()
    life.settle()
    assert {one.state for one in life.state.tranches[0].shares.values()} == {PaymentState.INSTRUCTED}


def test_what_was_held_back_is_not_let_go_during_a_suspension_though_the_missing_part_is_paid() -> None:
    life = active_life()
    for side in life.sides:
        life.authorise(1, side)
    life.confirm(1, "il")
    life.pass_time(timedelta(days=30))
    life.now = life.state.reports[0].ends_at
    life.report(1)
    life.all_sign()
    for side in life.sides:
        assert life.authorise(2, side).status == "counted"
    suspended_life(life)
    life.confirm(1, "az")
    assert {one.state for one in life.state.tranches[1].shares.values()} == {PaymentState.AUTHORISED}
    assert Task.HELD_BACK in {one.task for one in life.waited_for()}
    life.ask_resumption()
    life.all_sign()
    assert {one.state for one in life.state.tranches[1].shares.values()} == {PaymentState.INSTRUCTED}


def test_reports_go_on_falling_due_while_suspended_and_do_not_suspend_again() -> None:
    life = paid_life()
    life.pass_time(timedelta(days=150))
    suspended_life(life)
    report = life.state.reports[0]
    life.pass_time(report.due_at - life.now)
    assert life.state.reports[0].state is ReportState.OVERDUE
    assert life.ask_resumption(life.head("az")).status == "counted"
    life.all_sign()
    resumed_at = life.now
    assert life.stage() is Stage.ACTIVE
    # The limit runs anew from the resumption.
    life.pass_time(timedelta(days=59))
    assert life.stage() is Stage.ACTIVE
    assert (life.state.reports[0].reminded, life.state.reports[0].escalated) == (30, True)
    life.pass_time(resumed_at + timedelta(days=60) - life.now)
    assert life.stage() is Stage.SUSPENDED


# ---- resumption


def test_the_resumption_is_a_matter_on_why_it_was_suspended_and_what_has_come_of_it() -> None:
    life = suspended_life()
    assert life.state.open_matter(MatterKind.RESUMPTION) is None
    assert life.ask_resumption(holder("il", "janitor")).code == "not_your_office"
    before = life.state
    assert life.ask_resumption().status == "counted"
    assert life.ask_resumption(life.head("il")).code == "out_of_order"
    written = resumption_document(before, "The water is gone.")
    assert resumption(life).content_hash == opened(life).subject == content_hash(written)
    assert written["suspended"]["reason"] == "il: The site is flooded."
    entries = [one for one in life.entries if one.sequence > before.sequence]
    assert step_of(before, life.state, entries).documents[opened(life).subject or ""] == written
    life.all_sign()
    assert (life.stage(), life.state.stage_reason) == (Stage.ACTIVE, "all sides agreed to resume")
    balances = check(ledger_of(life.entries))
    assert {place: minor for place, minor in book_of(life.state).balances.items() if minor} == balances
    life.reach(Stage.CLOSED)


@pytest.mark.parametrize("answer", [Response.RETURN, None])
def test_a_resumption_that_is_returned_or_lapses_may_be_asked_for_again(answer: Response | None) -> None:
    life = suspended_life()
    life.ask_resumption()
    if answer is None:
        life.pass_time(timedelta(days=45))
        assert resumption(life).outcome is Outcome.LAPSED
    else:
        life.all_sign(answer)
    assert life.stage() is Stage.SUSPENDED
    assert not resumption(life).is_open
    assert life.ask_resumption(life.head("az")).status == "counted"
    life.all_sign()
    assert life.stage() is Stage.ACTIVE


def test_a_resumption_that_one_side_refuses_ends_the_initiative_and_the_money_comes_back() -> None:
    life = suspended_life()
    life.ask_resumption()
    life.carry("il")
    life.carry("az", Response.REFUSE)
    assert (life.stage(), life.state.stage_reason) == (Stage.TERMINATED, "az: it should be otherwise")
    no_accounts_come(life)
    everything_comes_back(life)


def test_the_acceptance_of_the_late_report_opens_the_resumption_by_itself() -> None:
    life = late_life()
    life.report(1)
    life.all_sign()
    assert resumption(life).is_open
    assert opened(life).subject == content_hash(resumption_document(life.state, None))
    life.all_sign(Response.RETURN)
    assert (life.stage(), resumption(life).is_open) == (Stage.SUSPENDED, False)
    life.ask_resumption()
    life.all_sign()
    assert (life.stage(), life.state.suspended_for) == (Stage.ACTIVE, None)
    life.pay(2)
    life.reach(Stage.CLOSED)


def test_a_report_that_is_accepted_while_a_resumption_is_before_the_sides_opens_another_after_it() -> None:
    life = late_life()
    life.report(1)
    life.ask_resumption()
    asked, report = resumption(life), life.state.last_matter(MatterKind.REPORT)
    assert report is not None
    for side in life.sides:
        life.carry(side, matter=report)
    assert resumption(life).number == asked.number
    for side in life.sides:
        life.carry(side, Response.RETURN, matter=asked)
    assert resumption(life).number > asked.number
    assert resumption(life).is_open


def test_a_suspension_that_lasts_too_long_ends_the_initiative_unless_the_sides_are_being_asked() -> None:
    life = suspended_life()
    until = life.state.stage_deadline
    assert until == life.now + timedelta(days=180)
    life.pass_time(until - life.now - timedelta(days=1))
    asked = life.ask_resumption()
    assert asked.status == "counted"
    life.pass_time(timedelta(days=20))
    assert life.stage() is Stage.SUSPENDED
    life.all_sign(Response.RETURN)
    life.pass_time(timedelta(0))
    assert (life.stage(), life.state.stage_reason) == (Stage.TERMINATED, "it was suspended for 180 days")
    assert ending.last_accounts(life.state) is not None


def test_the_final_report_may_be_accepted_while_suspended_and_the_closing_comes_after_the_resumption() -> (
    None
):
    life = active_life()
    while (report := life.state.next_report()) is None or not report.final:
        assert life.go_on()
    life.pass_time(report.due_at + timedelta(days=60) - life.now)
    assert life.stage() is Stage.SUSPENDED
    life.report(report.number)
    life.all_sign()
    assert (life.stage(), resumption(life).is_open) == (Stage.SUSPENDED, True)
    life.all_sign()
    assert life.stage() is Stage.CLOSING
