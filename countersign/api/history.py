"""A workflow history told in sentences, each with the events that say so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode

from countersign.api.errors import Problem
from countersign.api.schemas import HistorySentence
from countersign.domain.ids import workflow_id
from countersign.runtime.histories import opened
from countersign.runtime.payload_codec import EncryptingCodec


async def runs(client: Client, codec: EncryptingCodec, initiative: str) -> list[WorkflowHistory]:
    """The histories of an initiative's runs, decrypted, the first one first.

    Raises:
        Problem: ``not_found``, when Temporal has none (any more); ``unavailable``, when it does not answer.
        PayloadRefused: something in them does not open.
    """
    identifier = workflow_id(initiative)
    try:
        description = await client.get_workflow_handle(identifier).describe()
        run: str | None = description.raw_description.workflow_execution_info.first_run_id
        found: list[WorkflowHistory] = []
        while run:
            history = await client.get_workflow_handle(identifier, run_id=run).fetch_history()
            found.append(opened(history, codec))
            run = _next_run(history)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise Problem("not_found", "there is no workflow history of it (any more)") from error
        raise Problem("unavailable", "the workflow engine does not answer") from error
    return found


def _next_run(history: WorkflowHistory) -> str | None:
    last = history.events[-1]
    attributes = last.workflow_execution_continued_as_new_event_attributes
    return attributes.new_execution_run_id or None


def as_temporal_json(histories: list[WorkflowHistory]) -> str:
    """Temporal's own JSON of every run, as its tools and the replayer read it."""
    return json.dumps({"runs": [json.loads(one.to_json()) for one in histories]})


def sentences(history: WorkflowHistory) -> Iterator[HistorySentence]:
    """What the events of a run say. Workflow tasks, the engine's own book-keeping, are left out."""
    asked: dict[int, str] = {}
    timers: dict[str, str] = {}
    for event in history.events:
        told = _tell(event, asked, timers)
        if told is not None:
            text, ids = told
            yield HistorySentence(
                run=history.run_id, events=[*ids, event.event_id], at=_instant(event), sentence=text
            )


def _tell(event: HistoryEvent, asked: dict[int, str], timers: dict[str, str]) -> tuple[str, list[int]] | None:
    match event.event_type:
        case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
            again = bool(event.workflow_execution_started_event_attributes.continued_execution_run_id)
            return ("The workflow went on in a new run." if again else "The workflow began."), []
        case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
            request = event.workflow_execution_update_accepted_event_attributes.accepted_request
            message = _first(request.input.args.payloads)
            asked[event.event_id] = request.input.name
            return f"{_sender(message)} sent {_described(request.input.name, message)}.", []
        case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
            signal = event.workflow_execution_signaled_event_attributes
            message = _first(signal.input.payloads)
            return f"{_sender(message)} sent {_described(signal.signal_name, message)} by signal.", []
        case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED:
            return _answered(event, asked)
        case EventType.EVENT_TYPE_MARKER_RECORDED:
            return _marked(event)
        case EventType.EVENT_TYPE_TIMER_STARTED:
            return _timer_started(event, timers)
        case EventType.EVENT_TYPE_TIMER_FIRED:
            name = timers.get(event.timer_fired_event_attributes.timer_id, "a deadline")
            return f"The time came: {name}.", [event.timer_fired_event_attributes.started_event_id]
        case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            scheduled = event.activity_task_scheduled_event_attributes
            asked[event.event_id] = f"{scheduled.activity_type.name} on {scheduled.task_queue.name}"
            return f"Asked for {asked[event.event_id]}.", []
        case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
            first = event.activity_task_completed_event_attributes.scheduled_event_id
            return f"Done: {asked.get(first, 'an activity')}.", [first]
        case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
            return "The run ended, to go on in a new one.", []
        case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
            result = _first(event.workflow_execution_completed_event_attributes.result.payloads)
            return f"The workflow ended: {result.get('stage', 'unknown')}.", []
        case (
            EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED
            | EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED
            | EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED
            | EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
            | EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED
        ):
            name = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_").lower().replace("_", " ")
            return f"Something went wrong: {name}.", []
    return None


def _answered(event: HistoryEvent, asked: dict[int, str]) -> tuple[str, list[int]]:
    completed = event.workflow_execution_update_completed_event_attributes
    answer = _first(completed.outcome.success.payloads)
    name = asked.get(completed.accepted_event_id, "a message")
    if answer.get("status") == "refused":
        said = f"refused, {answer.get('code')}: {answer.get('detail')}"
    else:
        said = str(answer.get("status", "done"))
    return f"Answered {name}: {said} (entry {answer.get('sequence', '?')}).", [completed.accepted_event_id]


def _marked(event: HistoryEvent) -> tuple[str, list[int]] | None:
    details = event.marker_recorded_event_attributes.details
    result = _first(details["result"].payloads) if "result" in details else {}
    if result.get("standing"):
        return f"Found entries up to {result['sequence']} on record already and took them over.", []
    if result.get("actions"):
        return f"Recorded, up to entry {result['sequence']}: {', '.join(result['actions'])}.", []
    if result.get("drawn_up_on"):
        numbers = ", ".join(one["number"] for one in result["sides"].values())
        return f"Had the funding agreements drawn up: {numbers}.", []
    return None


def _timer_started(event: HistoryEvent, timers: dict[str, str]) -> tuple[str, list[int]]:
    started = event.timer_started_event_attributes
    summary = event.user_metadata.summary
    name = _value(summary) if summary.data else "a deadline"
    timers[started.timer_id] = str(name)
    until = _instant(event) + started.start_to_fire_timeout.ToTimedelta()
    return f"Waits until {until.isoformat(timespec='minutes')} at the longest: {name}.", []


def _sender(message: dict[str, Any]) -> str:
    caller = message.get("caller")
    return str(caller.get("person", "Somebody")) if isinstance(caller, dict) else "The API"


_NUMBERED = ("matter", "tranche", "report", "condition", "agreement_version")


def _described(name: str, message: dict[str, Any]) -> str:
    said = [f"{key} {message[key]}" for key in _NUMBERED if key in message]
    said += [str(message[key]) for key in ("response", "directorate", "notice") if key in message]
    if message.get("on_behalf_of"):
        said.append(f"for {message['on_behalf_of']}")
    return f"{name} ({', '.join(said)})" if said else name


def _first(payloads: Any) -> dict[str, Any]:
    value = _value(payloads[0]) if payloads else {}
    return value if isinstance(value, dict) else {}


def _value(payload: Payload) -> Any:
    try:
        return json.loads(payload.data)
    except ValueError:
        return None


def _instant(event: HistoryEvent) -> datetime:
    return event.event_time.ToDatetime().replace(tzinfo=UTC)
