"""Ending before the end, and giving back: termination, disallowed costs, claims and what becomes of them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from countersign.domain import complaining, ending, funding, recovery, steps
from countersign.domain.agreement import MatterKind
from countersign.domain.amounts import Amount
from countersign.domain.canonical import content_hash
from countersign.domain.funding import BankOutcome, PaymentState, Share
from countersign.domain.ledger import Account, Code, book_of, ledger_of
from countersign.domain.matter import Response
from countersign.domain.notice import NoticeKind
from countersign.domain.papers import accepted_costs, accepted_of_partner, reconciliation
from countersign.domain.projection import Task, step_of
from countersign.domain.reporting import ReportState
from countersign.domain.stage import Stage
from tests.domain.lives import Life, active_life, holder, two_sides
from tests.domain.test_ledger import check, codes, per_side


def paid_life() -> Life:
    """An active initiative whose first tranche, 40 %, both sides have paid."""
    life = active_life()
    for side in life.sides:
        life.authorise(1, side)
    for side in life.sides:
        life.confirm(1, side)
    return life


def closed_with(percent: int) -> Life:
    """An initiative in closing, closure signed, in which the partners spent so much of what they asked for."""
    life = active_life()
    while life.stage() is not Stage.CLOSING:
        assert life.go_on(percent)
    life.all_sign()
    return life


def claim_of(life: Life, side: str = "il") -> Share:
    return next(one for one in life.state.tranches if one.is_recovery).shares[side]


def number_of(life: Life) -> int:
    return next(one.number for one in life.state.tranches if one.is_recovery)


def nobody_complains(life: Life) -> None:
    """After a termination the time passes in which it may be complained of."""
    until = complaining.until(life.state)
    assert until is not None
    assert not [one for one in life.state.tranches if one.is_recovery]
    life.pass_time(max(until - life.now, timedelta(0)))


def no_accounts_come(life: Life) -> None:
    """The same, and that in which the partners may still report what they spent."""
    last = ending.last_accounts(life.state)
    assert last is not None
    nobody_complains(life)
    life.pass_time(max(last.due_at - life.now, timedelta(0)))


def everything_comes_back(life: Life) -> None:
    """Every side claims what is unspent, and has it; then it is over, and the ledger is that of its state."""
    number = number_of(life)
    for side in life.sides:
        life.authorise(number, side)
        life.confirm(number, side)
    assert life.state.is_over
    balances = check(ledger_of(life.entries))
    assert {place: minor for place, minor in book_of(life.state).balances.items() if minor} == balances


def spent_of(life: Life, side: str, unit: str) -> tuple[int, int]:
    return (
        funding.paid(life.state.tranches, side).get(unit, 0),
        accepted_costs(life.state, side, unit),
    )


# ---- unspent money


def test_what_was_paid_and_not_spent_is_claimed_back_before_the_initiative_closes() -> None:
    life = closed_with(30)
    paid, accepted = spent_of(life, "il", "ILS")
    claim = claim_of(life)
    assert (claim.state, claim.amounts) == (PaymentState.DUE, (Amount(paid - accepted, "ILS"),))
    assert claim.claims == {"dugma": claim.amounts}
    rows = reconciliation(life.state)["il"]
    assert [one["unspent"] for one in rows] == [paid - accepted]
    number = number_of(life)
    assert life.authorise(number, "il").status == "counted"
    # One side's claim waits for nobody else's.
    assert claim_of(life).state is PaymentState.INSTRUCTED
    assert claim_of(life, "az").state is PaymentState.DUE
    assert life.confirm(number, "il").status == "counted"
    assert (claim_of(life).state, life.stage()) == (PaymentState.RECOVERED, Stage.CLOSING)
    life.authorise(number, "az")
    life.confirm(number, "az")
    assert life.stage() is Stage.CLOSED
    assert funding.recovered(life.state.tranches, "il") == {"ILS": paid - accepted}


def test_a_claim_needs_two_finance_officers_like_a_payment() -> None:
    life = closed_with(30)
    number = number_of(life)
    assert life.authorise(number, "il", holder("il", "head")).code == "not_your_office"
    life.authorise(number, "il", holder("il", "finance_officer", "a"))
    assert life.confirm(number, "il", holder("il", "finance_officer", "a")).code == "four_eyes"
    assert life.confirm(number, "az").code == "out_of_order"


def test_nothing_is_claimed_where_everything_was_spent() -> None:
    life = closed_with(100)
    assert not [one for one in life.state.tranches if one.is_recovery]


def test_the_claim_is_a_document_that_names_every_partner_and_reference() -> None:
    life = closed_with(30)
    entry = next(one for one in life.entries if one.action == "tranche.claimed")
    tranche = next(one for one in life.state.tranches if one.is_recovery)
    written = recovery.document(life.state, tranche)
    assert entry.subject == content_hash(written)
    (il,) = written["claims"]["il"]
    life.authorise(tranche.number, "il")
    (told,) = claim_of(life).instructions
    assert (il["partner"], il["end_to_end_id"]) == ("dugma", told.end_to_end_id)
    before = life.state
    assert step_of(before, before, [entry]).documents == {entry.subject: written}


def test_the_ledger_follows_a_claim_from_its_making_to_the_money() -> None:
    life = closed_with(30)
    number = number_of(life)
    (amount,) = claim_of(life).amounts
    life.authorise(number, "il")
    balances = check(ledger_of(life.entries))
    assert per_side(balances, Account.RECOVERABLE) == {("il", "ILS"): amount.minor}
    life.confirm(number, "il")
    balances = check(ledger_of(life.entries))
    assert per_side(balances, Account.RECOVERABLE) == {}
    assert per_side(balances, Account.RECOVERED) == {("il", "ILS"): -amount.minor}
    assert codes(ledger_of(life.entries))[-3:] == [Code.CLAIM_MADE, Code.MONEY_RECOVERED, Code.CLAIM_MET]
    assert {place: minor for place, minor in book_of(life.state).balances.items() if minor} == balances


def test_the_banks_word_on_a_claim_settles_it_and_what_is_taken_back_is_claimed_anew() -> None:
    life = closed_with(30)
    number = number_of(life)
    life.authorise(number, "il")
    (told,) = claim_of(life).instructions
    assert life.bank(number, "il", BankOutcome.BOOKED, told).status == "counted"
    life.confirm(number, "il")
    assert claim_of(life).state is PaymentState.SETTLED
    assert life.bank(number, "il", BankOutcome.RETURNED, told).status == "counted"
    assert claim_of(life).state is PaymentState.FAILED
    balances = check(ledger_of(life.entries))
    assert per_side(balances, Account.RECOVERED) == per_side(balances, Account.RECOVERABLE) == {}
    assert {place: minor for place, minor in book_of(life.state).balances.items() if minor} == balances
    assert life.authorise(number, "il").status == "counted"
    again = claim_of(life).current[-1]
    assert (again.replaces, again.end_to_end_id != told.end_to_end_id) == (told.end_to_end_id, True)
    check(ledger_of(life.entries))


# ---- claims that are given up


def test_the_head_of_a_side_gives_up_a_claim_and_the_initiative_closes() -> None:
    life = closed_with(30)
    number = number_of(life)
    life.authorise(number, "il")
    assert life.write_off(number, "il", holder("il", "legal_counsel")).code == "not_your_office"
    assert life.write_off(1, "il").code == "not_found"
    assert life.write_off(number, "il").status == "counted"
    assert claim_of(life).state is PaymentState.WRITTEN_OFF
    assert life.write_off(number, "il", life.head("il", "b")).code == "out_of_order"
    balances = check(ledger_of(life.entries))
    assert per_side(balances, Account.RECOVERABLE) == {}
    assert codes(ledger_of(life.entries))[-1] == Code.CLAIM_WRITTEN_OFF
    life.authorise(number, "az")
    life.confirm(number, "az")
    assert life.stage() is Stage.CLOSED


def test_whoever_made_a_claim_does_not_give_it_up() -> None:
    life = closed_with(30)
    number = number_of(life)
    both = holder("il", "finance_officer").model_copy(
        update={"offices": ("finance_officer", life.state.terms.sides["il"].head)}
    )
    assert life.authorise(number, "il", both).status == "counted"
    assert life.write_off(number, "il", both).code == "four_eyes"


# ---- ineligible costs


def test_costs_that_turn_out_ineligible_are_unspent_money() -> None:
    life = paid_life()
    life.now = life.state.reports[0].ends_at
    life.report(1)
    life.all_sign()
    accepted = accepted_costs(life.state, "il", "ILS")
    assert accepted_of_partner(life.state, "dugma", "ILS", 1) == accepted
    amount = Amount(1_000_00, "ILS")
    assert life.disallow(1, "dugma", amount, holder("az", "programme_officer")).code == "not_found"
    assert life.disallow(1, "dugma", amount, holder("il", "head")).code == "not_your_office"
    assert life.disallow(2, "dugma", amount).code == "invalid"
    assert life.disallow(1, "dugma", Amount(accepted + 1, "ILS")).code == "invalid"
    assert life.disallow(1, "dugma", amount).status == "counted"
    assert accepted_costs(life.state, "il", "ILS") == accepted - amount.minor
    assert life.disallow(1, "dugma", Amount(accepted, "ILS")).code == "invalid"
    balances = check(ledger_of(life.entries))
    assert per_side(balances, Account.ACCEPTED)["il", "ILS"] == accepted - amount.minor
    assert {place: minor for place, minor in book_of(life.state).balances.items() if minor} == balances


def test_costs_disallowed_during_closing_put_the_closure_anew_and_are_claimed_back_after_it() -> None:
    life = active_life()
    while life.stage() is not Stage.CLOSING:
        assert life.go_on()
    first = life.state.last_matter(MatterKind.CLOSURE)
    assert first is not None
    amount = Amount(90_000_00, "ILS")
    assert life.disallow(1, "dugma", Amount(30_000_00, "ILS")).status == "counted"
    second = life.state.last_matter(MatterKind.CLOSURE)
    assert second is not None
    assert (second.number, second.is_open) == (first.number + 1, True)
    assert second.content_hash != first.content_hash
    life.all_sign()
    paid, accepted = spent_of(life, "il", "ILS")
    claims = [one for one in life.state.tranches if one.is_recovery]
    assert (paid - accepted > 0) == bool(claims)
    assert life.disallow(1, "dugma", amount).code == "stage_closed"


# ---- termination


def test_either_side_terminates_by_the_office_that_speaks_for_it() -> None:
    life = paid_life()
    assert life.terminate("il", holder("il", "finance_officer")).code == "not_your_office"
    assert life.terminate("il", life.applicant).code == "not_your_office"
    assert life.terminate("az").status == "counted"
    assert (life.stage(), life.state.stage_reason) == (Stage.TERMINATED, "az: It leads nowhere.")
    assert life.terminate("il").code == "stage_closed"


def test_nothing_more_is_decided_or_paid_after_a_termination_and_what_was_paid_is_claimed_back() -> None:
    life = paid_life()
    life.now = life.state.reports[0].ends_at
    life.report(1)
    assert [one for one in life.state.matters if one.is_open]
    life.terminate("il")
    assert not [one for one in life.state.matters if one.is_open]
    assert life.authorise(2, "il").code == "stage_closed"
    assert life.hold(2, "il").code == "stage_closed"
    no_accounts_come(life)
    paid, accepted = spent_of(life, "il", "ILS")
    assert (claim_of(life).amounts, accepted) == ((Amount(paid, "ILS"),), 0)
    assert {one.task for one in life.waited_for()} == {Task.AUTHORISE}
    number = number_of(life)
    for side in life.sides:
        life.authorise(number, side)
        life.confirm(number, side)
    assert life.state.is_over
    assert life.waited_for() == []
    balances = check(ledger_of(life.entries))
    # What was committed and never paid is given back; what was paid and came back stays used.
    assert per_side(balances, Account.COMMITTED)["il", "ILS"] == paid
    assert {place: minor for place, minor in book_of(life.state).balances.items() if minor} == balances


def test_a_payment_on_its_way_to_the_bank_is_seen_to_its_end_after_a_termination() -> None:
    life = active_life()
    life.away = {"az"}
    for side in life.sides:
        life.authorise(1, side)
    assert life.state.tranches[0].shares["il"].state is PaymentState.INSTRUCTED
    life.terminate("il")
    assert not [one for one in life.state.tranches if one.is_recovery]
    assert ending.is_under_way(life.state)
    assert {one.task for one in life.waited_for()} == {Task.CONFIRM, Task.INSTRUCT, Task.REPORT}
    no_accounts_come(life)
    assert not [one for one in life.state.tranches if one.is_recovery]
    life.away = set()
    life.settle()
    for side in life.sides:
        assert life.confirm(1, side).status == "counted"
    assert claim_of(life).amounts == life.state.tranches[0].shares["il"].amounts
    check(ledger_of(life.entries))


def test_a_side_that_paid_alone_has_its_money_back_whatever_the_other_did() -> None:
    life = active_life()
    for side in life.sides:
        life.authorise(1, side)
    life.confirm(1, "il")
    told = life.state.tranches[0].shares["az"].instructions[0]
    life.bank(1, "az", BankOutcome.RETURNED, told)
    life.pass_time(timedelta(days=40))
    assert life.state.tranches[0].is_diverged
    life.terminate("il")
    no_accounts_come(life)
    number = number_of(life)
    assert set(life.state.tranches[-1].shares) == {"il"}
    assert life.authorise(number, "il").status == "counted"
    assert claim_of(life).state is PaymentState.INSTRUCTED
    life.confirm(number, "il")
    assert life.state.is_over


def test_a_terminated_initiative_of_which_nothing_was_paid_is_over_once_nobody_has_complained() -> None:
    life = active_life()
    life.terminate("il")
    assert (life.waited_for(), life.state.is_over) == ([], False)
    nobody_complains(life)
    assert life.state.is_over
    assert codes(ledger_of(life.entries))[-1] == Code.COMMITMENT_RELEASED


@pytest.mark.parametrize("stage", [Stage.ELIGIBILITY, Stage.DECISION, Stage.CONTRACTING])
def test_before_it_is_active_nobody_terminates(stage: Stage) -> None:
    life = Life(*two_sides()).begin().reach(stage)
    assert life.terminate("il").code == "stage_closed"


# ---- the accounts of what was terminated


def test_what_the_partners_spent_up_to_the_termination_is_reported_once_and_the_rest_claimed_back() -> None:
    life = paid_life()
    life.pass_time(timedelta(days=90))
    life.terminate("il")
    ended_at, last = life.now, ending.last_accounts(life.state)
    assert last is not None
    assert (last.number, last.ends_at, last.final) == (1, ended_at, True)
    assert [(one.task, one.number, one.deadline) for one in life.waited_for()] == [
        (Task.REPORT, 1, last.due_at)
    ]
    life.pass_time(timedelta(days=20))
    assert life.report(1, 30).status == "counted"
    life.pass_time(timedelta(days=60))  # the review takes as long as it takes
    assert not [one for one in life.state.tranches if one.is_recovery]
    life.all_sign()
    assert life.state.reports[0].state is ReportState.ACCEPTED
    paid, accepted = spent_of(life, "il", "ILS")
    assert (claim_of(life).amounts, accepted > 0) == ((Amount(paid - accepted, "ILS"),), True)
    # The tranche that the report would have released is not due: nothing more is paid.
    assert {share.state for share in life.state.tranches[1].shares.values()} == {PaymentState.PLANNED}
    assert life.report(2).code == "stage_closed"
    everything_comes_back(life)


def test_a_last_report_that_is_returned_may_come_again_and_one_that_is_refused_may_not() -> None:
    life = paid_life()
    life.terminate("il")
    last = ending.last_accounts(life.state)
    assert last is not None
    life.pass_time(last.due_at - life.now - timedelta(days=1))
    life.report(1, 30)
    life.all_sign(Response.RETURN)
    life.pass_time(timedelta(days=20))
    assert life.report(1, 20).status == "counted"
    life.all_sign(Response.REFUSE)
    assert [one for one in life.state.tranches if one.is_recovery]
    assert life.report(1, 20).code == "stage_closed"


def test_a_report_under_review_at_the_termination_comes_anew_with_everything_since() -> None:
    life = paid_life()
    life.now = life.state.reports[0].ends_at
    life.report(1)
    life.pass_time(timedelta(days=10))
    life.terminate("az")
    last = ending.last_accounts(life.state)
    assert last is not None
    assert (last.number, last.state, last.ends_at) == (1, ReportState.CHANGES_REQUESTED, life.now)
    assert life.report(1).status == "counted"
    life.all_sign()
    assert accepted_costs(life.state, "il", "ILS") > 0


# ---- termination with notice


def test_a_termination_takes_effect_when_its_notice_is_over_unless_it_is_taken_back() -> None:
    life = paid_life()
    assert life.terminate("il", notice_days=30).status == "counted"
    assert life.stage() is Stage.ACTIVE
    assert life.terminate("il").code == "out_of_order"
    told = [(one.directorate, one.deadline) for one in life.waited_for() if one.task is Task.TERMINATING]
    assert told == [(side, life.now + timedelta(days=30)) for side in life.sides]
    assert life.take_back("az", NoticeKind.TERMINATION).code == "out_of_order"
    assert life.take_back("il", NoticeKind.TERMINATION, holder("il", "legal_counsel")).code == (
        "not_your_office"
    )
    assert life.take_back("il", NoticeKind.TERMINATION).status == "counted"
    life.pass_time(timedelta(days=31))
    assert life.stage() is Stage.ACTIVE
    life.terminate("il", notice_days=30)
    life.pass_time(timedelta(days=30) - timedelta(seconds=1))
    assert life.stage() is Stage.ACTIVE
    life.pass_time(timedelta(seconds=1))
    assert (life.stage(), life.state.stage_reason) == (Stage.TERMINATED, "il: It leads nowhere.")


def test_a_termination_that_was_announced_goes_on_through_a_suspension_and_ends_it() -> None:
    life = paid_life()
    life.terminate("az", notice_days=40)
    life.suspend("il")
    life.pass_time(timedelta(days=14))
    assert life.stage() is Stage.SUSPENDED
    life.pass_time(timedelta(days=26))
    assert (life.stage(), life.state.stage_reason) == (Stage.TERMINATED, "az: It leads nowhere.")


def test_what_was_announced_does_not_end_what_all_sides_have_closed_meanwhile() -> None:
    life = active_life()
    while life.stage() is not Stage.CLOSING:
        assert life.go_on()
    life.terminate("il", notice_days=5)
    life.all_sign()
    life.pass_time(timedelta(days=30))
    assert life.stage() in (Stage.CLOSING, Stage.CLOSED)
    while life.go_on():
        pass
    assert (life.stage(), life.state.notices) == (Stage.CLOSED, ())


# ---- what comes at the last moment


def to_closing(percent: int) -> Life:
    """An initiative whose closure is before the sides; the partners spent so much of what they asked for."""
    life = active_life()
    while life.stage() is not Stage.CLOSING:
        assert life.go_on(percent)
    return life


def comes_back(life: Life, number: int, side: str) -> None:
    """The bank says that the money of a part that was paid has come back."""
    told = life.state.tranches[number - 1].shares[side].current[0]
    assert life.bank(number, side, BankOutcome.RETURNED, told).status == "counted"


@pytest.mark.parametrize("is_on_its_way", [False, True])
def test_a_payment_that_came_back_before_the_closure_was_signed_is_in_the_claim_once_it_is_paid_again(
    is_on_its_way: bool,
) -> None:
    life = to_closing(30)
    comes_back(life, 1, "il")
    if is_on_its_way:
        life.authorise(1, "il")
    life.all_sign()
    assert not [one for one in life.state.tranches if one.is_recovery]
    if not is_on_its_way:
        life.authorise(1, "il")
    life.confirm(1, "il")
    paid, accepted = spent_of(life, "il", "ILS")
    assert claim_of(life).amounts == (Amount(paid - accepted, "ILS"),)
    everything_comes_back(life)
    assert life.stage() is Stage.CLOSED


def test_an_initiative_is_not_closed_over_a_payment_that_came_back_as_the_last_one_was_confirmed() -> None:
    life = closed_with(100)
    last = life.state.tranches[-1].number
    for side in life.sides:
        life.authorise(last, side)
    life.confirm(last, "il")
    before = life.state
    life.confirm(last, "az")
    assert life.stage() is Stage.CLOSED
    # The same again, with the bank's word having its turn before the step that closes it.
    life.state = before
    comes_back(life, 1, "il")
    assert steps.enter(life.state, Stage.CLOSING, Stage.CLOSED) == []
    life.confirm(last, "az")
    assert life.stage() is Stage.CLOSING
    life.authorise(1, "il")
    life.confirm(1, "il")
    assert life.stage() is Stage.CLOSED


@pytest.mark.parametrize("outcome", list(BankOutcome))
def test_a_claim_that_was_given_up_is_settled_whatever_a_bank_says_later(outcome: BankOutcome) -> None:
    life = closed_with(30)
    number = number_of(life)
    life.authorise(number, "il")
    (told,) = claim_of(life).current
    assert life.write_off(number, "il").status == "counted"
    assert life.bank(number, "il", outcome, told).code == "out_of_order"
    assert claim_of(life).state is PaymentState.WRITTEN_OFF
    balances = check(ledger_of(life.entries))
    assert {place: minor for place, minor in book_of(life.state).balances.items() if minor} == balances


@pytest.mark.parametrize("suspended", [False, True])
def test_what_was_held_back_over_a_divergence_is_not_let_go_after_a_termination(suspended: bool) -> None:
    life = active_life()
    for side in life.sides:
        life.authorise(1, side)
    life.confirm(1, "il")
    life.now = life.state.reports[0].ends_at
    life.pass_time(timedelta(0))
    assert life.state.tranches[0].diverged_at is not None
    life.report(1)
    life.all_sign()
    for side in life.sides:
        life.authorise(2, side)
    if suspended:
        life.suspend("il")
        life.pass_time(timedelta(days=life.state.terms.suspension.notice_days))
        assert life.stage() is Stage.SUSPENDED
        life.confirm(1, "az")
    life.terminate("il")
    life.pass_time(timedelta(days=life.state.terms.termination.notice_days))
    assert life.stage() is Stage.TERMINATED
    if not suspended:
        life.confirm(1, "az")
    assert {one.state for one in life.state.tranches[1].shares.values()} == {PaymentState.AUTHORISED}
    no_accounts_come(life)
    everything_comes_back(life)


def test_what_was_let_go_after_a_divergence_was_over_goes_on_after_a_termination() -> None:
    life = active_life()
    for side in life.sides:
        life.authorise(1, side)
    life.confirm(1, "il")
    life.now = life.state.reports[0].ends_at
    life.pass_time(timedelta(0))
    life.confirm(1, "az")
    life.report(1)
    life.all_sign()
    life.pass_time(timedelta(days=1))
    life.untold = {"az"}
    for side in life.sides:
        life.authorise(2, side)
    life.terminate("il")
    life.pass_time(timedelta(days=life.state.terms.termination.notice_days))
    life.confirm(2, "il")
    assert (life.stage(), life.state.tranches[1].shares["az"].state) == (
        Stage.TERMINATED,
        PaymentState.AUTHORISED,
    )
    assert ending.is_under_way(life.state)
    life.untold = set()
    life.pass_time(timedelta(0))
    life.confirm(2, "az")
    no_accounts_come(life)
    everything_comes_back(life)


def test_a_report_that_was_refused_before_a_termination_does_not_cost_the_partners_their_accounts() -> None:
    life = paid_life()
    life.pass_time(life.state.reports[0].ends_at - life.now)
    life.report(1)
    life.all_sign(Response.REFUSE)
    life.pass_time(timedelta(days=1))
    life.terminate("il")
    life.pass_time(timedelta(days=life.state.terms.termination.notice_days))
    assert ending.awaits_accounts(life.state, life.now)
    assert not [one for one in life.state.tranches if one.is_recovery]
    assert life.report(1, 50).status == "counted"
    life.all_sign(Response.REFUSE)
    nobody_complains(life)
    paid, accepted = spent_of(life, "il", "ILS")
    assert (claim_of(life).amounts, accepted) == ((Amount(paid, "ILS"),), 0)


@pytest.mark.parametrize("recovered", [False, True])
def test_what_a_claim_is_on_cannot_come_back_twice(recovered: bool) -> None:
    """The ledger, and the database, take no more back than was paid: an initiative would stand still for good."""
    life = paid_life()
    life.terminate("il")
    life.pass_time(timedelta(days=life.state.terms.termination.notice_days))
    no_accounts_come(life)
    number = number_of(life)
    life.authorise(number, "il")
    told = life.state.tranches[0].shares["il"].current[0]
    if recovered:
        life.confirm(number, "il")
        assert life.bank(1, "il", BankOutcome.RETURNED, told).code == "out_of_order"
    else:
        comes_back(life, 1, "il")
        assert life.confirm(number, "il").code == "out_of_order"
        (claimed,) = claim_of(life).current
        assert life.bank(number, "il", BankOutcome.BOOKED, claimed).code == "out_of_order"
        assert life.write_off(number, "il").status == "counted"
    life.authorise(number, "az")
    life.confirm(number, "az")
    assert life.state.is_over
    check(ledger_of(life.entries))
