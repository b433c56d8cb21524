"""Reports that do not come: reminders, the day that is over, every side told, suspension."""

from __future__ import annotations

from datetime import timedelta

import pytest

from countersign.domain import clock
from countersign.domain.agreement import ProgrammeAgreement
from countersign.domain.agreement_file import AgreementFaults, read
from countersign.domain.facts import Happened, ReportScheduled, ReportsScheduled
from countersign.domain.matter import Response
from countersign.domain.projection import Task
from countersign.domain.reporting import ReportState
from countersign.domain.stage import Stage
from countersign.runtime.resources import default_agreement
from tests.domain.lives import Life, active_life, three_sides, two_sides

DAY = timedelta(days=1)
SHIPPED = default_agreement().read_text(encoding="utf-8")


def of_lateness(life: Life) -> list[tuple[str, int | str | None]]:
    """What was told of late reports: the fact, and at how many days; or why it was suspended."""
    return [
        (one.action.removeprefix("report."), one.body.get("days"))
        if one.action.startswith("report.")
        else ("suspended", one.body["reason"])
        for one in life.entries
        if one.action in ("report.reminded", "report.overdue", "report.escalated")
        or one.body.get("stage") == "suspended"
    ]


def until(life: Life, days: float) -> None:
    """Let the time pass until so many days after the first report fell due."""
    life.pass_time(life.state.reports[0].due_at + days * DAY - life.now)


def test_a_report_that_does_not_come_is_reminded_of_then_overdue_then_every_side_is_told_then_it_suspends() -> (
    None
):
    life = active_life()
    due_at = life.state.reports[0].due_at
    expected: list[tuple[int, tuple[str, int | str | None]]] = [
        (-14, ("reminded", -14)),
        (-3, ("reminded", -3)),
        (0, ("overdue", None)),
        (7, ("reminded", 7)),
        (14, ("escalated", None)),
        (30, ("reminded", 30)),
        (60, ("suspended", "report 1 is more than 60 days late")),
    ]
    for index, (days, told) in enumerate(expected):
        assert clock.instant_of(clock.coming(life.state)) == due_at + days * DAY
        life.pass_time(due_at + days * DAY - timedelta(seconds=1) - life.now)
        assert len(of_lateness(life)) == index
        life.pass_time(timedelta(seconds=1))
        assert of_lateness(life)[index:] == [told]
        assert clock.passed(life.state, life.now) == []  # once
    assert (life.stage(), life.state.suspended_for) == (Stage.SUSPENDED, 1)
    assert life.state.stage_deadline == life.now + 180 * DAY


def test_the_applicants_see_the_last_reminder_and_every_secretariat_that_a_report_is_late() -> None:
    life = active_life()
    until(life, 13)
    (report,) = [one for one in life.waited_for() if one.task is Task.REPORT]
    assert (report.number, report.reminded, report.deadline) == (1, 7, life.state.reports[0].due_at)
    assert not [one for one in life.waited_for() if one.task is Task.REPORT_LATE]
    until(life, 14)
    told = [one for one in life.waited_for() if one.task is Task.REPORT_LATE]
    assert [(one.directorate, one.office) for one in told] == [(side, "secretariat") for side in life.sides]
    assert {one.deadline for one in told} == {life.state.reports[0].due_at + 60 * DAY}
    assert not any(one.is_to_do for one in told)
    life.report(1)
    assert not [one for one in life.waited_for() if one.task in (Task.REPORT, Task.REPORT_LATE)]


def test_of_what_was_slept_through_the_last_reminder_is_told() -> None:
    life = active_life()
    until(life, 35)
    assert of_lateness(life) == [("overdue", None), ("reminded", 30), ("escalated", None)]


def test_a_report_that_came_is_not_late_however_long_its_review_takes() -> None:
    life = active_life()
    until(life, -20)
    life.report(1)
    until(life, 100)
    assert (of_lateness(life), life.stage()) == ([], Stage.ACTIVE)


def test_a_returned_report_is_as_late_as_one_that_never_came_from_its_return_on() -> None:
    life = active_life()
    until(life, -20)
    life.report(1)
    until(life, 20)
    life.all_sign(Response.RETURN)
    returned_at = life.now
    life.pass_time(timedelta(0))
    assert of_lateness(life) == [("overdue", None)]
    assert life.state.reports[0].state is ReportState.CHANGES_REQUESTED
    life.pass_time(7 * DAY)
    life.pass_time(23 * DAY)
    assert of_lateness(life)[1:] == [("reminded", 7), ("reminded", 30), ("escalated", None)]
    assert clock.instant_of(clock.coming(life.state)) == returned_at + 60 * DAY
    life.pass_time(30 * DAY)
    assert life.stage() is Stage.SUSPENDED


def test_a_report_that_is_returned_before_it_is_due_is_late_when_it_is_due() -> None:
    life = active_life()
    until(life, -20)
    life.report(1)
    life.all_sign(Response.RETURN)
    until(life, -1)
    assert of_lateness(life) == [("reminded", -3)]
    until(life, 0)
    assert of_lateness(life)[1:] == [("overdue", None)]


def test_nothing_is_told_of_a_due_date_that_moved() -> None:
    life = active_life()
    until(life, -5)
    moved = [one.model_copy(update={"due_at": one.due_at + 90 * DAY}) for one in life.state.reports]
    keep = set(ReportScheduled.model_fields)
    again = tuple(ReportScheduled(**one.model_dump(include=keep)) for one in moved)
    life.write([Happened(ReportsScheduled(reports=again))])
    known = len(of_lateness(life))
    until(life, -15)
    assert len(of_lateness(life)) == known
    until(life, 0)
    assert of_lateness(life)[known:] == [("overdue", None), ("reminded", -3)]


def plain(agreement: ProgrammeAgreement) -> ProgrammeAgreement:
    return agreement.model_copy(update={"suspension": None, "termination": None})


def test_an_agreement_that_says_nothing_of_reminders_has_none() -> None:
    agreement, proposal = three_sides()
    life = active_life((plain(agreement), proposal))
    until(life, 59)
    assert of_lateness(life) == [("overdue", None)]
    until(life, 60)
    assert (life.stage(), life.state.stage_deadline) == (Stage.SUSPENDED, None)
    life.pass_time(timedelta(days=3000))
    assert life.stage() is Stage.SUSPENDED


def test_the_document_form_of_an_agreement_without_such_rules_has_no_such_fields() -> None:
    agreement, _ = two_sides()
    form = agreement.document_form()
    assert form["reporting"]["reminders_before_days"] == [14, 3]
    assert form["suspension"] == {"notice_days": 14, "limit_days": 180}
    bare = {"period_months": 6, "overdue_limit_days": 60}
    without = (
        plain(agreement)
        .model_copy(update={"reporting": agreement.reporting.model_validate(bare)})
        .document_form()
    )
    assert without["reporting"] == bare
    assert not {"suspension", "termination"} & set(without)


@pytest.mark.parametrize(
    ("line", "written", "place"),
    [
        (
            "reminders_after_days = [7, 30]",
            "reminders_after_days = [7, 60]",
            "reporting.reminders_after_days",
        ),
        ("escalation_after_days = 14", "escalation_after_days = 61", "reporting.escalation_after_days"),
    ],
)
def test_what_would_come_after_the_suspension_is_a_fault_of_the_agreement(
    line: str, written: str, place: str
) -> None:
    with pytest.raises(AgreementFaults) as caught:
        read(SHIPPED.replace(line, written))
    (fault,) = caught.value.faults
    assert (fault.place, "suspended already" in fault.problem) == (place, True)
