"""Reports on milestones beside the regular ones, when these are waived, and milestones come and go."""

from __future__ import annotations

from collections.abc import Mapping

from countersign.domain.reporting import ReportState
from countersign.domain.schedule import add_months
from tests.amendments import with_milestones
from tests.domain.lives import Life, active_life, body_of


def with_some(life: Life, months: Mapping[str, int]) -> Life:
    """Every side approves these milestones and no others."""
    assert life.amend(**with_milestones(body_of(life.proposal_in_force), months)).status == "counted"
    life.all_sign()
    return life


def test_a_side_that_did_without_a_milestones_report_has_not_done_without_the_one_that_follows() -> None:
    life = with_some(active_life(), {"plan": 2})
    assert life.waive(1, "il").status == "counted"
    with_some(life, {})
    first = life.state.reports[0]
    assert (first.milestone, first.waived_by) == (None, None)
    life.waive(1, "az")
    assert life.state.reports[0].state is ReportState.SCHEDULED


def test_what_a_side_did_without_stays_so_while_other_milestones_change() -> None:
    life = with_some(active_life(), {"plan": 2})
    assert life.waive(1, "il").status == "counted"
    with_some(life, {"plan": 2, "pilot": 9})
    assert life.state.reports[0].waived_by == ("il",)


def test_a_milestone_inside_a_period_that_is_waived_already_is_on_the_time_up_to_it() -> None:
    life = active_life()
    start = life.state.reports[0].starts_at
    for side in life.sides:
        life.waive(1, side)
    with_some(life, {"plan": 3, "pilot": 6, "later": 8})
    found = [(one.milestone, one.starts_at, one.ends_at) for one in life.state.reports]
    six, twelve = add_months(start, 6), add_months(start, 12)
    assert found == [
        (None, start, six),
        ("plan", start, add_months(start, 3)),
        ("pilot", start, six),
        ("later", six, add_months(start, 8)),
        (None, six, twelve),
        (None, twelve, add_months(start, 18)),
    ]
