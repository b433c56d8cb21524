"""Mandates: giving one, revoking it, listing one's own side's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final
from uuid import UUID, uuid5

from fastapi import APIRouter, Path

from countersign.api.dependencies import InForce, Key, Me, Record
from countersign.api.errors import Problem, documented
from countersign.api.schemas import MandateBody, Page
from countersign.domain.agreement import Directorate
from countersign.domain.mandate import Mandate
from countersign.store import mandates

router = APIRouter(prefix="/mandates", tags=["mandates"])

_MANDATES: Final = UUID("0f7e3f0a-6f0b-5c7e-8a53-7a0d1c2b3e4f")
_LONGEST: Final = timedelta(days=366)


@router.post(
    "",
    status_code=201,
    response_model=Mandate,
    responses=documented("invalid", "forbidden", "idempotency_key_required", "idempotency_key_reused"),
)
async def give(body: MandateBody, me: Me, key: Key, record: Record, agreement: InForce) -> Mandate:
    """Let a colleague of the same directorate sign for the caller; offices are those that the caller holds."""
    side = agreement.directorate_of(me.caller.directorate or "")
    if side is None or not me.offices:
        raise Problem("forbidden", "office holders of a directorate give mandates")
    mandate = _mandate(body, me.person, me.contact, me.offices, side, key)
    async with record.transaction() as connection:
        given = await mandates.give(connection, mandate)
    if _said(given) != _said(mandate):
        raise Problem("idempotency_key_reused", "this Idempotency-Key came before with another mandate")
    return given


def _said(one: Mandate) -> Mandate:
    return one.model_copy(update={"given_at": one.valid_from, "revoked_at": None, "offices": ()})


def _mandate(
    body: MandateBody,
    delegator: str,
    contact: str | None,
    offices: tuple[str, ...],
    side: Directorate,
    key: str,
) -> Mandate:
    if not body.delegate.startswith(f"{side.id}/") or body.delegate == delegator:
        raise Problem("invalid", f"a mandate goes to a colleague, {side.id}/<subject>")
    if not body.valid_from < body.valid_to <= body.valid_from + _LONGEST:
        raise Problem("invalid", "a mandate has a beginning and an end, at most a year apart")
    now = datetime.now(UTC)
    if body.valid_to <= now:
        raise Problem("invalid", "that time is over")
    known = {office.id for office in side.office}
    return Mandate(
        id=str(uuid5(_MANDATES, f"{delegator} {key}")),
        directorate=side.id,
        delegator=delegator,
        delegator_contact=contact,
        delegate=body.delegate,
        offices=tuple(one for one in offices if one in known),
        kinds=tuple(body.kinds),
        ceiling=tuple(body.ceiling),
        valid_from=body.valid_from.astimezone(UTC),
        valid_to=body.valid_to.astimezone(UTC),
        given_at=now,
    )


@router.get("", responses=documented("unauthenticated", "forbidden"))
async def listed(me: Me, record: Record) -> Page[Mandate]:
    """The mandates of the caller's own side; an auditor sees those of every side."""
    async with record.reading() as connection:
        found = await mandates.listed(
            connection, directorate=None if me.role == "auditor" else me.directorate
        )
    return Page(items=found)


@router.delete("/{identifier}", responses=documented("unauthenticated", "forbidden", "not_found"))
async def revoke(
    identifier: Annotated[UUID, Path(description="The mandate's id.")],
    me: Me,
    record: Record,
    agreement: InForce,
) -> Mandate:
    """End a mandate at once, also for matters that are open: by whoever gave it, or by the head of the side."""
    async with record.transaction() as connection:
        found = await mandates.find(connection, str(identifier))
        side = agreement.directorate_of(me.caller.directorate or "")
        if found is None or side is None or found.directorate != side.id:
            raise Problem("not_found", "there is no such mandate, or not for you")
        if me.person != found.delegator and side.head not in me.offices:
            raise Problem("forbidden", "who gave it, or the head of the side, revokes it")
        return await mandates.revoke(connection, found, me.person, datetime.now(UTC))
