"""The web application: its parts put together once, from one Settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi_offline import FastAPIOffline

from countersign import __version__
from countersign.api import (
    amendments,
    attachments,
    audit,
    bank_statements,
    budgets,
    carrying_out,
    codec,
    dossier,
    ending,
    errors,
    events,
    funding_agreements,
    health,
    initiatives,
    keys,
    ledger,
    mandates,
    matters,
    proposals,
    reports,
    sessions,
    sign_in,
    transparency,
)
from countersign.api.accesses import Accesses
from countersign.api.browser_sessions import BrowserSessions
from countersign.api.dependencies import privileged
from countersign.api.edge import Edge
from countersign.api.gateway import Gateway
from countersign.api.identity import Verifier, trusted
from countersign.api.limits import DOSSIERS, UPLOADS, AtOnce, Rates
from countersign.api.links import Links
from countersign.domain.agreement_file import read
from countersign.runtime import vaults
from countersign.runtime.payload_codec import configured
from countersign.runtime.settings import Settings
from countersign.runtime.temporal import connect, data_converter
from countersign.store import agreements
from countersign.store.session import Database

_KEEPING: Final = 4
"""Attachments that a process puts where they are kept at a time: each holds a connection to the record meanwhile."""

_ROUTES: Final = (
    proposals,
    initiatives,
    matters,
    keys,
    mandates,
    funding_agreements,
    amendments,
    carrying_out,
    reports,
    ending,
    attachments,
    bank_statements,
    ledger,
    budgets,
    audit,
    transparency,
    dossier,
    codec,
    sessions,
    sign_in,
    events,
)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The API. Without settings they are read from the environment."""
    chosen = settings or Settings()
    agreement = read(chosen.agreement.read_text(encoding="utf-8"))
    payloads = configured(chosen)
    vault = vaults.configured(chosen)
    issuers = trusted(agreement, chosen.issuers, chosen.operators_issuer)
    if strangers := chosen.web_clients.keys() - issuers.keys():
        raise ValueError(f"nobody signs in by an issuer that is not trusted here: {', '.join(strangers)}")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.agreement, app.state.issuers, app.state.settings = agreement, issuers, chosen
        app.state.rates = Rates(chosen.requests_per_minute, chosen.unproven_per_minute)
        app.state.database = Database(chosen.database_url)
        app.state.accesses = Accesses(app.state.database)
        app.state.codec = payloads
        app.state.vault, app.state.links = vault, Links(payloads.ring)
        app.state.attachments_required = chosen.attachments_required
        app.state.largest_attachment = chosen.attachment_mebibytes << 20
        app.state.uploads = AtOnce(UPLOADS)
        app.state.dossiers = AtOnce(DOSSIERS)
        app.state.keeping = asyncio.Semaphore(_KEEPING)
        app.state.most_loose = chosen.loose_mebibytes << 20
        app.state.codec_origins = chosen.codec_origins
        app.state.temporal = await connect(chosen, converter=data_converter(payloads))
        app.state.gateway = Gateway(
            app.state.temporal, chosen.task_queue, app.state.database, payloads.digest
        )
        async with httpx.AsyncClient(timeout=5, trust_env=False, follow_redirects=False) as http:
            verifier = app.state.verifier = Verifier(issuers, chosen.audience, http)
            app.state.sessions = BrowserSessions(
                chosen, payloads.ring, issuers, verifier, app.state.database, app.state.accesses, http
            )
            await app.state.database.check_bound()
            async with app.state.database.transaction() as connection:
                await agreements.register(connection, agreement)
            yield
        await app.state.accesses.close()
        await app.state.database.close()

    # The documentation's scripts come from here, not from somebody's network: it is read on closed ones, too.
    app: FastAPI = FastAPIOffline(
        title="Countersign",
        version=__version__,
        summary="Joint initiatives, carried from proposal to closure and countersigned by every side.",
        lifespan=lifespan,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    errors.install(app)
    app.add_middleware(Edge, largest_attachment=chosen.attachment_mebibytes << 20)
    app.add_middleware(codec.ForUis, origins=chosen.codec_origins)
    for module in _ROUTES:
        app.include_router(module.router, prefix="/v1", dependencies=[Depends(privileged)])
    app.include_router(health.router)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]
    return app


def _document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, in 3.1 throughout: ``itemSchema`` of an event stream is 3.2, which few tools read yet."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            routes=app.routes,
            license_info=app.license_info,
        )
        for path in document["paths"].values():
            for operation in path.values():
                for response in operation["responses"].values():
                    for media in response.get("content", {}).values():
                        media.pop("itemSchema", None)
        app.openapi_schema = document
    return app.openapi_schema
