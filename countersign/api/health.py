"""Whether the process lives, and whether it can serve."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from temporalio.service import RPCError

router = APIRouter(prefix="/health", tags=["operations"])


@router.get("/live")
async def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/ready")
async def ready(request: Request) -> JSONResponse:
    """The record and the workflow engine answer, too; 503 says which does not."""
    record, temporal = await asyncio.gather(_record(request), _temporal(request))
    parts = {"record": record, "temporal": temporal}
    good = all(parts.values())
    told = {name: "ok" if fine else "away" for name, fine in parts.items()}
    headers = {} if good else {"Retry-After": "5"}
    return JSONResponse(
        {"status": "ok" if good else "away", **told}, status_code=200 if good else 503, headers=headers
    )


async def _record(request: Request) -> bool:
    try:
        async with asyncio.timeout(3):
            return bool(await request.app.state.database.is_ready())
    except TimeoutError:
        return False


async def _temporal(request: Request) -> bool:
    try:
        async with asyncio.timeout(3):
            return bool(await request.app.state.temporal.service_client.check_health())
    except (RPCError, RuntimeError, TimeoutError):
        return False
