"""Holding a bank's notification against the payments that the bank was told of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import Final, Protocol

from countersign.banking.camt054 import Direction, Entry, Notification, Status, Transaction
from countersign.domain.amounts import Amount
from countersign.domain.funding import BankOutcome
from countersign.domain.model import Model

_CODES: Final = """
    AED ALL AMD ARS AUD AZN BAM BGN BHD BRL BYN CAD CHF CLP CNY COP CZK DKK DZD EGP EUR GBP GEL GHS HKD HUF IDR ILS INR
    IQD ISK JOD JPY KES KGS KRW KWD KZT LBP LKR MAD MDL MKD MXN MYR NGN NOK NZD OMR PEN PHP PKR PLN QAR RON RSD RUB SAR
    SEK SGD THB TJS TMT TND TRY TWD UAH USD UYU UZS VND ZAR
"""

CURRENCIES: Final = frozenset(_CODES.split())
"""Currencies in which a line may be, so that one in another than ours is told as such and the rest still counts."""


class Verdict(StrEnum):
    """What a line of a statement is to us. Only ``matched`` changes anything.

    ``pending``: the bank has not booked it yet. ``unclear``: a person has to look, since it says two things at once,
    or that money left under an id that had failed. ``refused``: the initiative did not take it; a code says why.
    """

    MATCHED = "matched"
    UNMATCHED = "unmatched"
    DUPLICATE = "duplicate"
    WRONG_AMOUNT = "wrong_amount"
    WRONG_CURRENCY = "wrong_currency"
    NOT_YOURS = "not_yours"
    PENDING = "pending"
    UNCLEAR = "unclear"
    REFUSED = "refused"


class Told(Protocol):
    """A payment as it is on record."""

    @property
    def directorate(self) -> str: ...
    @property
    def amount(self) -> Amount: ...
    @property
    def outcome(self) -> BankOutcome | None: ...
    @property
    def is_claim(self) -> bool: ...


class Line(Model):
    """A payment in a statement; ``entry`` counts from 1. ``outcome`` is what the bank says, where it says one thing."""

    entry: int
    verdict: Verdict
    end_to_end_id: str | None = None
    amount: Amount | None = None
    outcome: BankOutcome | None = None
    on: date | None = None
    bank_reference: str | None = None
    reason: str | None = None


def match(notification: Notification, told: Mapping[str, Told], side: str) -> list[Line]:
    """Every payment of a notification on an account of ``side``, in its order, with what it is to us.

    Some banks tell the latest first: what left is held against the record before what came back.
    """
    found = [
        (number, entry, one) for number, entry in enumerate(notification.entries, 1) for one in _in(entry)
    ]
    known = {end_to_end: one.outcome for end_to_end, one in told.items()}
    said = [_outcome(entry, one, told.get(one.end_to_end_id or "")) for _, entry, one in found]
    lines: dict[int, Line] = {}
    for place in sorted(range(len(found)), key=lambda place: said[place] is BankOutcome.RETURNED):
        number, entry, one = found[place]
        end_to_end, outcome = one.end_to_end_id or "", said[place]
        verdict = _verdict(entry, one, told.get(end_to_end), side, outcome, known.get(end_to_end))
        if verdict is Verdict.MATCHED:
            known[end_to_end] = outcome
        lines[place] = Line(
            entry=number,
            verdict=verdict,
            end_to_end_id=one.end_to_end_id,
            amount=one.amount,
            outcome=outcome,
            on=entry.booked_on,
            bank_reference=one.reference or entry.reference,
            reason=one.returned,
        )
    return [lines[place] for place in range(len(found))]


def _in(entry: Entry) -> tuple[Transaction, ...]:
    """The payments of an entry; one of which the bank tells no detail stands for itself, under no id."""
    return entry.transactions or (
        Transaction(end_to_end_id=None, amount=entry.amount, direction=entry.direction),
    )


def _outcome(entry: Entry, one: Transaction, payment: Told | None) -> BankOutcome | None:
    """Money that leaves was paid, money of ours that comes in came back; what is both or neither is for a person.

    Of what is claimed it is the other way round: it comes in, and is taken back.
    """
    back = Direction.DEBIT if payment is not None and payment.is_claim else Direction.CREDIT
    if one.direction is back:
        return BankOutcome.RETURNED
    return None if entry.reversal or one.returned is not None else BankOutcome.BOOKED


def _verdict(
    entry: Entry,
    one: Transaction,
    payment: Told | None,
    side: str,
    outcome: BankOutcome | None,
    before: BankOutcome | None,
) -> Verdict:
    if payment is None:
        return Verdict.UNMATCHED
    if payment.directorate != side:
        return Verdict.NOT_YOURS
    if entry.status is not Status.BOOKED:
        return Verdict.PENDING
    if one.amount is None or outcome is None:
        return Verdict.UNCLEAR
    if one.amount.unit != payment.amount.unit:
        return Verdict.WRONG_CURRENCY
    if one.amount.minor != payment.amount.minor:
        return Verdict.WRONG_AMOUNT
    if before is outcome:
        return Verdict.DUPLICATE
    return Verdict.UNCLEAR if before is BankOutcome.RETURNED else Verdict.MATCHED
