"""The joint decision: who may sign, what a chain comes to, what the sides' positions come to, who sees what."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from countersign.domain import matter as matters
from countersign.domain import steps
from countersign.domain.agreement import ChainStep, MatterKind
from countersign.domain.amounts import Amount
from countersign.domain.canonical import content_hash
from countersign.domain.decision import joint_decision
from countersign.domain.errors import RuleBroken
from countersign.domain.mandate import Mandate
from countersign.domain.matter import Caller, Counted, Matter, Outcome, Position, Response, SignOff
from countersign.domain.projection import Task
from countersign.domain.stage import Stage
from tests.domain.lives import START, Life, holder, two_sides, with_chain

HASH, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
LATER = START + timedelta(days=30)
HEAD = (ChainStep(office="head"),)


def a_matter(kind: MatterKind = MatterKind.PROPOSAL, **changes: Any) -> Matter:
    values = {
        "number": 1,
        "kind": kind,
        "content_hash": HASH,
        "opened_at": START,
        "chains": {"il": HEAD, "az": HEAD},
        "deadlines": {"il": LATER, "az": LATER + timedelta(days=1)},
        "lapses_at": LATER + timedelta(days=10),
    }
    return Matter.model_validate(values | changes)


def signed(matter: Matter, side: str = "il", who: str = "a", office: str = "head", **fields: Any) -> SignOff:
    values = {
        "id": "one",
        "matter": matter.number,
        "response": "approve",
        "content_hash": HASH,
        "caller": holder(side, office, who),
    }
    return SignOff.model_validate(values | fields)


def count(matter: Matter, sign_off: SignOff, barred: frozenset[str] = frozenset()) -> Matter:
    """The matter after a sign-off, with the position that it may bring about."""
    counted = matters.count(matter, sign_off, barred, START)
    gathered = (*matter.counted, counted)
    position = matters.position(matter, counted.directorate, gathered)
    positions = matter.positions | ({counted.directorate: position} if position else {})
    return matter.model_copy(update={"counted": gathered, "positions": positions})


def a_mandate(delegate: Caller, **changes: Any) -> Mandate:
    """One of ``il/absent``, for the head's office, from a day before the start to a day after."""
    values = {
        "id": "m",
        "directorate": "il",
        "delegator": "il/absent",
        "delegate": delegate.person,
        "offices": ("head",),
        "kinds": tuple(MatterKind),
        "valid_from": START - timedelta(days=1),
        "valid_to": START + timedelta(days=1),
        "given_at": START - timedelta(days=1),
    }
    return Mandate.model_validate(values | changes)


def code_of(
    matter: Matter,
    sign_off: SignOff,
    barred: frozenset[str] = frozenset(),
    mandates: tuple[Mandate, ...] = (),
) -> str | None:
    try:
        matters.count(matter, sign_off, barred, START, mandates=mandates)
    except RuleBroken as broken:
        return broken.code
    return None


# ---- the outcome


def told_by_hand(responses: tuple[str, ...]) -> str:
    """The rule of the design, written a second time: any refusal, else any return, else any condition."""
    if "refuse" in responses:
        return "refused"
    if "return" in responses:
        return "returned"
    return "approved_with_conditions" if "approve_with_conditions" in responses else "approved"


@pytest.mark.parametrize("sides", [("il", "az"), ("il", "az", "ge")])
def test_the_outcome_of_every_combination_of_positions(sides: tuple[str, ...]) -> None:
    combinations = list(itertools.product(Response, repeat=len(sides)))
    assert len(combinations) == 4 ** len(sides)
    for responses in combinations:
        outcome = matters.outcome(sides, dict(zip(sides, responses, strict=True)))
        assert outcome == told_by_hand(tuple(one.value for one in responses)), responses


@pytest.mark.parametrize("sides", [("il", "az"), ("il", "az", "ge")])
def test_there_is_no_outcome_while_a_position_is_missing_not_even_after_a_refusal(
    sides: tuple[str, ...],
) -> None:
    for missing in range(1, len(sides) + 1):
        for there in itertools.combinations(sides, len(sides) - missing):
            for responses in itertools.product(Response, repeat=len(there)):
                assert matters.outcome(sides, dict(zip(there, responses, strict=True))) is None


@pytest.mark.parametrize(
    ("response", "outcome"),
    [
        (Response.APPROVE, Outcome.APPROVED),
        (Response.APPROVE_WITH_CONDITIONS, Outcome.APPROVED_WITH_CONDITIONS),
        (Response.RETURN, Outcome.RETURNED),
        (Response.REFUSE, Outcome.REFUSED),
    ],
)
def test_the_second_position_decides_and_is_on_record_beside_the_first(
    response: Response, outcome: Outcome
) -> None:
    life = Life(*two_sides()).begin()
    life.all_sign()
    number = life.state.matters[-1].number
    first = Response.REFUSE if response is Response.REFUSE else Response.APPROVE
    life.carry("il", first)
    before = life.state.matters[number - 1]
    assert before.is_open
    assert (set(before.positions), set(before.countersigned)) == ({"il"}, {"il"})
    life.carry("az", response, matter=life.state.matter(number))
    decided = life.state.matters[number - 1]
    assert decided.outcome is outcome
    assert set(decided.positions) == {"il", "az"}
    assert decided.positions["il"] == before.positions["il"]
    assert decided.positions["il"].response is first
    assert decided.positions["az"].response is response


# ---- the sides' keys


@pytest.mark.parametrize("away", [{"il"}, {"az"}, {"il", "az"}])
def test_signing_alone_decides_nothing_until_every_sides_key_has_signed(away: set[str]) -> None:
    life = Life(*two_sides()).begin()
    life.away = set(away)
    life.all_sign()
    waits = life.state.matters[0]
    assert (waits.missing, set(waits.unsigned)) == ((), away)
    assert (waits.outcome, waits.decision, life.stage()) == (None, None, Stage.ELIGIBILITY)
    waiting = life.waited_for()
    assert {(one.task, one.directorate, one.office) for one in waiting} == {
        (Task.COUNTERSIGN, side, None) for side in away
    }
    assert matters.seen_by(waits, None, START)["il"]["countersigned"] is ("il" not in away)
    life.away = set()
    life.settle()
    decided = life.state.matters[0]
    assert (decided.outcome, life.stage()) == (Outcome.APPROVED, Stage.DECISION)
    assert decided.countersigned == {"il": "jws-il", "az": "jws-az"}
    document = joint_decision(life.state, decided, decided.countersigned, Outcome.APPROVED)
    assert decided.decision == content_hash(document)
    actions = [entry.action for entry in life.entries]
    assert actions.count("matter.countersigned") == 2
    last = max(i for i, one in enumerate(actions) if one == "matter.countersigned")
    assert actions[last + 1] == "matter.decided"


def test_a_signature_over_what_no_longer_stands_there_is_of_no_use() -> None:
    life = Life(*two_sides()).begin()
    life.away = {"il"}
    life.sign("il")
    state, matter = life.state, life.state.matters[0]
    now = matter.positions["il"]
    other = now.model_copy(update={"response": Response.REFUSE})
    assert steps.countersigned(state, 1, other, matter.content_hash, "jws") == []
    assert steps.countersigned(state, 1, now, OTHER, "jws") == []
    assert steps.countersigned(state, 2, now, matter.content_hash, "jws") == []
    (only,) = steps.countersigned(state, 1, now, matter.content_hash, "jws")
    assert only.fact.action == "matter.countersigned"
    life.away = set()
    life.settle()
    assert life.state.matters[0].countersigned == {"il": "jws-il"}
    assert steps.countersigned(life.state, 1, now, matter.content_hash, "jws") == []


# ---- second thoughts


def test_a_side_changes_its_position_until_the_other_one_is_in() -> None:
    life = Life(*two_sides()).begin()
    life.sign("il")
    life.away = {"il"}
    assert life.sign("il", office="legal_counsel").code == "already_signed"  # nothing to change
    answer = life.sign("il", Response.RETURN, office="legal_counsel", who="b")
    assert answer.status == "counted"
    changed = life.state.matters[0]
    assert [one.replaced for one in changed.counted] == [True, False]
    assert [one.person for one in changed.standing] == ["il/legal_counsel-b"]
    assert changed.positions["il"].response is Response.RETURN
    assert changed.unsigned == ("il",)  # what the key signed before was the other position
    written = next(entry for entry in reversed(life.entries) if entry.action == "matter.signed")
    assert written.body["replaces"] == "il/legal_counsel-a"
    life.away = set()
    life.settle()
    assert life.state.matters[0].is_open
    life.sign("az")
    decided = life.state.matters[0]
    assert decided.outcome is Outcome.RETURNED
    assert life.sign("il", matter=decided, office="legal_counsel").code == "matter_closed"


def test_a_position_that_is_taken_back_within_a_chain_is_no_longer_in() -> None:
    life = Life(*two_sides()).begin()
    life.all_sign()
    life.sign("il", Response.RETURN)  # the first of three steps: a return ends the chain there
    assert set(life.state.matters[1].positions) == {"il"}
    assert life.sign("il", office="programme_officer").status == "counted"
    matter = life.state.matters[1]
    assert (matter.positions, matter.countersigned) == ({}, {})
    assert matters.waiting_step(matter, "il") == 1
    assert life.entries[-1].action == "matter.position_withdrawn"
    assert life.entries[-1].body == {"matter": 2, "directorate": "il"}


# ---- the form of a message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("matter", 0),
        ("matter", -1),
        ("matter", 100_001),
        ("content_hash", ""),
        ("content_hash", "a" * 64),
        ("content_hash", "sha256:" + "a" * 63),
        ("content_hash", "sha256:" + "a" * 65),
        ("content_hash", "sha256:" + "A" * 64),
        ("content_hash", "sha256:" + "a" * 64 + "\n"),
    ],
)
def test_what_names_no_matter_or_no_content_is_no_sign_off(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        SignOff.model_validate(signed(a_matter()).model_dump() | {field: value})


@pytest.mark.parametrize("contact", ["", "0" * 31, "0" * 33, "G" * 32, "A" * 32])
def test_a_contact_is_a_contact_key(contact: str) -> None:
    with pytest.raises(ValidationError, match="contact"):
        Caller(person="il/a", contact=contact)


# ---- who may sign


def test_a_refusal_names_the_first_rule_that_is_broken() -> None:
    """Each line breaks one rule more than the line below it; the gravest is told, so a stranger learns nothing."""
    chain = (ChainStep(office="officer"), ChainStep(office="head"))
    both = {"il": chain, "az": chain}
    fresh = a_matter(MatterKind.REPORT, chains=both)
    halfway = count(fresh, signed(fresh, office="officer", who="x"))
    closed = halfway.model_copy(update={"outcome": Outcome.RETURNED})
    own = halfway.counted[0].person
    everything_wrong: dict[str, Any] = {
        "content_hash": OTHER,
        "response": "return",
        "on_behalf_of": "il/absent",
    }
    same = holder("il", "officer", "x")
    assert same.person == own
    barred = frozenset({own})
    nobody: frozenset[str] = frozenset()
    stranger = same.model_copy(update={"directorate": "ge"})
    other = holder("il", "officer", "y")
    none: tuple[Mandate, ...] = ()
    over = (a_mandate(same, valid_to=START),)
    of_a_janitor = (a_mandate(same, offices=("janitor",)),)
    given, to_other = (a_mandate(same),), (a_mandate(other),)
    of_an_officer = (a_mandate(other, offices=("officer",)),)

    def by(caller: Caller, matter: Matter, **changes: Any) -> SignOff:
        return signed(matter, **everything_wrong | {"caller": caller} | changes)

    told = {"content_hash": HASH}
    cases: list[tuple[str | None, Matter, SignOff, frozenset[str], tuple[Mandate, ...]]] = [
        ("not_your_office", closed, by(stranger, closed), barred, none),
        ("mandate_exceeded", closed, by(same, closed), barred, none),
        ("mandate_expired", closed, by(same, closed), barred, over),
        ("not_your_office", closed, by(same, closed), barred, of_a_janitor),
        ("conflict_of_interest", closed, by(same, closed), barred, given),
        ("matter_closed", closed, by(same, closed), nobody, given),
        ("stale_content", halfway, by(same, halfway), nobody, given),
        ("already_signed", halfway, by(same, halfway, **told), nobody, given),
        ("not_your_office", halfway, by(other, halfway, **told), nobody, of_an_officer),
        ("invalid", halfway, by(other, halfway, **told), nobody, to_other),
        (None, halfway, by(other, halfway, **told, reasons="So."), nobody, to_other),
        # The same without a mandate: one's own office.
        ("not_your_office", closed, signed(closed, office="janitor", **told), barred, none),
        ("not_your_office", halfway, signed(halfway, office="officer", who="y"), nobody, none),
        ("invalid", halfway, signed(halfway, response="return"), nobody, none),
        (None, halfway, signed(halfway, response="return", reasons="So."), nobody, none),
    ]
    for number, (code, matter, sign_off, bar, mandates) in enumerate(cases):
        assert code_of(matter, sign_off, bar, mandates) == code, number


@pytest.mark.parametrize(
    ("side", "office"), [(None, "head"), ("il", "officer"), ("ge", "head"), ("", "head"), ("az", "minister")]
)
def test_only_a_holder_of_an_office_in_a_chain_of_their_own_side_signs(side: str | None, office: str) -> None:
    caller = holder(side or "x", office).model_copy(update={"directorate": side})
    matter = a_matter()
    assert code_of(matter, signed(matter, caller=caller)) == "not_your_office"


def test_an_office_of_the_other_side_does_not_help() -> None:
    matter = a_matter(chains={"il": HEAD, "az": (ChainStep(office="minister"),)})
    assert code_of(matter, signed(matter, side="az", office="head")) == "not_your_office"
    assert code_of(matter, signed(matter, side="il", office="minister")) == "not_your_office"


def test_whoever_has_a_part_in_the_initiative_is_barred_by_person_and_by_contact() -> None:
    matter = a_matter()
    caller = holder("il", "head").model_copy(update={"contact": "c" * 32})
    for barred in (caller.person, caller.contact or ""):
        assert code_of(matter, signed(matter, caller=caller), frozenset({barred})) == "conflict_of_interest"
    assert code_of(matter, signed(matter, caller=caller), frozenset({"somebody/else"})) is None


def test_nobody_signs_twice_nor_for_both_sides_nor_after_their_sides_position() -> None:
    matter = a_matter()
    matter = count(matter, signed(matter))
    assert code_of(matter, signed(matter)) == "already_signed"
    assert code_of(matter, signed(matter, who="b")) == "already_signed"
    both_in = count(matter, signed(matter, side="az"))
    other_word: dict[str, Any] = {"response": "refuse", "reasons": "No."}
    for who in ("a", "b"):  # a change of mind is in time until the other side's position is in
        assert code_of(matter, signed(matter, who=who, **other_word)) is None
        assert code_of(both_in, signed(both_in, who=who, **other_word)) == "already_signed"
    two_faced = holder("az", "head").model_copy(update={"person": holder("il", "head").person})
    assert code_of(matter, signed(matter, caller=two_faced)) == "already_signed"
    assert code_of(matter, signed(matter, side="az")) is None


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_matter_that_is_closed_takes_no_sign_off(outcome: Outcome) -> None:
    matter = a_matter(outcome=outcome)
    assert code_of(matter, signed(matter)) == "matter_closed"


@pytest.mark.parametrize(
    ("kind", "fields", "code"),
    [
        ("proposal", {"response": "return"}, "invalid"),
        ("proposal", {"response": "refuse"}, "invalid"),
        ("proposal", {"response": "refuse", "reasons": "No."}, None),
        ("proposal", {"response": "approve_with_conditions"}, "invalid"),
        ("proposal", {"response": "approve_with_conditions", "conditions": ["Do."]}, None),
        ("proposal", {"response": "approve", "conditions": ["Do."]}, "invalid"),
        ("proposal", {"response": "return", "reasons": "So.", "conditions": ["Do."]}, "invalid"),
        ("report", {"response": "approve_with_conditions", "conditions": ["Do."]}, "invalid"),
        ("clearance", {"response": "approve_with_conditions", "conditions": ["Do."]}, "invalid"),
        ("closure", {"response": "return", "reasons": "So."}, None),
    ],
)
def test_a_response_carries_what_it_needs(kind: str, fields: dict[str, Any], code: str | None) -> None:
    matter = a_matter(MatterKind(kind))
    assert code_of(matter, signed(matter, **fields)) == code


# ---- chains


def test_a_chain_goes_step_by_step_and_ends_in_the_sides_position() -> None:
    chain = (ChainStep(office="officer"), ChainStep(office="counsel"), ChainStep(office="head"))
    matter = a_matter(chains={"il": chain, "az": HEAD})
    for index, office in enumerate(("officer", "counsel", "head")):
        assert matters.waiting_step(matter, "il") == index
        for too_early in ("officer", "counsel", "head"):
            if too_early != office:
                assert code_of(matter, signed(matter, office=too_early, who="z")) == "not_your_office"
        assert "il" not in matter.positions
        matter = count(matter, signed(matter, office=office))
    assert matters.waiting_step(matter, "il") is None
    assert matter.positions["il"].offices == ("officer", "counsel", "head")
    assert matter.missing == ("az",)


def test_a_step_that_needs_three_holders_takes_three_different_ones() -> None:
    matter = a_matter(
        chains={"il": (ChainStep(office="head", need=3), ChainStep(office="clerk")), "az": HEAD}
    )
    for who in ("a", "b", "c"):
        assert matters.waiting_step(matter, "il") == 0
        matter = count(matter, signed(matter, who=who))
        assert code_of(matter, signed(matter, who=who)) == "already_signed"
    assert matters.waiting_step(matter, "il") == 1
    assert code_of(matter, signed(matter, who="d")) == "not_your_office"
    assert "il" in count(matter, signed(matter, office="clerk")).positions


@pytest.mark.parametrize("response", ["return", "refuse"])
def test_a_return_or_a_refusal_ends_the_chain_where_it_is_given(response: str) -> None:
    matter = a_matter(
        chains={"il": (ChainStep(office="head", need=2), ChainStep(office="clerk")), "az": HEAD}
    )
    matter = count(matter, signed(matter, response=response, reasons="No."))
    assert matter.positions["il"].response == response
    assert matter.positions["il"].reasons == ("No.",)
    assert matters.waiting_step(matter, "il") is None


def test_conditions_gather_along_the_chain_each_once_and_a_later_approval_does_not_lift_them() -> None:
    chain = (ChainStep(office="officer"), ChainStep(office="head", need=2))
    matter = a_matter(chains={"il": chain, "az": HEAD})
    first: dict[str, Any] = {"response": "approve_with_conditions", "conditions": ["A", "B"]}
    matter = count(matter, signed(matter, office="officer", **first))
    second: dict[str, Any] = {"response": "approve_with_conditions", "conditions": ["B", "C"]}
    matter = count(matter, signed(matter, who="b", **second))
    matter = count(matter, signed(matter, who="c"))
    assert matter.positions["il"].response is Response.APPROVE_WITH_CONDITIONS
    assert matter.positions["il"].conditions == ("A", "B", "C")


def test_a_step_above_an_amount_applies_to_more_than_it_and_in_its_own_unit_only() -> None:
    always = ChainStep(office="officer")
    above = ChainStep(office="head", above=Amount(1000, "ILS"))
    for requested, applies in [
        ([], False),
        ([Amount(1000, "ILS")], False),
        ([Amount(1001, "ILS")], True),
        ([Amount(9999, "GPUh")], False),
        ([Amount(9999, "GPUh"), Amount(1001, "ILS")], True),
    ]:
        chain = matters.applicable((always, above), requested)
        assert chain == ((always, above) if applies else (always,))


def test_the_chain_of_an_initiative_is_that_of_the_amount_asked_of_that_side() -> None:
    agreement, proposal = two_sides()  # asks 100 000.01 ILS and 50 000.03 AZN
    steps = {
        "il": [ChainStep(office="head"), ChainStep(office="secretariat", above=Amount(100_000_00, "ILS"))],
        "az": [
            ChainStep(office="deputy_minister"),
            ChainStep(office="secretariat", above=Amount(50_000_03, "AZN")),
        ],
    }
    for side, chain in steps.items():
        agreement = with_chain(agreement, MatterKind.PROPOSAL, side, *chain)
    life = Life(agreement, proposal).begin()
    life.all_sign()
    offices = {side: [one.office for one in chain] for side, chain in life.state.matters[-1].chains.items()}
    assert offices == {"il": ["head", "secretariat"], "az": ["deputy_minister"]}


responses = st.sampled_from(list(Response))


@given(st.lists(st.tuples(responses, st.integers(0, 2)), max_size=8), st.lists(st.integers(1, 3), min_size=1))
def test_a_position_is_the_gravest_response_once_the_chain_is_done_or_stopped(
    given_responses: list[tuple[Response, int]], needs: list[int]
) -> None:
    chain = tuple(ChainStep(office=f"office{i}", need=need) for i, need in enumerate(needs[:3]))
    matter = a_matter(chains={"il": chain, "az": HEAD})
    counted = [
        Counted(
            directorate="il",
            step=step,
            office=f"office{step}",
            person=f"il/{i}",
            name="",
            response=response,
            at=START,
        )
        for i, (response, step) in enumerate(given_responses)
    ]
    position = matters.position(matter, "il", counted)
    all_responses = [one.response.value for one in counted]
    complete = all(sum(one.step == i for one in counted) >= step.need for i, step in enumerate(chain))
    stopped = "refuse" in all_responses or "return" in all_responses
    if not counted or not (complete or stopped):
        assert position is None
    else:
        assert position is not None
        assert matters.outcome(["il"], {"il": position.response}) == told_by_hand(tuple(all_responses))
    assert matters.position(matter, "az", counted) is None


# ---- the seal


@st.composite
def half_decided(draw: st.DrawFn) -> Matter:
    sides = ["il", "az", "ge"][: draw(st.integers(2, 3))]
    there = draw(st.lists(st.sampled_from(sides), unique=True, max_size=len(sides) - 1))
    positions = {
        side: Position(
            directorate=side,
            response=draw(responses),
            offices=("head",),
            reasons=(f"reasons of {side}",),
            conditions=(f"conditions of {side}",),
            at=START,
        )
        for side in there
    }
    countersigned = {side: f"jws of {side}" for side in there if draw(st.booleans())}
    escalated = {side: f"secret-office of {side}" for side in sides if draw(st.booleans())}
    counted = tuple(
        Counted(
            directorate=side,
            step=0,
            office="head",
            person=f"{side}/secret-person",
            name="",
            response=positions[side].response if side in positions else Response.APPROVE,
            reasons=f"reasons of {side}",
            comment=f"comment of {side}",
            at=START,
        )
        for side in draw(st.sets(st.sampled_from(sides)))
    )
    deadlines = {side: START + timedelta(days=draw(st.integers(1, 40))) for side in sides}
    chains = {side: (ChainStep(office="head", need=2),) for side in sides}
    return a_matter(
        chains=chains,
        deadlines=deadlines,
        positions=positions,
        counted=counted,
        countersigned=countersigned,
        escalated=escalated,
    )


def with_the_missing(matter: Matter) -> Matter:
    """The matter with every position in."""
    missing = {
        side: Position(directorate=side, response=Response.APPROVE, offices=("head",), at=START)
        for side in matter.missing
    }
    return matter.model_copy(update={"positions": matter.positions | missing})


@given(
    half_decided(),
    st.sampled_from(["il", "az", "ge", "nobody", None]),
    st.sampled_from([None, Outcome.VOID, Outcome.LAPSED]),
)
def test_a_sealed_position_and_another_sides_chain_are_never_shown(
    matter: Matter, viewer: str | None, outcome: Outcome | None
) -> None:
    """Not even once it is void: that some side will never answer gives the other's answer away to nobody."""
    matter = matter.model_copy(update={"outcome": outcome})
    before_any_deadline = min(matter.deadlines.values())
    view = matters.seen_by(matter, viewer, before_any_deadline)
    assert set(view) == set(matter.chains)
    for side, seen in view.items():
        if side != viewer:
            assert seen == {
                "position_in": side in matter.positions,
                "countersigned": side in matter.countersigned,
                "deadline": matter.deadlines[side],
            }
            assert f"of {side}" not in repr(seen)
            assert "secret-person" not in repr(seen)
            assert "secret-office" not in repr(seen)


@given(half_decided(), st.sampled_from(["il", "az", "ge", None]), st.booleans())
def test_released_positions_are_shown_and_another_sides_chain_still_is_not(
    matter: Matter, viewer: str | None, by_deadline: bool
) -> None:
    now = START
    if by_deadline:
        now = min(matter.deadlines.values()) + timedelta(seconds=1)
    else:
        matter = with_the_missing(matter)
    for side, seen in matters.seen_by(matter, viewer, now).items():
        stance = matter.positions.get(side)
        assert seen.get("position") == (stance.response if stance else None)
        if side != viewer:
            assert "sign_offs" not in seen
            assert "chain" not in seen
            assert "escalated_to" not in seen
            assert "jws of" not in repr(seen)
            assert "comment" not in repr(seen)


@given(half_decided())
def test_an_auditor_sees_every_side_whole_and_a_side_sees_its_own(matter: Matter) -> None:
    all_of_it = matters.seen_by(matter, None, START, sees_all=True)
    for side in matter.chains:
        assert matters.seen_by(matter, side, START)[side] == all_of_it[side]
        own = tuple(one for one in matter.counted if one.directorate == side)
        assert all_of_it[side]["sign_offs"] == own
        assert all_of_it[side]["escalated_to"] == matter.escalated.get(side)
        assert ("position" in all_of_it[side]) == (side in matter.positions)
