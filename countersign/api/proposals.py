"""Submitting a proposal, reading its versions, putting a new one."""

from __future__ import annotations

import json
import re
import secrets
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Body, Header, Path, Response
from fastapi.openapi.models import Example

from countersign.api.attachments import check_attached
from countersign.api.dependencies import Bound, Here, InForce, Key, Me, Record, Required, Workflows
from countersign.api.errors import Problem, documented
from countersign.api.schemas import Answered, ProposalView, SubmittedView, VersionView
from countersign.domain.agreement import ProgrammeAgreement
from countersign.domain.ids import uuid7
from countersign.domain.proposal import Proposal, differences, faults
from countersign.runtime.resources import directory
from countersign.store import claims, documents, initiatives
from countersign.workflows.initiative import InitiativeWorkflow
from countersign.workflows.messages import Revise, Submit

router = APIRouter(tags=["proposals"])


def _examples() -> dict[str, Example]:
    """The shipped examples, as the API's documentation shows them."""
    found = sorted(directory("examples").glob("*.json"))
    return {one.stem: Example(value=json.loads(one.read_text(encoding="utf-8"))) for one in found}


EXAMPLES: Final = _examples()


@router.post(
    "/proposals",
    status_code=201,
    response_model=SubmittedView,
    responses=documented(
        "invalid", "unauthenticated", "forbidden", "idempotency_key_required", "unavailable"
    ),
)
async def submit(
    proposal: Annotated[Proposal, Body(openapi_examples=EXAMPLES)],
    response: Response,
    me: Me,
    key: Key,
    record: Record,
    required: Required,
    workflows: Workflows,
    agreement: InForce,
) -> SubmittedView:
    """Submit a proposal. The same Idempotency-Key again gives the same initiative."""
    check_proposal(proposal, agreement)
    content = proposal.content_hash()
    now = datetime.now(UTC)
    new = str(uuid7(now, secrets.token_bytes(10)))
    async with record.transaction() as connection:
        claim = await claims.claim(
            connection,
            caller=me.person,
            key=key,
            fingerprint=content,
            initiative=new,
            prefix=agreement.reference_prefix,
            at=now,
        )
        # With the claim, and never again: what comes late under an old key brings nobody back who was redacted.
        if claim.initiative == new:
            await check_attached(required, connection, proposal, me)
            await documents.keep(connection, content, proposal.document_form())
    if claim.fingerprint != content:
        raise Problem("idempotency_key_reused", "this Idempotency-Key came before with another proposal")
    receipt = await workflows.submit(
        Submit(
            initiative=claim.initiative,
            reference=claim.reference,
            agreement=agreement.id,
            agreement_version=agreement.version,
            content_hash=content,
            applicant=me.caller,
        )
    )
    response.headers["Location"] = f"/v1/initiatives/{receipt.initiative}"
    return SubmittedView(
        id=receipt.initiative,
        reference=receipt.reference,
        stage=receipt.stage,
        content_hash=receipt.content_hash,
        sequence=receipt.sequence,
    )


@router.get("/initiatives/{identifier}/proposal", responses=documented("not_found", "unauthenticated"))
async def read(here: Here, record: Record, response: Response) -> ProposalView:
    """The current version; its ETag is what a new version names in If-Match."""
    async with record.reading() as connection:
        found = await documents.look_up(connection, here.content_hash, of=here.id)
    response.headers["ETag"] = f'"{here.content_hash}"'
    return ProposalView(
        version=here.version,
        content_hash=here.content_hash,
        proposal=found.body if found else {},
        redacted_at=found.redacted_at if found else None,
    )


@router.get(
    "/initiatives/{identifier}/proposal/versions/{number}",
    responses=documented("not_found", "unauthenticated"),
)
async def read_version(
    number: Annotated[int, Path(ge=1, le=10_000)], here: Here, record: Record
) -> VersionView:
    """One version, with every place at which it differs from the one before it."""
    async with record.reading() as connection:
        found = {one.number: one for one in await initiatives.versions(connection, here.id)}
        if number not in found:
            raise Problem("not_found", f"there is no version {number}")
        text = await documents.look_up(connection, found[number].content_hash, of=here.id)
        previous = found.get(number - 1)
        before = await documents.find(connection, previous.content_hash, of=here.id) if previous else None
    return VersionView(
        version=number,
        content_hash=found[number].content_hash,
        proposal=text.body if text else {},
        redacted_at=text.redacted_at if text else None,
        submitted_at=found[number].submitted_at,
        submitted_by=found[number].submitted_by,
        differences=differences(before, text.body) if before is not None and text is not None else [],
    )


@router.put(
    "/initiatives/{identifier}/proposal",
    responses=documented(
        "invalid", "not_found", "forbidden", "stage_closed", "precondition_failed", "precondition_required"
    ),
)
async def revise(
    proposal: Proposal,
    here: Here,
    me: Me,
    record: Record,
    required: Required,
    workflows: Workflows,
    bound: Bound,
    response: Response,
    if_match: Annotated[str | None, Header()] = None,
    idempotency_key: Annotated[str | None, Header(max_length=128, pattern=r"^[\x21-\x7e]+$")] = None,
) -> Answered:
    """Put a new version after a return, or correct one that is being decided on; ``If-Match`` names what it replaces.

    A correction changes contact details, and names as far as a typing error goes; sign-offs stay.
    """
    if if_match is None:
        raise Problem("precondition_required", "send If-Match with the ETag of the version you read")
    # An initiative is bound to the version under which it was submitted, or to one that it adopted since.
    check_proposal(proposal, bound)
    replaces, content = if_match.strip().removeprefix("W/").strip('"'), proposal.content_hash()
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", replaces):
        raise Problem("precondition_failed", f"the current version is {here.content_hash}")
    async with record.transaction() as connection:
        await check_attached(required, connection, proposal, me, here.id)
        await documents.keep(connection, content, proposal.document_form())
    command = Revise(
        id=idempotency_key or str(uuid7(datetime.now(UTC), secrets.token_bytes(10))),
        caller=me.caller,
        content_hash=content,
        replaces=replaces,
    )
    answer = await workflows.tell(here.id, InitiativeWorkflow.revise, command)
    response.headers["ETag"] = f'"{content}"'
    return Answered(sequence=answer.sequence)


def check_proposal(proposal: Proposal, agreement: ProgrammeAgreement) -> None:
    """Refuse a proposal that contradicts itself or the agreement.

    Raises:
        Problem: ``invalid``, with every place.
    """
    found = faults(proposal, agreement)
    if found:
        places = [{"place": one.place, "problem": one.problem, "rule": one.rule} for one in found]
        raise Problem(
            "invalid", f"{len(found)} thing(s) in the proposal contradict the agreement", errors=places
        )
