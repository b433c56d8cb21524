"""Where people sign in: the issuers that are trusted here, for whoever has no token yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fastapi import APIRouter, Request
from pydantic import BaseModel

from countersign.api.dependencies import InForce
from countersign.api.identity import Trusted
from countersign.api.privileges import Role
from countersign.api.schemas import Page
from countersign.domain.agreement import ProgrammeAgreement
from countersign.runtime.settings import Settings
from countersign.runtime.urls import is_confidential

router = APIRouter(prefix="/session", tags=["signing in"])


class IssuerView(BaseModel):
    """An issuer: ``issuer`` is its name, which its tokens carry, ``served_at`` where its configuration is found.

    ``title`` is, per language, the directorate that it is bound to. ``cli_client_id`` is what the command line is
    registered as there; ``in_browser`` is whether a browser signs in by it here (``GET /v1/session/login``).
    """

    key: str
    issuer: str
    served_at: str
    title: dict[str, str] | None = None
    role: Role
    directorate: str | None = None
    cli_client_id: str
    in_browser: bool


def views(
    trusted: Iterable[Trusted], agreement: ProgrammeAgreement, settings: Settings
) -> Iterator[IssuerView]:
    """Issuers as whoever signs in is told of them."""
    names = {one.id: dict(one.name) for one in agreement.directorate}
    for one in trusted:
        yield IssuerView(
            key=one.key,
            issuer=one.url,
            # Where only this deployment reaches it, on a network of its own, nobody signs in.
            served_at=one.base if is_confidential(one.base) else one.url,
            title=names.get(one.directorate or ""),
            role=one.role,
            directorate=one.directorate,
            cli_client_id=settings.cli_client_ids.get(one.url, settings.cli_client_id),
            in_browser=settings.public_url is not None and one.url in settings.web_clients,
        )


@router.get("/issuers")
async def issuers(request: Request, agreement: InForce) -> Page[IssuerView]:
    """Who vouches for whom, and where: public to all, since nobody has a token before."""
    state = request.app.state
    return Page(items=list(views(state.issuers.values(), agreement, state.settings)))
