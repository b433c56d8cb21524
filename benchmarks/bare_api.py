"""The bare endpoints: FastAPI in front of one indexed SELECT, and in front of the bare twin. Nobody is asked who calls.

``python -m benchmarks.bare_api`` serves them, with the settings of uvicorn that ``countersign api`` has.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import uvicorn
from fastapi import FastAPI, HTTPException
from sqlalchemy import select
from sqlalchemy.ext.asyncio import create_async_engine
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from benchmarks.bare import Bare, Message
from countersign.store.tables import initiative


@asynccontextmanager
async def _connected(app: FastAPI) -> AsyncIterator[None]:
    app.state.engine = create_async_engine(
        os.environ["COUNTERSIGN_DATABASE_URL"], pool_size=10, max_overflow=10
    )
    app.state.client = await Client.connect(
        os.environ["COUNTERSIGN_TEMPORAL_ADDRESS"],
        namespace=os.environ["COUNTERSIGN_TEMPORAL_NAMESPACE"],
        data_converter=pydantic_data_converter,
    )
    yield
    await app.state.engine.dispose()


app = FastAPI(lifespan=_connected)


@app.get("/health/ready")
async def ready() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/initiatives/{identifier}")
async def read(identifier: UUID) -> dict[str, Any]:
    async with app.state.engine.connect() as connection:
        found = await connection.execute(select(initiative).where(initiative.c.id == str(identifier)))
        row = found.mappings().first()
    if row is None:
        raise HTTPException(404)
    return dict(row)


@app.post("/twins/{identifier}/messages")
async def take(identifier: str, message: Message) -> dict[str, int]:
    handle = app.state.client.get_workflow_handle(identifier)
    return {"sequence": await handle.execute_update(Bare.take, message)}


if __name__ == "__main__":
    uvicorn.run(
        app,
        port=int(os.environ["COUNTERSIGN_PORT"]),
        http="httptools",
        server_header=False,
    )
