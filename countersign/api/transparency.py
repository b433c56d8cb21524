"""The log over all trails, for auditors: signed checkpoints, proofs that an entry is in it, and that it only grew."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.api.dependencies import Here, Record, Workflows
from countersign.api.errors import Problem, documented
from countersign.store import log
from countersign.store.log import Made

router = APIRouter(tags=["audit"])

Size = Annotated[
    int | None, Query(ge=1, le=2**53, description="That of a checkpoint; the last one's unless given.")
]


class CheckpointView(BaseModel):
    """A checkpoint of the log: ``note`` is all of it, as C2SP's ``tlog-checkpoint`` has it, to be kept.

    ``root`` is in base64; ``signed_by`` are the sides whose signature is under it.
    """

    origin: str
    size: int
    root: str
    made_at: datetime
    signed_by: list[str]
    note: str


class InclusionView(BaseModel):
    """That an entry is leaf ``index`` of the log's first ``size`` (RFC 6962, 2.1.1; hashes in base64).

    The leaf is the SHA-256 of a zero byte and the entry's hash.
    """

    initiative: str
    sequence: int
    index: int
    size: int
    leaf: str
    proof: list[str]


class ConsistencyView(BaseModel):
    """That the log of ``size`` begins with the one of ``before`` (RFC 6962, 2.1.2; hashes in base64)."""

    before: int
    size: int
    proof: list[str]


@router.get("/audit/checkpoint", responses=documented("unauthenticated", "forbidden", "not_found"))
async def read(record: Record, size: Size = None) -> CheckpointView:
    """The last checkpoint that any side has signed, or the one of a size."""
    async with record.reading() as connection:
        return _view(await log.checkpoint(connection, size))


@router.post(
    "/audit/checkpoint", responses=documented("unauthenticated", "forbidden", "not_found", "unavailable")
)
async def make(record: Record, workflows: Workflows) -> CheckpointView:
    """Make a checkpoint of all that is recorded, and have it signed by every side whose worker is there."""
    await workflows.make_checkpoint()
    async with record.reading() as connection:
        return _view(await log.checkpoint(connection, await log.size(connection)))


class ArchiveView(BaseModel):
    """What was archived; ``missing`` are the initiatives with a run that is neither archived nor in Temporal any more.

    ``failed`` are runs that are in Temporal and could not be archived: the worker's log says why.

    While it goes on, ``is_done`` is false and nothing is known yet.
    """

    is_done: bool
    archived: int
    missing: list[str]
    failed: list[str]


@router.post("/audit/archive", responses=documented("unauthenticated", "forbidden", "unavailable"))
async def archive(
    workflows: Workflows,
    complete: Annotated[
        bool, Query(description="Ask for every initiative, and find what is missing.")
    ] = False,
) -> ArchiveView:
    """Archive the workflow histories of all runs that have ended, as is done every few minutes anyway."""
    swept = await workflows.archive(complete=complete)
    if swept is None:
        return ArchiveView(is_done=False, archived=0, missing=[], failed=[])
    return ArchiveView(
        is_done=True, archived=swept.archived, missing=list(swept.missing), failed=list(swept.failed)
    )


@router.get("/audit/proofs/{sequence}", responses=documented("unauthenticated", "forbidden", "not_found"))
async def prove(
    sequence: Annotated[int, Path(ge=0, le=2**53, description="Which leaf of the log, counted from 0.")],
    record: Record,
    size: Size = None,
) -> InclusionView:
    """The proof that an entry, by its place in the log, is in a checkpoint."""
    async with record.reading() as connection:
        found = await log.entry_at(connection, sequence)
        if found is None:
            raise Problem("not_found", f"the log has no entry {sequence} yet")
        return await _inclusion(connection, *found, sequence, size)


@router.get(
    "/initiatives/{identifier}/audit/{number}/proof",
    responses=documented("unauthenticated", "forbidden", "not_found"),
)
async def prove_entry(
    number: Annotated[int, Path(ge=1, le=2**53, description="The entry's sequence in its trail.")],
    here: Here,
    record: Record,
    size: Size = None,
) -> InclusionView:
    """The proof that an entry of an initiative's trail is in a checkpoint."""
    async with record.reading() as connection:
        index = await log.index_of(connection, here.id, number)
        if index is None:
            raise Problem("not_found", f"entry {number} is not in the log yet; a checkpoint takes it in")
        return await _inclusion(connection, here.id, number, index, size)


@router.get("/audit/consistency", responses=documented("unauthenticated", "forbidden", "not_found"))
async def consistency(
    record: Record,
    before: Annotated[
        int, Query(alias="from", ge=0, le=2**53, description="The size that somebody kept.")
    ] = 0,
    size: Annotated[
        int | None, Query(alias="to", ge=1, le=2**53, description="The last unless given.")
    ] = None,
) -> ConsistencyView:
    """The proof that between two checkpoints entries were added, and nothing else happened."""
    async with record.reading() as connection:
        checkpoint = _found(await log.checkpoint(connection, size)).signed.checkpoint
        if before > checkpoint.size:
            raise Problem("not_found", f"that checkpoint has {checkpoint.size} entries only")
        proof = await log.consistency_proof(connection, before, checkpoint.size)
    return ConsistencyView(before=before, size=checkpoint.size, proof=[_base64(one) for one in proof])


async def _inclusion(
    connection: AsyncConnection, initiative: str, number: int, index: int, size: int | None
) -> InclusionView:
    checkpoint = _found(await log.checkpoint(connection, size)).signed.checkpoint
    if index >= checkpoint.size:
        raise Problem("not_found", f"that checkpoint has {checkpoint.size} entries only; make another one")
    proof = await log.inclusion_proof(connection, index, checkpoint.size)
    return InclusionView(
        initiative=initiative,
        sequence=number,
        index=index,
        size=checkpoint.size,
        leaf=_base64(await log.leaf_at(connection, index)),
        proof=[_base64(one) for one in proof],
    )


def _found(made: Made | None) -> Made:
    if made is None:
        raise Problem("not_found", "there is no such checkpoint")
    return made


def _view(made: Made | None) -> CheckpointView:
    found = _found(made)
    checkpoint = found.signed.checkpoint
    return CheckpointView(
        origin=checkpoint.origin,
        size=checkpoint.size,
        root=_base64(checkpoint.root),
        made_at=found.made_at,
        signed_by=list(found.by),
        note=found.signed.note,
    )


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
