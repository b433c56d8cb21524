"""Report periods: no gap between them, no day that does not exist."""

from __future__ import annotations

import calendar
import itertools
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from countersign.domain.amounts import Amount
from countersign.domain.matter import Response
from countersign.domain.proposal import summarise
from countersign.domain.reporting import (
    Report,
    ReportState,
    add_months,
    costs_per_side,
    periods,
    report_faults,
)
from countersign.domain.stage import Stage
from tests.domain.lives import Life, active_life, two_sides

instants = st.datetimes(datetime(2020, 1, 1), datetime(2080, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(instants, st.integers(1, 120), st.integers(1, 24))
def test_the_periods_cover_the_duration_without_a_gap(start: datetime, duration: int, every: int) -> None:
    some = periods(start, duration, every)
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    assert some[0].starts_at == midnight
    assert some[-1].ends_at == add_months(midnight, duration)
    assert all(one.ends_at == other.starts_at for one, other in itertools.pairwise(some))
    assert all(one.starts_at < one.ends_at for one in some)
    assert [one.number for one in some] == list(range(1, len(some) + 1))
    assert [one.final for one in some] == [False] * (len(some) - 1) + [True]
    assert len(some) == -(-duration // every)


@given(instants, st.integers(0, 200))
def test_months_later_is_the_same_day_or_the_last_one_of_a_shorter_month(
    start: datetime, months: int
) -> None:
    later = add_months(start, months)
    assert (later.year * 12 + later.month) - (start.year * 12 + start.month) == months
    assert later.day == min(start.day, calendar.monthrange(later.year, later.month)[1])
    assert later.timetz() == start.timetz()


def test_an_initiative_that_begins_on_the_last_of_january_does_not_drift_to_the_28th() -> None:
    ends = [
        one.ends_at.date().isoformat() for one in periods(datetime(2027, 1, 31, 23, 59, tzinfo=UTC), 5, 1)
    ]
    assert ends == ["2027-02-28", "2027-03-31", "2027-04-30", "2027-05-31", "2027-06-30"]
    assert add_months(datetime(2028, 1, 31, tzinfo=UTC), 1).day == 29  # a leap year


def test_the_first_day_is_that_of_utc() -> None:
    baku = timezone(timedelta(hours=4))
    assert periods(datetime(2027, 6, 1, 3, 0, tzinfo=baku), 6, 6)[0].starts_at == datetime(
        2027, 5, 31, tzinfo=UTC
    )


# ---- what a report says

_, PROPOSAL = two_sides()
SUMMARY = summarise(PROPOSAL)
CURRENCIES = {"il": "ILS", "az": "AZN"}


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
    assert report_faults(report, SUMMARY, CURRENCIES) == []
    assert costs_per_side(report, SUMMARY) == {
        "il": (Amount(2, "GPUh"), Amount(12, "ILS")),
        "az": (Amount(3, "AZN"),),
    }


def test_a_cost_of_a_stranger_or_in_the_other_sides_currency_is_named_with_its_place() -> None:
    report = a_report(("dugma", 5, "ILS"), ("nobody", 5, "ILS"), ("dugma", 5, "AZN"), ("numune", 5, "USD"))
    found = report_faults(report, SUMMARY, CURRENCIES)
    assert [(one.place, one.rule) for one in found] == [
        ("costs[1].partner", "reference"),
        ("costs[2].amount", "currency"),
        ("costs[3].amount", "currency"),
    ]


def test_costs_that_add_up_to_more_than_a_record_can_hold_are_refused_as_a_fault() -> None:
    """Amounts end at 10**15 minor units; a sum beyond that cannot be read back from a history."""
    report = a_report(("dugma", 10**15, "ILS"), ("dugma", 10**15, "ILS"))
    assert report_faults(report, SUMMARY, CURRENCIES)


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
