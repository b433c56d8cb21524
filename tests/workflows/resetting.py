"""What an operator does to a workflow that stands still: its last workflow task is done once more, in another run."""

from __future__ import annotations

import secrets

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client


async def reset(client: Client, workflow: str) -> str:
    """Reset a running workflow to before its last workflow task; the run that this ended."""
    handle = client.get_workflow_handle(workflow)
    before = (await handle.describe()).run_id
    tasks = [
        event.event_id
        for event in (await handle.fetch_history()).events
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    ]
    await client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=workflow, run_id=before),
            reason="a forged signal",
            workflow_task_finish_event_id=tasks[-1],
            request_id=secrets.token_hex(8),
        )
    )
    return before
