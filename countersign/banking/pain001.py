"""The order to a side's bank to pay its part of a tranche: ISO 20022 ``pain.001.001.09``."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Annotated, Final

from lxml import etree
from pydantic import Field, StringConstraints

from countersign.banking import money
from countersign.banking.parties import Account, Agent, Party
from countersign.banking.text import latin
from countersign.domain.amounts import Amount
from countersign.domain.errors import RuleBroken
from countersign.domain.model import Model, Number
from countersign.domain.text import Line

NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"

NAME_LENGTH: Final = 70
"""What the payment schemes carry of a name; the schema would take 140, and a bank then cuts it as it pleases."""

REMITTANCE_LENGTH: Final = 140

EndToEndId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+?:().,'\-]{1,35}$")]
"""The name of a payment at every bank: never rewritten, so it has no character that one of them would not carry."""


class Transfer(Model):
    """One payment to one participant."""

    end_to_end_id: EndToEndId
    amount: Amount
    creditor: Party


class Order(Model):
    """What one side pays of one tranche, from one account in one currency.

    ``reference`` is the initiative's, for people (``ILAZ-2027-0042``); ``execute_on`` is a date at the debtor's bank.
    """

    reference: Line
    tranche: Number
    debtor: Party
    execute_on: date
    transfers: tuple[Transfer, ...] = Field(min_length=1)


def message_id(end_to_end_ids: Iterable[str]) -> str:
    """The Max35Text that names an order at the bank, whatever its wording: its payments say which it is."""
    return _id("CSM", end_to_end_ids)


def credit_transfer(order: Order, created: datetime) -> bytes:
    """The file for the side's bank: a customer credit transfer initiation, as UTF-8.

    ``created`` is an aware instant. The same order and instant give the same bytes, and the same payments the same
    message id at any instant: a bank that gets the file twice knows it for a duplicate.

    Raises:
        RuleBroken: ``invalid`` for compute, for more than one currency, for an end-to-end id that comes twice, for an
            amount that cannot be paid, and for a name that cannot be written in Latin.
        ValueError: when ``created`` has no time zone.

    Source: ISO 20022 message definition CustomerCreditTransferInitiationV09; DESIGN section 5.
    """
    if created.tzinfo is None:
        raise ValueError("the time of creation is an aware instant")
    amounts = [money.written(one.amount.minor, one.amount.unit) for one in order.transfers]
    currency = _currency(order)
    control_sum = money.written(sum(one.amount.minor for one in order.transfers), currency)
    _refuse_repeated_ids(order)
    count, name = str(len(order.transfers)), latin(order.debtor.name, NAME_LENGTH)
    which = f" tranche {order.tranche}"
    remittance = latin(order.reference, REMITTANCE_LENGTH - len(which)) + which

    document = etree.Element(f"{{{NAMESPACE}}}Document", nsmap={None: NAMESPACE})
    message = _add(document, "CstmrCdtTrfInitn")

    header = _add(message, "GrpHdr")
    ids = [one.end_to_end_id for one in order.transfers]
    _add(header, "MsgId", message_id(ids))
    _add(header, "CreDtTm", created.astimezone(UTC).isoformat(timespec="seconds"))
    _add(header, "NbOfTxs", count)
    _add(header, "CtrlSum", control_sum)
    _add(_add(header, "InitgPty"), "Nm", name)

    payment = _add(message, "PmtInf")
    _add(payment, "PmtInfId", _id("CSP", ids))
    _add(payment, "PmtMtd", "TRF")
    # Booked one by one, so that the bank's notification names each by its end-to-end id.
    _add(payment, "BtchBookg", "false")
    _add(payment, "NbOfTxs", count)
    _add(payment, "CtrlSum", control_sum)
    _add(_add(payment, "ReqdExctnDt"), "Dt", order.execute_on.isoformat())
    _add(_add(payment, "Dbtr"), "Nm", name)
    _account(_add(payment, "DbtrAcct"), order.debtor.account)
    _agent(_add(payment, "DbtrAgt"), order.debtor.agent)

    for transfer, amount in zip(order.transfers, amounts, strict=True):
        one = _add(payment, "CdtTrfTxInf")
        _add(_add(one, "PmtId"), "EndToEndId", transfer.end_to_end_id)
        _add(_add(one, "Amt"), "InstdAmt", amount).set("Ccy", currency)
        if transfer.creditor.agent is not None:
            _agent(_add(one, "CdtrAgt"), transfer.creditor.agent)
        _add(_add(one, "Cdtr"), "Nm", latin(transfer.creditor.name, NAME_LENGTH))
        _account(_add(one, "CdtrAcct"), transfer.creditor.account)
        _add(_add(one, "RmtInf"), "Ustrd", remittance)
    return etree.tostring(document, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _currency(order: Order) -> str:
    currencies = {one.amount.unit for one in order.transfers}
    if len(currencies) > 1:
        raise RuleBroken("invalid", "one file pays in one currency: each side pays in its own")
    return currencies.pop()


def _refuse_repeated_ids(order: Order) -> None:
    count = Counter(one.end_to_end_id for one in order.transfers)
    if repeated := [one for one, times in count.items() if times > 1]:
        raise RuleBroken("invalid", f"end-to-end id {repeated[0]} is there more than once")


def _id(kind: str, end_to_end_ids: Iterable[str]) -> str:
    payments = "\n".join(sorted(end_to_end_ids))
    return kind + hashlib.sha256(payments.encode()).hexdigest()[:32].upper()


def _add(parent: etree._Element, name: str, text: str | None = None) -> etree._Element:
    child = etree.SubElement(parent, f"{{{NAMESPACE}}}{name}")
    child.text = text
    return child


def _account(parent: etree._Element, account: Account) -> None:
    identification = _add(parent, "Id")
    if account.iban is not None:
        _add(identification, "IBAN", account.iban)
    else:
        _add(_add(identification, "Othr"), "Id", account.other)


def _agent(parent: etree._Element, agent: Agent | None) -> None:
    institution = _add(parent, "FinInstnId")
    if agent is not None and agent.bic is not None:
        _add(institution, "BICFI", agent.bic)
    else:
        # The schema wants the debtor's bank named; this is how the schemes say that the IBAN names it.
        _add(_add(institution, "Othr"), "Id", "NOTPROVIDED" if agent is None else agent.other)
