"""A running initiative moves to a newer version of the agreement: who may ask, who decides, what follows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from countersign.domain import in_force
from countersign.domain.agreement import ChainStep, MatterKind, ProgrammeAgreement
from countersign.domain.amendment import AmendmentState, Kind, Weight
from countersign.domain.canonical import content_hash
from countersign.domain.facts import ACTIONS
from countersign.domain.initiative import replay
from countersign.domain.matter import Response
from countersign.domain.papers import amendment_document
from countersign.domain.reporting import ReportState
from countersign.domain.schedule import add_months
from countersign.domain.stage import Stage
from tests.domain.lives import Life, active_life, holder, two_sides, with_chain


def newer(life: Life, **changes: Any) -> ProgrammeAgreement:
    """A later version of the agreement, with some changes."""
    current = life.agreement
    return current.model_copy(update={"version": current.version + 1, **changes})


def every_three_months(life: Life) -> ProgrammeAgreement:
    """A later version with a report every three months, half of the money at first, and two who sign reports."""
    current = life.agreement
    changed = newer(
        life,
        reporting=current.reporting.model_copy(update={"period_months": 3}),
        tranches=current.tranches.model_copy(update={"on_signature": 50, "on_reports": 40}),
    )
    return with_chain(changed, MatterKind.REPORT, "az", ChainStep(office="programme_officer", need=2))


def test_every_side_decides_and_then_the_newer_version_holds() -> None:
    life = active_life()
    start, before, empty = life.state.reports[0].starts_at, life.state, len(life.entries)
    agreement = every_three_months(life)
    assert life.adopt(agreement).status == "counted"
    asked = life.state.open_amendment
    assert asked is not None
    assert (asked.weight, asked.kinds) == (Weight.MAJOR, (Kind.AGREEMENT,))
    assert asked.changed == (
        "agreement.chains.report.az[0].need",
        "agreement.tranches.on_signature",
        "agreement.tranches.on_reports",
        "agreement.reporting.period_months",
    )
    matter = life.open_matter()
    assert matter is not None
    brings = in_force.follows(life.state, in_force.version_of(life.state, asked), asked.due, life.now)
    document = amendment_document(life.state, asked, brings)
    assert content_hash(document) == matter.content_hash
    assert document["adopts"] == {"version": agreement.version, "content_hash": agreement.content_hash()}
    assert document["proposal"]["version"] == before.version
    assert life.state.terms == before.terms  # until every side has decided

    life.all_sign()
    assert life.state.terms == agreement.terms()
    assert (life.state.version, life.state.content_hash) == (before.version, before.content_hash)
    assert life.state.amendments[-1].state is AmendmentState.MADE
    assert [one.ends_at for one in life.state.reports] == [add_months(start, n) for n in range(3, 19, 3)]
    assert [one.report for one in life.state.tranches] == [None, 1, 2, 3, 4, 5, None]
    il = [one.shares["il"].amounts[0].minor for one in life.state.tranches]
    # The first is due by the plan that held when the agreements were signed, and spread anew as nobody let it go.
    assert (sum(il), il[0]) == (100_000_01, 50_000_01)
    assert life.drawn_up["il"]["programme"]["version"] == agreement.version
    assert life.drawn_up["il"]["reports"]["period_months"] == 3
    assert life.drawn_up["il"]["proposal"]["version"] == before.version

    # The next report is decided on by the chains of the newer version.
    life.now = life.state.reports[0].ends_at
    life.report(1)
    opened = life.open_matter()
    assert opened is not None
    assert opened.chains["az"][0].need == 2
    for entry in life.entries:
        ACTIONS[entry.action].model_validate(entry.body)
    assert replay(before, life.entries[empty:]) == life.state


def test_what_was_let_go_under_the_older_version_stays_as_it_was() -> None:
    life = active_life()
    life.pay(1)
    paid = life.state.tranches[0].shares["il"].amounts
    life.adopt(every_three_months(life))
    life.all_sign()
    assert life.state.tranches[0].shares["il"].amounts == paid
    assert sum(one.shares["il"].amounts[0].minor for one in life.state.tranches) == 100_000_01


def test_one_side_that_refuses_leaves_the_older_version_in_force() -> None:
    life = active_life()
    terms, reports = life.state.terms, life.state.reports
    life.adopt(every_three_months(life))
    life.sign("il", Response.REFUSE)
    life.sign("az")
    assert (life.state.terms, life.state.reports) == (terms, reports)
    assert life.state.amendments[-1].state is AmendmentState.REJECTED
    assert life.state.amendments[-1].terms is None


def test_the_heads_of_the_sides_and_the_applicants_ask_for_it_and_nobody_else() -> None:
    life = active_life()
    agreement = every_three_months(life)
    assert life.adopt(agreement, holder("az", "programme_officer")).code == "not_your_office"
    stranger = life.applicant.model_copy(update={"person": "applicants/almonit", "contact": "1" * 32})
    assert life.adopt(agreement, stranger).code == "forbidden"
    assert life.adopt(agreement, life.applicant).status == "counted"
    assert life.adopt(agreement, holder("az", "deputy_minister")).code == "out_of_order"


def test_only_a_newer_version_that_is_on_record_is_adopted() -> None:
    life = active_life()
    current = life.agreement
    assert life.adopt(current).code == "invalid"
    older = current.model_copy(update={"version": current.version - 1})
    assert life.adopt(older).code == "invalid"
    assert life.agreement is current
    unknown = newer(life)
    answer = life.adopt(unknown, on_record=False)
    assert (answer.code, answer.detail) == (
        "not_found",
        f"there is no version {unknown.version} of the agreement",
    )


@pytest.mark.parametrize("stage", [Stage.DECISION, Stage.CONTRACTING, Stage.CLOSING])
def test_only_what_is_active_is_moved(stage: Stage) -> None:
    life = Life(*two_sides()).begin().reach(stage)
    assert life.adopt(newer(life)).code == "stage_closed"


def test_a_version_under_which_the_initiative_could_not_be_is_not_adopted() -> None:
    life = active_life()
    current = life.agreement
    franc = current.directorate[1].model_copy(update={"currency": "CHF"})
    other = newer(life, directorate=(current.directorate[0], franc))
    assert life.adopt(other).code == "invalid"
    low = tuple(one.model_copy(update={"ceilings": {"il": (), "az": ()}}) for one in current.area)
    answer = life.adopt(newer(life, area=low))
    assert (answer.code, (answer.detail or "")[:8]) == ("invalid", "ceiling:")
    gone = life.adopt(newer(life, kind=current.kind[1:]))
    assert (gone.code, gone.detail) == ("invalid", "kind: the agreement has no kind 'joint_project'")


def test_an_area_that_is_closed_to_new_proposals_lets_those_under_way_move() -> None:
    life = active_life()
    closed = tuple(one.model_copy(update={"open": False}) for one in life.agreement.area)
    assert life.adopt(newer(life, area=closed)).status == "counted"


def test_a_suspension_that_comes_before_the_decision_does_not_stop_it() -> None:
    life = active_life()
    agreement = every_three_months(life)
    life.adopt(agreement)
    life.suspend("az")
    life.pass_time(life.state.notices[0].effective_at - life.now)
    assert life.stage() is Stage.SUSPENDED
    life.all_sign()
    assert life.state.terms.version == agreement.version


def every(life: Life, months: int) -> ProgrammeAgreement:
    """A later version with a report every so many months."""
    return newer(life, reporting=life.agreement.reporting.model_copy(update={"period_months": months}))


def test_nobody_is_late_with_a_report_that_was_not_asked_for_in_its_time() -> None:
    life = active_life()
    start = life.state.reports[0].starts_at
    life.pass_time(add_months(start, 5) - life.now)
    life.adopt(every(life, 1))
    life.all_sign()
    life.pass_time(timedelta(0))
    # Those on the first four months would have been due already: the first that is to come is on these, too.
    first = life.state.reports[0]
    assert (first.starts_at, first.ends_at) == (start, add_months(start, 5))
    assert (first.state, first.due_at > life.now) == (ReportState.SCHEDULED, True)
    assert life.stage() is Stage.ACTIVE
    assert len(life.state.reports) == 14
    assert [one.report for one in life.state.tranches] == [None, *range(1, 14), None]


def test_a_report_that_is_late_stays_so_where_the_newer_version_asks_for_it_too() -> None:
    life = active_life()
    start, due = life.state.reports[0].starts_at, life.state.reports[0].due_at
    life.pass_time(due + timedelta(days=1) - life.now)
    life.adopt(every(life, 3))
    life.all_sign()
    first = life.state.reports[0]
    assert (first.starts_at, first.due_at, first.state) == (start, due, ReportState.OVERDUE)


def test_a_side_that_did_without_a_report_is_asked_again_once_it_is_on_another_time() -> None:
    life = active_life()
    assert life.waive(1, "il").status == "counted"
    life.adopt(every(life, 12))
    life.all_sign()
    assert life.state.reports[0].waived_by is None
    states = []
    for side in ("az", "il"):
        assert life.waive(1, side).status == "counted"
        states.append(life.state.reports[0].state)
    assert states == [ReportState.SCHEDULED, ReportState.WAIVED]


def test_what_every_side_signed_comes_into_force_or_nothing_does() -> None:
    """The funding agreements were drawn up when it was asked: others would be in force than were signed."""
    life = active_life()
    life.pass_time(life.state.reports[0].ends_at - timedelta(days=10) - life.now)
    four = newer(life, reporting=life.agreement.reporting.model_copy(update={"period_months": 4}))
    assert life.adopt(four).status == "counted"
    life.pass_time(timedelta(days=11))
    matter = life.open_matter()
    life.report(1)
    life.all_sign()
    before = life.state
    for side in life.sides:
        life.carry(side, matter=matter)
    rejected = life.state.amendments[-1]
    assert (rejected.state, life.state.terms) == (AmendmentState.REJECTED, before.terms)
    assert (life.state.reports, life.state.tranches) == (before.reports, before.tranches)
    assert life.entries[-1].body["reason"].endswith("it is to be asked anew")
    assert life.adopt(four).status == "counted"
    life.all_sign()
    assert life.state.terms == four.terms()
    drawn_up = [one["number"] for one in life.drawn_up["il"]["tranches"]]
    assert drawn_up == [one.number for one in life.state.tranches]


def test_less_time_for_reports_makes_nobody_late_on_the_day_it_is_adopted() -> None:
    life = active_life()
    first = life.state.reports[0]
    life.pass_time(first.ends_at + timedelta(days=20) - life.now)
    brings = in_force.rescheduled(
        life.state,
        in_force.Version(
            life.state.proposal,
            life.state.terms.model_copy(
                update={"deadlines": life.state.terms.deadlines.model_copy(update={"report": 5})}
            ),
        ),
        {one.ends_at: one.ends_at + timedelta(days=7) for one in life.state.reports},
        life.now,
    )
    assert brings[0].due_at == first.due_at > life.now
    assert brings[1].due_at == life.state.reports[1].ends_at + timedelta(days=7)
