"""SpiffWorkflow: a BPMN process for each initiative, whose state is saved after each message, with the message.

What it is spared: the process holds only what it decides by, so the bodies of the messages are not in its state; the
running processes stay in memory, and are restored from their saved state only when they are not; state and message go
to the database in one statement, which is a transaction of its own. What it cannot be spared: it saves its whole state,
which has two tasks more with each message.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from SpiffWorkflow.bpmn.parser import BpmnParser
from SpiffWorkflow.bpmn.serializer import BpmnWorkflowSerializer
from SpiffWorkflow.bpmn.workflow import BpmnWorkflow
from SpiffWorkflow.util.task import TaskState

from benchmarks.peers.common import BenchMessage, Sent, Task, run

PROCESS = """\
<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" id="benchmark" targetNamespace="urn:benchmark">
  <process id="initiative" isExecutable="true">
    <startEvent id="begin"/>
    <userTask id="take"/>
    <exclusiveGateway id="over" default="more"/>
    <endEvent id="end"/>
    <sequenceFlow id="first" sourceRef="begin" targetRef="take"/>
    <sequenceFlow id="taken" sourceRef="take" targetRef="over"/>
    <sequenceFlow id="more" sourceRef="over" targetRef="take"/>
    <sequenceFlow id="last" sourceRef="over" targetRef="end">
      <conditionExpression>number == %d</conditionExpression>
    </sequenceFlow>
  </process>
</definitions>
"""
INITIATIVES = "CREATE TABLE initiative (id text PRIMARY KEY, taken integer NOT NULL, state text NOT NULL)"
BEGIN = "INSERT INTO initiative (id, taken, state) VALUES ($1, 0, $2)"
SAVED = "SELECT state FROM initiative WHERE id = $1"
# Nothing is written, and so nothing answered, if somebody else has saved the process since it was restored here.
SAVE = """
WITH saved AS (
    UPDATE initiative SET taken = $2, state = $3 WHERE id = $1 AND taken = $2 - 1 RETURNING taken
)
INSERT INTO message (initiative, id, number, name, body) SELECT $1, $4, taken, $5, $6::jsonb FROM saved
RETURNING number
"""


class Spiff:
    def __init__(self, pool: asyncpg.Pool, last: int) -> None:
        parser = BpmnParser()
        parser.add_bpmn_str((PROCESS % last).encode())
        self._process = parser.get_spec("initiative")
        self._serializer = BpmnWorkflowSerializer()
        self._pool = pool
        self._running: dict[str, Any] = {}

    async def begin(self, initiative: str) -> None:
        workflow = BpmnWorkflow(self._process)
        workflow.do_engine_steps()
        await self._pool.execute(BEGIN, initiative, self._serializer.serialize_json(workflow))
        self._running[initiative] = workflow

    async def take(self, initiative: str, sent: Sent) -> int:
        message = BenchMessage.model_validate(sent)
        # It is put back when what it has come to is saved: a failure leaves the saved state as the only one.
        workflow = self._running.pop(initiative, None)
        if workflow is None:
            workflow = self._serializer.deserialize_json(await self._pool.fetchval(SAVED, initiative))
        task = workflow.get_next_task(state=TaskState.READY, manual=True)
        number: int = task.data.get("number", 0) + 1
        task.set_data(number=number, name=message.name)
        task.run()
        workflow.do_engine_steps()
        saved = await self._pool.fetchval(
            SAVE,
            initiative,
            number,
            self._serializer.serialize_json(workflow),
            message.id,
            message.name,
            json.dumps(message.body),
        )
        if saved != number:
            raise RuntimeError(f"{initiative} has been saved by somebody else")
        if not workflow.completed:
            self._running[initiative] = workflow
        return number


@asynccontextmanager
async def opened(task: Task) -> AsyncIterator[Spiff]:
    """With a connection for each client, so that none waits for another's."""
    async with asyncpg.create_pool(task.url(), min_size=task.at_once, max_size=task.at_once) as pool:
        await pool.execute(INITIATIVES)
        yield Spiff(pool, len(task.messages))


if __name__ == "__main__":
    run("spiff", "SpiffWorkflow", opened)
