"""Mandates: an office holder lets a colleague sign for them, within bounds, until revoked (DESIGN section 3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, Literal

from countersign.domain.agreement import Identifier, MatterKind
from countersign.domain.amounts import Amount
from countersign.domain.errors import RuleBroken
from countersign.domain.model import MessageId, Model

PAYMENT: Final = "payment"
"""What a mandate may cover beside kinds of matter: authorising and confirming the side's part of a tranche."""

MandateKind = MatterKind | Literal["payment"]


class Mandate(Model):
    """``delegate`` may sign for ``delegator``, both of ``directorate``.

    For the ``offices`` that the delegator held when it was given, in matters of ``kinds``, where the initiative asks
    of that side at most ``ceiling`` (one amount a unit; a unit that is not in it is not bounded), or on a payment,
    where the side's part of the tranche is at most that. In force from ``valid_from`` up to ``valid_to``, unless
    revoked before.
    """

    id: str
    directorate: Identifier
    delegator: MessageId
    delegator_contact: str | None = None
    delegate: MessageId
    offices: tuple[Identifier, ...]
    kinds: tuple[MandateKind, ...]
    ceiling: tuple[Amount, ...] = ()
    valid_from: datetime
    valid_to: datetime
    given_at: datetime
    revoked_at: datetime | None = None

    def in_force(self, now: datetime) -> bool:
        """Whether it can be used at that instant."""
        return self.valid_from <= now < self.valid_to and not (self.revoked_at and self.revoked_at <= now)

    def covers(self, requested: Iterable[Amount]) -> bool:
        """Whether what is asked of the side stays within the ceiling."""
        asked = {amount.unit: amount.minor for amount in requested}
        return all(asked.get(bound.unit, 0) <= bound.minor for bound in self.ceiling)


def usable(
    mandates: Sequence[Mandate],
    *,
    delegator: str,
    delegate: str,
    directorate: str | None,
    kind: MandateKind,
    requested: Sequence[Amount],
    now: datetime,
) -> Mandate:
    """The mandate under which a delegate signs, ``requested`` being what is asked of their side.

    Raises:
        RuleBroken: ``mandate_exceeded`` when none reaches this far, ``mandate_expired`` when one would but is not
            in force.
    """
    between = [
        one
        for one in mandates
        if (one.delegator, one.delegate, one.directorate) == (delegator, delegate, directorate)
    ]
    reaching = [one for one in between if kind in one.kinds and one.covers(requested)]
    for one in reaching:
        if one.in_force(now):
            return one
    if reaching:
        raise RuleBroken("mandate_expired", "the mandate is revoked, over or has not begun")
    if between:
        raise RuleBroken(
            "mandate_exceeded", "the mandate does not cover this kind of act, or not this amount"
        )
    raise RuleBroken("mandate_exceeded", "there is no mandate of that person for you")
