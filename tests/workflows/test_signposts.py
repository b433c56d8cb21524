"""What Temporal's own tools show of an initiative, at every step of its life, to those with the keys and to others."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload, WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.query.v1 import WorkflowQuery
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.api.workflowservice.v1 import QueryWorkflowRequest
from temporalio.client import WorkflowExecutionDescription

from countersign.domain.matter import Response
from countersign.domain.projection import Task
from countersign.domain.stage import Stage
from countersign.runtime.embedded.services import Services
from countersign.runtime.payload_codec import is_encrypted
from countersign.workflows import options, signposts
from tests.eventually import eventually
from tests.people import Office, minimal_proposal
from tests.workflows.carrying import Carried
from tests.workflows.record import HISTORIES
from tests.workflows.test_replay import runs_of

pytestmark = pytest.mark.services

Make = Callable[..., Carried]


async def attributes(one: Carried) -> dict[str, Any]:
    """What the workflow can be searched by, but for Temporal's own."""
    found = (await one.handle.describe()).typed_search_attributes
    return {
        pair.key.name.removeprefix("Countersign"): pair.value
        for pair in found
        if pair.key.name.startswith("Countersign")
    }


async def stands(one: Carried, stage: Stage, *waits_for: str) -> None:
    """It is found by its stage and by who is waited for, as they are on record; a step may be under way before."""
    expected = {
        "Reference": one.beginning.reference,
        "Stage": stage.value,
        "Area": "civilian_sectors",
        **({"WaitsFor": list(waits_for)} if waits_for else {}),
    }
    shown: dict[str, Any] = {}

    async def there() -> bool:
        nonlocal shown
        shown = await attributes(one)
        return shown == expected

    try:
        await eventually(there)
    except TimeoutError:
        assert shown == expected
    row = await one.found()
    assert (row.stage, row.waits_for) == (stage, waits_for)


async def query(services: Services, *wanted: str) -> set[str]:
    """The ids of the workflows that one visibility query finds."""
    return {one.id async for one in services.client.list_workflows(" AND ".join(wanted))}


# ---- attributes


async def test_an_initiative_is_found_by_where_it_stands_after_every_step_of_its_life(
    initiative: Make,
) -> None:
    life = await initiative().begin()
    await stands(life, Stage.ELIGIBILITY, "az", "il")
    await life.side_signs("il")
    await stands(life, Stage.ELIGIBILITY, "az")
    await life.side_signs("az")
    await stands(life, Stage.DECISION, "az", "il")
    await life.all_sign(Response.RETURN)
    await stands(life, Stage.REVISION, "applicant")
    await life.do()
    await stands(life, Stage.ELIGIBILITY, "az", "il")
    await life.all_sign()
    await stands(life, Stage.DECISION, "az", "il")
    await life.all_sign(Response.APPROVE_WITH_CONDITIONS)
    await stands(life, Stage.CONDITIONS, "applicant")
    await life.carry_to(Stage.CONTRACTING)
    await stands(life, Stage.CONTRACTING, "az", "il")
    await life.carry_to(Stage.ACTIVE)
    await stands(life, Stage.ACTIVE, "applicant", "az", "il")
    await life.carry_to(Stage.CLOSING)
    await stands(life, Stage.CLOSING, "az", "il")
    await life.carry_to(Stage.CLOSED)
    await life.handle.result()
    await stands(life, Stage.CLOSED)


async def test_one_that_is_refused_rests_without_anybody_being_waited_for(initiative: Make) -> None:
    life = await initiative().begin()
    await life.all_sign(Response.REFUSE)
    await life.reached(Stage.INELIGIBLE)
    await stands(life, Stage.INELIGIBLE)
    await life.complain()
    await stands(life, Stage.INELIGIBLE, "az", "il")
    await life.all_sign(Response.REFUSE)
    await life.handle.result()
    await stands(life, Stage.INELIGIBLE)


async def test_a_wait_in_the_middle_of_a_stage_leaves_nobody_behind_who_has_done_their_part(
    initiative: Make,
) -> None:
    """Terminated, the last report accepted: until nobody may complain any more, no side is waited for."""
    life = await initiative().begin()
    await life.carry_to(Stage.ACTIVE)
    while (one := await life.next()).task is not Task.REPORT:
        await life.do(one)
    await life.terminate("il")
    await stands(life, Stage.TERMINATED, "applicant")
    await life.do()
    await stands(life, Stage.TERMINATED, "az", "il")
    await life.all_sign()
    await stands(life, Stage.TERMINATED)
    assert not (await life.state()).is_over


async def test_one_query_finds_the_initiative_that_a_side_is_waited_for_in_a_stage_and_no_other(
    services: Services, initiative: Make
) -> None:
    first, second, third = [await initiative().begin() for _ in range(3)]
    for one in (first, second, third):
        await stands(one, Stage.ELIGIBILITY, "az", "il")
    await first.side_signs("az")
    await second.side_signs("il")
    await stands(first, Stage.ELIGIBILITY, "il")
    await stands(second, Stage.ELIGIBILITY, "az")
    ids = {one.handle.id for one in (first, second, third)}
    in_stage = ("CountersignStage = 'eligibility'", "CountersignArea = 'civilian_sectors'")
    waited_for = {"il": {first, third}, "az": {second, third}, "applicant": set()}

    # What is shown follows what happened by a moment.
    async def visible() -> bool:
        found = {
            side: await query(services, *in_stage, f"CountersignWaitsFor = '{side}'") for side in waited_for
        }
        return all(
            found[side] & ids == {one.handle.id for one in expected} for side, expected in waited_for.items()
        )

    await eventually(visible)
    named = await query(services, f"CountersignReference = '{third.beginning.reference}'")
    assert named == {third.handle.id}
    elsewhere = await query(services, "CountersignArea = 'supercomputing'", "CountersignWaitsFor = 'il'")
    assert elsewhere & ids == set()
    alone = await query(services, *in_stage, "CountersignWaitsFor = 'il'", "CountersignWaitsFor != 'az'")
    assert alone & ids == {first.handle.id}


def test_a_step_is_one_event_at_most_and_none_where_nothing_of_it_changed() -> None:
    """Of the recorded life of a whole initiative: its reference, area, stage and who is waited for, never apart."""
    runs = runs_of(HISTORIES / "straight.json")
    told: list[dict[str, str]] = []
    shown: dict[str, str] = {}
    for run in runs:
        tasks: list[int] = []
        for event in run.events:
            if event.event_type != EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES:
                continue
            upsert = event.upsert_workflow_search_attributes_event_attributes
            fields = {
                key: value.data.decode()
                for key, value in upsert.search_attributes.indexed_fields.items()
                if key.startswith("Countersign")
            }
            if not fields:
                continue  # which patches the run knows, as Temporal keeps it
            assert all(shown.get(key) != value for key, value in fields.items())
            shown |= fields
            told.append(fields)
            tasks.append(upsert.workflow_task_completed_event_id)
        assert len(tasks) == len(set(tasks)), "two in one workflow task"
    assert told[0].keys() == {one.name for one in options.SEARCH_ATTRIBUTES}
    assert shown["CountersignStage"] == '"closed"'


def test_no_sign_off_that_ends_no_chain_takes_more_than_six_events() -> None:
    (run, *_) = runs_of(HISTORIES / "straight.json")
    scheduled = EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED
    begins = [place for place, one in enumerate(run.events) if one.event_type == scheduled]
    lengths = [
        until - start
        for start, until in itertools.pairwise(begins)
        if _named(run.events[start:until]) == ["matter.signed"]
    ]
    assert lengths
    assert set(lengths) == {6}


def _named(events: Sequence[HistoryEvent]) -> list[str]:
    """The summaries of what was done in a workflow task."""
    return [json.loads(one.user_metadata.summary.data) for one in events if one.user_metadata.summary.data]


# ---- words


async def described(services: Services, initiative: str) -> WorkflowExecutionDescription:
    return await services.client.get_workflow_handle(f"initiative/{initiative}").describe()


async def asked(services: Services, initiative: str) -> Payload:
    """The answer to what a UI asks for the current details, as it goes over the wire."""
    answer = await services.client.workflow_service.query_workflow(
        QueryWorkflowRequest(
            namespace=services.client.namespace,
            execution=WorkflowExecution(workflow_id=f"initiative/{initiative}"),
            query=WorkflowQuery(query_type="__temporal_workflow_metadata"),
        )
    )
    (payload,) = answer.query_result.payloads
    return payload


async def test_whoever_has_the_keys_reads_what_it_is_and_where_it_stands_and_nobody_else(
    services: Services, office: Office
) -> None:
    submitted = await office.submit(minimal_proposal())
    identifier, reference = submitted["id"], submitted["reference"]
    matter = await office.open_matter_of(identifier, "clearance")
    description = await described(services, identifier)
    assert await description.static_summary() == reference
    details = await description.static_details() or ""
    for said in (identifier, "`applicants/il-lead`", "`il-az-ai`", f"`countersign show {reference}`"):
        assert said in details

    handle = services.client.get_workflow_handle(f"initiative/{identifier}")
    shown: WorkflowMetadata = await handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    deadline = matter["sides"]["il"]["deadline"][:10]
    assert shown.current_details.startswith("**eligibility** since ")
    assert f"- **il**, legal_counsel: sign_off {matter['number']} (clearance), until {deadline}" in (
        shown.current_details
    )
    assert f"By itself goes on with matter {matter['number']} at " in shown.current_details

    config = description.raw_description.execution_config.user_metadata
    for payload in (config.summary, config.details, await asked(services, identifier)):
        assert is_encrypted(payload)
        for text in (reference, "applicants/il-lead", "eligibility", "legal_counsel"):
            assert text.encode() not in payload.SerializeToString()


async def test_timers_and_activities_have_names_that_say_what_of(
    services: Services, initiative: Make
) -> None:
    life = await initiative().begin()
    await life.side_signs("il")
    (run,) = await life.histories()
    codec = services.client.data_converter.payload_codec
    assert codec is not None
    summaries = [one.user_metadata.summary for one in run.events if one.user_metadata.summary.data]
    assert all(map(is_encrypted, summaries))
    named = [one.data.decode().strip('"') for one in await codec.decode(summaries)]
    assert "matter 1" in named
    assert "initiative.submitted and 1 more" in named
    assert "matter.signed and 2 more" in named


def test_what_a_step_puts_on_record_is_said_in_few_words() -> None:
    assert signposts.brief(["matter.signed"]) == "matter.signed"
    assert signposts.brief(["report.accepted", "tranche.due", "tranche.due"]) == "report.accepted and 1 more"
