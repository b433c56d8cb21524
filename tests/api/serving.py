"""The application in the tests' own process, with settings of a test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from countersign.api.app import create_app
from countersign.runtime.embedded.services import Services
from countersign.store.roles import API


@asynccontextmanager
async def an_api(services: Services, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """The application in this process, on the real record, with other settings."""
    app = create_app(services.settings(API, **settings))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://countersign.example") as client:
            yield client


def of(services: Services, who: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {services.token(who)}"}
