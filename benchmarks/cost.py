"""What an initiative costs in Temporal: events, bytes and billable actions, counted in its histories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from benchmarks.rows import Goal, Row, row
from benchmarks.servers import Measured
from benchmarks.work import QUEUE, Work
from countersign.domain.ids import workflow_id

_ACTIONS: Final = (
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
    EventType.EVENT_TYPE_TIMER_STARTED,
    EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
    EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED,
)
"""Events that Temporal Cloud bills as an action each; the local activities of one workflow task are one together."""


async def measure(measured: Measured, quick: bool) -> list[Row]:
    """Of whole lives, one at a time."""
    work = Work(measured)
    await work.prepare()
    async with measured.process("worker", "-m", "countersign", "worker"):
        await measured.polled(QUEUE)
        lives = await work.carry(1 if quick else 5, 1)
    runs: list[list[Sequence[HistoryEvent]]] = []
    for one in lives.ids:
        found = [run async for run in measured.client.list_workflows(f"WorkflowId = '{workflow_id(one)}'")]
        handles = [measured.client.get_workflow_handle(run.id, run_id=run.run_id) for run in found]
        runs.append([(await handle.fetch_history()).events for handle in handles])
    return [
        row(
            "history events for a sign-off that ends no chain",
            "events",
            [_of_a_sign_off(life) for life in runs],
            goal=Goal("value", "<=", 5),
        ),
        row(
            "history events of the longest run",
            "events",
            [float(max(map(len, life))) for life in runs],
            goal=Goal("value", "<=", 500),
        ),
        row("history events of an initiative", "events", [float(sum(map(len, life))) for life in runs]),
        row(
            "history bytes of an initiative in Temporal",
            "kB",
            [sum(event.ByteSize() for run in life for event in run) / 1000 for life in runs],
        ),
        row(
            "billable actions of an initiative (Temporal Cloud)",
            "actions",
            [float(sum(map(_billable, life))) for life in runs],
        ),
    ]


def _tasks(run: Iterable[HistoryEvent]) -> list[list[HistoryEvent]]:
    """The events of a run by the workflow task that they belong to."""
    tasks: list[list[HistoryEvent]] = []
    for event in run:
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED or not tasks:
            tasks.append([])
        tasks[-1].append(event)
    return tasks


def _of_a_sign_off(life: Iterable[Sequence[HistoryEvent]]) -> float:
    """The fewest events of a task that took one sign-off: it did nothing but count it."""
    sizes = [
        len(task)
        for run in life
        for task in _tasks(run)
        if [
            event.workflow_execution_update_accepted_event_attributes.accepted_request.input.name
            for event in task
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED
        ]
        == ["sign_off"]
    ]
    return float(min(sizes))


def _billable(run: Sequence[HistoryEvent]) -> int:
    counts = Counter(event.event_type for event in run)
    local = sum(
        any(event.event_type == EventType.EVENT_TYPE_MARKER_RECORDED for event in task)
        for task in _tasks(run)
    )
    return sum(counts[one] for one in _ACTIONS) + local
