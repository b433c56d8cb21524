"""How long what names people is kept after an initiative's end, and what is left of a document then."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from countersign.domain.agreement import ProgrammeAgreement
from countersign.domain.schedule import add_months

REDACTED: Final = {"name": "(redacted)", "email": "redacted@redacted.invalid"}
"""What stands in the place of a person: in the form of one, so that whatever reads proposals still reads these."""


@dataclass(frozen=True, slots=True)
class Rule:
    """So many years; ``directorate`` is the side whose national rule it is, none for the programme's own."""

    years: int
    directorate: str | None = None

    def __str__(self) -> str:
        return f"{self.years} years ({self.directorate or 'the programme'})"


def rule(agreement: ProgrammeAgreement) -> Rule:
    """The longest of the programme's rule and those of its sides."""
    national = (
        Rule(one.retention_years, one.id) for one in agreement.directorate if one.retention_years is not None
    )
    return max((Rule(agreement.retention_years), *national), key=lambda one: one.years)


def due_at(ended_at: datetime, years: int) -> datetime:
    """When so many whole years are over; what ended on 29 February is due on 28 February of a year without one."""
    return add_months(ended_at, 12 * years)


def redacted(document: dict[str, Any]) -> dict[str, Any]:
    """A document without its people; one that names none, or was redacted before, is given back as it is.

    ==============================  =======================================
    place                           who stands there
    ==============================  =======================================
    ``partners[].contact``          whoever speaks for a partner
    ``partners[].participants[]``   everybody who takes part for a partner
    ==============================  =======================================

    Only proposals have such places. Other documents name organisations, offices and the ids of accounts; what
    somebody wrote into a text is not looked for.
    """
    partners = document.get("partners")
    if not isinstance(partners, list):
        return document
    return {
        **document,
        "partners": [_without_people(one) if isinstance(one, dict) else one for one in partners],
    }


def _without_people(partner: dict[str, Any]) -> dict[str, Any]:
    left = dict(partner)
    if "contact" in left:
        left["contact"] = dict(REDACTED)
    if isinstance(left.get("participants"), list):
        left["participants"] = [dict(REDACTED) for _ in left["participants"]]
    return left
