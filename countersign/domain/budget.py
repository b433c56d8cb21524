"""What each side gives the programme in a year, and what is too little of it (docs/budgets.md)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from countersign.domain.amounts import Amount
from countersign.domain.model import Model

TRY_AGAIN: Final = timedelta(days=7)
"""After so long an initiative that waits for money looks by itself, should nobody have told it that some came free."""


class Lack(Model):
    """A budget of ``year`` in which too little is left for one side's part: all in minor units of ``unit``.

    ``area`` is none for the side's budget over all areas. ``ahead`` is how many wait for the same budget already: they
    come first, however much is left.
    """

    directorate: str
    unit: str
    area: str | None = None
    year: int
    wanted: int
    left: int
    ahead: int = 0

    def __str__(self) -> str:
        of = f"{self.year}" if self.area is None else f"{self.year} for {self.area}"
        left = Amount(max(0, self.left), self.unit)
        first = f", and {self.ahead} waited before" if self.ahead else ""
        return (
            f"{self.directorate}'s budget of {of} has {left} left for {Amount(self.wanted, self.unit)}{first}"
        )


class Deferral(Model):
    """That an approved initiative waits for money, since when, and what it lacked when it was last said."""

    since: datetime
    lacking: tuple[Lack, ...]


def reason(lacking: Sequence[Lack]) -> str:
    """Why it waits, in a sentence for whoever asks where it stands."""
    return "approved, and waits for money: " + "; ".join(map(str, lacking))


def year_of(at: datetime) -> int:
    """The budget year of an instant: the calendar year by UTC, the same for every side."""
    return at.astimezone(UTC).year


def try_again_at(now: datetime) -> datetime:
    """When to look again whether there is money: in a week, or when the next budget year begins."""
    return min(now + TRY_AGAIN, datetime(year_of(now) + 1, 1, 1, tzinfo=UTC))
