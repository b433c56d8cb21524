"""Funding agreements: one document a side, with its legal text in the side's languages."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response

from countersign.api.agreement_schemas import FundingAgreementView, agreement_views
from countersign.api.carrying_out import Side
from countersign.api.dependencies import Here, Record
from countersign.api.errors import Problem, documented
from countersign.api.schemas import Page
from countersign.domain.agreement import MatterKind
from countersign.domain.amendment import MOST
from countersign.domain.facts import AmendmentAsked
from countersign.domain.payment_facts import FundingAgreementsDrawnUp
from countersign.store import documents, initiatives, trail
from countersign.store.session import Database

router = APIRouter(prefix="/initiatives/{identifier}/funding-agreements", tags=["funding agreements"])

_MOST_EDITIONS: Final = 100
"""Of one initiative; each took an approval that ran out or an amendment, so there are never so many."""


@router.get("", responses=documented("unauthenticated", "not_found"))
async def every(here: Here, record: Record) -> Page[FundingAgreementView]:
    """Every side's agreement in its current edition, and when it was signed; none before they are drawn up."""
    async with record.reading() as connection:
        matters = await initiatives.matters(connection, here.id)
    editions = await _editions(record, here.id)
    if not editions:
        return Page(items=[])
    since, drawn_up = editions[0]
    amendment = await _amendment(record, here.id, drawn_up.edition)
    if amendment is not None:
        # It is in force as it was notified, or as the matter of the amendment was decided.
        of_it = [one for one in matters if one.number == amendment.matter]
        return Page(items=agreement_views(drawn_up, of_it[-1] if of_it else None, amendment.number))
    # Matters are read first: one that was opened after an edition is never taken for that of an earlier one.
    of_it = [one for one in matters if one.kind is MatterKind.AGREEMENT and one.opened_at >= since]
    return Page(items=agreement_views(drawn_up, of_it[-1] if of_it else None))


@router.get(
    "/{directorate}",
    response_model=None,
    responses={
        **documented("unauthenticated", "not_found"),
        200: {
            "content": {
                "application/json": {"schema": {"type": "object"}},
                "text/plain": {"schema": {"type": "string"}},
            },
            "description": "The document whose content hash is signed; with `language` its legal text alone.",
        },
    },
)
async def read(
    directorate: Side,
    here: Here,
    record: Record,
    language: Annotated[
        str | None, Query(pattern=r"^[a-z]{2}$", description="Of the legal text, as plain text.")
    ] = None,
    edition: Annotated[int | None, Query(ge=1, le=100_000, description="An earlier edition.")] = None,
) -> dict[str, Any] | Response:
    """One side's funding agreement as a document, or its legal text in one of that side's languages."""
    editions = [one for _, one in await _editions(record, here.id) if edition in (None, one.edition)]
    if not editions or directorate not in editions[0].sides:
        raise Problem("not_found", "there is no such funding agreement")
    async with record.reading() as connection:
        document = (
            await documents.find(connection, editions[0].sides[directorate].content_hash, of=here.id) or {}
        )
    if language is None:
        return document
    text = document.get("text", {}).get(language)
    if text is None:
        raise Problem("not_found", f"this funding agreement is not given in {language!r}")
    return Response(text, media_type="text/plain; charset=utf-8", headers={"Content-Language": language})


async def _amendment(record: Database, initiative: str, edition: int) -> AmendmentAsked | None:
    """The amendment for which an edition was drawn up."""
    async with record.reading() as connection:
        found = await trail.search(
            connection, action=AmendmentAsked.action, initiative=initiative, limit=MOST
        )
    asked = (AmendmentAsked.model_validate(one.entry.body) for one in found)
    return next((one for one in asked if one.funding_agreements.edition == edition), None)


async def _editions(record: Database, initiative: str) -> list[tuple[datetime, FundingAgreementsDrawnUp]]:
    """The editions that were drawn up, the current one first, each with the instant."""
    async with record.reading() as connection:
        found = await trail.search(
            connection,
            action=FundingAgreementsDrawnUp.action,
            initiative=initiative,
            limit=_MOST_EDITIONS,
        )
    return [(one.entry.instant, FundingAgreementsDrawnUp.model_validate(one.entry.body)) for one in found]
