"""What routes depend on: the caller, the record, the workflows."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Depends, Header, Path, Request

from countersign.api.accesses import Accesses
from countersign.api.browser_sessions import BrowserSession, BrowserSessions
from countersign.api.cookies import check_ours
from countersign.api.errors import Problem
from countersign.api.gateway import Gateway
from countersign.api.identity import Identity, Proof
from countersign.api.limits import Rates
from countersign.api.privileges import BY_ROUTE, Verdict, at_the_door
from countersign.attachments.vault import Vault
from countersign.domain.agreement import ProgrammeAgreement
from countersign.store import agreements, initiatives
from countersign.store.initiatives import Initiative
from countersign.store.session import Database

CODEC_PATH: Final = "/v1/codec/"
"""Where payloads are decoded."""

ATTACHMENTS_PATH: Final = "/v1/attachments/"
"""Where attachments are brought."""

CODEC_COOKIE: Final = "countersign_codec"


async def gateway(request: Request) -> Gateway:
    """The workflows."""
    found: Gateway = request.app.state.gateway
    return found


async def agreement(request: Request) -> ProgrammeAgreement:
    """The agreement in force."""
    found: ProgrammeAgreement = request.app.state.agreement
    return found


async def browser_sessions(request: Request) -> BrowserSessions:
    """What browsers are signed in by."""
    found: BrowserSessions = request.app.state.sessions
    return found


async def accesses(request: Request) -> Accesses:
    """What puts on record who looks into the record."""
    found: Accesses = request.app.state.accesses
    return found


async def identify(request: Request, authorization: Annotated[str | None, Header()] = None) -> Identity:
    """The caller, by the bearer token in ``Authorization`` alone, or without one by their browser's session."""
    known: Identity | None = getattr(request.state, "identity", None)
    if known is not None:
        return known
    rates: Rates = request.app.state.rates
    try:
        found = await _proven(request, authorization)
    except Problem as problem:
        if problem.code == "unauthenticated":
            await rates.count_unproven(request)
        raise
    request.state.person = found.person
    await rates.count_person(found.person)
    session = browser_session(request)
    if session is not None:
        check_ours(request, request.app.state.sessions.cookies.origin, session.csrf)
    else:
        await request.app.state.accesses.with_token(request.state.proof)
    request.state.identity = found
    return found


def browser_session(request: Request) -> BrowserSession | None:
    """The session by which the caller was identified, if it was by one."""
    found: BrowserSession | None = getattr(request.state, "session", None)
    return found


async def _proven(request: Request, authorization: str | None) -> Identity:
    if authorization is None:
        authorization = _from_cookie(request)
    if authorization is None and (session := await _session(request)) is not None:
        request.state.session = session
        return session.identity
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Problem("unauthenticated", "send Authorization: Bearer <token>")
    proof: Proof = await request.app.state.verifier.prove(token.strip())
    request.state.proof = proof
    return proof.identity


async def _session(request: Request) -> BrowserSession | None:
    sessions = await browser_sessions(request)
    secret = request.cookies.get(sessions.cookies.session) if sessions.cookies else None
    if not secret:
        return None
    found = await sessions.find(secret)
    if found is None:
        raise Problem("unauthenticated", "the browser's session is over; sign in again")
    return found


def _from_cookie(request: Request) -> str | None:
    """The proof that a browser keeps for the codec endpoint, which counts there and nowhere else."""
    kept = request.cookies.get(CODEC_COOKIE)
    if kept is None or not request.url.path.startswith(CODEC_PATH):
        return None
    if request.headers.get("origin") not in request.app.state.codec_origins:
        raise Problem("forbidden", "a cookie counts only where it comes from a web UI that is named here")
    return f"Bearer {kept}"


async def privileged(request: Request, authorization: Annotated[str | None, Header()] = None) -> None:
    """Nobody gets past the door whom the privilege matrix refuses, and nobody to a route that it does not have."""
    privilege = BY_ROUTE.get((request.method, request.scope["route"].path))
    if privilege is None:
        raise Problem("forbidden", "nobody may do this: it is not in the privilege matrix")
    if privilege.is_public:
        return
    me = await identify(request, authorization)
    verdict = at_the_door(privilege, me.role)
    if verdict is not Verdict.YES:
        raise Problem(verdict.value, f"not for you as {_CALLED[me.role]}: {privilege.does}")


_CALLED = {
    "applicant": "an applicant",
    "staff": "an office holder",
    "auditor": "an auditor",
    "operator": "an operator",
}


Me = Annotated[Identity, Depends(identify)]


async def database(request: Request, me: Me) -> Database:
    """The record, as far as the caller may see it: under the routes the database itself holds that (ADR 0016)."""
    found: Database = request.app.state.database
    return found.read_by(me.reader)


async def vault(request: Request) -> Vault:
    """What keeps the attachments."""
    found: Vault | None = request.app.state.vault
    if found is None:
        raise Problem("not_found", "no attachments are kept here: documents are named by their hash")
    return found


async def required(request: Request) -> bool:
    """Whether a document that somebody names has to be there."""
    found: bool = request.app.state.attachments_required
    return found


Kept = Annotated[Vault, Depends(vault)]
Required = Annotated[bool, Depends(required)]
Record = Annotated[Database, Depends(database)]
OnRecord = Annotated[Accesses, Depends(accesses)]
Sessions = Annotated[BrowserSessions, Depends(browser_sessions)]
Workflows = Annotated[Gateway, Depends(gateway)]
InForce = Annotated[ProgrammeAgreement, Depends(agreement)]


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


async def bound_agreement(here: Here, record: Record, current: InForce) -> ProgrammeAgreement:
    """The version of the agreement that the initiative of the path is bound to; mostly it is the one in force."""
    if (here.agreement_id, here.agreement_version) == (current.id, current.version):
        return current
    async with record.reading() as connection:
        return await agreements.find(connection, here.agreement_id, here.agreement_version) or current


Bound = Annotated[ProgrammeAgreement, Depends(bound_agreement)]


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
