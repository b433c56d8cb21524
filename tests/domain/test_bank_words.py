"""What a side's bank says of a payment, and what follows: settled, or failed and tried again under a new id."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.domain import funding, rules, steps
from countersign.domain.amounts import Amount
from countersign.domain.audit import AuditEntry
from countersign.domain.commands import AuthoriseTranche, ReportPayment
from countersign.domain.funding import BankOutcome, Instruction, PaymentState, Share, Tranche
from countersign.domain.initiative import replay
from countersign.domain.projection import Task
from countersign.domain.proposal import Proposal
from countersign.domain.stage import Stage
from tests.domain.lives import Life, active_life, body_of, holder, two_sides

BOOKED, RETURNED = BankOutcome.BOOKED, BankOutcome.RETURNED


def instructed_life() -> Life:
    life = active_life()
    for side in life.sides:
        assert life.authorise(1, side).status == "counted"
    return life


def share(life: Life, side: str = "il") -> Share:
    return life.state.tranches[0].shares[side]


def money(life: Life, side: str = "il") -> list[Instruction]:
    return [one for one in share(life, side).current if one.is_money]


def test_a_part_is_settled_when_it_is_confirmed_and_all_of_it_is_booked() -> None:
    life = instructed_life()
    for one in money(life):
        assert life.bank(1, "il", BOOKED, one, bank_reference="B-1").status == "counted"
    assert share(life).state is PaymentState.INSTRUCTED
    assert life.confirm(1, "il").status == "counted"
    assert share(life).state is PaymentState.SETTLED
    assert [entry.action for entry in life.entries][-2:] == ["tranche.paid", "tranche.settled"]
    assert {one.bank_reference for one in money(life)} == {"B-1"}


def test_the_officers_may_say_it_before_the_bank() -> None:
    life = instructed_life()
    assert life.confirm(1, "il").status == "counted"
    *others, last = money(life)
    for one in others:
        life.bank(1, "il", BOOKED, one)
    assert share(life).state is PaymentState.PAID
    life.bank(1, "il", BOOKED, last)
    assert share(life).state is PaymentState.SETTLED
    assert share(life, "az").state is PaymentState.INSTRUCTED


def test_what_failed_is_authorised_again_and_paid_under_a_new_id_by_its_own_side_alone() -> None:
    life = instructed_life()
    first = money(life)[0]
    kept = [one for one in share(life).instructions if one is not first]
    before = share(life, "az")
    assert life.bank(1, "il", RETURNED, first, reason="AC04").status == "counted"
    assert share(life).state is PaymentState.FAILED
    waits = [one for one in life.waited_for() if one.directorate == "il" and one.office == "finance_officer"]
    assert [(one.task, one.number, one.not_by) for one in waits] == [(Task.AUTHORISE, 1, ())]
    assert life.authorise(1, "il", holder("il", "finance_officer", "second")).status == "counted"
    assert share(life).state is PaymentState.INSTRUCTED
    told = life.entries[-1]
    assert (told.action, list(told.body["instructions"])) == ("tranche.instructed", ["il"])
    (again,) = [one for one in share(life).current if one not in kept]
    assert (again.amount, again.partner, again.attempt) == (first.amount, first.partner, 2)
    assert again.replaces == first.end_to_end_id != again.end_to_end_id
    assert share(life, "az") == before


def test_money_that_comes_back_after_it_was_settled_has_failed_all_the_same() -> None:
    life = instructed_life()
    life.confirm(1, "il")
    for one in money(life):
        life.bank(1, "il", BOOKED, one)
    full = funding.paid(life.state.tranches, "il")
    lost = money(life)[0]
    assert life.bank(1, "il", RETURNED, lost).status == "counted"
    assert (share(life).state, share(life).confirmed_by) == (PaymentState.FAILED, None)
    unit = lost.amount.unit
    assert funding.paid(life.state.tranches, "il").get(unit, 0) == full[unit] - lost.amount.minor


def test_a_failed_payment_keeps_the_initiative_from_closing() -> None:
    life = instructed_life()
    life.reach(Stage.CLOSING).all_sign()
    number = life.state.tranches[-1].number

    def state() -> PaymentState:
        return life.state.tranches[-1].shares["il"].state

    for side in life.sides:
        life.authorise(number, side)
    told = next(one for one in life.state.tranches[-1].shares["il"].instructions if one.is_money)
    life.bank(number, "il", RETURNED, told)
    assert state() is PaymentState.FAILED
    for side in life.sides:
        life.confirm(number, side)
    assert life.stage() is Stage.CLOSING
    life.reach(Stage.CLOSED)
    assert state() is PaymentState.PAID


@pytest.mark.parametrize(
    ("code", "who", "changes"),
    [
        ("four_eyes", holder("il", "finance_officer", "first"), {}),
        ("not_your_office", holder("az", "finance_officer", "second"), {}),
        ("not_your_office", holder("il", "head"), {}),
        ("not_found", None, {"end_to_end_id": "CS00000000000000000000T01A01"}),
        ("not_found", None, {"tranche": 99}),
        ("invalid", None, {"amount": Amount(1, "ILS")}),
        ("invalid", None, {"amount": Amount(1, "AZN")}),
    ],
)
def test_a_banks_word_that_does_not_count(code: str, who: object, changes: dict[str, object]) -> None:
    life = instructed_life()
    before = life.state.tranches
    answer = life.bank(1, "il", BOOKED, money(life)[0], who, **changes)  # type: ignore[arg-type]
    assert (answer.status, answer.code) == ("refused", code)
    assert life.state.tranches == before


def test_the_same_word_counts_once_and_a_booking_told_late_revives_nothing() -> None:
    life = instructed_life()
    one = money(life)[0]
    assert life.bank(1, "il", BOOKED, one).status == "counted"
    assert life.bank(1, "il", BOOKED, one).code == "out_of_order"
    assert life.bank(1, "il", RETURNED, one).status == "counted"
    assert life.bank(1, "il", RETURNED, one).code == "out_of_order"
    assert life.bank(1, "il", BOOKED, one).code == "out_of_order"
    assert share(life).state is PaymentState.FAILED


def test_whoever_authorised_an_earlier_attempt_brings_no_word_on_any() -> None:
    life = instructed_life()
    life.bank(1, "il", RETURNED, money(life)[0])
    life.authorise(1, "il", holder("il", "finance_officer", "third"))
    for who in ("first", "third"):
        caller = holder("il", "finance_officer", who)
        assert life.bank(1, "il", BOOKED, money(life)[0], caller).code == "four_eyes"


def test_a_payment_that_comes_back_while_another_is_tried_again_fails_the_part_once_more() -> None:
    a, b = (Instruction(end_to_end_id=name, amount=Amount(50, "ILS"), partner=name) for name in "ab")
    share = Share(amounts=(Amount(100, "ILS"),), state=PaymentState.AUTHORISED)
    share = share.model_copy(
        update={"instructions": tuple(one.model_copy(update={"outcome": RETURNED}) for one in (a, b))}
    )
    share = share.model_copy(update={"retrying": ("a",)})  # the other one came back after the authorisation
    tranche = Tranche(number=1, trigger="signature", shares={"il": share})
    (again,) = funding.instructions("i", tranche, "il")
    assert (again.replaces, again.attempt) == ("a", 2)
    after = share.model_copy(update={"instructions": (*share.instructions, again)})
    assert [one.end_to_end_id for one in after.failed] == ["b"]


def test_what_comes_back_after_the_new_authorisation_waits_for_one_of_its_own() -> None:
    agreement, proposal = two_sides()
    body = body_of(proposal)
    other = dict(body["partners"][0], id="nirgends", role="partner", name={"en": "Nirgends"})
    body["partners"].append(other)
    body["budget"].append(
        {
            "partner": "nirgends",
            "category": "personnel",
            "description": "People",
            "amount": {"minor": 7, "unit": "ILS"},
        }
    )
    life = active_life((agreement, Proposal.model_validate(body)))
    for side in life.sides:
        life.authorise(1, side)
    first, second = money(life)
    life.bank(1, "il", RETURNED, first)
    # As it stands between the authorisation and the record of what the bank was told.
    command = AuthoriseTranche(
        id=life.next_id(), caller=holder("il", "finance_officer", "x"), tranche=1, directorate="il"
    )
    life.write(rules.receive(life.state, command, life.now))
    told = steps.to_instruct(life.state, life.state.tranches[0])
    report = ReportPayment(
        id=life.next_id(),
        caller=holder("il", "finance_officer", "second"),
        tranche=1,
        directorate="il",
        end_to_end_id=second.end_to_end_id,
        outcome=RETURNED,
        amount=second.amount,
        statement="sha256:" + "5" * 64,
    )
    life.write(rules.receive(life.state, report, life.now))
    assert share(life).state is PaymentState.AUTHORISED
    assert steps.to_instruct(life.state, life.state.tranches[0]) == told
    assert [one.replaces for one in told["il"]] == [first.end_to_end_id]
    life.settle()
    assert share(life).state is PaymentState.FAILED
    life.authorise(1, "il")
    assert share(life).state is PaymentState.INSTRUCTED
    assert [one.attempt for one in money(life)] == [2, 2]


def test_compute_is_allocated_and_no_bank_says_anything_of_it() -> None:
    share = Share(
        amounts=(Amount(5, "GPUh"),),
        instructions=(Instruction(end_to_end_id="c", amount=Amount(5, "GPUh")),),
    )
    assert not share.is_booked
    with pytest.raises(Exception, match="not_found"):
        funding.check_report(share, holder("il", "finance_officer"), "c", BOOKED, Amount(5, "GPUh"))


amounts = st.integers(1, 10**12)


@given(amounts, st.lists(st.integers(0, 10**10), min_size=1, max_size=8))
def test_what_the_partners_of_a_side_get_adds_up_to_its_part(minor: int, asked: list[int]) -> None:
    tranche = Tranche(number=1, trigger="signature", shares={"il": Share(amounts=(Amount(minor, "ILS"),))})
    partners = {f"p{i}": (Amount(one, "ILS"),) for i, one in enumerate(asked)}
    told = funding.instructions("i", tranche, "il", partners)
    assert sum(one.amount.minor for one in told) == minor
    assert len({one.end_to_end_id for one in told}) == len(told)
    assert all(one.amount.minor > 0 for one in told)
    whole = sum(asked)
    for one in told:
        if one.partner is not None:
            assert abs(one.amount.minor * whole - minor * partners[one.partner][0].minor) < whole


def test_an_initiative_from_before_partners_were_paid_one_by_one_keeps_its_ids() -> None:
    tranche = Tranche(number=1, trigger="signature", shares={"il": Share(amounts=(Amount(5, "ILS"),))})
    assert funding.instructions("i", tranche, "il") == funding.instructions("i", tranche, "il", {})
    (one,) = funding.instructions("i", tranche, "il")
    assert set(one.model_dump(exclude_none=True)) == {"end_to_end_id", "amount"}


def test_the_trail_tells_all_of_it_again() -> None:
    life = active_life()
    empty, known = life.state, len(life.entries)
    for side in life.sides:
        life.authorise(1, side)
    life.bank(1, "il", BOOKED, money(life)[0])
    life.bank(1, "il", RETURNED, money(life)[0], reason="AC04")
    life.authorise(1, "il")
    life.confirm(1, "il", holder("il", "finance_officer", "third"))
    life.bank(1, "il", BOOKED, money(life)[0])
    entries = [AuditEntry.model_validate_json(one.model_dump_json()) for one in life.entries[known:]]
    assert replay(empty, entries) == life.state
