"""Amounts as ISO 20022 writes them: decimal digits, never a float on the way."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from countersign.domain.amounts import COMPUTE_UNIT, LARGEST, MINOR_DIGITS, Amount
from countersign.domain.errors import RuleBroken

# xs:decimal, as ActiveOrHistoricCurrencyAndAmount has it: 18 digits in all, five of them after the point.
_DECIMAL: Final = re.compile(r"(?P<sign>[+-]?)(?P<whole>[0-9]*)(?:\.(?P<part>[0-9]*))?")
_TOTAL_DIGITS: Final = 18
_FRACTION_DIGITS: Final = 5


def written(minor: int, currency: str) -> str:
    """Minor units with exactly the digits of their currency: ``written(125_000_00, "ILS")`` is ``"125000.00"``.

    Raises:
        RuleBroken: ``invalid`` for compute, which no bank transfers, for nothing, and beyond the largest amount.
    """
    if currency == COMPUTE_UNIT:
        raise RuleBroken("invalid", f"{COMPUTE_UNIT} is compute, not money: no bank transfers it")
    if not 0 < minor <= LARGEST:
        raise RuleBroken("invalid", "a payment is more than nothing and at most the largest amount")
    digits = MINOR_DIGITS.get(currency, 2)
    whole, part = divmod(minor, 10**digits)
    return f"{whole}.{part:0{digits}d}" if digits else str(whole)


def read(text: str, currency: str, currencies: Collection[str], where: str) -> Amount:
    """The amount that a bank wrote as ``text`` in ``currency``, one of ``currencies``.

    Zeros behind the currency's last digit change nothing and are taken (``"10.000"`` is 10.00 ILS); any other digit
    there would be money that we cannot write down. ``where`` says in a refusal which element it was.

    Raises:
        RuleBroken: ``invalid``.
    """
    if currency not in currencies or currency == COMPUTE_UNIT:
        raise RuleBroken("invalid", f"{where}: the currency is none of {', '.join(sorted(currencies))}")
    match = _DECIMAL.fullmatch(text)
    if match is None or not (match["whole"] or match["part"]):
        raise RuleBroken("invalid", f"{where}: not a decimal number")
    if match["sign"] == "-":
        raise RuleBroken("invalid", f"{where}: negative; the direction has an element of its own")
    whole, part = match["whole"], match["part"] or ""
    if len(part) > _FRACTION_DIGITS or len(whole) + len(part) > _TOTAL_DIGITS:
        raise RuleBroken("invalid", f"{where}: more digits than ISO 20022 has")
    digits = MINOR_DIGITS.get(currency, 2)
    if part[digits:].strip("0"):
        raise RuleBroken("invalid", f"{where}: {currency} has {digits} digits after the point")
    minor = int(whole + part[:digits].ljust(digits, "0") or "0")
    if minor > LARGEST:
        raise RuleBroken("invalid", f"{where}: larger than any amount")
    return Amount(minor, currency)
