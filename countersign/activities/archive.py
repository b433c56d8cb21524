"""Keeping the workflow histories of runs that have ended, before Temporal lets them go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import (
    Client,
    WorkflowExecution,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowHistory,
)
from temporalio.service import RPCError, RPCStatusCode

from countersign.domain.audit import rfc3339
from countersign.domain.ids import workflow_id
from countersign.domain.model import Model
from countersign.store import histories
from countersign.store.histories import Run, Unfinished
from countersign.store.session import Database

log = structlog.get_logger(__name__)

_CLOSED: Final = "WorkflowType = 'InitiativeWorkflow' AND ExecutionStatus != 'Running'"
_PREFIX: Final = workflow_id("")
_BATCH: Final = 500
_RECENT: Final = timedelta(days=3)
"""What ended earlier is left to the sweep that is complete, once a day: most of it is archived."""

_ENDINGS: Final = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED: histories.COMPLETED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW: histories.CONTINUED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED: "failed",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT: "timed_out",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED: histories.TERMINATED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED: "canceled",
}
"""The last event of a run that has ended, and what its status is called."""


class Sweep(Model):
    """What is to be archived: what Temporal lists as closed; ``complete`` also asks it for every single initiative.

    ``at`` is when that is on record.
    """

    at: datetime
    complete: bool = False


class Swept(Model):
    """How many runs were archived. ``missing`` are the initiatives with a run that is neither archived nor there.

    ``failed`` are runs that are there and could not be archived; the log says why, and the next sweep tries again.
    """

    archived: int
    missing: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Packed:
    """A history as it is kept: the hashes of its JSON and of what is kept, and that itself."""

    content_hash: str
    sealed_hash: str
    content: bytes


class Archiving:
    """The activity of whoever carries the initiatives. ``pack`` opens a history, compresses and seals it."""

    def __init__(
        self,
        database: Database,
        client: Client,
        agreement: str,
        pack: Callable[[WorkflowHistory, str], Packed],
    ) -> None:
        self._database, self._client = database, client
        self._agreement, self._pack = agreement, pack

    @activity.defn(name="archive_histories")
    async def archive_histories(self, sweep: Sweep) -> Swept:
        """Archive every run that has ended and is not archived yet."""
        archived = 0
        failed: dict[str, None] = {}  # each once, in their order
        async for some in self._closed(sweep):
            async with self._database.reading() as connection:
                known = await histories.known(connection, [one.run_id for one in some])
            for one in sorted(some, key=lambda one: one.start_time):
                if one.run_id not in known and _initiative(one.id) is not None:
                    archived += await self._archive(one.id, one.run_id, sweep.at, failed) is not None
        missing: list[str] = []
        if sweep.complete:
            async with self._database.reading() as connection:
                unfinished = await histories.unfinished(connection, self._agreement)
            for left in unfinished:
                activity.heartbeat(left.initiative)
                number, is_whole = await self._follow(left, sweep.at, failed)
                archived += number
                if not is_whole:
                    log.error("history_missing", initiative=left.initiative, run=left.run)
                    missing.append(left.initiative)
        if archived:
            log.info("histories_archived", number=archived)
        return Swept(archived=archived, missing=tuple(missing), failed=tuple(failed))

    async def _closed(self, sweep: Sweep) -> AsyncIterator[list[WorkflowExecution]]:
        some: list[WorkflowExecution] = []
        query = _CLOSED
        if not sweep.complete:
            query += f" AND CloseTime >= '{rfc3339(sweep.at - _RECENT)}'"
        async for one in self._client.list_workflows(query):
            some.append(one)
            if len(some) == _BATCH:
                activity.heartbeat(len(some))
                yield some
                some = []
        if some:
            yield some

    async def _follow(self, one: Unfinished, at: datetime, failed: dict[str, None]) -> tuple[int, bool]:
        """Archive the runs of an initiative that are not: how many, and whether none was missing."""
        workflow, run, number = workflow_id(one.initiative), one.run, 0
        if run is None:
            last = await self._described(workflow, None)
            if last is None:
                return 0, False
            async with self._database.reading() as connection:
                if await histories.known(connection, [last.run_id]):
                    return 0, True
            run = last.raw_description.workflow_execution_info.first_run_id if one.is_new else last.run_id
        while run is not None:
            found = await self._described(workflow, run)
            if found is None:
                return number, False
            if found.status is WorkflowExecutionStatus.RUNNING:
                break
            ended = await self._archive(workflow, run, at, failed)
            if ended is None:
                break
            number, run = number + 1, ended.continued_to
        return number, True

    async def _described(self, workflow: str, run: str | None) -> WorkflowExecutionDescription | None:
        """A run, or the last one of a workflow, as Temporal describes it; none when it has no such run."""
        try:
            return await self._client.get_workflow_handle(workflow, run_id=run).describe()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return None

    async def _archive(self, workflow: str, run: str, at: datetime, failed: dict[str, None]) -> Run | None:
        """Archive one run; nothing when it was archived meanwhile, or its initiative was redacted.

        Nor when something is wrong with this one: it is ``failed``, and the others do not wait for it.
        """
        activity.heartbeat(run)
        try:
            history = await self._client.get_workflow_handle(workflow, run_id=run).fetch_history()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            # Its retention ended since it was listed.
            log.error("history_missing", workflow=workflow, run=run)  # noqa: TRY400
            return None
        try:
            # It may take a second, and other activities go on meanwhile.
            packed = await asyncio.to_thread(self._pack, history, run)
            made = _run(history, run, packed)
        except Exception:
            log.exception("history_not_archived", workflow=workflow, run=run)
            failed[run] = None
            return None
        async with self._database.transaction() as connection:
            is_new = await histories.put(connection, self._agreement, made, packed.content, at)
        return made if is_new else None


def _run(history: WorkflowHistory, run: str, packed: Packed) -> Run:
    first, last = history.events[0], history.events[-1]
    begun = first.workflow_execution_started_event_attributes
    initiative = _initiative(history.workflow_id)
    assert initiative is not None
    return Run(
        run_id=run,
        initiative_id=initiative,
        continued_from=begun.continued_execution_run_id or None,
        continued_to=leads_to(last),
        status=_ENDINGS[last.event_type],
        started_at=_instant(first),
        closed_at=_instant(last),
        events=len(history.events),
        builds=builds(history),
        content_hash=packed.content_hash,
        sealed_hash=packed.sealed_hash,
    )


def leads_to(last: HistoryEvent) -> str | None:
    """The run in which a run went on, by its last event."""
    return last.workflow_execution_continued_as_new_event_attributes.new_execution_run_id or None


def builds(history: WorkflowHistory) -> tuple[str, ...]:
    """The build ids of the workers that carried a run, in the order in which they came."""
    done = (
        event.workflow_task_completed_event_attributes.worker_version.build_id
        for event in history.events
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    )
    return tuple(dict.fromkeys(filter(None, done)))


def _initiative(workflow: str) -> str | None:
    """The initiative of a workflow's id, when it has one."""
    try:
        return str(UUID(workflow.removeprefix(_PREFIX)))
    except ValueError:
        return None


def _instant(event: HistoryEvent) -> datetime:
    return event.event_time.ToDatetime().replace(tzinfo=UTC)
