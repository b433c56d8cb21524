"""What a side's bank says it booked: ISO 20022 ``camt.054``, the debit and credit notification."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from datetime import date
from enum import StrEnum
from typing import Final

from lxml import etree
from pydantic import ValidationError

from countersign.banking import document, money
from countersign.banking.document import Node
from countersign.banking.parties import Account
from countersign.domain.amounts import Amount
from countersign.domain.errors import RuleBroken
from countersign.domain.model import Model, Sha256

VERSIONS: Final = frozenset(f"{number:02d}" for number in range(2, 13))
"""The versions that are read: ``camt.054.001.02`` to ``.12``.

What is read here is the same in all of them but for two things: the status is a bare code up to version 06 and a choice
from 07 on, and a transaction has an amount and a direction of its own from version 03 on (before, ``AmtDtls/TxAmt``).
"""

NOT_PROVIDED: Final = "NOTPROVIDED"
"""What a bank writes for an end-to-end id when whoever paid gave none."""

_NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:camt.054.001."
_ID_LENGTH: Final = 35
_DATE: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:Z|[+-][0-9]{2}:[0-9]{2})?")
_DATE_TIME: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})?"
)


class Direction(StrEnum):
    """Which way the money went, as the account's owner sees it."""

    CREDIT = "CRDT"
    DEBIT = "DBIT"


class Status(StrEnum):
    """Whether the entry is in the account's books. Only ``BOOKED`` is money that moved."""

    BOOKED = "BOOK"
    PENDING = "PDNG"
    INFORMATION = "INFO"
    FUTURE = "FUTR"


class Limits(Model):
    """What is taken of a file: its bytes, how deep its elements go, and the currencies that are known."""

    size: int = 2_000_000
    depth: int = 32
    currencies: frozenset[str]


class Transaction(Model):
    """One payment in an entry.

    ``amount`` is None where a batch does not say it. ``returned`` is why the payment came back: the bank's code
    (``AC04``), its own words where it has no code, and ``unknown`` where it says nothing.
    """

    end_to_end_id: str | None
    amount: Amount | None
    direction: Direction
    reference: str | None = None
    returned: str | None = None


class Entry(Model):
    """One line in the account's books: a payment, or a batch of them.

    ``reversal`` says that it takes an earlier entry back; ``direction`` is then that of the taking back. ``booked_on``
    is the bank's date, and there whenever the status is ``BOOKED``. ``reference`` is the bank's.
    """

    amount: Amount
    direction: Direction
    status: Status
    reversal: bool = False
    booked_on: date | None = None
    reference: str | None = None
    transactions: tuple[Transaction, ...] = ()

    @property
    def adds_up(self) -> bool:
        """Whether the transactions come to the entry's amount. Where not, charges may be in it: for a person to see."""
        total = 0
        for one in self.transactions:
            if one.amount is None or one.amount.unit != self.amount.unit:
                return False
            total += one.amount.minor if one.direction is self.direction else -one.amount.minor
        return total == self.amount.minor


class Notification(Model):
    """One notification, or one page of it, on one account.

    The bank's ``id`` with the account and the page names it; the same again is a duplicate, and so is the same
    ``content``: the hash of the file's bytes.
    """

    message_id: str
    id: str
    page: int = 1
    account: Account
    entries: tuple[Entry, ...]
    content: Sha256

    @property
    def paid_twice(self) -> frozenset[str]:
        """End-to-end ids under which money left more than once and was not taken back here."""
        times: Counter[str] = Counter()
        for entry in self.entries:
            if entry.status is not Status.BOOKED:
                continue
            for one in entry.transactions:
                if one.end_to_end_id is not None:
                    times[one.end_to_end_id] += 1 if one.direction is Direction.DEBIT else -1
        return frozenset(one for one, count in times.items() if count > 1)


def read_notification(data: bytes, limits: Limits) -> Notification:
    """The notification in the bytes of a bank's file, whatever encoding of XML it has.

    One notification a file: a side is told of one account. The banks' own schema is wider than what is checked here;
    what is not read is not judged.

    Raises:
        RuleBroken: ``too_large`` beyond ``limits.size``; ``invalid`` for anything else that is not such a message.

    Source: ISO 20022 message definition BankToCustomerDebitCreditNotification; DESIGN section 5.
    """
    root = document.read(data, limits.size, limits.depth)
    message = Node(root, _namespace(root), "Document").one("BkToCstmrDbtCdtNtfctn")
    notification = message.one("Ntfctn")
    page = notification.maybe("NtfctnPgntn", "PgNb") or message.maybe("GrpHdr", "MsgPgntn", "PgNb")
    return Notification(
        message_id=message.one("GrpHdr", "MsgId").text(_ID_LENGTH),
        id=notification.one("Id").text(_ID_LENGTH),
        page=1 if page is None else _page(page),
        account=_account(notification.one("Acct", "Id")),
        entries=tuple(_entry(one, limits) for one in notification.all("Ntry")),
        content="sha256:" + hashlib.sha256(data).hexdigest(),
    )


def _namespace(root: etree._Element) -> str:
    name = etree.QName(root)
    namespace = name.namespace or ""
    version = namespace.removeprefix(_NAMESPACE)
    if name.localname != "Document" or version == namespace or version not in VERSIONS:
        raise RuleBroken("invalid", f"not a camt.054.001 of version {min(VERSIONS)} to {max(VERSIONS)}")
    return namespace


def _page(node: Node) -> int:
    text = node.text(5)
    if not re.fullmatch(r"[0-9]+", text):
        raise RuleBroken("invalid", f"{node.where} is not a number")
    return int(text)


def _account(node: Node) -> Account:
    iban = node.maybe("IBAN")
    try:
        if iban is not None:
            return Account(iban=iban.text(_ID_LENGTH))
        return Account(other=node.one("Othr", "Id").text(_ID_LENGTH))
    except ValidationError:
        raise RuleBroken("invalid", f"{node.where} is not the number of an account") from None


def _entry(node: Node, limits: Limits) -> Entry:
    amount, direction, status = _amount(node.one("Amt"), limits), _direction(node), _status(node.one("Sts"))
    day = node.maybe("BookgDt")
    if day is None and status is Status.BOOKED:
        raise RuleBroken("invalid", f"{node.where}/BookgDt is missing, but the entry is booked")
    details = [one for batch in node.all("NtryDtls") for one in batch.all("TxDtls")]
    # Only where one transaction is all there is does the entry's amount say what it comes to.
    alone = len(details) == 1 and _batch_size(node) <= 1
    return Entry(
        amount=amount,
        direction=direction,
        status=status,
        reversal=_is_reversal(node),
        booked_on=None if day is None else _day(day),
        reference=_id(node.maybe("AcctSvcrRef")),
        transactions=tuple(
            _transaction(one, amount if alone else None, direction, limits) for one in details
        ),
    )


def _batch_size(node: Node) -> int:
    size = 0
    for details in node.all("NtryDtls"):
        stated = details.maybe("Btch", "NbOfTxs")
        if stated is not None:
            text = stated.text(15)
            if not re.fullmatch(r"[0-9]+", text):
                raise RuleBroken("invalid", f"{stated.where} is not a number")
            size += int(text)
    return size


def _transaction(node: Node, alone: Amount | None, direction: Direction, limits: Limits) -> Transaction:
    own = node.maybe("Amt") or node.maybe("AmtDtls", "TxAmt", "Amt")
    end_to_end_id = _id(node.maybe("Refs", "EndToEndId"))
    return Transaction(
        end_to_end_id=None if end_to_end_id == NOT_PROVIDED else end_to_end_id,
        amount=alone if own is None else _amount(own, limits),
        direction=direction if node.maybe("CdtDbtInd") is None else _direction(node),
        reference=_id(node.maybe("Refs", "AcctSvcrRef")),
        returned=_returned(node.maybe("RtrInf")),
    )


def _amount(node: Node, limits: Limits) -> Amount:
    return money.read(node.text(30), node.attribute("Ccy"), limits.currencies, node.where)


def _direction(node: Node) -> Direction:
    child = node.one("CdtDbtInd")
    try:
        return Direction(child.text(4))
    except ValueError:
        raise RuleBroken("invalid", f"{child.where} is neither CRDT nor DBIT") from None


def _status(node: Node) -> Status:
    code = node.maybe("Cd") or node
    try:
        return Status(code.text(4))
    except ValueError:
        raise RuleBroken("invalid", f"{node.where} is none of {', '.join(Status)}") from None


def _is_reversal(node: Node) -> bool:
    child = node.maybe("RvslInd")
    if child is None:
        return False
    text = child.text(5)
    if text not in {"true", "1", "false", "0"}:
        raise RuleBroken("invalid", f"{child.where} is neither true nor false")
    return text in {"true", "1"}


def _day(node: Node) -> date:
    """The date as the bank writes it, in its own time zone: which day that is elsewhere changes nothing."""
    day, pattern = node.maybe("Dt"), _DATE
    if day is None:
        day, pattern = node.one("DtTm"), _DATE_TIME
    match = pattern.fullmatch(day.text(40))
    try:
        if match is not None:
            return date.fromisoformat(match[1])
    except ValueError:
        pass
    raise RuleBroken("invalid", f"{day.where} is not a date")


def _returned(node: Node | None) -> str | None:
    if node is None:
        return None
    reason = node.maybe("Rsn", "Cd") or node.maybe("Rsn", "Prtry")
    if reason is not None:
        return reason.text(_ID_LENGTH)
    said = node.all("AddtlInf")
    return said[0].text(140) if said else "unknown"


def _id(node: Node | None) -> str | None:
    return None if node is None else node.text(_ID_LENGTH)
