"""Recorded histories against the code as it is now, with no server."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from temporalio import workflow
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter
from temporalio.worker import (
    ExecuteWorkflowInput,
    Interceptor,
    Replayer,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner
from temporalio.workflow import NondeterminismError

from countersign.runtime import payload_keys
from countersign.runtime.histories import opened, payloads
from countersign.runtime.payload_codec import EncryptingCodec, PayloadRefused
from countersign.runtime.temporal import data_converter
from countersign.worker import SANDBOX
from countersign.workflows import options, patches
from countersign.workflows.initiative import InitiativeWorkflow
from countersign.workflows.keeping import Keeper
from countersign.workflows.messages import Ended
from tests.workflows.record import HISTORIES, LIVES

FILES = sorted(HISTORIES.glob("*.json"))
OLDER = sorted(HISTORIES.glob("older/*/*.json"))
"""What runs did before a change that is behind a patch, in a folder of its id; never recorded anew."""


def replayer(*interceptors: Interceptor, converter: DataConverter = pydantic_data_converter) -> Replayer:
    return Replayer(
        workflows=[InitiativeWorkflow],
        workflow_runner=SandboxedWorkflowRunner(restrictions=SANDBOX.with_passthrough_modules("tests")),
        data_converter=converter,
        interceptors=interceptors,
    )


def runs_of(file: Path) -> list[WorkflowHistory]:
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return [WorkflowHistory.from_json(content["workflow_id"], run) for run in content["runs"]]


def test_every_life_that_can_be_recorded_is() -> None:
    assert {file.stem for file in FILES} == set(LIVES)


ENDS: list[Ended] = []
"""What the workflows came to that were replayed."""


class Seeing(WorkflowInboundInterceptor):
    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
        ended = await super().execute_workflow(input)
        ENDS.append(ended)
        return ended


class Sees(Interceptor):
    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor] | None:
        return Seeing


@pytest.mark.parametrize("file", [*FILES, *OLDER], ids=lambda file: file.stem)
async def test_a_recorded_life_replays_and_comes_to_the_same_end(file: Path) -> None:
    """To the same head of its trail, too: else the next step of one that runs would not continue what is on record."""
    ENDS.clear()
    runs = runs_of(file)
    for run in runs:
        result = await replayer(Sees()).replay_workflow(run, raise_on_replay_failure=False)
        assert result.replay_failure is None
    last = runs[-1].events[-1].workflow_execution_completed_event_attributes.result.payloads
    recorded = [Ended.model_validate_json(one.data) for one in last]
    assert recorded == ENDS
    assert recorded or file.stem in ("conditions", "waits-for-money")  # which stop when they are active


@pytest.mark.parametrize("name", ["straight", "by-signal", "lapsed"])
async def test_a_life_replays_encrypted_under_one_key_and_from_the_middle_on_under_another(name: str) -> None:
    old = payload_keys.new_ring()
    rotated = old.with_new()
    rotated = rotated.using(rotated.ids[1])
    before, after = EncryptingCodec(old), EncryptingCodec(rotated)
    for run in runs_of(HISTORIES / f"{name}.json"):
        middle = len(run.events) // 2
        events = [
            sealed(event, before if place < middle else after) for place, event in enumerate(run.events)
        ]
        encrypted = WorkflowHistory(run.workflow_id, events)
        result = await replayer(converter=data_converter(after)).replay_workflow(
            encrypted, raise_on_replay_failure=False
        )
        assert result.replay_failure is None
        assert opened(encrypted, after).events == list(run.events)
        with pytest.raises(PayloadRefused, match=r"payload_key_unknown: run .*, event \d+: "):
            opened(encrypted, before)


def sealed(event: HistoryEvent, codec: EncryptingCodec) -> HistoryEvent:
    """An event with every payload of ours encrypted; the SDK keeps its own of a marker in plain text."""
    copied = HistoryEvent()
    copied.CopyFrom(event)
    details = copied.marker_recorded_event_attributes.details
    own = [one for name in ("data", "patch-data") if name in details for one in details[name].payloads]
    for payload in payloads(copied):
        if payload not in own:
            payload.CopyFrom(codec.seal(payload))
    return copied


async def test_a_history_in_plain_text_does_not_replay_where_it_has_to_be_encrypted() -> None:
    strict = data_converter(EncryptingCodec(payload_keys.new_ring()))
    (run, *_) = runs_of(HISTORIES / "refused.json")
    result = await replayer(converter=strict).replay_workflow(run, raise_on_replay_failure=False)
    assert result.replay_failure is not None
    lenient = data_converter(EncryptingCodec(payload_keys.new_ring(), "accept"))
    result = await replayer(converter=lenient).replay_workflow(run, raise_on_replay_failure=False)
    assert result.replay_failure is None


def test_the_lives_hold_what_they_are_recorded_for() -> None:
    def text(name: str) -> str:
        return json.dumps(json.loads((HISTORIES / f"{name}.json").read_text(encoding="utf-8"))["runs"])

    assert len(runs_of(HISTORIES / "straight.json")) == 4  # one for each interim report, and the rest
    assert text("lapsed").count("EVENT_TYPE_TIMER_FIRED") == 4  # two reminders, the escalation, the lapse
    assert text("refused").count("EVENT_TYPE_TIMER_FIRED") == 1  # the end of the time for complaints
    assert text("waits-for-money").count("EVENT_TYPE_TIMER_FIRED") == 1  # the week in which nobody gave any
    # Seven of a late report up to the suspension, the notice, the end of the time for the last report, for complaints.
    assert text("suspended").count("EVENT_TYPE_TIMER_FIRED") == 10
    assert text("terminated").count('"name": "complain"') == 0
    assert text("reinstated").count('"name": "complain"') == 2
    assert text("complaint-upheld").count('"name": "complain"') == 2
    assert "EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED" in text("by-signal")
    assert "EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED" in text("refused")
    for name in LIVES:
        assert "EVENT_TYPE_WORKFLOW_TASK_FAILED" not in text(name)


def test_no_run_of_a_life_with_four_reports_is_long() -> None:
    """The runs were measured at 157, 70, 72 and 127 events: six for a sign-off that ends no chain."""
    runs = runs_of(HISTORIES / "straight.json")
    lengths = [len(run.events) for run in runs]
    assert len(lengths) == 4
    assert max(lengths) < 160, lengths
    signed = [
        sum(b'"activity_type":"sign_and_record"' in event.SerializeToString() for event in run.events)
        for run in runs
    ]
    assert signed == [8, 2, 2, 4]  # once for each position, and for nothing else


@pytest.mark.parametrize("name", ["straight", "lapsed"])
async def test_a_step_put_before_another_one_makes_replay_fail(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = InitiativeWorkflow._check_eligibility

    async def later(self: InitiativeWorkflow) -> None:
        await workflow.sleep(1)
        await check(self)

    monkeypatch.setattr(InitiativeWorkflow, "_check_eligibility", later)
    with pytest.raises(NondeterminismError):
        await replayer().replay_workflow(runs_of(HISTORIES / f"{name}.json")[0])


async def test_an_activity_called_once_more_makes_replay_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that comes next in the history then answers the wrong call."""
    deadlines = Keeper.matter_deadlines

    async def twice(self: Keeper, kind: Any) -> Any:
        await workflow.execute_local_activity("working_day_deadlines", [], **options.LOOK_UP)
        return await deadlines(self, kind)

    monkeypatch.setattr(Keeper, "matter_deadlines", twice)
    with pytest.raises((NondeterminismError, RuntimeError), match=r"(?i)nondeterminism|decoding arguments"):
        await replayer().replay_workflow(runs_of(HISTORIES / "refused.json")[0])


# ---- changes behind a patch


def patched_in(file: Path) -> list[str]:
    """The changes that a recorded life knows of."""
    return [
        json.loads(payload.data)["id"]
        for run in runs_of(file)
        for event in run.events
        if event.marker_recorded_event_attributes.marker_name == "core_patch"
        for payload in event.marker_recorded_event_attributes.details["patch-data"].payloads
    ]


def test_every_patch_has_histories_from_before_it_and_from_after_it() -> None:
    ids = {value for name, value in vars(patches).items() if name.isupper()}
    assert {file.parent.name for file in OLDER} == ids
    assert all(f"``{one}``" in (patches.__doc__ or "") for one in ids)
    for file in OLDER:
        assert file.parent.name not in patched_in(file)
    assert set(itertools.chain.from_iterable(map(patched_in, FILES))) == ids


@pytest.mark.parametrize("file", OLDER, ids=lambda file: file.stem)
async def test_without_the_patch_an_older_life_would_not_replay(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is what the patch answers that makes it go on in its own shape."""
    monkeypatch.setattr(workflow, "patched", lambda _: True)
    # The step that the older life did not take gets the answer to its next call, and that one the answer after it.
    failure = r"(?i)nondeterminism|not enough values to unpack"
    with pytest.raises((NondeterminismError, RuntimeError), match=failure):
        await replayer().replay_workflow(runs_of(file)[-1])


@pytest.mark.parametrize("name", ["suspended", "terminated", "reinstated"])
async def test_a_life_from_after_the_patch_does_not_go_on_in_the_older_shape(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflow, "patched", lambda _: False)
    run = runs_of(HISTORIES / f"{name}.json")[-1]
    assert (await replayer().replay_workflow(run, raise_on_replay_failure=False)).replay_failure is not None


def test_histories_tell_nothing_of_the_machine_that_recorded_them() -> None:
    for file in (*FILES, *OLDER):
        text = file.read_text(encoding="utf-8")
        assert '"identity":"worker"' in text
        assert '"identity":"' not in text.replace('"identity":"worker"', "")
        for part in (*(f"/{name}/" for name in ("home", "root", "tmp")), "@"):
            assert part not in text, (file.name, part)
