"""What workflow histories say, held against the trail: a fact in one and not in the other is named.

A history is Temporal's own JSON of one run, decrypted. It has every message with its answer, and the state that the
run began and ended with: how many entries the trail had by then, and the hash of the last one, in which all before it
are. So what was altered, added or taken away in the trail does not agree with it, even when everything after it was
chained again.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from countersign.domain import rules
from countersign.domain.audit import GENESIS, AuditEntry
from countersign.domain.facts import UNKNOWN, MessageRefused
from countersign.domain.verification import Fault

TABLE: Final = "workflow_history"
"""Where a fault is seen that is one between a history and the trail."""

_NOT_LOOKED_AT: Final = frozenset({"rate_limited", "idempotency_key_reused"})
"""Refusals that are on no trail: the message was not looked at, or its id had an answer before."""


@dataclass(frozen=True, slots=True)
class Said:
    """A message in a history, and its answer, where it has one there."""

    run: str
    event: int
    name: str
    person: str
    id: str
    answer: Mapping[str, Any] | None

    def __str__(self) -> str:
        return f"{self.name} {self.id} of {self.person} (run {self.run}, event {self.event})"


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the trail was at an event: ``sequence`` entries, the last one with the hash ``head``."""

    run: str
    event: int
    sequence: int
    head: str


@dataclass(slots=True)
class Told:
    """What the history of one run tells."""

    run: str
    said: list[Said] = field(default_factory=list)
    strange: int = 0
    standings: list[Standing] = field(default_factory=list)
    entries: dict[int, str] = field(default_factory=dict)
    """Hashes of entries, by sequence, that came with a signature or were found on record."""


def read(run: str, history: Mapping[str, Any]) -> Told:
    """What a run's history tells.

    Raises:
        ValueError: it is no history of an initiative's workflow.
    """
    told = Told(run)
    accepted: dict[int | str, tuple[str, Any]] = {}
    try:
        for event in history["events"]:
            _read(told, event, accepted)
    except (KeyError, TypeError, AttributeError) as problem:
        raise ValueError(f"it is no history of an initiative: {problem!r}") from None
    return told


def _read(told: Told, event: Mapping[str, Any], accepted: dict[int | str, tuple[str, Any]]) -> None:
    number = int(event["eventId"])
    match event["eventType"].removeprefix("EVENT_TYPE_"):
        case "WORKFLOW_EXECUTION_STARTED":
            _begun(told, number, event["workflowExecutionStartedEventAttributes"]["input"])
        case "WORKFLOW_EXECUTION_CONTINUED_AS_NEW":
            _begun(told, number, event["workflowExecutionContinuedAsNewEventAttributes"]["input"])
        case "WORKFLOW_EXECUTION_COMPLETED":
            ended = _first(event["workflowExecutionCompletedEventAttributes"].get("result"))
            told.standings.append(Standing(told.run, number, ended["entries"], ended["head"]))
        case "WORKFLOW_EXECUTION_UPDATE_ADMITTED":
            # After a reset: what came before it comes once more, and is accepted without being said again.
            request = event["workflowExecutionUpdateAdmittedEventAttributes"]["request"]
            accepted[request["meta"]["updateId"]] = _sent(request)
        case "WORKFLOW_EXECUTION_UPDATE_ACCEPTED":
            attributes = event["workflowExecutionUpdateAcceptedEventAttributes"]
            request = attributes.get("acceptedRequest")
            accepted[number] = _sent(request) if request else accepted[attributes["protocolInstanceId"]]
        case "WORKFLOW_EXECUTION_UPDATE_COMPLETED":
            completed = event["workflowExecutionUpdateCompletedEventAttributes"]
            name, message = accepted[int(completed["acceptedEventId"])]
            outcome = completed["outcome"]
            if "success" in outcome:
                _answered(told, number, name, message, _first(outcome["success"]))
        case "WORKFLOW_EXECUTION_SIGNALED":
            sent = event["workflowExecutionSignaledEventAttributes"]
            if sent["signalName"] == "sign_off":
                _answered(told, number, "sign_off", _first(sent.get("input")), None)
        case "MARKER_RECORDED":
            details = event["markerRecordedEventAttributes"].get("details", {})
            found = _first(details.get("result"))
            if isinstance(found, dict):
                # Where others stood on record already, what was signed meanwhile was not put there.
                for entry in found.get("standing") or found.get("signed") or ():
                    told.entries[entry["sequence"]] = entry["hash"]


def _sent(request: Mapping[str, Any]) -> tuple[str, Any]:
    """An update's name and message."""
    return request["input"]["name"], _first(request["input"].get("args"))


def _begun(told: Told, event: int, given: Mapping[str, Any]) -> None:
    state = _first(given)["state"]
    sequence, head = (0, GENESIS) if state is None else (state["sequence"], state["head"])
    told.standings.append(Standing(told.run, event, sequence, head))


def _answered(told: Told, event: int, name: str, message: Any, answer: Mapping[str, Any] | None) -> None:
    caller = message.get("caller") if isinstance(message, dict) else None
    if isinstance(caller, dict) and isinstance(message.get("id"), str) and "person" in caller:
        told.said.append(Said(told.run, event, name, str(caller["person"]), message["id"], answer))
    elif name == "sign_off":
        told.strange += 1


def _first(payloads: Mapping[str, Any] | None) -> Any:
    """The first value of some payloads; none when it is no JSON."""
    found = (payloads or {}).get("payloads") or [{}]
    try:
        return json.loads(base64.b64decode(found[0].get("data", "")))
    except ValueError:
        return None


def faults(trail: str, entries: Sequence[AuditEntry], runs: Iterable[Told]) -> Iterator[Fault]:
    """Where the histories of an initiative's runs, in order from the first on, and its whole trail do not agree."""
    heads = {entry.sequence: entry.hash for entry in entries} | {0: GENESIS}
    answered = {(entry.actor, entry.message): entry for entry in entries if entry.message is not None}
    refused = _refusals(entries)
    said: set[tuple[str, str]] = set()
    covered = strange = 0
    for told in runs:
        strange += told.strange
        for one in told.standings:
            covered = max(covered, one.sequence)
            if heads.get(one.sequence) != one.head:
                what = "is gone" if one.sequence not in heads else "is another one"
                yield Fault(
                    trail,
                    one.sequence,
                    TABLE,
                    f"by run {one.run}, event {one.event}, the trail had reached an entry that {what}",
                )
        for sequence, found in told.entries.items():
            if heads.get(sequence) != found:
                yield Fault(trail, sequence, TABLE, f"run {told.run} has it with another hash than the trail")
        for message in told.said:
            said.add((message.person, message.id))
            yield from _held(trail, message, answered, refused, strange)
    for entry in entries:
        if entry.message is None or entry.sequence > covered:
            continue
        if entry.actor == UNKNOWN:
            strange -= 1
        elif (entry.actor, entry.message) not in said:
            yield Fault(trail, entry.sequence, TABLE, "no history has the message that it says it answers")


def _refusals(entries: Iterable[AuditEntry]) -> dict[str, int]:
    """How many refusals of each person are on the trail."""
    found: dict[str, int] = {}
    for entry in entries:
        if entry.action == MessageRefused.action:
            found[entry.actor] = found.get(entry.actor, 0) + 1
    return found


def _held(
    trail: str,
    message: Said,
    answered: Mapping[tuple[str, str], AuditEntry],
    refused: Mapping[str, int],
    strange: int,
) -> Iterator[Fault]:
    """A message and its answer against the entry that has it."""
    entry, answer = answered.get((message.person, message.id)), message.answer
    if answer is not None and answer.get("code") in _NOT_LOOKED_AT:
        return
    if entry is None:
        # A signal may come in a form that is none of ours, and has no answer; then it is on record as a stranger's.
        is_strange = answer is None and (
            strange or UNKNOWN in refused or refused.get(message.person, 0) >= rules.REFUSALS
        )
        if not is_strange:
            sequence = None if answer is None else answer.get("sequence")
            yield Fault(trail, sequence, TABLE, f"the trail has nothing of {message}")
        return
    if answer is None:
        return
    there = "refused" if entry.action == MessageRefused.action else "counted"
    if (answer.get("status"), answer.get("sequence")) != (there, entry.sequence):
        problem = (
            f"it is {there}; {message} was answered {answer.get('status')}, entry {answer.get('sequence')}"
        )
        yield Fault(trail, entry.sequence, TABLE, problem)
    elif there == "refused" and answer.get("code") != entry.body.get("code"):
        problem = f"it is refused as {entry.body.get('code')}; {message} was told {answer.get('code')}"
        yield Fault(trail, entry.sequence, TABLE, problem)
