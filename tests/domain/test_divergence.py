"""A tranche that only some sides have paid: the alarm, whom it tells, and what waits until it is over."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countersign.domain import clock, steps
from countersign.domain.agreement import ProgrammeAgreement, TranchePlan
from countersign.domain.agreement_file import AgreementFaults, read
from countersign.domain.audit import AuditEntry
from countersign.domain.funding import BankOutcome, PaymentState
from countersign.domain.initiative import replay
from countersign.domain.projection import Task, step_of
from countersign.domain.stage import Stage
from countersign.runtime.resources import default_agreement
from tests.domain.lives import Life, active_life, holder, three_sides, two_sides

LIMIT = timedelta(days=30)


def with_limit(agreement: ProgrammeAgreement, days: int | None) -> ProgrammeAgreement:
    plan = agreement.tranches.model_copy(update={"divergence_limit_days": days})
    return agreement.model_copy(update={"tranches": plan})


def half_paid_life(life: Life | None = None) -> Life:
    """One side's part of the first tranche is paid."""
    life = life or active_life()
    for side in life.sides:
        assert life.authorise(1, side).status == "counted"
    assert life.confirm(1, "il").status == "counted"
    return life


def alarmed_life() -> Life:
    life = half_paid_life()
    life.pass_time(LIMIT)
    return life


def alarms(life: Life) -> list[tuple[int, list[str], list[str]]]:
    return [
        (one.body["number"], one.body["paid"], one.body["unpaid"])
        for one in life.entries
        if one.action == "tranche.diverged"
    ]


def tasks(life: Life, task: Task) -> list[tuple[int, str | None, str | None]]:
    return [(one.number, one.directorate, one.office) for one in life.waited_for() if one.task is task]


def reminder_of(life: Life) -> datetime:
    """When the applicants are reminded of the first report: what comes next where no payment brings anything about."""
    return life.state.reports[0].due_at - timedelta(days=14)


def second_tranche_authorised(life: Life) -> Life:
    life.now = max(life.now, life.state.reports[0].ends_at)
    assert life.report(1).status == "counted"
    life.all_sign()
    for side in life.sides:
        assert life.authorise(2, side).status == "counted"
    return life


def test_the_alarm_comes_when_the_limit_is_over_once_and_tells_every_sides_secretariat() -> None:
    life = half_paid_life()
    paid_at = life.state.tranches[0].shares["il"].paid_at
    assert paid_at == life.now
    assert clock.instant_of(clock.coming(life.state)) == life.now + LIMIT
    life.pass_time(LIMIT - timedelta(seconds=1))
    assert (alarms(life), tasks(life, Task.DIVERGED)) == ([], [])
    life.pass_time(timedelta(seconds=1))
    assert alarms(life) == [(1, ["il"], ["az"])]
    assert tasks(life, Task.DIVERGED) == [(1, "il", "secretariat"), (1, "az", "secretariat")]
    assert clock.instant_of(clock.coming(life.state)) == reminder_of(life)
    life.pass_time(timedelta(days=400))
    assert len(alarms(life)) == 1
    # Nothing has to be entered for it: it is over when the missing part is paid.
    assert life.confirm(1, "az").status == "counted"
    assert tasks(life, Task.DIVERGED) == []
    assert not life.state.tranches[0].is_diverged


def test_subscribers_hear_who_has_paid_and_who_has_not() -> None:
    life = half_paid_life()
    before = life.state
    life.pass_time(LIMIT)
    (event,) = step_of(before, life.state, life.entries[before.sequence :]).events
    assert event.type == "tranche.diverged"
    told = {key: event.data[key] for key in ("number", "paid", "unpaid")}
    assert told == {"number": 1, "paid": ["il"], "unpaid": ["az"]}


def test_a_tranche_that_every_side_pays_in_time_and_one_that_none_does_alarm_nobody() -> None:
    paid = half_paid_life()
    paid.pass_time(LIMIT - timedelta(days=1))
    paid.confirm(1, "az")
    nobody = active_life()
    for life in (paid, nobody):
        life.pass_time(timedelta(days=100))
        assert alarms(life) == []


def test_where_the_agreement_has_no_limit_there_is_no_alarm() -> None:
    agreement, proposal = two_sides()
    life = half_paid_life(active_life((with_limit(agreement, None), proposal)))
    assert clock.instant_of(clock.coming(life.state)) == reminder_of(life)
    life.pass_time(timedelta(days=100))
    assert alarms(life) == []
    second_tranche_authorised(life)
    assert all(one.state is PaymentState.INSTRUCTED for one in life.state.tranches[1].shares.values())


def test_later_tranches_are_authorised_and_not_released_until_the_missing_part_is_paid() -> None:
    life = second_tranche_authorised(alarmed_life())
    second = life.state.tranches[1]
    assert {one.state for one in second.shares.values()} == {PaymentState.AUTHORISED}
    assert steps.released(life.state) == ()
    assert tasks(life, Task.INSTRUCT) == []
    assert tasks(life, Task.HELD_BACK) == [(2, "il", None), (2, "az", None)]
    assert life.hold(2, "il").code == "out_of_order"
    assert life.confirm(2, "il").code == "out_of_order"
    life.confirm(1, "az")
    assert {one.state for one in life.state.tranches[1].shares.values()} == {PaymentState.INSTRUCTED}
    assert tasks(life, Task.HELD_BACK) == []


def test_the_missing_part_itself_is_not_held_back() -> None:
    life = active_life()
    life.away = {"az"}
    half_paid_life(life)
    life.away = set()
    life.now += LIMIT
    life.write(clock.passed(life.state, life.now))
    assert tasks(life, Task.INSTRUCT) == [(1, "az", None)]
    life.settle()
    assert life.confirm(1, "az").status == "counted"


def test_money_that_comes_back_on_one_side_only_is_an_alarm_too() -> None:
    life = half_paid_life()
    assert life.confirm(1, "az").status == "counted"
    life.pass_time(timedelta(days=10))
    told = next(one for one in life.state.tranches[0].shares["il"].instructions if one.is_money)
    assert life.bank(1, "il", BankOutcome.RETURNED, told).status == "counted"
    assert life.state.tranches[0].shares["il"].paid_at is None
    assert alarms(life) == []
    life.pass_time(timedelta(days=20))
    assert alarms(life) == [(1, ["az"], ["il"])]
    second_tranche_authorised(life)
    assert tasks(life, Task.HELD_BACK) != []
    life.authorise(1, "il")
    life.confirm(1, "il")
    assert tasks(life, Task.HELD_BACK) == tasks(life, Task.DIVERGED) == []


def test_what_comes_back_after_the_alarm_was_over_holds_later_tranches_back_again() -> None:
    life = alarmed_life()
    life.confirm(1, "az")
    told = next(one for one in life.state.tranches[0].shares["az"].instructions if one.is_money)
    life.bank(1, "az", BankOutcome.RETURNED, told)
    assert tasks(life, Task.DIVERGED) != []
    second_tranche_authorised(life)
    assert tasks(life, Task.HELD_BACK) != []
    assert len(alarms(life)) == 1


def test_a_held_part_is_a_missing_one() -> None:
    life = active_life()
    for side in life.sides:
        life.authorise(1, side)
    told = next(one for one in life.state.tranches[0].shares["az"].instructions if one.is_money)
    life.bank(1, "az", BankOutcome.RETURNED, told)
    life.hold(1, "az")
    life.confirm(1, "il")
    life.pass_time(LIMIT)
    assert alarms(life) == [(1, ["il"], ["az"])]
    assert tasks(life, Task.RESUME) == [(1, "az", "finance_officer")]


def test_of_three_sides_the_first_payment_counts_and_a_side_without_a_secretariat_is_told_by_its_head() -> (
    None
):
    agreement, proposal = three_sides()
    life = half_paid_life(active_life((with_limit(agreement, 30), proposal)))
    life.pass_time(timedelta(days=29))
    life.confirm(1, "az")
    life.pass_time(timedelta(days=1))
    assert alarms(life) == [(1, ["il", "az"], ["ge"])]
    offices = {side: [one.id for one in agreement.directorate_of(side).office] for side in life.sides}  # type: ignore[union-attr]
    expected = {
        side: "secretariat" if "secretariat" in offices[side] else life.state.terms.sides[side].head
        for side in life.sides
    }
    assert {side: office for _, side, office in tasks(life, Task.DIVERGED)} == expected
    assert set(expected.values()) != {"secretariat"}


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(1, 60))
@settings(max_examples=40, deadline=None)
def test_however_time_passes_the_alarm_stands_exactly_from_the_limit_on(days: list[int], limit: int) -> None:
    agreement, proposal = two_sides()
    life = half_paid_life(active_life((with_limit(agreement, limit), proposal)))
    gone = 0
    for one in days:
        life.pass_time(timedelta(days=one))
        gone += one
        assert bool(alarms(life)) == (gone >= limit) == life.state.tranches[0].is_diverged
        # Nothing that is due by now is still to come, or the workflow would wait for what has been.
        at = clock.instant_of(clock.coming(life.state))
        assert at is None or at > life.now


def test_an_initiative_closes_with_every_alarm_over() -> None:
    life = alarmed_life().reach(Stage.CLOSED)
    assert tasks(life, Task.DIVERGED) == []
    assert all(one.is_paid for one in life.state.tranches)


def test_the_trail_tells_it_again() -> None:
    life = active_life()
    empty, known = life.state, len(life.entries)
    half_paid_life(life).pass_time(LIMIT)
    entries = [AuditEntry.model_validate_json(one.model_dump_json()) for one in life.entries[known:]]
    assert replay(empty, entries) == life.state


# ---- the agreement


def test_an_agreement_without_the_limit_has_the_content_hash_it_had() -> None:
    agreement, _ = two_sides()
    without = with_limit(agreement, None)
    assert set(without.document_form()["tranches"]) == {"on_signature", "on_reports", "on_closure"}
    assert agreement.document_form()["tranches"]["divergence_limit_days"] == 30
    assert without.content_hash() != agreement.content_hash()
    again = TranchePlan.model_validate(without.tranches.model_dump(mode="json"))
    assert again.divergence_limit_days is None


@pytest.mark.parametrize("written", ["0", "-1", '"soon"', "4000", "1.5"])
def test_a_limit_that_is_no_number_of_days_is_a_fault_with_its_line(written: str) -> None:
    text = default_agreement().read_text(encoding="utf-8")
    line = "divergence_limit_days = 30"
    assert text.count(line) == 1
    with pytest.raises(AgreementFaults) as raised:
        read(text.replace(line, f"divergence_limit_days = {written}"))
    (fault,) = raised.value.faults
    assert fault.place == "tranches.divergence_limit_days"
    assert fault.line == text[: text.index(line)].count("\n") + 1


def test_the_officer_who_pays_late_is_the_one_who_is_waited_for() -> None:
    life = alarmed_life()
    assert tasks(life, Task.CONFIRM) == [(1, "az", "finance_officer")]
    assert life.confirm(1, "az", holder("az", "finance_officer", "first")).code == "four_eyes"
