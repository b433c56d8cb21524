"""What routes depend on: the caller, the record, the workflows."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Path, Request

from countersign.api.errors import Problem
from countersign.api.gateway import Gateway
from countersign.api.identity import Identity
from countersign.domain.agreement import ProgrammeAgreement
from countersign.store import initiatives
from countersign.store.initiatives import Initiative
from countersign.store.session import Database


async def gateway(request: Request) -> Gateway:
    """The workflows."""
    found: Gateway = request.app.state.gateway
    return found


async def agreement(request: Request) -> ProgrammeAgreement:
    """The agreement in force."""
    found: ProgrammeAgreement = request.app.state.agreement
    return found


async def identify(request: Request, authorization: Annotated[str | None, Header()] = None) -> Identity:
    """The caller, by the bearer token in ``Authorization``."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Problem("unauthenticated", "send Authorization: Bearer <token>")
    if len(token) > 16_384:
        raise Problem("unauthenticated", "the token is too long")
    found: Identity = await request.app.state.verifier.identify(token.strip())
    request.state.person = found.person
    return found


Me = Annotated[Identity, Depends(identify)]


async def database(request: Request, me: Me) -> Database:
    """The record, as far as the caller may see it: under the routes the database itself holds that (ADR 0016)."""
    found: Database = request.app.state.database
    return found.read_by(me.reader)


Record = Annotated[Database, Depends(database)]
Workflows = Annotated[Gateway, Depends(gateway)]
InForce = Annotated[ProgrammeAgreement, Depends(agreement)]


async def applicant(me: Me) -> Identity:
    """The caller, who is an applicant."""
    if me.role != "applicant":
        raise Problem("forbidden", "applicants do this")
    return me


async def auditor(me: Me) -> Identity:
    """The caller, who is an auditor of either side."""
    if me.role != "auditor":
        raise Problem("forbidden", "auditors read this")
    return me


async def programme(me: Me) -> Identity:
    """The caller, who may see the whole programme: anybody but an applicant."""
    if me.part_of is not None:
        raise Problem("forbidden", "directorates and auditors read this")
    return me


Applicant = Annotated[Identity, Depends(applicant)]
Auditor = Annotated[Identity, Depends(auditor)]
OfProgramme = Annotated[Identity, Depends(programme)]

InitiativeId = Annotated[
    str,
    Path(
        pattern=r"^[A-Za-z0-9-]{1,60}$",
        description="The initiative's id, or its reference (`ILAZ-2027-0042`).",
    ),
]


async def found_initiative(identifier: InitiativeId, me: Me, record: Record) -> Initiative:
    """The initiative of the path, when there is one and the caller may see it; else there is none."""
    return seen(await initiatives.look_up(record, identifier), me)


def seen(found: Initiative | None, me: Identity) -> Initiative:
    """An initiative that was found, when the caller may see it; else there is none."""
    if found is None or (me.part_of is not None and not found.has_part(*me.part_of)):
        raise Problem("not_found", "there is no such initiative, or not for you")
    return found


Here = Annotated[Initiative, Depends(found_initiative)]


async def idempotency_key(
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            max_length=128,
            pattern=r"^[\x21-\x7e]+$",
            description="An id of your own for this write; the same again has the same answer and one effect.",
        ),
    ] = None,
) -> str:
    """The id that the caller gave to this write."""
    if key is None:
        raise Problem("idempotency_key_required", "send an Idempotency-Key of your own, such as a UUID")
    return key


Key = Annotated[str, Depends(idempotency_key)]
