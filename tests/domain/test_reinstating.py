"""What becomes of the report that a termination cut short, once all sides have upheld a complaint about that."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from countersign.domain.agreement import MatterKind
from countersign.domain.funding import PaymentState
from countersign.domain.matter import Response
from countersign.domain.reporting import ReportState
from countersign.domain.stage import Stage
from tests.domain.lives import Life, active_life
from tests.domain.test_complaining import (
    DAY,
    books_agree,
    decide,
    of_kind,
    resumed,
    terminated_life,
    upheld_life,
    upheld_now,
)
from tests.domain.test_ending import paid_life


def before_its_period_ended(life: Life) -> None:
    """Nothing was handed in."""


def under_review(life: Life) -> None:
    """A version on the time up to the termination is before the sides."""
    assert life.report(1, 30).status == "counted"


def returned(life: Life) -> None:
    under_review(life)
    life.all_sign(Response.RETURN)


def refused(life: Life) -> None:
    under_review(life)
    life.all_sign(Response.REFUSE)


@pytest.mark.parametrize(
    ("did", "state"),
    [
        (before_its_period_ended, ReportState.SCHEDULED),
        (under_review, ReportState.CHANGES_REQUESTED),
        (returned, ReportState.CHANGES_REQUESTED),
        (refused, ReportState.CHANGES_REQUESTED),
    ],
)
def test_a_report_that_was_not_accepted_is_waited_for_as_it_was_planned(
    did: Callable[[Life], None], state: ReportState
) -> None:
    life = paid_life()
    planned = life.state.reports
    terminated_life(90, life)
    cut = life.state.reports[0]
    assert (cut.cut_short, cut.final, cut.ends_at) == (True, True, life.now)
    did(life)
    life.pass_time(DAY)
    life.complain()
    decide(life)
    report = life.state.reports[0]
    assert report.state is state
    assert not [one for one in life.state.matters if one.kind is MatterKind.REPORT and one.is_open]
    when = (
        "starts_at",
        "ends_at",
        "due_at",
        "final",
        "cut_short",
        "uncut",
        "is_late",
        "reminded",
        "escalated",
    )
    assert report.model_dump(include=set(when)) == planned[0].model_dump(include=set(when))
    assert life.state.reports[1:] == planned[1:]
    resumed(life)
    assert life.report(1).code == "not_due"
    life.reach(Stage.CLOSED)
    books_agree(life)


def test_a_report_that_was_under_review_when_it_was_ended_comes_anew_after_the_resumption() -> None:
    life = paid_life()
    life.pass_time(life.state.reports[0].ends_at - life.now)
    life.report(1)
    upheld_life(10, life)
    assert (life.state.reports[0].state, life.state.reports[0].version) == (ReportState.CHANGES_REQUESTED, 1)
    assert life.report(1).status == "counted"
    matter = life.state.last_matter(MatterKind.REPORT)
    for side in life.sides:
        life.carry(side, matter=matter)
    assert {one.state for one in life.state.tranches[1].shares.values()} == {PaymentState.DUE}


def test_an_accepted_one_keeps_its_shorter_period_releases_its_tranche_and_the_next_one_begins_there() -> (
    None
):
    life = paid_life()
    planned = life.state.reports
    terminated_life(90, life)
    ended_at = life.now
    life.report(1, 50)
    life.all_sign()
    assert {one.state for one in life.state.tranches[1].shares.values()} == {PaymentState.PLANNED}
    life.pass_time(DAY)
    life.complain()
    decide(life)
    first, second, third = life.state.reports
    assert (first.state, first.ends_at, first.final, first.cut_short) == (
        ReportState.ACCEPTED,
        ended_at,
        False,
        False,
    )
    assert (second.starts_at, second.ends_at, second.due_at) == (
        ended_at,
        planned[1].ends_at,
        planned[1].due_at,
    )
    assert third == planned[2]
    assert {one.state for one in life.state.tranches[1].shares.values()} == {PaymentState.DUE}
    accepted = life.entries[-4:]
    assert [one.action for one in accepted] == [
        "stage.entered",
        "initiative.reinstated",
        "tranche.due",
        "matter.opened",
    ]
    resumed(life)
    life.pay(2)
    life.reach(Stage.CLOSED)
    books_agree(life)


def test_an_accepted_one_that_was_the_last_is_followed_by_one_on_the_rest_of_the_duration() -> None:
    life = active_life()
    while (report := life.state.next_report()) is None or not report.final:
        assert life.go_on()
    life.pay(3)
    planned, tranches = life.state.reports, life.state.tranches
    terminated_life(60, life)
    ended_at = life.now
    life.report(3, 50)
    life.all_sign()
    life.pass_time(DAY)
    life.complain()
    decide(life)
    *_, third, fourth = life.state.reports
    assert (third.state, third.ends_at, third.final) == (ReportState.ACCEPTED, ended_at, False)
    assert fourth.model_dump(include={"number", "starts_at", "ends_at", "due_at", "final", "state"}) == {
        "number": 4,
        "starts_at": ended_at,
        "ends_at": planned[2].ends_at,
        "due_at": planned[2].due_at,
        "final": True,
        "state": ReportState.SCHEDULED,
    }
    assert life.state.tranches == tranches
    resumed(life)
    assert life.stage() is Stage.ACTIVE
    assert life.report(4).code == "not_due"
    life.reach(Stage.CLOSED)
    books_agree(life)


def test_an_accepted_one_on_the_whole_duration_is_the_final_report() -> None:
    life = active_life()
    while (report := life.state.next_report()) is None or not report.final:
        assert life.go_on()
    life.pay(3)
    terminated_life((report.ends_at - life.now).days + 5, life)
    life.report(3)
    life.all_sign()
    upheld_now(life)
    assert len(life.state.reports) == 3
    assert (life.state.reports[2].final, life.state.reports[2].state) == (True, ReportState.ACCEPTED)
    life.pass_time(DAY)
    life.all_sign()
    assert life.stage() is Stage.CLOSING
    life.reach(Stage.CLOSED)
    books_agree(life)


def test_a_report_whose_whole_period_is_in_an_accepted_one_is_done_without_and_releases_its_tranche() -> None:
    """Suspended over a report that did not come, and ended by the limit: the next period is over by then, too."""
    life = paid_life()
    planned = life.state.reports
    life.pass_time(planned[0].due_at + timedelta(days=60) - life.now)
    life.pass_time(timedelta(days=180))
    assert (life.stage(), life.state.stage_reason) == (Stage.TERMINATED, "it was suspended for 180 days")
    ended_at = life.now
    assert planned[1].ends_at < ended_at < planned[2].ends_at
    life.report(1, 50)
    life.all_sign()
    upheld_now(life)
    first, second, third = life.state.reports
    assert (first.ends_at, first.final, first.state) == (ended_at, False, ReportState.ACCEPTED)
    assert (second.starts_at, second.ends_at, second.state) == (ended_at, ended_at, ReportState.WAIVED)
    assert (third.starts_at, third.ends_at, third.final) == (ended_at, planned[2].ends_at, True)
    assert of_kind(life, "initiative.reinstated")[0].body["covered"] == [2]
    for tranche in life.state.tranches[1:3]:
        assert {one.state for one in tranche.shares.values()} == {PaymentState.DUE}
    resumed(life)
    life.reach(Stage.CLOSED)
    books_agree(life)


def test_one_that_ended_after_its_duration_has_no_report_left_once_the_late_one_is_accepted() -> None:
    life = paid_life()
    last = life.state.reports[-1].ends_at
    for _ in range(2):  # resumed once without a report, and suspended again
        life.pass_time(max(life.state.reports[0].due_at, life.now) + timedelta(days=60) - life.now)
        life.ask_resumption()
        life.pass_time(DAY)
        life.all_sign()
    life.pass_time(max(last - life.now, DAY))
    terminated_life(40, life)
    assert life.state.reports[0].ends_at == last
    life.report(1)
    life.all_sign()
    upheld_now(life)
    assert [(one.state, one.final) for one in life.state.reports] == [
        (ReportState.ACCEPTED, True),
        (ReportState.WAIVED, False),
        (ReportState.WAIVED, False),
    ]
    life.pass_time(DAY)
    life.all_sign()
    assert life.stage() is Stage.CLOSING
    life.reach(Stage.CLOSED)
    books_agree(life)


def test_one_that_was_ended_before_the_next_period_began_has_no_period_that_ends_before_it_begins() -> None:
    """A report may be waived before its period is over; the one after it is then the one that is cut short."""
    life = paid_life()
    for side in life.sides:
        assert life.waive(1, side).status == "counted"
    terminated_life(30, life)
    ended_at = life.now
    life.report(2, 10)
    life.all_sign()
    upheld_now(life)
    second = life.state.reports[1]
    assert (second.starts_at, second.ends_at) == (ended_at, ended_at)
    assert life.state.reports[2].starts_at == ended_at
    resumed(life)
    life.reach(Stage.CLOSED)


def test_the_limit_for_a_late_report_counts_from_the_resumption() -> None:
    life = paid_life()
    due = life.state.reports[0].due_at
    life.pass_time(due - life.now + 20 * DAY)
    assert life.state.reports[0].state is ReportState.OVERDUE
    upheld_life(0, life)
    life.pass_time(timedelta(0))
    assert life.state.reports[0].state is ReportState.OVERDUE
    life.pass_time(40 * DAY)
    resumed(life)
    resumed_at = life.now
    life.pass_time(timedelta(days=59))
    assert life.stage() is Stage.ACTIVE
    assert (life.state.reports[0].reminded, life.state.reports[0].escalated) == (30, True)
    life.pass_time(resumed_at + timedelta(days=60) - life.now)
    assert (life.stage(), life.state.suspended_for) == (Stage.SUSPENDED, 1)
