"""Amendments of an active initiative: asking for one, and what became of those that were asked for."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from countersign.api.attachments import check_attached
from countersign.api.dependencies import Bound, Here, Key, Me, Record, Required, Workflows
from countersign.api.errors import documented
from countersign.api.proposals import check_proposal
from countersign.api.schemas import Body, Page
from countersign.domain.amendment import MOST, AmendmentState, Kind, Weight
from countersign.domain.audit import AuditEntry
from countersign.domain.facts import (
    AmendmentAsked,
    AmendmentMade,
    AmendmentNotified,
    AmendmentRejected,
    VersionInForce,
)
from countersign.domain.model import Sha256
from countersign.domain.proposal import Proposal
from countersign.domain.text import Reasons
from countersign.store import documents, trail
from countersign.store.initiatives import Initiative
from countersign.store.session import Database
from countersign.workflows.initiative import InitiativeWorkflow
from countersign.workflows.messages import AdoptAgreement, Answer, AskAmendment

router = APIRouter(prefix="/initiatives/{identifier}/amendments", tags=["amendments"])


class AmendmentBody(Body):
    """The whole new version of the proposal, the content hash of the version in force that it replaces, and why."""

    proposal: Proposal
    replaces: Sha256
    reasons: Reasons


class AdoptionBody(Body):
    """The version of the programme agreement to move the initiative to, and why."""

    agreement_version: Annotated[int, Field(ge=1, le=1_000_000)]
    reasons: Reasons


class AskedView(BaseModel):
    """An amendment that is on record; ``matter`` decides on it, none when it is a minor one and in force."""

    number: int
    weight: Weight
    matter: int | None
    content_hash: str
    sequence: int


class AmendmentView(BaseModel):
    """An amendment and what became of it.

    ``replaces`` and ``content_hash`` are the versions of the proposal that it leads from and to; ``version`` is the
    number of the latter since it is in force. ``edition`` is that of the funding agreements drawn up for it. ``reason``
    is why it came to nothing. ``agreement_version`` is that of the programme agreement that it leads to, if that is
    another one.
    """

    number: int
    weight: Weight
    kinds: list[Kind]
    state: AmendmentState
    changed: list[str]
    reasons: str
    replaces: str
    content_hash: str
    edition: int
    asked_by: str
    asked_at: datetime
    matter: int | None = None
    version: int | None = None
    settled_at: datetime | None = None
    reason: str | None = None
    agreement_version: int | None = None


@router.post(
    "",
    status_code=201,
    responses=documented(
        *("invalid", "not_found", "forbidden", "stage_closed", "out_of_order", "precondition_failed"),
        *("idempotency_key_required", "too_large"),
    ),
)
async def ask(
    body: AmendmentBody,
    here: Here,
    me: Me,
    key: Key,
    record: Record,
    required: Required,
    workflows: Workflows,
    bound: Bound,
    response: Response,
) -> AskedView:
    """Ask for an amendment. A minor one is in force with the answer, a major one is put before every side."""
    check_proposal(body.proposal, bound)
    content = body.proposal.content_hash()
    async with record.transaction() as connection:
        await check_attached(required, connection, body.proposal, me, here.id)
        await documents.keep(connection, content, body.proposal.document_form())
    command = AskAmendment(
        id=key, caller=me.caller, content_hash=content, replaces=body.replaces, reasons=body.reasons
    )
    answer = await workflows.tell(here.id, InitiativeWorkflow.ask_amendment, command)
    return await _asked(record, here, answer, response)


@router.post(
    "/agreement",
    status_code=201,
    responses=documented(
        *("invalid", "not_found", "forbidden", "not_your_office", "conflict_of_interest", "stage_closed"),
        *("out_of_order", "idempotency_key_required", "too_large"),
    ),
)
async def adopt(
    body: AdoptionBody,
    here: Here,
    me: Me,
    key: Key,
    record: Record,
    workflows: Workflows,
    response: Response,
) -> AskedView:
    """Ask to move the initiative to a newer version of the programme agreement; every side decides on it.

    By the office that speaks for a side, or by those who take part in it.
    """
    command = AdoptAgreement(
        id=key, caller=me.caller, agreement_version=body.agreement_version, reasons=body.reasons
    )
    answer = await workflows.tell(here.id, InitiativeWorkflow.adopt_agreement, command)
    return await _asked(record, here, answer, response)


async def _asked(record: Database, here: Initiative, answer: Answer, response: Response) -> AskedView:
    """An amendment as it was put on record."""
    async with record.reading() as connection:
        (entry,) = await trail.entries_from(connection, here.id, answer.sequence, limit=1)
    asked = AmendmentAsked.model_validate(entry.body)
    response.headers["Location"] = f"/v1/initiatives/{here.id}/amendments"
    return AskedView(
        number=asked.number,
        weight=asked.weight,
        matter=asked.matter,
        content_hash=entry.subject or "",
        sequence=answer.sequence,
    )


@router.get("", responses=documented("unauthenticated", "not_found"))
async def every(here: Here, record: Record) -> Page[AmendmentView]:
    """Every amendment that was asked for, in order."""
    async with record.reading() as connection:
        entries = [
            one.entry
            for action in _ACTIONS
            for one in await trail.search(connection, action=action, initiative=here.id, limit=MOST)
        ]
    return Page(items=amendment_views(entries))


def amendment_views(entries: list[AuditEntry]) -> list[AmendmentView]:
    """The amendments of a trail, in order, each with what became of it."""
    views: dict[int, AmendmentView] = {}
    for entry in sorted(entries, key=lambda one: one.sequence):
        kind = _ACTIONS[entry.action]
        fact = kind.model_validate(entry.body)
        match fact:
            case AmendmentAsked():
                views[fact.number] = AmendmentView(
                    **fact.model_dump(include=_SAID),
                    state=AmendmentState.ASKED,
                    content_hash=entry.subject or "",
                    edition=fact.funding_agreements.edition,
                    asked_by=entry.actor,
                    asked_at=entry.instant,
                    agreement_version=fact.terms.version if fact.terms else None,
                )
            case VersionInForce(number=number, version=version):
                made = isinstance(fact, AmendmentMade)
                became = AmendmentState.MADE if made else AmendmentState.NOTIFIED
                settled = {"state": became, "version": version, "settled_at": entry.instant}
                views[number] = views[number].model_copy(update=settled)
            case AmendmentRejected(number=number, reason=reason):
                settled = {"state": AmendmentState.REJECTED, "reason": reason, "settled_at": entry.instant}
                views[number] = views[number].model_copy(update=settled)
    return list(views.values())


_ACTIONS: Final = {
    one.action: one for one in (AmendmentAsked, AmendmentNotified, AmendmentMade, AmendmentRejected)
}
_SAID: Final = {"number", "weight", "kinds", "changed", "reasons", "replaces", "matter"}
