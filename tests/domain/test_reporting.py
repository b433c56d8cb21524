"""Reports: what one says, doing without one, and when one may come."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from countersign.domain.amounts import Amount
from countersign.domain.matter import Response
from countersign.domain.proposal import summarise
from countersign.domain.reporting import (
    Against,
    Report,
    ReportState,
    costs_per_side,
    financial_statement,
    report_faults,
)
from countersign.domain.schedule import ReportKind
from countersign.domain.stage import Stage
from tests.domain.lives import START, Life, active_life, holder, two_sides

# ---- what a report says

_, PROPOSAL = two_sides()
SUMMARY = summarise(PROPOSAL)
AGAINST = Against(
    summary=SUMMARY,
    currencies={"il": "ILS", "az": "AZN"},
    work_packages={1: ("A result",), 2: ()},
    began_at=START,
    ends_at=START + timedelta(days=180),
)


def a_report(*costs: tuple[str, int, str]) -> Report:
    lines: list[dict[str, Any]] = [
        {
            "partner": p,
            "category": "compute" if u == "GPUh" else "travel",
            "description": "A trip",
            "amount": {"minor": m, "unit": u},
        }
        for p, m, u in costs
    ]
    return Report.model_validate({"narrative": {"en": "It went well."}, "costs": lines})


def test_costs_are_summed_per_side_and_unit() -> None:
    report = a_report(("dugma", 5, "ILS"), ("dugma", 7, "ILS"), ("dugma", 2, "GPUh"), ("numune", 3, "AZN"))
    assert report_faults(report, AGAINST) == []
    assert costs_per_side(report, SUMMARY) == {
        "il": (Amount(2, "GPUh"), Amount(12, "ILS")),
        "az": (Amount(3, "AZN"),),
    }


def test_a_cost_of_a_stranger_or_in_the_other_sides_currency_is_named_with_its_place() -> None:
    report = a_report(("dugma", 5, "ILS"), ("nobody", 5, "ILS"), ("dugma", 5, "AZN"), ("numune", 5, "USD"))
    found = report_faults(report, AGAINST)
    assert [(one.place, one.rule) for one in found] == [
        ("costs[1].partner", "reference"),
        ("costs[2].amount", "currency"),
        ("costs[3].amount", "currency"),
    ]


def test_costs_that_add_up_to_more_than_a_record_can_hold_are_refused_as_a_fault() -> None:
    """Amounts end at 10**15 minor units; a sum beyond that cannot be read back from a history."""
    report = a_report(("dugma", 10**15, "ILS"), ("dugma", 10**15, "ILS"))
    assert report_faults(report, AGAINST)


def places(report: Report, against: Against = AGAINST) -> list[tuple[str, str]]:
    return [(one.place, one.rule) for one in report_faults(report, against)]


def test_a_progress_report_has_no_accounts_and_a_financial_one_needs_no_narrative() -> None:
    told, spent = a_report(), a_report(("dugma", 5, "ILS"))
    silent = spent.model_copy(update={"narrative": {}})
    progress = AGAINST.model_copy(update={"kind": ReportKind.PROGRESS})
    financial = AGAINST.model_copy(update={"kind": ReportKind.FINANCIAL})
    assert places(told, progress) == places(spent, financial) == places(silent, financial) == []
    assert places(spent, progress) == [("costs", "kind")]
    assert (
        places(silent) == places(silent.model_copy(update={"costs": ()}), progress) == [("narrative", "kind")]
    )


def test_only_a_report_on_a_milestone_says_when_it_was_reached() -> None:
    reached = a_report().model_copy(update={"reached_on": START.date()})
    on_it = AGAINST.model_copy(update={"kind": ReportKind.PROGRESS, "milestone": "pilot"})
    assert places(reached, on_it) == places(a_report(), on_it) == []
    assert places(reached) == [("reached_on", "kind")]
    assert Report.model_validate(reached.document_form()) == reached


def with_dates(*days: date) -> Report:
    report = a_report(*(("dugma", 5, "ILS") for _ in days))
    lines = [
        line.model_copy(update={"incurred_on": day}) for line, day in zip(report.costs, days, strict=True)
    ]
    return report.model_copy(update={"costs": tuple(lines)})


def test_costs_lie_between_the_beginning_of_the_initiative_and_the_end_of_the_period() -> None:
    first, last = START.date(), (START + timedelta(days=180)).date()
    day = timedelta(days=1)
    assert places(with_dates(first - day, first, last, last + day)) == []  # whose day it is depends on where
    assert places(with_dates(first - 2 * day, last + 2 * day)) == [
        ("costs[0].incurred_on", "period"),
        ("costs[1].incurred_on", "period"),
    ]


def test_progress_and_outputs_are_held_against_the_work_packages_of_the_proposal() -> None:
    report = Report.model_validate(
        {
            "narrative": {"en": "It went well."},
            "progress": [
                {"work_package": 1, "status": "on_time", "delivered": ["A result", "Another"]},
                {"work_package": 3, "status": "late"},
                {"work_package": 1, "status": "done"},
            ],
            "outputs": [
                {"kind": "data_set", "title": "Recordings", "work_package": 2},
                {"kind": "software", "title": "A detector", "work_package": 9},
                {"kind": "event", "title": "A workshop"},
            ],
        }
    )
    assert places(report) == [
        ("progress[0].delivered[1]", "reference"),
        ("progress[1].work_package", "reference"),
        ("progress[2].work_package", "unique"),
        ("outputs[1].work_package", "reference"),
    ]


def test_a_report_that_says_no_more_than_reports_once_could_keeps_its_hash() -> None:
    report = a_report(("dugma", 5, "ILS"))
    form = report.document_form()
    assert set(form) == {"narrative", "deliverables", "costs"}
    assert set(form["costs"][0]) == {"partner", "category", "description", "amount"}
    assert Report.model_validate(form) == report
    more = with_dates(START.date())
    assert Report.model_validate(more.document_form()) == more


def test_the_financial_statement_is_per_partner_and_category() -> None:
    report = a_report(("dugma", 5, "ILS"), ("dugma", 7, "ILS"), ("dugma", 2, "GPUh"), ("numune", 3, "AZN"))
    assert financial_statement(report) == {
        "dugma": {"travel": (Amount(12, "ILS"),), "compute": (Amount(2, "GPUh"),)},
        "numune": {"travel": (Amount(3, "AZN"),)},
    }


# ---- doing without one


def test_a_report_that_every_side_does_without_is_waived_and_releases_its_tranche() -> None:
    life = active_life()
    life.pay(1)
    assert life.waive(1, "il", holder("il", "head")).code == "not_your_office"
    assert life.waive(1, "il").status == "counted"
    assert state_of(life) is ReportState.SCHEDULED
    assert life.waive(1, "il").code == "out_of_order"
    assert life.waive(2, "az").code == "out_of_order"
    assert life.waive(1, "az").status == "counted"
    assert state_of(life) is ReportState.WAIVED
    assert [one.action for one in life.entries[-3:]] == [
        "report.waiver_given",
        "report.waived",
        "tranche.due",
    ]
    life.now = life.state.reports[1].ends_at
    assert life.report(1).code == "out_of_order"
    assert life.report(2).status == "counted"


def test_a_report_that_comes_after_one_side_waived_it_is_reviewed_by_both() -> None:
    life = active_life()
    life.waive(1, "il")
    life.now = life.state.reports[0].ends_at
    assert life.report(1).status == "counted"
    assert life.state.reports[0].waived_by is None
    assert life.waive(1, "az").code == "out_of_order"
    life.sign("il", Response.RETURN)
    life.sign("az")
    assert life.waive(1, "az").status == "counted"
    assert state_of(life) is ReportState.CHANGES_REQUESTED


def test_the_final_report_is_never_waived() -> None:
    life = active_life()
    assert life.waive(len(life.state.reports), "il").code == "invalid"


# ---- when a report may come


def state_of(life: Life) -> ReportState:
    return life.state.reports[0].state


def test_a_report_comes_after_its_period_in_order_and_from_a_participant() -> None:
    life = active_life()
    assert life.report(1).code == "not_due"
    assert life.report(9).code == "not_found"
    life.now = life.state.reports[1].ends_at
    assert life.report(2).code == "out_of_order"
    assert life.report(1, caller=life.applicant.model_copy(update={"directorate": "il"})).code == "forbidden"
    assert life.report(1).status == "counted"
    assert life.report(1).code == "out_of_order"


def test_a_report_that_was_returned_comes_again_and_releases_its_tranche_once_accepted() -> None:
    life = active_life()
    life.pay(1)
    life.now = life.state.reports[0].ends_at
    life.report(1, 50)
    life.sign("il", Response.RETURN)
    assert state_of(life) is ReportState.SUBMITTED  # the other side is still waited for
    life.sign("az")
    assert state_of(life) is ReportState.CHANGES_REQUESTED
    assert life.authorise(2, "il").code == "out_of_order"
    assert life.report(1, 100).status == "counted"
    life.all_sign()
    assert state_of(life) is ReportState.ACCEPTED
    assert life.state.reports[0].version == 2
    assert life.authorise(2, "il").status == "counted"


def test_a_report_that_does_not_come_falls_overdue_and_may_still_come() -> None:
    life = active_life()
    life.pay(1)
    life.pass_time(life.state.reports[0].due_at - life.now)
    assert state_of(life) is ReportState.OVERDUE
    life.report(1)
    life.all_sign()
    assert state_of(life) is ReportState.ACCEPTED


def test_the_final_report_leads_to_the_closing() -> None:
    life = active_life()
    while life.state.next_report() is not None:
        assert life.stage() is Stage.ACTIVE
        life.go_on()
    assert life.stage() is Stage.CLOSING
    assert life.state.reports[-1].final
