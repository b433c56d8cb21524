"""What the API says of funding agreements, as OpenAPI shows it."""

from __future__ import annotations

from datetime import date, datetime

from pydantic import BaseModel

from countersign.domain.matter import Matter, Outcome
from countersign.domain.payment_facts import FundingAgreementsDrawnUp


class FundingAgreementView(BaseModel):
    """One side's funding agreement in its current edition.

    ``matter`` is the one that puts it before every side; ``signed_at`` is when all of them had signed, none before.
    ``amendment`` is the one that made the edition; a minor one needs no matter.
    """

    directorate: str
    number: str
    edition: int
    drawn_up_on: date
    content_hash: str
    matter: int | None = None
    signed_at: datetime | None = None
    amendment: int | None = None


def agreement_views(
    drawn_up: FundingAgreementsDrawnUp, matter: Matter | None, amendment: int | None = None
) -> list[FundingAgreementView]:
    """Every side's agreement, and what became of it in the last matter that put it before them."""
    signed = matter is not None and matter.outcome is Outcome.APPROVED
    return [
        FundingAgreementView(
            directorate=side,
            number=one.number,
            edition=drawn_up.edition,
            drawn_up_on=drawn_up.drawn_up_on,
            content_hash=one.content_hash,
            matter=matter.number if matter else None,
            signed_at=matter.closed_at if matter and signed else None,
            amendment=amendment,
        )
        for side, one in sorted(drawn_up.sides.items())
    ]
