"""Amendments: what is minor and what is major, what is refused, and what each of them does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from countersign.domain import amendment, in_force, steps
from countersign.domain.agreement import MatterKind
from countersign.domain.amendment import AmendmentState, Kind, Weight
from countersign.domain.amounts import Amount
from countersign.domain.budget import Lack
from countersign.domain.canonical import content_hash
from countersign.domain.commands import Answer
from countersign.domain.facts import AmendmentMade
from countersign.domain.funding import PaymentState
from countersign.domain.initiative import InitiativeState
from countersign.domain.matter import Caller, Outcome, Response
from countersign.domain.papers import amendment_document
from countersign.domain.projection import step_of
from countersign.domain.proposal import Proposal, contact_key
from countersign.domain.reporting import ReportState
from countersign.domain.schedule import add_months
from countersign.domain.stage import Stage
from tests.amendments import asking, extended, joined, left, renamed, shifted
from tests.domain.lives import Life, active_life, body_of, holder, three_sides, two_sides

Body = dict[str, Any]
IL, AZ = 100_000_01, 50_000_03
"""What the small proposal asks of each side, in minor units."""


def body(life: Life) -> Body:
    return body_of(life.proposal_in_force)


def amend(life: Life, changed: Body) -> Answer:
    """Ask for a version and, when it is a matter, have every side approve it."""
    answer = life.amend(**changed)
    if life.state.open_amendment is not None:
        life.all_sign()
    return answer


def kinds(life: Life) -> tuple[Kind, ...]:
    return life.state.amendments[-1].kinds


def refused(answer: Answer) -> tuple[str, str | None]:
    return answer.status, answer.code


def asked_in(state: InitiativeState) -> dict[tuple[str, str], int]:
    """Minor units in all tranches, per side and unit."""
    sums: dict[tuple[str, str], int] = {}
    for tranche in state.tranches:
        for side, share in tranche.shares.items():
            for one in share.amounts:
                sums[side, one.unit] = sums.get((side, one.unit), 0) + one.minor
    return sums


# ---- minor and major


def test_up_to_a_fifth_of_a_side_s_budget_moves_by_a_notice_and_a_unit_more_is_decided_on() -> None:
    limit = IL * 20 // 100
    minor, major = active_life(), active_life()
    assert amend(minor, shifted(body(minor), "dugma", limit)).status == "counted"
    assert [one.state for one in minor.state.amendments] == [AmendmentState.NOTIFIED]
    assert kinds(minor) == (Kind.BUDGET_SHIFT,)
    assert minor.open_matter() is None
    assert major.amend(**shifted(body(major), "dugma", limit + 1)).status == "counted"
    opened = major.open_matter()
    assert opened is not None
    assert opened.kind is MatterKind.AMENDMENT


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda one: extended(one, 6), {Kind.EXTENSION}),
        (lambda one: extended(one, -6), {Kind.SHORTENING, Kind.SCOPE}),
        (lambda one: joined(one, "safsal", "dugma", 0), {Kind.PARTNERS}),
        (lambda one: joined(one, "safsal", "dugma", 50), {Kind.PARTNERS, Kind.BUDGET_SHIFT}),
        (lambda one: one | {"title": {"en": "Quite another project"}}, {Kind.SCOPE}),
        (lambda one: asking(one, "dugma", 1), {Kind.INCREASE}),
        (lambda one: asking(one, "numune", -1), {Kind.DECREASE}),
        (lambda one: asking(shifted(one, "dugma", 7), "dugma", 1), {Kind.INCREASE, Kind.BUDGET_SHIFT}),
        (lambda one: asking(shifted(one, "dugma", 7), "dugma", -1), {Kind.DECREASE, Kind.BUDGET_SHIFT}),
    ],
)
def test_everything_else_that_was_decided_on_is_decided_on_again(
    change: Callable[[Body], Body], expected: set[Kind]
) -> None:
    life = active_life()
    assert life.amend(**change(body(life))).status == "counted"
    assert set(kinds(life)) == expected
    assert life.state.amendments[-1].weight is Weight.MAJOR


def test_people_addresses_and_spellings_are_notified() -> None:
    life = active_life()
    changed = renamed(body(life), "numune", "another@applicants.countersign.example")
    changed["partners"][0]["participants"] = [{"name": "Ploni Almoni", "email": "ploni@example.org"}]
    changed["partners"][0]["name"]["en"] = "Dugma Institut"
    changed["budget"] = list(reversed(changed["budget"]))
    assert amend(life, changed).status == "counted"
    assert kinds(life) == (Kind.ADMINISTRATIVE,)
    assert contact_key("ploni@example.org") in life.state.barred


def test_a_line_that_only_says_another_thing_is_a_shift_of_nothing() -> None:
    life = active_life()
    changed = body(life)
    changed["budget"][0]["description"] = "Two halves of a post"
    amend(life, changed)
    assert (kinds(life), life.state.amendments[-1].weight) == ((Kind.BUDGET_SHIFT,), Weight.MINOR)


# ---- what is refused


def test_only_who_takes_part_asks_and_only_for_another_version_than_the_one_they_read() -> None:
    life = active_life()
    changed = extended(body(life), 6)
    assert refused(life.amend(holder("il", "head"), **changed)) == ("refused", "forbidden")
    co_applicant = Caller(
        person="applicants/almoni", contact=contact_key("az-lead@applicants.countersign.example")
    )
    assert life.amend(co_applicant, **changed).status == "counted"
    same = active_life()
    assert refused(same.amend()) == ("refused", "invalid")
    for stage in (Stage.CONTRACTING, Stage.CLOSING):
        other = Life(*two_sides()).begin().reach(stage)
        assert refused(other.amend(**extended(body(other), 6))) == ("refused", "stage_closed")


def test_one_at_a_time_and_on_the_version_in_force() -> None:
    life = active_life()
    first = life.state.content_hash
    life.amend(**extended(body(life), 6))
    again = life.amend(**extended(body(life), 12))
    assert refused(again) == ("refused", "out_of_order")
    life.all_sign()
    assert life.state.content_hash != first
    late = life.amend(**body(life))  # the version that is in force now
    assert refused(late) == ("refused", "invalid")


def test_an_extension_is_granted_once_up_to_a_year_and_asked_for_ten_days_before_the_end() -> None:
    longer = active_life()
    assert refused(longer.amend(**extended(body(longer), 13))) == ("refused", "invalid")
    end = longer.state.reports[-1].ends_at
    longer.now = end - timedelta(days=10)
    assert amend(longer, extended(body(longer), 12)).status == "counted"
    assert longer.state.reports[-1].ends_at == add_months(longer.state.reports[0].starts_at, 30)
    assert refused(longer.amend(**extended(body(longer), 1))) == ("refused", "invalid")
    late = active_life()
    late.now = end - timedelta(days=10) + timedelta(seconds=1)
    assert refused(late.amend(**extended(body(late), 1))) == ("refused", "stage_closed")


def test_one_that_was_refused_does_not_use_up_the_extension() -> None:
    life = active_life()
    before = life.state
    life.amend(**extended(body(life), 6))
    life.all_sign(Response.REFUSE)
    assert (life.state.reports, life.state.tranches) == (before.reports, before.tranches)
    assert (life.state.version, life.state.summary) == (before.version, before.summary)
    assert amend(life, extended(body(life), 6)).status == "counted"
    became = [one.state for one in life.state.amendments]
    assert became == [AmendmentState.REJECTED, AmendmentState.MADE]
    editions = [one.edition for one in life.state.amendments]
    assert editions == [2, 3]  # the one that was never in force keeps its number


@pytest.mark.parametrize(
    "change",
    [
        lambda one: extended(one, 19),  # longer than its kind may last, too
        lambda one: asking(one, "dugma", 10**12),
        lambda one: one | {"area": "human_capital"},
        lambda one: one | {"declarations": {"civil_use": False, "export_control": "none"}},
        lambda one: one | {"documents": []},
    ],
)
def test_what_the_agreement_does_not_let_an_initiative_be_it_does_not_become(
    change: Callable[[Body], Body],
) -> None:
    life = active_life()
    assert refused(life.amend(**change(body(life)))) == ("refused", "invalid")


def test_it_does_not_end_before_what_was_reported_or_before_today() -> None:
    life = active_life()
    life.pay(1)
    life.now = life.state.reports[1].ends_at - timedelta(days=1)
    assert refused(life.amend(**extended(body(life), -12))) == ("refused", "invalid")  # at month 6
    assert life.amend(**extended(body(life), -6)).status == "counted"  # at month 12, tomorrow


def test_no_less_is_asked_for_than_was_let_go_and_a_partner_that_got_some_stays() -> None:
    life = active_life()
    life.authorise(1, "il")
    share = life.state.tranches[0].shares["il"].amounts[0].minor
    less = life.amend(**asking(body(life), "dugma", share - IL - 1))
    assert refused(less) == ("refused", "invalid")
    assert "let go" in (less.detail or "")
    gone = left(joined(body(life), "safsal", "dugma", 0), "dugma", "safsal")
    gone["partners"][-1]["role"] = "lead"
    assert refused(life.amend(**gone)) == ("refused", "invalid")
    assert amend(life, joined(body(life), "safsal", "dugma", IL - share)).status == "counted"


def test_a_partner_with_costs_in_a_report_stays() -> None:
    life = active_life()
    assert amend(life, joined(body(life), "misal", "numune", 10)).status == "counted"
    gone = left(body(life), "numune", "misal")
    life.now = life.state.reports[0].ends_at
    life.report(1, 50)
    life.all_sign(Response.RETURN)
    answer = life.amend(**gone)
    assert refused(answer) == ("refused", "invalid")
    assert "has reported costs" in (answer.detail or "")
    assert life.amend(**left(body(life), "misal", "numune")).status == "counted"


def test_an_initiative_of_terms_without_limits_takes_none() -> None:
    life = active_life()
    life.state = life.state.model_copy(
        update={"terms": life.state.terms.model_copy(update={"amendments": None})}
    )
    assert refused(life.amend(**extended(body(life), 6))) == ("refused", "stage_closed")


def test_fifty_are_taken_and_not_one_more() -> None:
    life = active_life()
    for count in range(amendment.MOST):
        assert amend(life, renamed(body(life), "dugma", f"m{count}@example.org")).status == "counted"
    last = life.amend(**renamed(body(life), "dugma", "last@example.org"))
    assert refused(last) == ("refused", "too_large")


# ---- the matter


def test_the_matter_puts_both_versions_and_all_that_follows_before_every_side() -> None:
    life = active_life()
    before = life.state
    life.amend(**asking(extended(body(life), 6), "dugma", 500))
    opened, asked = life.open_matter(), life.state.open_amendment
    assert opened is not None
    assert asked is not None
    assert asked.summary is not None
    brings = in_force.follows(life.state, in_force.version_of(life.state, asked), asked.due, life.now)
    document = amendment_document(life.state, asked, brings)
    assert opened.content_hash == content_hash(document)
    assert document["replaces"] == {"version": 1, "content_hash": before.content_hash}
    assert document["proposal"] == {"version": 2, "content_hash": asked.content_hash}
    assert [one["final"] for one in document["reports"]] == [False, False, False, True]
    assert document["commitments"]["il"] == [{"minor": IL + 500, "unit": "ILS"}]
    for side, drawn_up in life.drawn_up.items():
        assert document["funding_agreements"][side]["content_hash"] == content_hash(drawn_up)
        assert drawn_up["number"].endswith(f"/{side}/2")
        assert drawn_up["amendment"] == {"number": 1, "replaces": before.content_hash}
        assert [one["to_month"] for one in drawn_up["reports"]["rows"]] == [6, 12, 18, 24]
    assert life.state.funding_agreements == before.funding_agreements  # until it is approved
    # The step that opens it keeps that document for whoever reads before they sign.
    index = next(i for i, one in enumerate(life.entries) if one.action == "amendment.asked")
    step = step_of(before, life.state, life.entries[index : index + 2])
    assert step.documents[opened.content_hash] == document
    life.all_sign()
    assert life.state.funding_agreements is not None
    assert life.state.funding_agreements.edition == 2


def test_a_third_side_decides_on_it_too() -> None:
    life = active_life(three_sides())
    partner = life.proposal.partners[-1].id
    life.amend(**asking(body(life), partner, -1))
    matter = life.open_matter()
    assert matter is not None
    assert set(matter.chains) == set(life.sides)
    life.all_sign()
    assert life.state.amendments[-1].state is AmendmentState.MADE


def test_whoever_would_take_part_does_not_decide_on_it() -> None:
    life = active_life()
    changed = renamed(extended(body(life), 6), "dugma", "head@example.org")
    life.amend(**changed)
    matter = life.open_matter()
    assert matter is not None
    own = holder("il", matter.chains["il"][0].office).model_copy(
        update={"contact": contact_key("head@example.org")}
    )
    assert refused(life.sign("il", caller=own)) == ("refused", "conflict_of_interest")


def test_silence_ends_the_amendment_and_nothing_else() -> None:
    life = active_life()
    life.amend(**extended(body(life), 6))
    life.pass_time(timedelta(days=46))
    assert life.state.matters[-1].outcome is Outcome.LAPSED
    assert life.state.amendments[-1].state is AmendmentState.REJECTED
    assert life.stage() is Stage.ACTIVE
    assert life.amend(**extended(body(life), 6)).status == "counted"


def test_reports_and_payments_go_on_beside_it_and_what_came_of_them_counts() -> None:
    """The first tranche is let go while a cut is decided on that would leave less than that."""
    life = active_life()
    share = life.state.tranches[0].shares["il"].amounts[0].minor
    life.amend(**asking(body(life), "dugma", 1 - IL))
    life.authorise(1, "il")
    life.all_sign()
    rejected = next(one for one in reversed(life.entries) if one.action == "amendment.rejected")
    assert str(Amount(share, "ILS")) in rejected.body["reason"]
    assert life.stage() is Stage.ACTIVE


def test_an_amendment_that_there_is_no_money_for_comes_to_nothing() -> None:
    life = active_life()
    life.away = {"il", "az"}
    life.amend(**asking(body(life), "dugma", 500))
    life.all_sign()
    lacking = (Lack(directorate="il", unit="ILS", year=2027, wanted=500, left=0),)
    assert in_force.turn_down(life.state, lacking) == []  # not decided yet
    matter = life.open_matter()
    assert matter is not None
    decided = life.state.model_copy(
        update={
            "matters": tuple(
                one.model_copy(update={"outcome": Outcome.APPROVED}) if one is matter else one
                for one in life.state.matters
            )
        }
    )
    (happened,) = in_force.turn_down(decided, lacking)
    assert happened.fact.model_dump()["lacking"] == ({**lacking[0].model_dump()},)
    assert "too little money is left" in happened.body()["reason"]


def test_the_closing_waits_for_an_open_amendment_and_an_extension_leads_back_to_reports() -> None:
    life = active_life()
    while life.state.next_report() is not life.state.reports[-1]:
        life.go_on()
    last = life.state.reports[-1]
    life.now = last.ends_at - timedelta(days=10)
    life.amend(**extended(body(life), 4))
    extension = life.open_matter()
    assert extension is not None
    life.now = last.ends_at
    life.report(last.number)
    for side in life.sides:
        life.carry(side, matter=life.state.last_matter(MatterKind.REPORT))
    assert life.state.next_report() is None
    assert life.stage() is Stage.ACTIVE
    for side in life.sides:
        life.carry(side, matter=extension)
    assert [one.final for one in life.state.reports] == [False, False, False, True]
    assert life.state.reports[2].state is ReportState.ACCEPTED
    assert life.state.reports[3].starts_at == last.ends_at
    life.reach(Stage.CLOSED)
    assert asked_in(life.state)["il", "ILS"] == IL


# ---- what it does to the schedule and the money


def test_an_overdue_report_whose_date_moves_is_scheduled_again() -> None:
    life = active_life((two_sides()[0], Proposal.model_validate(extended(body_of(two_sides()[1]), 2))))
    while life.state.next_report() is not life.state.reports[3]:  # months 19 and 20
        life.go_on()
    life.now = life.state.reports[3].ends_at - timedelta(days=10)
    life.amend(**extended(body(life), 4))
    extension = life.open_matter()
    assert extension is not None
    for side in life.sides[:1]:
        life.carry(side, matter=extension)
    life.pass_time(timedelta(days=41))
    assert life.state.reports[3].state is ReportState.OVERDUE
    life.carry(life.sides[1], matter=extension)
    report = life.state.reports[3]
    assert report.state is ReportState.SCHEDULED
    assert report.due_at > life.now
    assert report.final


def test_another_lead_keeps_another_calendar() -> None:
    life = active_life()
    changed = body(life)
    for one in changed["partners"]:
        one["role"] = "partner" if one["role"] == "lead" else "lead"
    life.amend(**changed)
    assert in_force.is_rescheduled(life.state, in_force.version_of(life.state, life.state.amendments[-1]))
    life.all_sign()
    assert life.state.proposal.lead_directorate == "az"


def test_an_increase_is_spread_over_what_is_still_to_be_let_go() -> None:
    life = active_life()
    life.pay(1)
    before = life.state.tranches
    amend(life, asking(body(life), "dugma", 1001))
    after = life.state.tranches
    assert after[0] == before[0]
    assert asked_in(life.state) == {("il", "ILS"): IL + 1001, ("az", "AZN"): AZ}
    assert life.state.commitments["il"] == (Amount(IL + 1001, "ILS"),)
    assert [one.shares["az"].amounts for one in after] == [one.shares["az"].amounts for one in before]
    rest = [one.shares["il"].amounts[0].minor for one in after[1:]]
    assert sum(rest) == IL + 1001 - before[0].shares["il"].amounts[0].minor
    assert all(now > then.shares["il"].amounts[0].minor for now, then in zip(rest, before[1:], strict=True))


def test_what_was_authorised_before_a_change_of_partners_is_paid_as_it_was_authorised() -> None:
    """The bank of one side is told only when the change is in force."""
    life = active_life()
    life.untold = {"az"}
    for side in life.sides:
        life.authorise(1, side)
    tranche = life.state.tranche(1)
    assert tranche is not None
    told = steps.to_instruct(life.state, tranche)
    got = tranche.shares["az"].amounts[0].minor
    assert life.amend(**joined(body(life), "misal", "numune", AZ - got)).status == "counted"
    life.all_sign()
    after = life.state.tranche(1)
    assert after is not None
    assert steps.to_instruct(life.state, after) == told
    life.untold = set()
    life.settle()
    assert life.state.tranches[0].shares["az"].instructions == told["az"]
    assert {one.partner for one in told["az"]} == {"numune"}


def test_a_new_partner_gets_its_part_of_every_payment_that_follows() -> None:
    life = active_life()
    life.pay(1)
    got = life.state.tranches[0].shares["az"].amounts[0].minor
    amend(life, joined(body(life), "misal", "numune", AZ - got))
    life.reach(Stage.CLOSED)
    paid: dict[str | None, int] = {}
    for tranche in life.state.tranches:
        for one in tranche.shares["az"].instructions:
            paid[one.partner] = paid.get(one.partner, 0) + one.amount.minor
    assert paid == {"numune": got, "misal": AZ - got}


def test_a_part_that_is_due_or_held_is_spread_anew_and_stays_what_it_is() -> None:
    life = active_life()
    last = life.state.tranches[-1]
    life.hold(1, "il")
    life.hold(last.number, "il")
    amend(life, asking(extended(body(life), 12), "dugma", -IL // 2))
    first, closing = life.state.tranches[0], life.state.tranches[-1]
    assert first.shares["il"].unheld is PaymentState.DUE
    assert (first.shares["il"].state, closing.shares["il"].state) == (PaymentState.HELD, PaymentState.HELD)
    assert (closing.trigger, closing.number) == ("closure", last.number + 2)
    assert closing.shares["il"].held_by == holder("il", "finance_officer", "third").person
    assert asked_in(life.state)["il", "ILS"] == life.state.commitments["il"][0].minor


def test_a_shorter_one_gives_up_the_reports_and_tranches_beyond_its_end() -> None:
    life = active_life()
    life.pay(1)
    before = life.state
    amend(life, extended(body(life), -6))
    assert [one.final for one in life.state.reports] == [False, True]
    assert [(one.number, one.trigger) for one in life.state.tranches] == [
        (1, "signature"), (2, "report"), (3, "closure"),
    ]  # fmt: skip
    assert asked_in(life.state) == {("il", "ILS"): IL, ("az", "AZN"): AZ}
    step = step_of(before, life.state, life.entries[before.sequence :])
    assert (step.projection.reports_gone, step.projection.tranches_gone) == ((3,), (4,))
    life.reach(Stage.CLOSED)


def test_it_cannot_end_in_the_past_by_the_time_every_side_has_approved() -> None:
    life = active_life()
    life.now = life.state.reports[1].ends_at - timedelta(days=1)
    life.amend(**extended(body(life), -6))
    shorter = life.open_matter()
    assert shorter is not None
    life.now += timedelta(days=2)
    for side in life.sides:
        life.carry(side, matter=shorter)
    assert life.state.amendments[-1].state is AmendmentState.REJECTED
    assert "is past already" in life.entries[-1].body["reason"]
    assert len(life.state.reports) == 3


def test_the_fact_says_it_all_again() -> None:
    life = active_life()
    amend(life, asking(extended(body(life), 6), "dugma", 7))
    made = next(one for one in life.entries if one.action == "amendment.made")
    fact = AmendmentMade.model_validate(made.body)
    assert fact.tranches == life.state.tranches
    assert [one.due_at for one in fact.reports] == [one.due_at for one in life.state.reports]
    assert (fact.version, made.subject) == (life.state.version, life.state.content_hash)
    assert fact.asked_by == life.applicant.person


def test_a_minor_unit_too_many_by_rounding_keeps_nobody_from_an_amendment() -> None:
    """Three partners ask for so little that each payment to them is rounded, some of them up every time."""
    agreement, proposal = two_sides()
    small = body_of(proposal)
    for name in ("safsal", "arava"):
        small = joined(small, name, "dugma", 1)
    small = asking(small, "dugma", 4 - IL)
    life = active_life((agreement, Proposal.model_validate(small)))
    life.pay(1)
    for number in (1, 2):
        life.now = life.state.reports[number - 1].ends_at
        life.report(number, 0)
        life.all_sign()
        life.pay(number + 1)
    assert amend(life, renamed(body(life), "arava", "a@example.org")).status == "counted"
    assert amend(life, joined(body(life), "misal", "numune", 5)).status == "counted"
    assert life.state.amendments[-1].state is AmendmentState.MADE


def test_no_version_ends_with_a_report_that_was_waived_before_its_time() -> None:
    """Its accounts would rest on no final report, and the closing tranche would take the place of a paid one."""
    life = active_life()
    life.pay(1)
    for number in (1, 2):
        for side in life.sides:
            life.waive(number, side)
        life.pay(number + 1)
    paid = asked_in(life.state)
    answer = life.amend(**extended(body(life), -6))
    assert refused(answer) == ("refused", "invalid")
    assert "are waived" in (answer.detail or "")
    assert (asked_in(life.state), life.stage()) == (paid, Stage.ACTIVE)


def test_reports_waived_while_a_shortening_is_before_the_sides_turn_it_down() -> None:
    life = active_life()
    assert life.amend(**extended(body(life), -6)).status == "counted"
    for number in (1, 2):
        for side in life.sides:
            life.waive(number, side)
    life.all_sign()
    assert life.state.amendments[-1].state is AmendmentState.REJECTED
    assert [one.state for one in life.state.reports[:2]] == [ReportState.WAIVED] * 2
    assert life.state.next_report() is life.state.reports[-1]
