"""The workflow's histories against the trail, and where the initiative stands."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

from countersign.runtime.dossier.verifier.dossier import Dossier
from countersign.runtime.dossier.verifier.forms import Json


def histories(dossier: Dossier) -> Iterator[str]:
    """What the histories and the trail do not agree on."""
    names = [name for name in dossier.names if name.startswith("histories/")]
    if names != dossier.about["histories"]["files"]:
        yield f"histories are {names}, and there were {dossier.about['histories']['files']}"
    if not names:
        dossier.notes.append(f"no workflow history: {dossier.about['histories']['absent']}")
        return
    heard: set[tuple[str, str]] = set()
    adopted: set[str] = set()
    before: History | None = None
    for name in names:
        run = History(dossier, name, dossier.json(name))
        yield from run.faults(before)
        heard |= run.heard
        adopted |= run.adopted
        before = run
    for entry in dossier.trail:
        message, key = entry["message"], (entry["actor"], entry["message"])
        if (
            message is not None
            and entry["actor"] != "unknown"
            and key not in heard
            and entry["hash"] not in adopted
        ):
            yield f"entry {entry['sequence']}: no history has the message {message} of {entry['actor']}"


def standing(dossier: Dossier) -> Iterator[str]:
    """What is said of where it stands and does not follow from the trail."""
    said = dossier.json("initiative.json")["initiative"]
    stages = dossier.of("stage.entered")
    due = {
        "id": dossier.about["initiative"],
        "reference": dossier.trail[0]["body"]["reference"],
        "sequence": len(dossier.trail),
        "stage": stages[-1]["body"]["stage"] if stages else None,
    }
    for name, value in due.items():
        if said.get(name) != value:
            yield f"initiative.json: it says another {name} than the trail"
    if dossier.about["reference"] != due["reference"]:
        yield "dossier.json: it is another initiative's"
    decided: dict[int, str | None] = {one["body"]["number"]: None for one in dossier.of("matter.opened")}
    outcomes = {"matter.decided": "", "matter.lapsed": "lapsed", "matter.voided": "void"}
    for one in dossier.of(*outcomes):
        decided[one["body"]["matter"]] = str(one["body"].get("outcome") or outcomes[one["action"]])
    there = {one["number"]: one["outcome"] for one in dossier.json("initiative.json")["matters"]}
    if there != decided:
        yield "initiative.json: its matters are not those of the trail"


class History:
    """One run of the workflow, in Temporal's own JSON."""

    def __init__(self, dossier: Dossier, name: str, history: Json) -> None:
        self.dossier, self.name, self.events = dossier, name, history["events"]
        begun = self.events[0]["workflowExecutionStartedEventAttributes"]
        self.id = begun["originalExecutionRunId"]
        self.continued = begun.get("continuedExecutionRunId") or None
        self.begin = first(begun["input"])
        self.is_reset = False
        self.heard: set[tuple[str, str]] = set()
        self.adopted: set[str] = set()

    @property
    def leads_to(self) -> str | None:
        """The run that it went on in."""
        ended = self.events[-1].get("workflowExecutionContinuedAsNewEventAttributes") or {}
        return ended.get("newExecutionRunId") or None

    def follows(self, before: History | None) -> bool:
        """Whether that run went on in this one, or was reset to it: ended from outside, and begun once more."""
        if self.events[0].get("eventType") != "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED":
            return False
        if before is None:
            return self.continued is None
        if before.leads_to is not None:
            # A run that another one was reset to is known by the name of that one, save to the run that follows it.
            return before.leads_to == self.id and (self.continued == before.id or before.is_reset)
        self.is_reset = before.events[-1]["eventType"] == "EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED"
        return self.is_reset and self.continued == before.continued

    def faults(self, before: History | None) -> Iterator[str]:
        """What it and the trail do not agree on; ``before`` is the run that it goes on from."""
        trail, where = self.dossier, self.name
        if not self.follows(before):
            yield f"{where}: it does not continue the run before it"
        if [one["eventId"] for one in self.events] != [str(i) for i in range(1, len(self.events) + 1)]:
            yield f"{where}: events are missing"
        state, submission = self.begin.get("state"), self.begin["submission"]
        if (
            submission["content_hash"] != trail.entry(1).get("subject")
            or submission["initiative"] != trail.about["initiative"]
        ):
            yield f"{where}: it began with another submission"
        if (state is None) != (self.continued is None):
            yield f"{where}: it began without the state of the run before"
        elif state is not None and trail.entry(state["sequence"]).get("hash") != state["head"]:
            yield f"{where}: it began after entry {state['sequence']} of another trail"
        asked: dict[str, Json] = {}
        admitted: dict[str, Json] = {}
        for event in self.events:
            kind, at = event["eventType"], f"{where}, event {event['eventId']}"
            if kind == "EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED":
                accepted = event["workflowExecutionUpdateAcceptedEventAttributes"]
                request = accepted.get("acceptedRequest") or admitted[accepted["protocolInstanceId"]]
                asked[event["eventId"]] = self.hear(first(request["input"].get("args", {})))
            elif kind == "EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED":
                # After a reset: what came before it comes once more, and is accepted without being said again.
                request = event["workflowExecutionUpdateAdmittedEventAttributes"]["request"]
                admitted[request["meta"]["updateId"]] = request
            elif kind == "EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED":
                signal = event["workflowExecutionSignaledEventAttributes"]
                self.hear(first(signal.get("input", {})))
            elif kind == "EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED":
                done = event["workflowExecutionUpdateCompletedEventAttributes"]
                answer = first(done["outcome"].get("success", {}))
                for why in self.answered(asked.get(done["acceptedEventId"], {}), answer):
                    yield f"{at}: {why}"
            elif kind == "EVENT_TYPE_MARKER_RECORDED":
                result = first(event["markerRecordedEventAttributes"].get("details", {}).get("result", {}))
                # Where others stood on record already, what was signed meanwhile was not put there.
                for one in result.get("standing") or result.get("signed") or ():
                    self.adopted.add(one["hash"])
                    if trail.entry(one["sequence"]).get("hash") != one["hash"]:
                        yield f"{at}: entry {one['sequence']} was another one"
            elif kind == "EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED":
                ended = first(event["workflowExecutionCompletedEventAttributes"]["result"])
                if trail.entry(ended["entries"]).get("hash") != ended["head"]:
                    yield f"{at}: the trail ended otherwise, at entry {ended['entries']}"
                later = {one["action"] for one in trail.trail[ended["entries"] :]}
                if later - {"record.redacted", "dossier.exported"}:
                    yield f"{at}: after its end the trail went on with {', '.join(sorted(later))}"

    def hear(self, message: Json) -> Json:
        """Note who sent a message."""
        caller = message.get("caller")
        if isinstance(caller, dict) and "id" in message:
            self.heard.add((caller.get("person", ""), message["id"]))
        return message

    def answered(self, message: Json, answer: Json) -> Iterator[str]:
        """What is wrong with an answer."""
        caller = message.get("caller")
        if "status" not in answer or not isinstance(caller, dict):
            return  # the receipt of the submission
        if answer.get("code") in ("rate_limited", "idempotency_key_reused"):
            return  # not looked at, and so not on the trail
        entry = self.dossier.entry(answer["sequence"])
        if (entry.get("actor"), entry.get("message")) != (caller.get("person"), message.get("id")):
            yield f"the answer names entry {answer['sequence']}, which is not that message's"
        refused = entry.get("action") == "message.refused"
        if refused != (answer["status"] == "refused") or (
            refused and entry["body"]["code"] != answer["code"]
        ):
            yield f"it was answered {answer['status']}, and entry {answer['sequence']} says otherwise"


def first(payloads: Json) -> Json:
    """The first of some payloads, if it is a JSON object."""
    some = payloads.get("payloads") or [{}]
    try:
        found = json.loads(base64.b64decode(some[0].get("data", "")))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
