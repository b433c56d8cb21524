"""Replaying archived histories: the workflow's own code comes to every entry of the trail again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from temporalio.client import WorkflowHistory
from temporalio.worker import (
    Interceptor,
    Replayer,
    StartLocalActivityInput,
    UnsandboxedWorkflowRunner,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)
from temporalio.workflow import ActivityHandle

from countersign.activities.archive import builds
from countersign.activities.record import Recorded
from countersign.domain.audit import AuditEntry
from countersign.domain.crosscheck import TABLE
from countersign.domain.projection import Step
from countersign.domain.verification import Fault
from countersign.runtime.temporal import data_converter
from countersign.workflows.initiative import InitiativeWorkflow

_WRITES: Final = frozenset({"record", "sign_and_record"})


@dataclass(slots=True)
class Replayed:
    """What the runs of an initiative come to when they are replayed: entries by sequence, and what did not replay."""

    entries: dict[int, AuditEntry] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


async def replayed(runs: Sequence[WorkflowHistory]) -> Replayed:
    """Replay the decrypted histories of an initiative's runs with the code as it is here."""
    found = Replayed()
    for run in runs:
        if not builds(run):
            # The replayer waits for ever for what begins with a workflow task that no worker did.
            found.failures[run.run_id] = "no worker has carried it"
            continue
        watching = _Watching()
        replayer = Replayer(
            workflows=[InitiativeWorkflow],
            workflow_runner=UnsandboxedWorkflowRunner(),
            data_converter=data_converter(None),
            interceptors=[watching],
        )
        result = await replayer.replay_workflow(run, raise_on_replay_failure=False)
        if result.replay_failure is not None:
            found.failures[run.run_id] = f"{type(result.replay_failure).__name__}: {result.replay_failure}"
        for entry in watching.entries():
            found.entries[entry.sequence] = entry
    return found


def faults(trail: str, entries: Sequence[AuditEntry], found: Replayed, made_by: str) -> Iterator[Fault]:
    """Where the trail is not what its histories come to. ``made_by`` says by which code they were made."""
    for run, problem in found.failures.items():
        yield Fault(trail, None, TABLE, f"run {run} does not replay ({made_by}): {problem.splitlines()[0]}")
    if found.failures:
        return
    there = {entry.sequence: entry for entry in entries}
    for sequence in sorted(found.entries):
        if sequence not in there:
            yield Fault(
                trail, sequence, TABLE, "replayed, the workflow comes to it; the trail has no such entry"
            )
        elif there[sequence].hash != found.entries[sequence].hash:
            yield Fault(trail, sequence, TABLE, "replayed, the workflow comes to another entry")
    last = max(found.entries, default=0)
    for sequence in sorted(there.keys() - found.entries.keys()):
        if sequence <= last:
            yield Fault(trail, sequence, TABLE, "replayed, the workflow never comes to it")


class _Watching(Interceptor):
    """Sees every step that a workflow puts on record, and what became of it."""

    def __init__(self) -> None:
        self._steps: list[tuple[bytes, ActivityHandle[Any]]] = []

    def entries(self) -> Iterator[AuditEntry]:
        """The entries that those steps put on record."""
        for step, handle in self._steps:
            if not handle.done() or handle.cancelled() or handle.exception() is not None:
                continue
            recorded = Recorded.model_validate(handle.result())
            if recorded.lacking:
                continue
            if recorded.standing:
                yield from recorded.standing
                continue
            entries = Step.model_validate_json(step).entries
            signed = recorded.signed
            if signed is None:
                yield from entries
            else:
                yield from (one for one in entries if one.sequence < signed[0].sequence)
                yield from signed

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002
    ) -> type[WorkflowInboundInterceptor] | None:
        steps = self._steps

        class Outbound(WorkflowOutboundInterceptor):
            def start_local_activity(self, input: StartLocalActivityInput) -> ActivityHandle[Any]:  # noqa: A002
                handle = super().start_local_activity(input)
                if input.activity in _WRITES:
                    steps.append((input.args[0], handle))
                return handle

        class Inbound(WorkflowInboundInterceptor):
            def init(self, outbound: WorkflowOutboundInterceptor) -> None:
                super().init(Outbound(outbound))

        return Inbound
