"""Workflow histories as they would be of lives that no workflow carried."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection
from temporalio.client import WorkflowHistory

from countersign.domain.audit import AuditEntry
from countersign.domain.facts import MessageRefused
from countersign.domain.ids import workflow_id
from countersign.runtime.archive import Press
from countersign.store import histories
from countersign.store.histories import Run
from tests.store.making import new_id

BUILD: Final = "0.0.0+test"


def _payloads(value: Any) -> dict[str, Any]:
    data = base64.b64encode(json.dumps(value).encode()).decode()
    return {"payloads": [{"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": data}]}


def history_of(initiative: str, entries: Sequence[AuditEntry], *, after: AuditEntry | None) -> dict[str, Any]:
    """A run in which just these entries came about, by updates where they answer a message; then it completed."""
    events: list[dict[str, Any]] = []

    def happens(kind: str, at: str, **attributes: Any) -> int:
        (name,) = attributes
        events.append(
            {
                "eventId": str(len(events) + 1),
                "eventTime": at,
                "eventType": f"EVENT_TYPE_{kind}",
                f"{name}EventAttributes": attributes[name],
            }
        )
        return len(events)

    state = None if after is None else {"sequence": after.sequence, "head": after.hash}
    begun = {"input": _payloads({"submission": {"initiative": initiative}, "state": state})}
    happens("WORKFLOW_EXECUTION_STARTED", entries[0].at, workflowExecutionStarted=begun)
    for entry in entries:
        if entry.message is None:
            continue
        message = {"id": entry.message, "caller": {"person": entry.actor}}
        refused = entry.action == MessageRefused.action
        answer = {"status": "refused" if refused else "counted", "sequence": entry.sequence}
        answer |= {"code": entry.body["code"]} if refused else {}
        accepted = happens(
            "WORKFLOW_EXECUTION_UPDATE_ACCEPTED",
            entry.at,
            workflowExecutionUpdateAccepted={
                "acceptedRequest": {"input": {"name": "message", "args": _payloads(message)}}
            },
        )
        happens(
            "WORKFLOW_EXECUTION_UPDATE_COMPLETED",
            entry.at,
            workflowExecutionUpdateCompleted={
                "acceptedEventId": str(accepted),
                "outcome": {"success": _payloads(answer)},
            },
        )
    last = entries[-1]
    ended = {"result": _payloads({"entries": last.sequence, "head": last.hash})}
    happens("WORKFLOW_EXECUTION_COMPLETED", last.at, workflowExecutionCompleted=ended)
    return {"events": events}


async def archive(
    connection: AsyncConnection, press: Press, agreement: str, entries: Sequence[AuditEntry], at: datetime
) -> list[Run]:
    """Archive the life of an initiative as two runs."""
    initiative, middle = entries[0].initiative, len(entries) // 2
    ids = [new_id(), new_id()]
    made = []
    for place, some in enumerate((entries[:middle], entries[middle:])):
        after = None if place == 0 else entries[middle - 1]
        form = history_of(initiative, some, after=after)
        packed = press.pack(WorkflowHistory.from_json(workflow_id(initiative), form), ids[place])
        run = Run(
            run_id=ids[place],
            initiative_id=initiative,
            continued_from=ids[0] if place else None,
            continued_to=None if place else ids[1],
            status="completed" if place else histories.CONTINUED,
            started_at=some[0].instant,
            closed_at=some[-1].instant,
            events=len(form["events"]),
            builds=(BUILD,),
            content_hash=packed.content_hash,
            sealed_hash=packed.sealed_hash,
        )
        assert await histories.put(connection, agreement, run, packed.content, at)
        made.append(run)
    return made
