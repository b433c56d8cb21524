"""Which provider, and which of its issuers, a request is for."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from countersign.runtime.embedded.identity import Issuer
from countersign.runtime.embedded.provider.provider import Provider
from countersign.runtime.embedded.provider.refusals import Refused


async def provider(request: Request) -> Provider:
    """The provider that is served."""
    found: Provider = request.app.state.provider
    return found


async def issuer(issuer: str, request: Request) -> Issuer:
    """The issuer of the path.

    Raises:
        Refused: there is none.
    """
    found: Provider = request.app.state.provider
    known = found.identity.issuers.get(issuer)
    if known is None:
        raise Refused("invalid_request", "there is no such issuer", 404)
    return known


Providers = Annotated[Provider, Depends(provider)]
At = Annotated[Issuer, Depends(issuer)]
