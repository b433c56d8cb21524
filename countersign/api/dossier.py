"""The dossier of an initiative: a ZIP with everything on it, which an auditor verifies without this system."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from typing import Annotated, Any, Final

import structlog
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from countersign.api import history
from countersign.api.accesses import of
from countersign.api.dependencies import Here, InForce, Me, OnRecord
from countersign.api.dependencies import Record as Database
from countersign.api.errors import Problem, documented
from countersign.api.identity import Identity
from countersign.api.limits import AtOnce
from countersign.runtime.archive import HistoryLost
from countersign.runtime.dossier import record as on_record
from countersign.runtime.dossier.container import Packed, packed
from countersign.runtime.dossier.files import Histories, files
from countersign.runtime.dossier.record import Record
from countersign.runtime.payload_codec import PayloadRefused
from countersign.store.accesses import DOSSIER_EXPORTED

log = structlog.get_logger(__name__)

router = APIRouter(tags=["audit"])

_ZIP: Final = "application/zip"


@router.get(
    "/initiatives/{identifier}/dossier",
    response_class=StreamingResponse,
    responses=documented("unauthenticated", "forbidden", "not_found", "rate_limited", "unavailable")
    | {200: {"description": "The ZIP; `verify.py` in it verifies it.", "content": {_ZIP: {}}}},
)
async def export(
    here: Here,
    me: Me,
    record: Database,
    on_trail: OnRecord,
    agreement: InForce,
    request: Request,
    checkpoint: Annotated[
        int | None,
        Query(
            ge=1,
            le=2**53,
            description="The size of the checkpoint that its proofs are of; the last one of every side unless given.",
        ),
    ] = None,
) -> Response:
    """Everything on an initiative in one ZIP, made as it goes out, with what shows that nothing of it was altered."""
    dossiers: AtOnce = request.app.state.dossiers
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(dossiers.one_more(me.person))
        told = await _histories(request, record, here.id)
        async with record.one_moment() as connection:
            try:
                found = await on_record.read(connection, here.id, agreement.signing_key, checkpoint)
            except on_record.NoCheckpoint as problem:
                raise Problem(
                    "not_found", f"there is no checkpoint of {problem} entries that every side has signed"
                ) from problem
        if found is None:
            raise Problem("not_found", "there is no such initiative, or not for you")
        await on_trail.exported(me.reader, DOSSIER_EXPORTED, **of(here), checkpoint=checkpoint)
        held = stack.pop_all()
    return _Held(
        held,
        _pieces(found, told, request, me),
        media_type=_ZIP,
        headers={
            "Content-Disposition": f'attachment; filename="{here.reference}.zip"',
            "Content-Security-Policy": "default-src 'none'; sandbox",
        },
    )


async def _histories(request: Request, record: Database, initiative: str) -> Histories:
    """The histories of its runs; where there are none any more, the dossier says so and is made all the same."""
    try:
        runs = await history.runs(request.app.state.temporal, request.app.state.codec, record, initiative)
    except Problem as problem:
        # One that was tampered with is told in the dossier, and stops nothing.
        if problem.code != "not_found" and not isinstance(problem.__cause__, HistoryLost):
            raise
        return Histories(absent=problem.detail)
    except PayloadRefused as problem:
        return Histories(absent=f"it does not open: {problem}")
    return Histories(tuple((one.run_id, history.as_json(one)) for one in runs))


async def _pieces(
    found: Record, told: Histories, request: Request, me: Identity
) -> AsyncGenerator[bytes, None]:
    """The ZIP, piece by piece."""
    into = Packed()
    made_of = files(found, told, request.app.state.vault)
    async for piece in packed(made_of, found.entries[-1].instant, into):
        yield piece
    log.info(
        "dossier_given_out",
        initiative=found.initiative.id,
        person=me.person,
        entries=len(found.entries),
        files=len(into.files),
        manifest=into.manifest,
    )


class _Held(StreamingResponse):
    """A stream, and what is held while it goes out: let go with its end, also when whoever reads it is gone."""

    def __init__(self, held: AsyncExitStack, pieces: AsyncGenerator[bytes, None], **more: Any) -> None:
        super().__init__(pieces, **more)
        self._held, self._pieces = held, pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._held, aclosing(self._pieces):
            await super().__call__(scope, receive, send)
