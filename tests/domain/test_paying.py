"""Who may have a hand in a payment: by office, under a mandate, and never at both its ends."""

from __future__ import annotations

from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from countersign.domain.amounts import Amount
from countersign.domain.canonical import canonical_json
from countersign.domain.commands import AuthoriseTranche, ConfirmTranche, DeclareConflict, fingerprint
from countersign.domain.funding import BankOutcome, PaymentState, Share
from countersign.domain.mandate import Mandate
from countersign.domain.matter import Caller
from countersign.domain.projection import Task
from tests.domain.lives import START, Life, active_life, holder

A, B, C, D = (holder("il", "finance_officer", who) for who in "abcd")
CLERK, OTHER = (holder("il", "programme_officer", who) for who in "xy")


def paying_life(*authorisation: Caller) -> Life:
    """The first tranche, let go by every side; il's part by somebody, on behalf of the second."""
    life = active_life()
    for delegator, delegate in product((A, B, C, D), (A, B, C, D, CLERK, OTHER)):
        if delegator is not delegate:
            life.lend(delegator, delegate)
    if authorisation:
        assert life.authorise(1, "il", *authorisation).status == "counted"
        assert life.authorise(1, "az").status == "counted"
    return life


def share(life: Life) -> Share:
    return life.state.tranches[0].shares["il"]


def test_a_delegate_authorises_and_another_one_confirms_and_both_people_of_each_are_on_record() -> None:
    life = paying_life(CLERK, A)
    assert (share(life).authorised_by, share(life).authorised_for) == (CLERK.person, A.person)
    waits = next(one for one in life.waited_for() if (one.task, one.directorate) == (Task.CONFIRM, "il"))
    assert waits.not_by == (CLERK.person, A.person)
    assert life.confirm(1, "il", OTHER, B).status == "counted"
    people = [
        (entry.action, entry.actor, entry.on_behalf_of)
        for entry in life.entries
        if entry.on_behalf_of is not None
    ]
    assert people == [
        ("tranche.authorised", CLERK.person, A.person),
        ("tranche.paid", OTHER.person, B.person),
    ]


@pytest.mark.parametrize("authorised", [(A,), (B, A), (A, B)], ids=["alone", "for", "by"])
@pytest.mark.parametrize(
    "confirming",
    [(A,), (A, C), (A, B), (C, A), (B, A), (CLERK, A)],
    ids=lambda some: "-".join(one.person.removeprefix("il/") for one in some),
)
def test_nobody_confirms_what_they_authorised_in_any_combination(
    authorised: tuple[Caller, ...], confirming: tuple[Caller, ...]
) -> None:
    """``A`` has a hand in every authorisation here and in every confirmation."""
    life = paying_life(*authorised)
    answer = life.confirm(1, "il", *confirming)
    assert (answer.status, answer.code) == ("refused", "four_eyes")
    assert share(life).state is PaymentState.INSTRUCTED
    assert life.confirm(1, "il", C, D).status == "counted"


def test_neither_who_authorised_nor_for_whom_brings_the_banks_word_on_any_attempt() -> None:
    life = paying_life(B, A)
    told = next(one for one in share(life).instructions if one.is_money)
    for who in (A, B):
        assert life.bank(1, "il", BankOutcome.RETURNED, told, who).code == "four_eyes"
    assert life.bank(1, "il", BankOutcome.RETURNED, told, C).status == "counted"
    assert life.authorise(1, "il", C, D).status == "counted"
    assert share(life).authorised_before == (B.person, A.person)
    again = next(one for one in share(life).current if one.is_money)
    for who in (A, B, C, D):
        assert life.bank(1, "il", BankOutcome.BOOKED, again, who).code == "four_eyes"
    assert life.bank(1, "il", BankOutcome.BOOKED, again, holder("il", "finance_officer", "e")).code is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, None),
        ({"kinds": ("clearance", "payment")}, None),
        ({"kinds": ("agreement", "closure")}, "mandate_exceeded"),
        ({"ceiling": (Amount(0, "AZN"),)}, None),
        ({"valid_from": START + timedelta(days=3000)}, "mandate_expired"),
        ({"revoked_at": START}, "mandate_expired"),
        ({"offices": ("head", "secretariat")}, "not_your_office"),
        ({"directorate": "az"}, "mandate_exceeded"),
        ({"delegator": "il/somebody-else"}, "mandate_exceeded"),
        ({"delegate": "il/somebody-else"}, "mandate_exceeded"),
    ],
)
def test_a_mandate_reaches_as_far_as_it_says(changes: dict[str, Any], code: str | None) -> None:
    life = active_life()
    life.lend(A, CLERK, **changes)
    answer = life.authorise(1, "il", CLERK, A)
    assert answer.code == code
    assert share(life).state is (PaymentState.DUE if code else PaymentState.AUTHORISED)


def test_the_ceiling_is_held_against_the_part_and_not_against_the_whole() -> None:
    life = active_life()
    asked = life.state.proposal.requested["il"][0]
    part = share(life).amounts[0]
    assert part < asked
    life.lend(A, OTHER, ceiling=(Amount(part.minor - 1, part.unit),))
    life.lend(A, CLERK, ceiling=(part,))
    assert life.authorise(1, "il", OTHER, A).code == "mandate_exceeded"
    assert life.authorise(1, "il", CLERK, A).status == "counted"


def test_a_mandate_for_payments_signs_no_matter_and_one_for_matters_pays_nothing() -> None:
    kinds = Mandate.model_fields["kinds"]
    assert "payment" in str(kinds.annotation)
    life = active_life()
    life.lend(A, CLERK, kinds=("report",), offices=("programme_officer", "finance_officer"))
    assert life.authorise(1, "il", CLERK, A).code == "mandate_exceeded"
    life = Life(life.agreement, life.proposal).begin()
    counsel = holder("il", "legal_counsel")
    life.lend(counsel, CLERK)
    assert life.sign("il", caller=CLERK, on_behalf_of=counsel.person).code == "mandate_exceeded"


def test_an_interest_of_either_person_bars_both_acts() -> None:
    for interested in (CLERK, A):
        life = paying_life()
        life.send(DeclareConflict(id=life.next_id(), caller=interested, reasons="My cousin."))
        assert life.authorise(1, "il", CLERK, A).code == "conflict_of_interest"
        assert life.authorise(1, "il", B).status == life.authorise(1, "az").status == "counted"
        assert life.confirm(1, "il", CLERK, A).code == "conflict_of_interest"
    life = active_life()
    participant = A.model_copy(update={"contact": life.state.proposal.people[0]})
    life.lend(participant, CLERK)
    assert life.authorise(1, "il", CLERK, A).code == "conflict_of_interest"


def test_a_mandate_does_not_reach_into_another_side() -> None:
    life = paying_life()
    assert life.authorise(1, "az", CLERK, A).code == "not_your_office"
    assert life.authorise(99, "il", CLERK, A).code == "not_found"


def test_a_message_from_before_there_were_mandates_for_payments_has_the_fingerprint_it_had() -> None:
    for kind in (AuthoriseTranche, ConfirmTranche):
        command = kind(id="m", caller=A, tranche=1, directorate="il")
        assert b"on_behalf_of" not in canonical_json(command.model_dump(mode="json"))
        lent = command.model_copy(update={"on_behalf_of": B.person})
        assert fingerprint(lent) != fingerprint(command)
        assert kind.model_validate_json(lent.model_dump_json()) == lent
