"""Complaints about a termination: who may complain, until when, what stays reserved, what an upheld one brings back."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from countersign.domain import complaining, ending, funding, steps, suspension
from countersign.domain.agreement import MatterKind
from countersign.domain.amounts import Amount
from countersign.domain.audit import AuditEntry
from countersign.domain.canonical import content_hash
from countersign.domain.commands import Complain
from countersign.domain.funding import PaymentState
from countersign.domain.initiative import InitiativeState
from countersign.domain.ledger import Account, Code, book_of, ledger_of
from countersign.domain.matter import Matter, Outcome, Response
from countersign.domain.papers import complaint_document, reconciliation, resumption_document
from countersign.domain.projection import Task, step_of
from countersign.domain.proposal import Proposal
from countersign.domain.reporting import ReportState
from countersign.domain.schedule import ReportKind
from countersign.domain.stage import COMPLAINT_DAYS, Stage
from tests.amendments import with_milestones
from tests.domain.lives import Life, active_life, body_of, holder, two_sides
from tests.domain.test_ending import claim_of, everything_comes_back, nobody_complains, paid_life
from tests.domain.test_ledger import check, codes, per_side

DAY = timedelta(days=1)
WINDOW = timedelta(days=COMPLAINT_DAYS)


def terminated_life(days: int = 0, life: Life | None = None) -> Life:
    """So many days after its first tranche was paid one side ended it."""
    life = life or paid_life()
    life.pass_time(timedelta(days=days))
    assert life.terminate("az").status == "counted"
    return life


def complaint(life: Life) -> Matter:
    found = life.state.last_matter(MatterKind.COMPLAINT)
    assert found is not None
    return found


def decide(life: Life, response: Response = Response.APPROVE) -> None:
    """Every side answers the complaint; the clock goes on by a minute, as it does."""
    life.pass_time(timedelta(minutes=1))
    matter = complaint(life)
    for side in matter.chains:
        life.carry(side, response, matter=matter)


def upheld_life(days: int = 0, life: Life | None = None) -> Life:
    """It was terminated, and that was complained of with success."""
    life = terminated_life(days, life)
    upheld_now(life)
    return life


def upheld_now(life: Life) -> None:
    """The termination is complained of with success."""
    life.pass_time(DAY)
    assert life.complain().status == "counted"
    decide(life)
    assert life.stage() is Stage.SUSPENDED


def resumed(life: Life) -> Life:
    life.pass_time(DAY)
    matter = life.state.last_matter(MatterKind.RESUMPTION)
    assert matter is not None
    for side in matter.chains:
        life.carry(side, matter=matter)
    assert life.stage() is Stage.ACTIVE
    return life


def is_claimed(life: Life) -> bool:
    return any(one.is_recovery for one in life.state.tranches)


def of_kind(life: Life, action: str) -> list[AuditEntry]:
    return [one for one in life.entries if one.action == action]


def books_agree(life: Life) -> None:
    """The ledger of the trail is that of the state."""
    balances = check(ledger_of(life.entries))
    assert {place: minor for place, minor in book_of(life.state).balances.items() if minor} == balances


# ---- who may complain, and until when


def test_a_termination_may_be_complained_of_for_thirty_days_and_not_after_them() -> None:
    life = terminated_life(90)
    (opened,) = of_kind(life, "complaint.window_opened")
    assert complaining.until(life.state) == life.now + WINDOW
    assert opened.body == {"until": (life.now + WINDOW).isoformat().replace("+00:00", "Z")}
    life.pass_time(WINDOW - timedelta(microseconds=1))
    before = life.state
    life.pass_time(timedelta(microseconds=1))
    late = life.complain()
    assert (late.code, late.detail) == ("stage_closed", "a complaint comes within 30 days, and once")
    life.state, life.now = before, life.now - timedelta(microseconds=1)
    assert life.complain().status == "counted"


def test_only_those_who_take_part_complain() -> None:
    life = terminated_life()
    for stranger in (life.head("il"), holder("az", "finance_reviewer")):
        assert life.complain(stranger).code == "forbidden"
    other = life.applicant.model_copy(update={"person": "applicants/other", "contact": "1" * 32})
    assert life.complain(other).code == "forbidden"
    partner = other.model_copy(update={"contact": life.state.proposal.people[-1]})
    assert life.complain(partner).status == "counted"


@pytest.mark.parametrize("stage", [Stage.DECISION, Stage.ACTIVE, Stage.CLOSING, Stage.CLOSED])
def test_where_nothing_was_refused_or_ended_nobody_complains(stage: Stage) -> None:
    life = active_life() if stage is Stage.ACTIVE else Life(*two_sides()).begin().reach(stage)
    answer = life.complain()
    assert (answer.code, answer.detail) == ("stage_closed", f"the initiative is {stage}")


def test_there_is_one_complaint_at_a_time_and_one_for_each_termination() -> None:
    life = terminated_life()
    life.complain()
    assert life.complain().code == "out_of_order"
    decide(life, Response.REFUSE)
    assert life.complain().code == "stage_closed"
    assert life.stage() is Stage.TERMINATED


def test_the_same_complaint_again_has_the_same_answer_and_one_effect() -> None:
    life = terminated_life()
    command = Complain(id="once", caller=life.applicant, reasons="the table was there")
    first = life.send(command)
    state = life.state
    assert life.send(command) == first
    assert life.state == state
    decide(life)
    assert life.send(command) == first
    assert len(of_kind(life, "complaint.lodged")) == 1


def test_the_complaint_says_what_is_complained_of() -> None:
    life = terminated_life(90)
    ended_at, before = life.now, life.state
    life.pass_time(DAY)
    life.complain()
    document = complaint_document(before, "the table was there")
    assert document["against"] == {
        "stage": "terminated",
        "reason": "az: It leads nowhere.",
        "since": ended_at.isoformat(),
    }
    assert complaint(life).content_hash == content_hash(document)
    entries = [one for one in life.entries if one.sequence > before.sequence]
    assert step_of(before, life.state, entries).documents[content_hash(document)] == document
    assert {one.office for one in life.waited_for() if one.task is Task.SIGN_OFF} == {
        "legal_counsel",
        "finance_reviewer",
    }


def test_a_complaint_about_a_refusal_is_the_document_that_it_was() -> None:
    """Those that are before the sides keep their hash."""
    life = Life(*two_sides()).begin()
    life.all_sign(Response.REFUSE)
    life.complain()
    document = complaint_document(life.state, "the table was there")
    assert set(document["against"]) == {"stage", "reason"}
    assert complaint(life).content_hash == content_hash(document)


# ---- the funds stay reserved


def test_nothing_is_claimed_back_or_given_back_while_a_complaint_may_come() -> None:
    life = terminated_life(90)
    assert life.report(1, 30).status == "counted"
    life.all_sign()
    assert life.state.reports[0].state is ReportState.ACCEPTED
    life.pass_time(WINDOW - DAY)
    assert (is_claimed(life), life.state.winding_up) == (False, True)
    assert ending.wound_up(life.state, life.now) == []
    committed = {("il", "ILS"): 10_000_001, ("az", "AZN"): 5_000_003}
    assert per_side(check(ledger_of(life.entries)), Account.COMMITTED) == committed
    life.pass_time(DAY)
    assert is_claimed(life)
    everything_comes_back(life)
    assert codes(ledger_of(life.entries))[-1] == Code.COMMITMENT_RELEASED


def test_nothing_is_claimed_back_while_a_complaint_is_before_the_sides_however_long_they_take() -> None:
    life = terminated_life()
    life.pass_time(WINDOW - DAY)
    life.complain()
    life.pass_time(40 * DAY)
    assert complaint(life).is_open
    assert not is_claimed(life)
    decide(life, Response.REFUSE)
    assert is_claimed(life)


@pytest.mark.parametrize("answer", [Response.REFUSE, Response.RETURN, None])
def test_a_complaint_that_is_dismissed_lets_the_winding_up_go_on_at_once(answer: Response | None) -> None:
    life = terminated_life(90)
    assert life.report(1, 30).status == "counted"
    life.all_sign()
    life.pass_time(DAY)
    life.complain()
    if answer is None:
        life.pass_time(44 * DAY)
        assert not is_claimed(life)
        life.pass_time(DAY)
        assert complaint(life).outcome is Outcome.LAPSED
    else:
        decide(life, answer)
        assert life.now - (life.state.stage_since or life.now) < WINDOW
    assert (life.stage(), is_claimed(life)) == (Stage.TERMINATED, True)
    everything_comes_back(life)


def test_what_was_on_its_way_to_the_banks_goes_on_while_a_complaint_is_before_the_sides() -> None:
    life = active_life()
    life.away = {"az"}
    for side in life.sides:
        life.authorise(1, side)
    life.terminate("il")
    life.complain()
    assert life.confirm(1, "il").status == "counted"
    life.away = set()
    life.settle()
    assert life.confirm(1, "az").status == "counted"
    assert {one.state for one in life.state.tranches[0].shares.values()} == {PaymentState.PAID}
    books_agree(life)


def test_the_last_accounts_are_asked_for_at_once_and_may_come_as_long_as_nothing_is_claimed_back() -> None:
    life = terminated_life(90)
    last = ending.last_accounts(life.state)
    assert last is not None
    life.complain()
    life.pass_time(last.due_at - life.now + 10 * DAY)
    assert life.report(1, 30).status == "counted"
    decide(life, Response.REFUSE)
    assert not is_claimed(life)
    life.carry("il", matter=life.state.last_matter(MatterKind.REPORT))
    life.carry("az", matter=life.state.last_matter(MatterKind.REPORT))
    assert is_claimed(life)


def test_without_a_report_that_is_late_what_was_paid_is_claimed_back_once_the_complaint_is_dismissed() -> (
    None
):
    life = terminated_life(90)
    life.complain()
    life.pass_time(40 * DAY)
    decide(life, Response.REFUSE)
    assert claim_of(life).amounts == life.state.tranches[0].shares["il"].amounts
    assert life.report(1).code == "stage_closed"


def test_costs_that_turn_out_ineligible_while_a_complaint_may_come_are_accounted_for_at_once() -> None:
    life = active_life()
    while (report := life.state.next_report()) is None or not report.final:
        assert life.go_on()
    terminated_life(0, life)
    assert ending.last_accounts(life.state) is None  # less was paid than was accepted
    life.pass_time(DAY)
    assert life.disallow(1, "dugma", Amount(2_000_000, "ILS")).status == "counted"
    last = ending.last_accounts(life.state)
    assert last is not None
    assert (last.number, last.ends_at) == (3, life.state.stage_since)
    nobody_complains(life)
    assert is_claimed(life)


# ---- an upheld complaint


def test_an_upheld_complaint_puts_the_resumption_before_all_sides_and_says_why() -> None:
    life = terminated_life(90)
    life.pass_time(DAY)
    life.complain()
    before = life.state
    decide(life)
    assert (life.stage(), life.state.stage_reason) == (Stage.SUSPENDED, "a complaint was upheld")
    assert life.state.stage_deadline == life.now + timedelta(days=180)
    assert life.state.stopped_since == before.stopped_since == before.stage_since
    assert (life.state.winding_up, life.state.complain_until) == (False, None)
    asked = life.state.last_matter(MatterKind.RESUMPTION)
    assert asked is not None
    document = resumption_document(life.state, None)
    assert document["complaint"] == {"matter": complaint(life).number, "decision": complaint(life).decision}
    assert (document["suspended"]["reason"], document["reasons"]) == ("a complaint was upheld", None)
    assert (asked.is_open, asked.content_hash) == (True, content_hash(document))
    entries = [one for one in life.entries if one.sequence > before.sequence]
    assert step_of(before, life.state, entries).documents[asked.content_hash] == document
    actions = [one.action for one in life.entries[-3:]]
    assert actions == ["stage.entered", "initiative.reinstated", "matter.opened"]
    assert life.ask_resumption().code == "out_of_order"
    books_agree(life)


def test_the_deadlines_of_the_resumption_are_asked_for_with_the_step_that_reinstates_it() -> None:
    life = terminated_life()
    life.complain()
    settle, life.settle = life.settle, lambda: None  # type: ignore[method-assign]
    life.pass_time(DAY)
    before = life.state
    for side in life.sides:
        life.sign(side, matter=complaint(life), who="n1")
        position = complaint(life).positions[side]
        before = life.state
        life.write(
            steps.countersigned(
                life.state, complaint(life).number, position, complaint(life).content_hash, "j"
            )
        )
    assert steps.opens_next(before, life.state) is None
    before = life.state
    life.write(complaining.reinstate(life.state, life.now))
    assert steps.opens_next(before, life.state) is MatterKind.RESUMPTION
    assert complaining.reinstate(life.state, life.now) == []
    life.settle = settle  # type: ignore[method-assign]
    life.settle()
    assert life.state.open_matter(MatterKind.RESUMPTION) is not None


def test_once_it_is_resumed_it_is_carried_out_and_closed_as_if_it_had_never_ended() -> None:
    life = upheld_life(90)
    schedule = paid_life().state.reports
    assert life.state.reports == schedule
    assert life.authorise(2, "il").code == "stage_closed"
    resumed(life)
    assert life.state.stopped_since is None
    life.reach(Stage.CLOSED)
    assert life.state.is_over
    for side, rows in reconciliation(life.state).items():
        assert [row["paid"] for row in rows] == [row["committed"] for row in rows], side
    books_agree(life)


def test_a_resumption_that_one_side_refuses_ends_it_again_and_that_may_be_complained_of_anew() -> None:
    life = upheld_life(90)
    first = life.state.stopped_since
    life.pass_time(DAY)
    life.carry("il")
    life.carry("az", Response.REFUSE)
    assert (life.stage(), life.state.stage_reason) == (Stage.TERMINATED, "az: it should be otherwise")
    assert life.state.stopped_since == first
    assert complaining.until(life.state) == life.now + WINDOW
    last = ending.last_accounts(life.state)
    assert last is not None
    assert last.ends_at == life.now
    life.pass_time(DAY)
    assert life.complain().status == "counted"
    decide(life)
    resumed(life)
    life.reach(Stage.CLOSED)
    books_agree(life)


def test_ended_and_reinstated_within_one_instant_no_decision_counts_twice() -> None:
    """Which complaint is about which termination does not rest on the clock."""
    life = terminated_life()
    life.complain()
    life.all_sign()
    assert life.stage() is Stage.SUSPENDED
    life.carry("il")
    life.carry("az", Response.REFUSE)
    assert life.stage() is Stage.TERMINATED
    assert not complaining.is_upheld(life.state)
    assert life.complain().status == "counted"


def test_after_the_second_termination_nobody_complains_and_what_was_not_spent_comes_back() -> None:
    life = upheld_life(90)
    life.pass_time(DAY)
    life.carry("il")
    life.carry("az", Response.REFUSE)
    nobody_complains(life)
    everything_comes_back(life)


def test_a_reinstated_initiative_that_nobody_resumes_is_terminated_by_the_limit_of_a_suspension() -> None:
    life = upheld_life()
    matter = life.state.last_matter(MatterKind.RESUMPTION)
    life.carry("il", Response.RETURN, matter=matter)
    life.carry("az", matter=matter)
    assert (life.stage(), suspension.answer(life.state)) == (Stage.SUSPENDED, None)
    life.pass_time(timedelta(days=180))
    assert (life.stage(), life.state.stage_reason) == (Stage.TERMINATED, "it was suspended for 180 days")
    assert complaining.until(life.state) == life.now + WINDOW


def test_what_was_announced_before_the_termination_is_gone() -> None:
    life = paid_life()
    life.suspend("il", notice_days=60)
    life.terminate("il", notice_days=50)
    upheld_life(0, life)
    assert life.state.notices == ()
    resumed(life)
    life.pass_time(timedelta(days=60))
    assert life.stage() is Stage.ACTIVE


def test_an_initiative_that_was_ended_in_its_closing_goes_back_to_it() -> None:
    life = active_life()
    while life.stage() is not Stage.CLOSING:
        assert life.go_on()
    upheld_life(0, life)
    closures = sum(one.kind is MatterKind.CLOSURE for one in life.state.matters)
    life.pass_time(DAY)
    life.all_sign()
    assert life.stage() is Stage.CLOSING
    assert sum(one.kind is MatterKind.CLOSURE for one in life.state.matters) == closures + 1
    life.reach(Stage.CLOSED)
    books_agree(life)


def test_a_part_that_one_side_had_let_go_waits_for_the_other_as_it_did() -> None:
    life = active_life()
    life.authorise(1, "il")
    upheld_life(0, life)
    assert life.state.tranches[0].shares["il"].state is PaymentState.AUTHORISED
    assert life.authorise(1, "az").code == "stage_closed"
    resumed(life)
    assert life.authorise(1, "az").status == "counted"
    assert {one.state for one in life.state.tranches[0].shares.values()} == {PaymentState.INSTRUCTED}


def test_what_was_paid_by_one_side_only_is_told_once_it_is_no_longer_wound_up() -> None:
    life = active_life()
    for side in life.sides:
        life.authorise(1, side)
    life.confirm(1, "il")
    upheld_life(0, life)
    assert life.state.tranches[0].diverged_at is None
    life.pass_time(30 * DAY)
    assert life.state.tranches[0].is_diverged


# ---- what was wound up by rules that knew no complaint


def older(life: Life) -> InitiativeState:
    """Its state as a run would have it that began to wind it up before there were complaints about it."""
    reports = tuple(one.model_copy(update={"uncut": None}) for one in life.state.reports)
    return life.state.model_copy(update={"complain_until": None, "reports": reports})


def opened_at(state: InitiativeState, now: datetime) -> list[str]:
    return [one.fact.action for one in complaining.open_window(state, now)]


def test_what_was_cut_short_by_older_rules_is_wound_up_by_them() -> None:
    life = terminated_life(90)
    life.state = older(life)
    assert opened_at(life.state, life.now) == []
    refused_ = life.complain()
    assert (refused_.code, refused_.detail) == ("stage_closed", "the initiative is terminated")


def test_what_was_claimed_back_already_is_not_complained_of_any_more() -> None:
    life = terminated_life(90)
    life.report(1, 30)
    life.all_sign()
    nobody_complains(life)
    assert is_claimed(life)
    state = life.state.model_copy(update={"complain_until": None})
    assert opened_at(state, life.now) == []
    assert opened_at(state, (state.stage_since or life.now) + DAY) == []


def test_nothing_is_opened_twice_or_when_its_time_is_past_or_where_nothing_is_wound_up() -> None:
    life = terminated_life()
    assert opened_at(life.state, life.now) == []
    state = life.state.model_copy(update={"complain_until": None})
    assert opened_at(state, life.now + WINDOW - DAY) == ["complaint.window_opened"]
    assert opened_at(state, life.now + WINDOW) == []
    assert opened_at(state.model_copy(update={"winding_up": False}), life.now) == []
    assert opened_at(paid_life().state, life.now) == []


def test_the_wait_of_a_winding_up_is_never_for_an_instant_that_is_past() -> None:
    """Else the workflow would ask for it for ever."""
    life = terminated_life(90)
    life.complain()
    for _ in range(10):
        life.pass_time(7 * DAY)
        until = ending.waits_until(life.state, life.now)
        assert until is None or until > life.now
        assert until is not None or not ending.waits(life.state, life.now) or complaint(life).is_open


def test_paid_and_back_is_what_the_ledger_says_after_a_dismissed_complaint() -> None:
    life = terminated_life(90)
    life.complain()
    decide(life, Response.REFUSE)
    life.pass_time(40 * DAY)
    everything_comes_back(life)
    for side in life.sides:
        paid = funding.paid(life.state.tranches, side)
        assert funding.recovered(life.state.tranches, side) == paid


# ---- milestones


def life_with_milestones(**months: int) -> Life:
    """An active initiative of eighteen months with milestones, its first tranche paid."""
    agreement, proposal = two_sides()
    body = with_milestones(body_of(proposal), months)
    life = active_life((agreement, Proposal.model_validate(body)))
    life.pay(1)
    return life


def test_the_last_report_of_a_termination_has_the_accounts_though_one_on_a_milestone_was_next() -> None:
    life = life_with_milestones(pilot=4)
    terminated_life(90, life)
    last = life.state.reports[0]
    assert (last.kind, last.milestone, last.cut_short) == (ReportKind.BOTH, None, True)
    assert life.report(1, 50).status == "counted"
    life.all_sign()
    nobody_complains(life)
    paid = sum(one.minor for one in life.state.tranches[0].shares["il"].amounts)
    claimed = sum(one.minor for one in claim_of(life).amounts)
    assert 0 < claimed < paid
    books_agree(life)


def test_a_milestone_that_was_not_told_of_is_reported_on_as_planned_once_it_is_reinstated() -> None:
    life = life_with_milestones(pilot=4, open=8)
    planned = life.state.reports
    upheld_life(90, life)
    assert life.state.reports == planned
    resumed(life)
    life.reach(Stage.CLOSED)
    books_agree(life)


def test_a_milestone_that_the_accepted_last_report_was_on_is_not_reported_on_again() -> None:
    life = life_with_milestones(pilot=4, open=8)
    planned = life.state.reports
    terminated_life(90, life)
    ended_at = life.now
    life.report(1, 50)
    life.all_sign()
    life.pass_time(DAY)
    life.complain()
    decide(life)
    first, second, third, *later = life.state.reports
    assert (first.state, first.milestone, first.ends_at) == (ReportState.ACCEPTED, "pilot", ended_at)
    assert (second.milestone, second.starts_at, second.ends_at) == (None, ended_at, planned[1].ends_at)
    assert (third.milestone, third.starts_at, third.ends_at) == (
        "open",
        planned[1].ends_at,
        planned[2].ends_at,
    )
    assert tuple(later) == planned[3:]
    assert life.state.tranches[1].report == 2
    resumed(life)
    # The schedule can still be cut anew: what was told of stays told of.
    moved = with_milestones(body_of(life.proposal_in_force), {"pilot": 4, "open": 10})
    assert life.amend(**moved).status == "counted"
    life.all_sign()
    assert [one.milestone for one in life.state.reports] == ["pilot", None, "open", None, None]
    assert life.state.reports[2].ends_at > third.ends_at
    life.reach(Stage.CLOSED)
    books_agree(life)


def test_a_milestone_whose_month_is_in_an_accepted_last_report_is_done_without() -> None:
    life = life_with_milestones(pilot=8)
    life.now = life.state.reports[0].due_at
    terminated_life(35, life)  # the pilot's month is over, and the report before it is late
    assert life.now > life.state.reports[1].ends_at
    life.report(1, 50)
    life.all_sign()
    life.pass_time(DAY)
    life.complain()
    decide(life)
    assert [(one.milestone, one.state) for one in life.state.reports[:2]] == [
        (None, ReportState.ACCEPTED),
        ("pilot", ReportState.WAIVED),
    ]
    assert life.state.reports[2].starts_at == life.state.reports[0].ends_at
    resumed(life)
    life.reach(Stage.CLOSED)
    books_agree(life)
