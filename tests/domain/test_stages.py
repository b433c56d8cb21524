"""The stages: every legal move, and that there is no other."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from countersign.domain import clock, steps
from countersign.domain.agreement import MatterKind
from countersign.domain.errors import RuleBroken
from countersign.domain.facts import Happened, StageEntered
from countersign.domain.initiative import entries_for
from countersign.domain.matter import Outcome, Response
from countersign.domain.stage import BEFORE_ACTIVE, COMPLAINABLE, OPENS, TERMINAL, TRANSITIONS, Stage
from tests.domain.lives import START, Life, active_life, holder, three_sides, two_sides


@pytest.mark.parametrize(("before", "after"), list(itertools.product([None, *Stage], Stage)))
def test_a_move_is_legal_or_it_raises(before: Stage | None, after: Stage) -> None:
    life = Life(*two_sides())
    state = life.state.model_copy(update={"stage": before})
    move = [Happened(StageEntered(stage=after, before=before))]
    if after in TRANSITIONS[before]:
        assert entries_for(state, move, START)[0].stage is after
    else:
        with pytest.raises(RuleBroken, match="stage_closed"):
            entries_for(state, move, START)


def test_the_terminal_stages_are_those_of_the_design_and_have_no_exit() -> None:
    assert {
        "closed", "ineligible", "not_approved", "withdrawn", "lapsed", "terminated",
    } == TERMINAL  # fmt: skip
    # Only an upheld complaint leads out again: into the decision on what was refused, and of a termination to where all
    # sides decide whether it goes on.
    assert {stage: TRANSITIONS[stage] for stage in TERMINAL if TRANSITIONS[stage]} == {
        Stage.INELIGIBLE: {Stage.DECISION},
        Stage.NOT_APPROVED: {Stage.DECISION},
        Stage.TERMINATED: {Stage.SUSPENDED},
    }
    assert {Stage.INELIGIBLE, Stage.NOT_APPROVED} == COMPLAINABLE
    assert all(TRANSITIONS[stage] for stage in set(Stage) - TERMINAL)
    assert set(TRANSITIONS) == {None, *Stage}


def test_every_stage_can_be_reached_and_left_towards_an_end() -> None:
    reached: set[Stage] = set()
    edge: set[Stage | None] = {None}
    while edge:
        following = {stage for before in edge for stage in TRANSITIONS[before]} - reached
        reached |= following
        edge = set(following)
    assert reached == set(Stage)
    assert all(Stage.WITHDRAWN in TRANSITIONS[stage] for stage in BEFORE_ACTIVE)
    assert all(Stage.WITHDRAWN not in TRANSITIONS[stage] for stage in set(Stage) - BEFORE_ACTIVE)


def test_every_outcome_leads_along_a_legal_move() -> None:
    for stage, kind in OPENS.items():
        assert set(steps.NEXT[kind].values()) <= TRANSITIONS[stage]
    for stage in COMPLAINABLE:
        assert set(steps.NEXT[MatterKind.COMPLAINT].values()) == TRANSITIONS[stage]


@pytest.mark.parametrize("sides", [two_sides, three_sides])
def test_everybody_approving_leads_to_closed(sides: object) -> None:
    life = Life(*(two_sides() if sides is two_sides else three_sides())).begin().reach(Stage.CLOSED)
    assert life.state.is_over
    assert not life.waited_for()
    kinds = [one.kind for one in life.state.matters if one.kind is not MatterKind.REPORT]
    assert kinds == [MatterKind.CLEARANCE, MatterKind.PROPOSAL, MatterKind.AGREEMENT, MatterKind.CLOSURE]


@pytest.mark.parametrize(
    ("kind", "response", "stage"),
    [
        (MatterKind.CLEARANCE, Response.REFUSE, Stage.INELIGIBLE),
        (MatterKind.CLEARANCE, Response.RETURN, Stage.REVISION),
        (MatterKind.PROPOSAL, Response.REFUSE, Stage.NOT_APPROVED),
        (MatterKind.PROPOSAL, Response.RETURN, Stage.REVISION),
        (MatterKind.PROPOSAL, Response.APPROVE_WITH_CONDITIONS, Stage.CONDITIONS),
        (MatterKind.AGREEMENT, Response.REFUSE, Stage.NOT_APPROVED),
        (MatterKind.AGREEMENT, Response.RETURN, Stage.CONTRACTING),
        (MatterKind.CLOSURE, Response.REFUSE, Stage.CLOSING),
        (MatterKind.CLOSURE, Response.RETURN, Stage.CLOSING),
    ],
)
def test_where_one_sides_answer_leads_when_the_other_approves(
    kind: MatterKind, response: Response, stage: Stage
) -> None:
    before = next(one for one, opened in OPENS.items() if opened is kind)
    life = Life(*two_sides()).begin().reach(before)
    number = len(life.state.matters)
    life.carry("il", response, matter=life.state.matter(number))
    assert life.stage() is before
    assert set(life.state.matters[number - 1].positions) == {"il"}
    life.carry("az", matter=life.state.matter(number))
    assert life.stage() is stage
    if stage is before:
        assert life.state.matters[-1].number == number + 1
        assert life.state.matters[-1].kind is kind
        assert life.state.matters[-1].is_open


def test_a_new_version_goes_through_everything_again_and_keeps_nothing_of_the_old_one() -> None:
    life = Life(*two_sides()).begin()
    life.all_sign()
    life.all_sign(Response.RETURN)
    old = life.state.content_hash
    assert life.revise().status == "counted"
    assert (life.stage(), life.state.version) == (Stage.ELIGIBILITY, 2)
    assert life.state.content_hash != old
    opened = life.state.matters[-1]
    assert (opened.kind, opened.content_hash) == (MatterKind.CLEARANCE, life.state.content_hash)
    assert not opened.counted
    answer = life.sign("il", content_hash=old)
    assert (answer.status, answer.code) == ("refused", "stale_content")


def test_conditions_are_cleared_by_the_side_that_set_them_once_there_is_evidence() -> None:
    life = Life(*two_sides()).begin()
    life.all_sign()
    life.all_sign(Response.APPROVE_WITH_CONDITIONS)
    assert [one.directorate for one in life.state.conditions] == ["il", "az"]
    assert [one.deadline for one in life.state.conditions] == [life.now + timedelta(days=60)] * 2
    written = [entry.action for entry in life.entries]
    assert written[-3:] == ["stage.entered", "commitment.fixed", "condition.set"]
    own, other = life.state.matters[-1].chains["il"][0].office, life.state.matters[-1].chains["az"][0].office
    assert life.clear(1, holder("il", own)).code == "out_of_order"
    assert life.give_evidence(1, holder("il", own)).code == "forbidden"
    assert life.give_evidence(3).code == "not_found"
    assert life.give_evidence(1).status == "counted"
    assert life.clear(1, holder("az", other)).code == "not_your_office"
    assert life.clear(1, holder("il", own)).status == "counted"
    assert life.clear(1, holder("il", own)).code == "out_of_order"
    assert life.give_evidence(1).code == "out_of_order"
    assert life.stage() is Stage.CONDITIONS
    assert life.give_evidence(2).status == "counted"
    assert life.clear(2, holder("az", other)).status == "counted"
    assert life.stage() is Stage.CONTRACTING


@pytest.mark.parametrize("stage", sorted(BEFORE_ACTIVE - {Stage.SUBMITTED, Stage.REVISION, Stage.CONDITIONS}))
def test_a_withdrawal_ends_it_and_leaves_nothing_open(stage: Stage) -> None:
    life = Life(*two_sides()).begin().reach(stage)
    assert life.withdraw(
        life.applicant.model_copy(update={"person": "applicants/stranger", "contact": None})
    ).code == ("forbidden")
    assert life.withdraw().status == "counted"
    assert life.stage() is Stage.WITHDRAWN
    assert life.state.matters[-1].outcome is Outcome.VOID
    assert not life.waited_for()
    assert life.withdraw().code == "stage_closed"


def test_an_active_initiative_is_not_withdrawn() -> None:
    assert active_life().withdraw().code == "stage_closed"


@pytest.mark.parametrize("stage", [Stage.ELIGIBILITY, Stage.DECISION, Stage.CONTRACTING])
def test_silence_is_never_consent(stage: Stage) -> None:
    life = Life(*two_sides()).begin().reach(stage)
    number = len(life.state.matters)
    life.carry("il")
    matter = life.state.matters[number - 1]
    assert matter.missing == ("az",)
    assert matter.lapses_at is not None
    life.pass_time(matter.lapses_at - life.now)
    assert life.stage() is Stage.LAPSED
    assert life.state.matters[number - 1].outcome is Outcome.LAPSED
    lapsed = next(entry for entry in life.entries if entry.action == "matter.lapsed")
    assert lapsed.body["silent"] == ["az"]


def test_nothing_is_put_anew_before_the_sides_once_the_applicant_has_withdrawn() -> None:
    """The step counts working days before its turn comes; a withdrawal may come in between."""
    life = Life(*two_sides()).begin().reach(Stage.CONTRACTING)
    number = len(life.state.matters)
    state = life.state
    for side in ("il", "az"):
        life.carry(side, Response.RETURN, matter=state.matter(number))
    assert len(life.state.matters) == number + 1
    life.withdraw()
    assert steps.reopen(life.state, Stage.CONTRACTING, number, life.deadlines()) == []


def test_what_was_put_anew_and_approved_meanwhile_is_not_put_anew_again() -> None:
    """A step that adopted what a lost attempt had written asks its rule again (ADR 0007)."""
    life = Life(*two_sides()).begin().reach(Stage.CONTRACTING)
    life.carry("il")
    last = life.open_matter()
    assert last is not None
    approved = last.model_copy(update={"outcome": Outcome.APPROVED})
    state = life.state.model_copy(update={"matters": (*life.state.matters[:-1], approved)})
    assert steps.reopen(state, Stage.CONTRACTING, last.number, life.deadlines()) == []


def test_a_step_that_was_taken_already_gives_nothing() -> None:
    life = Life(*two_sides()).begin()
    deadlines = life.deadlines()
    assert steps.submitted(life.state, life.examined, life.state.content_hash) == []
    assert steps.eligibility(life.state, 1, deadlines) == []
    life.all_sign()
    assert steps.enter(life.state, Stage.ELIGIBILITY, Stage.DECISION, deadlines=deadlines) == []
    life.reach(Stage.ACTIVE)
    assert steps.activate(life.state, ()) == []
    assert steps.instructed(life.state, 1, {}) == []
    life.reach(Stage.CLOSED)
    assert clock.passed(life.state, life.now) == []
    assert steps.release_closing_tranche(life.state) == []
