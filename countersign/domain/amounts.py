"""Amounts: integers in minor units with their unit, and splitting them without losing any."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import Field, StrictInt, StringConstraints

MINOR_DIGITS: Final[dict[str, int]] = {
    "GPUh": 0,
    "JPY": 0,
    "KRW": 0,
    "ISK": 0,
    "BHD": 3,
    "JOD": 3,
    "KWD": 3,
    "TND": 3,
}
"""Digits after the point where they are not two: ISO 4217 exponents, and whole GPU hours."""

COMPUTE_UNIT: Final = "GPUh"

Unit = Annotated[str, StringConstraints(pattern=r"^(?:[A-Z]{3}|GPUh)$")]
LARGEST: Final = 10**15
"""Minor units that an amount, and a sum of them, has at most: still exact as a JSON number."""

Minor = Annotated[StrictInt, Field(ge=0, le=LARGEST)]


@dataclass(frozen=True, slots=True)
class Amount:
    """So many minor units of a unit: an ISO 4217 currency, or ``GPUh`` for compute.

    ``Amount(1_250_000_00, "ILS")`` is 1,250,000 shekels. Never negative: what goes back has its own name.
    """

    minor: Minor
    unit: Unit

    def __post_init__(self) -> None:
        if isinstance(self.minor, bool) or not isinstance(self.minor, int):
            raise ValueError("an amount is a whole number of minor units")
        if self.minor < 0:
            raise ValueError("an amount is not negative")

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.minor + self._same(other).minor, self.unit)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.minor - self._same(other).minor, self.unit)

    def __le__(self, other: Amount) -> bool:
        return self.minor <= self._same(other).minor

    def __gt__(self, other: Amount) -> bool:
        return not self <= other

    def __str__(self) -> str:
        digits = MINOR_DIGITS.get(self.unit, 2)
        whole, rest = divmod(self.minor, 10**digits)
        return f"{whole:,}.{rest:0{digits}d} {self.unit}" if digits else f"{whole:,} {self.unit}"

    def _same(self, other: Amount) -> Amount:
        if self.unit != other.unit:
            raise ValueError(f"{self.unit} and {other.unit} do not add up")
        return other


def decimal(minor: int, unit: str) -> str:
    """Minor units as a plain number of the unit, such as ``-1250000.00``; unlike an amount it may be negative."""
    digits = MINOR_DIGITS.get(unit, 2)
    whole, rest = divmod(abs(minor), 10**digits)
    sign = "-" if minor < 0 else ""
    return f"{sign}{whole}.{rest:0{digits}d}" if digits else f"{sign}{whole}"


def total(amounts: Iterable[Amount]) -> dict[str, Amount]:
    """The sum per unit."""
    sums: dict[str, Amount] = {}
    for amount in amounts:
        sums[amount.unit] = sums[amount.unit] + amount if amount.unit in sums else amount
    return sums


def split(amount: Amount, weights: Sequence[int]) -> tuple[Amount, ...]:
    """``amount`` in shares as the weights say, exact to the last minor unit (largest remainder).

    Raises:
        ValueError: without a positive weight, or with a negative one.
    """
    whole = sum(weights)
    if whole <= 0 or min(weights) < 0:
        raise ValueError("weights are not negative and not all nothing")
    shares = [divmod(amount.minor * weight, whole) for weight in weights]
    left = amount.minor - sum(share for share, _ in shares)
    # Ties go to the earlier share, so the answer depends on nothing but the arguments.
    by_remainder = sorted(range(len(weights)), key=lambda i: (-shares[i][1], i))
    extra = set(by_remainder[:left])
    return tuple(Amount(share + (i in extra), amount.unit) for i, (share, _) in enumerate(shares))


_WRITTEN = re.compile(
    r"^\s*(?P<whole>\d{1,3}(?:,\d{3})+|\d[\d_ ]*?)(?:\.(?P<part>\d+))?\s*(?P<unit>[A-Z]{3}|GPUh)\s*$"
)


def parse_amount(text: str) -> Amount:
    """The amount that a person wrote as ``"1,250,000.00 ILS"``.

    Raises:
        ValueError: when it is not an amount, or has more digits than its unit.
    """
    match = _WRITTEN.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not an amount like '1,250,000.00 ILS'")
    unit, part = match["unit"], match["part"] or ""
    digits = MINOR_DIGITS.get(unit, 2)
    if len(part) > digits:
        raise ValueError(f"{unit} has {digits} digits after the point")
    whole = re.sub(r"[,_ ]", "", match["whole"])
    return Amount(int(whole + part.ljust(digits, "0")), unit)
