"""A workflow history as it is archived: Temporal's own JSON, decrypted, compressed, and sealed as a whole."""

from __future__ import annotations

import gzip
import json
from collections.abc import Set
from typing import Final

import structlog
from temporalio.client import Client, WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode

from countersign.activities.archive import Packed, leads_to
from countersign.domain.canonical import hash_of
from countersign.domain.ids import workflow_id
from countersign.runtime.histories import opened
from countersign.runtime.payload_codec import EncryptingCodec, PayloadRefused
from countersign.runtime.payload_keys import KeyRing
from countersign.runtime.sealing import Seal, SealBroken
from countersign.store import histories
from countersign.store.histories import Kept, Run
from countersign.store.session import Database

log = structlog.get_logger(__name__)

_PURPOSE: Final = "workflow history"


class HistoryLost(Exception):
    """An archived history cannot be read: it is erased, its key is not here, or it is not what was archived."""


class Press:
    """Packs histories with the keys of the payloads, and reads what was packed."""

    def __init__(self, codec: EncryptingCodec) -> None:
        self._codec, self._seal = codec, Seal(codec.ring, _PURPOSE)

    def pack(self, history: WorkflowHistory, run: str) -> Packed:
        """A history as it is kept. Where a payload does not open, all of them stay encrypted: nothing is lost by it."""
        try:
            history = opened(history, self._codec)
        except PayloadRefused as problem:
            log.warning("history_archived_encrypted", run=run, reason=problem.code)
        form = json.dumps(history.to_json_dict(), sort_keys=True).encode()
        sealed = self._seal.close(gzip.compress(form, mtime=0), run)
        return Packed(hash_of(form), hash_of(sealed), sealed)


class Reading:
    """Reads archived histories with the keys that there are."""

    def __init__(self, ring: KeyRing) -> None:
        self._seal = Seal(ring, _PURPOSE)

    def read(self, kept: Kept) -> str:
        """The JSON of an archived history.

        Raises:
            HistoryLost: it is erased, its key is not here, or it is not what was archived.
        """
        if kept.content is None:
            raise HistoryLost("it is erased")
        if hash_of(kept.content) != kept.run.sealed_hash:
            raise HistoryLost("it is not what was archived")
        try:
            form = gzip.decompress(self._seal.open(kept.content, kept.run.run_id))
        except SealBroken as problem:
            raise HistoryLost(f"it does not open: {type(problem).__name__}") from problem
        if hash_of(form) != kept.run.content_hash:
            raise HistoryLost("its content is not what was archived")
        return form.decode()

    def history(self, kept: Kept) -> WorkflowHistory:
        """An archived history.

        Raises:
            HistoryLost: as for :meth:`read`.
        """
        return WorkflowHistory.from_json(workflow_id(kept.run.initiative_id), self.read(kept))


async def runs(
    client: Client, codec: EncryptingCodec, database: Database, initiative: str
) -> list[WorkflowHistory]:
    """The histories of an initiative's runs, decrypted, the first one first; none where there is none any more.

    A run that is archived comes from there, another one from Temporal: which of both, nobody can tell.

    Raises:
        HistoryLost: what is archived cannot be read.
        PayloadRefused: something in them does not open.
        RPCError: Temporal does not answer.
    """
    async with database.reading() as connection:
        kept = await histories.of(connection, initiative)
    reading = Reading(codec.ring)
    found = [opened(reading.history(one), codec) for one in kept if one.content is not None]
    last = kept[-1].run if kept else None
    if last is None or last.status != histories.COMPLETED:
        known = {one.run.run_id for one in kept}
        found += await _live(client, codec, workflow_id(initiative), last, known)
    return found


async def _live(
    client: Client, codec: EncryptingCodec, workflow: str, last: Run | None, known: Set[str]
) -> list[WorkflowHistory]:
    """What Temporal has of a workflow's runs after the last one that is archived."""
    found: list[WorkflowHistory] = []
    seen = set(known)
    try:
        current = await client.get_workflow_handle(workflow).describe()
        first = current.raw_description.workflow_execution_info.first_run_id
        # Where a run leads nowhere and is not the last one, somebody has reset it to that.
        for begin in (first if last is None else last.continued_to, current.run_id):
            run = begin
            while run and run not in seen:
                seen.add(run)
                history = await client.get_workflow_handle(workflow, run_id=run).fetch_history()
                found.append(opened(history, codec))
                run = leads_to(history.events[-1])
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
    return found
