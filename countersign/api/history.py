"""A workflow history told in sentences, each with the events that say so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.update.v1 import Request
from temporalio.client import Client, WorkflowHistory
from temporalio.service import RPCError

from countersign.api.errors import Problem
from countersign.api.schemas import HistorySentence
from countersign.runtime import archive
from countersign.runtime.archive import HistoryLost
from countersign.runtime.payload_codec import EncryptingCodec
from countersign.store.session import Database


async def runs(
    client: Client, codec: EncryptingCodec, record: Database, initiative: str
) -> list[WorkflowHistory]:
    """The histories of an initiative's runs, decrypted, the first one first.

    A run that is archived comes from there, another one from Temporal: which of both, nobody can tell.

    Raises:
        Problem: ``not_found``, when there is none (any more); ``unavailable``, when Temporal does not answer or the
            archive is not what it was.
        PayloadRefused: something in them does not open.
    """
    try:
        found = await archive.runs(client, codec, record, initiative)
    except HistoryLost as problem:
        raise Problem("unavailable", f"an archived history cannot be read: {problem}") from problem
    except RPCError as error:
        raise Problem("unavailable", "the workflow engine does not answer") from error
    if not found:
        raise Problem("not_found", "there is no workflow history of it (any more)")
    return found


def as_temporal_json(histories: list[WorkflowHistory]) -> str:
    """Temporal's own JSON of every run, as its tools and the replayer read it."""
    return f'{{"runs": [{", ".join(map(as_json, histories))}]}}'


def as_json(history: WorkflowHistory) -> str:
    """Temporal's own JSON of a run: the same events give the same text."""
    return json.dumps(history.to_json_dict(), sort_keys=True)


def sentences(history: WorkflowHistory) -> Iterator[HistorySentence]:
    """What the events of a run say. Workflow tasks, the engine's own book-keeping, are left out."""
    teller = _Teller()
    for event in history.events:
        told = teller.tell(event)
        if told is not None:
            yield HistorySentence(
                run=history.run_id,
                events=[*told.because, event.event_id],
                at=_instant(event),
                action=told.action,
                actor=told.actor,
                sentence=told.sentence,
            )


class _Told(NamedTuple):
    """A sentence, what it is about, who is meant, and the earlier events that it rests on."""

    action: str
    sentence: str
    actor: str | None = None
    because: tuple[int, ...] = ()


class _Teller:
    """Tells one event after the other; what is asked is remembered until it is answered."""

    def __init__(self) -> None:
        self._asked: dict[int, _Told] = {}
        self._timers: dict[str, str] = {}
        self._admitted: dict[str, Request] = {}

    def tell(self, event: HistoryEvent) -> _Told | None:
        """What an event says, unless it says nothing to people."""
        match event.event_type:
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
                again = event.workflow_execution_started_event_attributes.continued_execution_run_id
                return _Told("run", "The workflow went on in a new run." if again else "The workflow began.")
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED:
                # After a reset: it came before, and is accepted without being said again.
                request = event.workflow_execution_update_admitted_event_attributes.request
                self._admitted[request.meta.update_id] = request
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
                accepted = event.workflow_execution_update_accepted_event_attributes
                request = accepted.accepted_request
                if not request.input.name:
                    request = self._admitted.get(accepted.protocol_instance_id, request)
                told = _sent(request.input.name, _first(request.input.args.payloads))
                self._asked[event.event_id] = told
                return told
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
                signal = event.workflow_execution_signaled_event_attributes
                return _sent(signal.signal_name, _first(signal.input.payloads), " by signal")
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED:
                return self._answered(event)
            case EventType.EVENT_TYPE_MARKER_RECORDED:
                return _marked(event)
            case EventType.EVENT_TYPE_TIMER_STARTED:
                return self._timer_started(event)
            case EventType.EVENT_TYPE_TIMER_FIRED:
                fired = event.timer_fired_event_attributes
                name = self._timers.get(fired.timer_id, _NAMELESS)
                return _Told("timer", f"The time came: {name}.", because=(fired.started_event_id,))
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                scheduled = event.activity_task_scheduled_event_attributes
                name = scheduled.activity_type.name
                told = _Told(name, f"Asked for {name} on {scheduled.task_queue.name}.")
                self._asked[event.event_id] = told
                return told
            case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                first = event.activity_task_completed_event_attributes.scheduled_event_id
                asked = self._asked.get(first, _Told("activity", ""))
                done = asked.sentence.removeprefix("Asked for ") or "an activity."
                return _Told(asked.action, f"Done: {done}", because=(first,))
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
                return _Told("run", "The run ended, to go on in a new one.")
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
                result = _first(event.workflow_execution_completed_event_attributes.result.payloads)
                return _Told("run", f"The workflow ended: {result.get('stage', 'unknown')}.")
            case (
                EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED
                | EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED
                | EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED
                | EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT
                | EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
                | EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED
            ):
                name = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_").lower().replace("_", " ")
                return _Told("run", f"Something went wrong: {name}.")
        return None

    def _answered(self, event: HistoryEvent) -> _Told:
        completed = event.workflow_execution_update_completed_event_attributes
        answer = _first(completed.outcome.success.payloads)
        asked = self._asked.get(completed.accepted_event_id, _Told("a message", ""))
        if answer.get("status") == "refused":
            said = f"refused, {answer.get('code')}: {answer.get('detail')}"
        else:
            said = str(answer.get("status", "done"))
        sentence = f"Answered {asked.action}: {said} (entry {answer.get('sequence', '?')})."
        return _Told(asked.action, sentence, asked.actor, (completed.accepted_event_id,))

    def _timer_started(self, event: HistoryEvent) -> _Told:
        started = event.timer_started_event_attributes
        summary = event.user_metadata.summary
        name = str(_value(summary)) if summary.data else _NAMELESS
        self._timers[started.timer_id] = name
        until = _instant(event) + started.start_to_fire_timeout.ToTimedelta()
        return _Told("timer", f"Waits until {until.isoformat(timespec='minutes')} at the longest: {name}.")


_NAMELESS: Final = "a deadline"


def _sent(name: str, message: dict[str, Any], how: str = "") -> _Told:
    caller = message.get("caller")
    actor = str(caller.get("person", "Somebody")) if isinstance(caller, dict) else None
    return _Told(name, f"{actor or 'The API'} sent {_described(name, message)}{how}.", actor)


def _marked(event: HistoryEvent) -> _Told | None:
    details = event.marker_recorded_event_attributes.details
    result = _first(details["result"].payloads) if "result" in details else {}
    about = _first(details["data"].payloads).get("activity_type", "") if "data" in details else ""
    if result.get("standing"):
        last = result["standing"][-1]["sequence"]
        return _Told(about, f"Found entries up to {last} on record already and took them over.")
    if result.get("signed"):
        last = result["signed"][-1]["sequence"]
        return _Told(about, f"A side's signature went on record with its position, up to entry {last}.")
    if result.get("lacking"):
        return _Told(about, "Too little money is left for it; nothing went on record.")
    if result.get("drawn_up_on"):
        numbers = ", ".join(one["number"] for one in result["sides"].values())
        return _Told(about, f"Had the funding agreements drawn up: {numbers}.")
    return None


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
