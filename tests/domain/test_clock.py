"""What time brings about in an open matter: reminders, escalation, lapse; each is a fact."""

from __future__ import annotations

from datetime import timedelta

from countersign.domain import clock
from countersign.domain.matter import Outcome
from countersign.domain.stage import Stage
from tests.domain.lives import START, Life, two_sides

# In these lives il has 30 days and az 31; silence ends the matter after 45.


def told(life: Life, since: int) -> list[tuple[str, str, int | str | None]]:
    """What was written since, as action, side, and percent or office."""
    return [
        (one.action, one.body["directorate"], one.body.get("percent", one.body.get("to")))
        for one in life.entries[since:]
    ]


def test_a_silent_side_is_reminded_twice_then_escalated_then_it_is_over() -> None:
    life = Life(*two_sides()).begin()
    matter = life.state.matters[0]
    expected = [
        (15.0, [("matter.reminded", "il", 50)]),
        (15.5, [("matter.reminded", "az", 50)]),
        (24.0, [("matter.reminded", "il", 80)]),
        (24.8, [("matter.reminded", "az", 80)]),
        (30.0, [("matter.escalated", "il", "head")]),
        (31.0, [("matter.escalated", "az", "deputy_minister")]),
    ]
    for days, facts in expected:
        at = START + timedelta(days=days)
        assert clock.instant_of(clock.coming(life.state)) == at
        known = len(life.entries)
        life.pass_time(at - timedelta(seconds=1) - life.now)
        assert len(life.entries) == known
        life.pass_time(timedelta(seconds=1))
        assert told(life, known) == facts
        assert clock.passed(life.state, life.now) == []  # once
    assert clock.instant_of(clock.coming(life.state)) == matter.lapses_at
    assert life.state.matters[0].is_open
    life.pass_time(START + timedelta(days=45) - life.now)
    assert life.stage() is Stage.LAPSED
    assert life.state.matters[0].outcome is Outcome.LAPSED
    assert clock.instant_of(clock.coming(life.state)) is None


def test_what_was_slept_through_is_told_once_by_the_last_of_it() -> None:
    life = Life(*two_sides()).begin()
    known = len(life.entries)
    life.pass_time(timedelta(days=25))
    assert told(life, known) == [("matter.reminded", "il", 80), ("matter.reminded", "az", 80)]


def test_a_side_whose_position_is_in_is_left_in_peace() -> None:
    life = Life(*two_sides()).begin()
    life.sign("il")
    known = len(life.entries)
    life.pass_time(timedelta(days=25))
    life.pass_time(timedelta(days=10))
    assert told(life, known) == [
        ("matter.reminded", "az", 80),
        ("matter.escalated", "az", "deputy_minister"),
    ]


def test_a_matter_that_waits_for_a_key_alone_does_not_lapse() -> None:
    life = Life(*two_sides()).begin()
    life.away = {"az"}
    life.all_sign()
    known = len(life.entries)
    assert clock.instant_of(clock.coming(life.state)) is None
    life.pass_time(timedelta(days=400))
    assert life.entries[known:] == []
    life.away = set()
    life.settle()
    assert life.state.matters[0].outcome is Outcome.APPROVED
