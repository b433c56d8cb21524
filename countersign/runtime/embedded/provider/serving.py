"""The local providers served inside the caller's own process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlsplit

import uvicorn

from countersign.runtime.embedded import EmbeddedError
from countersign.runtime.embedded.provider.application import create_app
from countersign.runtime.embedded.provider.provider import Provider


@asynccontextmanager
async def serving(provider: Provider) -> AsyncIterator[None]:
    """Serve a provider at its base URL.

    Raises:
        EmbeddedError: nothing can listen there.
    """
    port = urlsplit(provider.base).port or 80
    app = create_app(provider)
    server = _Server(uvicorn.Config(app, port=port, log_config=None, access_log=False, lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        if serving.done():
            raise EmbeddedError(
                f"the identity providers cannot listen on port {port}"
            ) from serving.exception()
        await asyncio.sleep(0.01)
    try:
        yield
    finally:
        await provider.told()
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    """A web server that leaves the signals of the process to whoever has the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
