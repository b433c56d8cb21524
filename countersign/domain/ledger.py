"""The ledger: what the facts of a trail mean for each side's money, in double entry (DESIGN section 5).

Accounts are kept per initiative, side and unit. A positive entry is a debit, a negative one a credit; the entries of
a transaction sum to zero. The ledger is derived: :func:`ledger_of` a trail is the ledger, and :func:`postings` the
part of it that some further entries add. :func:`_moves` is the one place where a fact becomes transactions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from countersign.domain.amounts import Amount, total
from countersign.domain.audit import AuditEntry
from countersign.domain.fact import Fact
from countersign.domain.facts import (
    AmendmentMade,
    CostsDisallowed,
    ReportAccepted,
    ReportSubmitted,
    StageEntered,
)
from countersign.domain.funding import PAID, BankOutcome, PaymentState, Share
from countersign.domain.initiative import InitiativeState
from countersign.domain.model import Model
from countersign.domain.payment_facts import (
    CommitmentsFixed,
    CommitmentsReleased,
    PaymentFailed,
    TrancheClaimed,
    TrancheInstructed,
    TranchePaid,
    TrancheRecovered,
    TrancheWrittenOff,
)
from countersign.domain.reporting import ReportState
from countersign.domain.stage import OWED, PROMISED, Stage


class Account(StrEnum):
    """The chart of accounts (docs/ledger.md). Each pair below is moved together, so each sums to zero by itself."""

    # What may be paid: the budget.
    APPROPRIATION = "appropriation"
    RESERVED = "reserved"
    COMMITTED = "committed"
    # What was paid: the money, or the hours.
    TREASURY = "treasury"
    INSTRUCTED = "instructed"
    DISBURSED = "disbursed"
    RECOVERED = "recovered"
    # What participants have shown for it.
    REPORTED = "reported"
    ACCEPTED = "accepted"
    # What is claimed back and has not come back yet.
    RECOVERABLE = "recoverable"
    CLAIMED = "claimed"


class Code(StrEnum):
    """What a transaction is for."""

    COMMITMENT_RESERVED = "commitment_reserved"
    COMMITMENT_MADE = "commitment_made"
    COMMITMENT_RELEASED = "commitment_released"
    COMMITMENT_INCREASED = "commitment_increased"
    PAYMENT_INSTRUCTED = "payment_instructed"
    PAYMENT_MADE = "payment_made"
    PAYMENT_UNCONFIRMED = "payment_unconfirmed"
    PAYMENT_RETURNED = "payment_returned"
    COSTS_ACCEPTED = "costs_accepted"
    COSTS_DISALLOWED = "costs_disallowed"
    CLAIM_MADE = "claim_made"
    CLAIM_MET = "claim_met"
    CLAIM_WITHDRAWN = "claim_withdrawn"
    CLAIM_WRITTEN_OFF = "claim_written_off"
    MONEY_RECOVERED = "money_recovered"
    MONEY_UNCONFIRMED = "money_unconfirmed"


class Entry(Model):
    """One line of a transaction; ``minor`` units are positive for a debit, negative for a credit."""

    account: Account
    minor: int


class Transaction(Model):
    """What one audit entry means for one side in one unit; ``number`` counts from 1 within that entry.

    ``code`` is a :class:`Code`, or a word that is not ours: what somebody put into the database by hand is shown, too.
    """

    initiative: str
    sequence: int
    number: int
    at: datetime
    directorate: str
    unit: str
    code: str
    entries: tuple[Entry, ...]


class Standing(Model):
    """Where one side's money, or its hours, stand in a unit: all in minor units, none of them negative.

    ``accepted`` is what partners have shown to have spent or used; ``available`` what may still be let go, and
    ``unspent`` what was paid, did not come back and was not accepted.
    """

    directorate: str
    unit: str
    reserved: int
    committed: int
    instructed: int
    disbursed: int
    recovered: int
    accepted: int
    available: int
    unspent: int


class Place(NamedTuple):
    """Whose balance, in which unit, on which account."""

    directorate: str
    unit: str
    account: Account


class Move(NamedTuple):
    """So much from one account to another: the credited and the debited one."""

    code: Code
    directorate: str
    amount: Amount
    credit: Account
    debit: Account


POSTED: Final[dict[str, type[Fact]]] = {
    one.action: one
    for one in (
        CommitmentsFixed,
        CommitmentsReleased,
        AmendmentMade,
        StageEntered,
        TrancheInstructed,
        TranchePaid,
        PaymentFailed,
        ReportSubmitted,
        ReportAccepted,
        CostsDisallowed,
        TrancheClaimed,
        TrancheRecovered,
        TrancheWrittenOff,
    )
}
"""The facts that the ledger follows.

A tranche that is planned, due or reduced moves nothing: a plan is no money, and what a reduced one leaves of the
commitment is released with the rest of it when the initiative ends.
"""

HOLDS: Final = PROMISED | OWED
"""The stages in which something is reserved or committed; whichever other one is entered, the rest is released."""


class Book:
    """The balances of one initiative, the costs of each report as it was submitted last, by tranche and side what is
    confirmed as paid, and the tranches that are claimed back.
    """

    def __init__(
        self,
        balances: Mapping[Place, int] | None = None,
        costs: Mapping[int, Mapping[str, tuple[Amount, ...]]] | None = None,
    ) -> None:
        self.balances: defaultdict[Place, int] = defaultdict(int, balances or {})
        self.costs = dict(costs or {})
        self.confirmed: dict[tuple[int, str], tuple[Amount, ...]] = {}
        self.recoveries: set[int] = set()

    def post(self, entry: AuditEntry) -> tuple[Transaction, ...]:
        """The transactions of an audit entry, which the book then holds."""
        kind = POSTED.get(entry.action)
        if kind is None:
            return ()
        fact = kind.model_validate(entry.body)
        if isinstance(fact, ReportSubmitted):
            self.costs[fact.number] = fact.costs
        moves = [one for one in _moves(self, fact) if one.amount.minor]
        for _, side, amount, credit, debit in moves:
            self.balances[Place(side, amount.unit, credit)] -= amount.minor
            self.balances[Place(side, amount.unit, debit)] += amount.minor
        if isinstance(fact, TrancheClaimed):
            self.recoveries.add(fact.tranche.number)
        if isinstance(fact, TranchePaid | TrancheRecovered):
            self.confirmed[fact.number, fact.directorate] = fact.amounts
        elif isinstance(fact, PaymentFailed):
            self.confirmed.pop((fact.number, fact.directorate), None)
        return tuple(_transaction(entry, number, one) for number, one in enumerate(moves, 1))

    def on(self, account: Account) -> Iterator[tuple[str, Amount]]:
        """Each side's amounts on an account of what may or did go out, none of them negative."""
        for place in sorted(self.balances):
            if place.account is account:
                yield place.directorate, Amount(self.balances[place], place.unit)


def ledger_of(entries: Iterable[AuditEntry]) -> tuple[Transaction, ...]:
    """The ledger of an initiative's whole trail."""
    book = Book()
    return tuple(one for entry in entries for one in book.post(entry))


def faults(entries: Iterable[AuditEntry], ledger: Iterable[Transaction]) -> list[str]:
    """Where a ledger is not what the whole trail comes to: altered, missing or added transactions, by their place."""
    due = {(one.sequence, one.number): one for one in ledger_of(entries)}
    there = {(one.sequence, one.number): one for one in ledger}
    found: list[str] = []
    for place in sorted(due.keys() | there.keys()):
        if due.get(place) == there.get(place):
            continue
        what = "is missing" if place not in there else "was altered" if place in due else "was added"
        found.append(f"transaction {place[0]}.{place[1]} {what}")
    return found


def standings(balances: Mapping[Place, int]) -> tuple[Standing, ...]:
    """What balances come to, for each side and unit: its allocation and what became of it."""
    pots = sorted({(one.directorate, one.unit) for one in balances})
    return tuple(_standing(side, unit, balances) for side, unit in pots)


def _standing(side: str, unit: str, balances: Mapping[Place, int]) -> Standing:
    def on(account: Account) -> int:
        return abs(balances.get(Place(side, unit, account), 0))

    committed, instructed, disbursed = on(Account.COMMITTED), on(Account.INSTRUCTED), on(Account.DISBURSED)
    recovered, accepted = on(Account.RECOVERED), on(Account.ACCEPTED)
    return Standing(
        directorate=side,
        unit=unit,
        reserved=on(Account.RESERVED),
        committed=committed,
        instructed=instructed,
        disbursed=disbursed,
        recovered=recovered,
        accepted=accepted,
        available=max(0, committed - instructed - disbursed),
        unspent=max(0, disbursed - recovered - accepted),
    )


def postings(before: InitiativeState, entries: Iterable[AuditEntry]) -> tuple[Transaction, ...]:
    """What entries that follow a state add to the ledger."""
    wanted = [one for one in entries if one.action in POSTED]
    if not wanted:
        return ()
    book = book_of(before)
    return tuple(one for entry in wanted for one in book.post(entry))


def book_of(state: InitiativeState) -> Book:
    """The book at a state: what its trail comes to, without reading it again."""
    book = Book(costs={one.number: one.costs for one in state.reports if one.costs})

    def put(side: str, amounts: Iterable[Amount], credit: Account, debit: Account) -> None:
        for amount in amounts:
            book.balances[Place(side, amount.unit, credit)] -= amount.minor
            book.balances[Place(side, amount.unit, debit)] += amount.minor

    let_go: dict[str, tuple[Amount, ...]] = {}
    for tranche in state.tranches:
        if tranche.is_recovery:
            book.recoveries.add(tranche.number)
        for side, share in tranche.shares.items():
            told = tuple(one.amount for one in share.current if one.outcome is not BankOutcome.RETURNED)
            if tranche.is_recovery:
                _put_claim(book, put, tranche.number, side, share, told)
                continue
            if share.state in PAID:
                book.confirmed[tranche.number, side] = gone = share.amounts
                put(side, gone, Account.TREASURY, Account.DISBURSED)
            else:
                gone = told
                put(side, gone, Account.TREASURY, Account.INSTRUCTED)
            let_go[side] = (*let_go.get(side, ()), *gone)
    if state.stage is Stage.CONTRACTING or state.reserved:
        for side, amounts in state.commitments.items():
            put(side, amounts, Account.APPROPRIATION, Account.RESERVED)
    else:
        for side, amounts in (
            state.commitments if state.stage in OWED or state.winding_up else let_go
        ).items():
            put(side, amounts, Account.APPROPRIATION, Account.COMMITTED)
    for report in state.reports:
        if report.state is ReportState.ACCEPTED:
            for side, amounts in report.costs.items():
                put(side, amounts, Account.REPORTED, Account.ACCEPTED)
        for taken in report.disallowed or ():
            put(taken.directorate, (taken.amount,), Account.ACCEPTED, Account.REPORTED)
    return book


def _put_claim(
    book: Book,
    put: Callable[[str, Iterable[Amount], Account, Account], None],
    number: int,
    side: str,
    share: Share,
    told: tuple[Amount, ...],
) -> None:
    """What is claimed back and has come, or is still to come."""
    if share.state in (PaymentState.RECOVERED, PaymentState.SETTLED):
        book.confirmed[number, side] = share.amounts
        put(side, share.amounts, Account.RECOVERED, Account.TREASURY)
    elif share.state is PaymentState.WRITTEN_OFF:
        came = tuple(one.amount for one in share.current if one.outcome is BankOutcome.BOOKED)
        put(side, came, Account.RECOVERED, Account.TREASURY)
    else:
        put(side, told, Account.CLAIMED, Account.RECOVERABLE)


def _moves(book: Book, fact: Fact) -> Iterator[Move]:
    """What a fact moves from which account to which."""
    match fact:
        case CommitmentsFixed(commitments=commitments):
            yield from _released(book)  # an earlier decision's, when nothing in between has ended it
            for side, amount in _per_unit(commitments):
                yield Move(Code.COMMITMENT_RESERVED, side, amount, Account.APPROPRIATION, Account.RESERVED)
        case StageEntered(stage=Stage.ACTIVE, before=before) if before is not Stage.SUSPENDED:
            for side, amount in book.on(Account.RESERVED):
                yield Move(Code.COMMITMENT_MADE, side, amount, Account.RESERVED, Account.COMMITTED)
        case StageEntered(stage=stage, keeps_money=None) if stage not in HOLDS:
            yield from _released(book)
        case CommitmentsReleased():
            yield from _released(book)
        case AmendmentMade(commitments=commitments):
            yield from _amended(book, commitments)
        case CostsDisallowed(directorate=side, amount=amount):
            yield Move(Code.COSTS_DISALLOWED, side, amount, Account.ACCEPTED, Account.REPORTED)
        case ReportAccepted(number=number):
            for side, amount in _per_unit(book.costs.get(number, {})):
                yield Move(Code.COSTS_ACCEPTED, side, amount, Account.REPORTED, Account.ACCEPTED)
        case _:
            yield from _moves_of_money(book, fact)


def _moves_of_money(book: Book, fact: Fact) -> Iterator[Move]:
    """The same of what goes to and comes from a bank."""
    match fact:
        case TrancheInstructed(number=number, instructions=instructions):
            told = {side: tuple(one.amount for one in some) for side, some in instructions.items()}
            for side, amount in _per_unit(told):
                if number in book.recoveries:
                    yield Move(Code.CLAIM_MADE, side, amount, Account.CLAIMED, Account.RECOVERABLE)
                else:
                    yield Move(Code.PAYMENT_INSTRUCTED, side, amount, Account.TREASURY, Account.INSTRUCTED)
        case TranchePaid(directorate=side, amounts=amounts):
            for _, amount in _per_unit({side: amounts}):
                yield Move(Code.PAYMENT_MADE, side, amount, Account.INSTRUCTED, Account.DISBURSED)
        case TrancheRecovered(directorate=side, amounts=amounts):
            yield from _recovered(side, amounts)
        case TrancheWrittenOff(directorate=side, recovered=came, claimed=claimed):
            yield from _recovered(side, came)
            for _, amount in _per_unit({side: claimed}):
                yield Move(Code.CLAIM_WRITTEN_OFF, side, amount, Account.RECOVERABLE, Account.CLAIMED)
        case PaymentFailed(number=number, directorate=side, amount=returned) if number in book.recoveries:
            for _, amount in _per_unit({side: book.confirmed.get((number, side), ())}):
                yield Move(Code.MONEY_UNCONFIRMED, side, amount, Account.TREASURY, Account.RECOVERED)
                yield Move(Code.CLAIM_MADE, side, amount, Account.CLAIMED, Account.RECOVERABLE)
            yield Move(Code.CLAIM_WITHDRAWN, side, returned, Account.RECOVERABLE, Account.CLAIMED)
        case PaymentFailed(number=number, directorate=side, amount=returned):
            # What two officers had confirmed of that part is not so any more: they confirm it again.
            for _, amount in _per_unit({side: book.confirmed.get((number, side), ())}):
                yield Move(Code.PAYMENT_UNCONFIRMED, side, amount, Account.DISBURSED, Account.INSTRUCTED)
            yield Move(Code.PAYMENT_RETURNED, side, returned, Account.INSTRUCTED, Account.TREASURY)


def _recovered(side: str, amounts: tuple[Amount, ...]) -> Iterator[Move]:
    """Money has come back, and the claim to it is met."""
    for _, amount in _per_unit({side: amounts}):
        yield Move(Code.MONEY_RECOVERED, side, amount, Account.RECOVERED, Account.TREASURY)
        yield Move(Code.CLAIM_MET, side, amount, Account.RECOVERABLE, Account.CLAIMED)


def _amended(book: Book, commitments: Mapping[str, tuple[Amount, ...]]) -> Iterator[Move]:
    """What more is committed by an amendment, and what is given back."""
    owed = {(side, one.unit): one.minor for side, one in book.on(Account.COMMITTED)}
    asked = {(side, one.unit): one.minor for side, one in _per_unit(commitments)}
    for side, unit in sorted(owed.keys() | asked.keys()):
        more = asked.get((side, unit), 0) - owed.get((side, unit), 0)
        amount = Amount(abs(more), unit)
        if more > 0:
            yield Move(Code.COMMITMENT_INCREASED, side, amount, Account.APPROPRIATION, Account.COMMITTED)
        else:
            yield Move(Code.COMMITMENT_RELEASED, side, amount, Account.COMMITTED, Account.APPROPRIATION)


def _released(book: Book) -> Iterator[Move]:
    """Everything that is reserved, and of what is committed all that was not let go towards a bank."""
    code = Code.COMMITMENT_RELEASED
    for side, amount in book.on(Account.RESERVED):
        yield Move(code, side, amount, Account.RESERVED, Account.APPROPRIATION)
    for side, amount in book.on(Account.COMMITTED):
        let_go = sum(
            book.balances.get(Place(side, amount.unit, one), 0)
            for one in (Account.INSTRUCTED, Account.DISBURSED)
        )
        rest = Amount(max(0, amount.minor - let_go), amount.unit)
        yield Move(code, side, rest, Account.COMMITTED, Account.APPROPRIATION)


def _per_unit(amounts: Mapping[str, tuple[Amount, ...]]) -> Iterator[tuple[str, Amount]]:
    for side, some in sorted(amounts.items()):
        for _, amount in sorted(total(some).items()):
            yield side, amount


def _transaction(entry: AuditEntry, number: int, move: Move) -> Transaction:
    minor = move.amount.minor
    return Transaction(
        initiative=entry.initiative,
        sequence=entry.sequence,
        number=number,
        at=entry.instant,
        directorate=move.directorate,
        unit=move.amount.unit,
        code=move.code.value,
        entries=(Entry(account=move.debit, minor=minor), Entry(account=move.credit, minor=-minor)),
    )
