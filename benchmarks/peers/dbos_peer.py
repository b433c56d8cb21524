"""DBOS, in two ways: a durable workflow for each message, or one for each initiative.

``message`` is the quickest of its idiomatic ways to answer the sender of a message. The workflow has the message's id,
its one step records the message and counts it, and its return is the answer: four flushed commits (its start, its
step's statement, the step's result, its outcome).

``initiative`` is the way that is most like the engine's. The workflow lives as long as the initiative, gets each
message by ``send`` and ``recv``, keeps the count in a variable of its own, and records the message by a step: six
flushed commits (the message, the deadline of its receipt, its receipt, the step's statement, the answer, the step's
result), and each side waits for the other's notification. The step also answers, by ``set_event`` for a ``get_event``,
once its statement is committed; the workflow would do so a commit later. Answers are notified of every 5 ms: with the
10 ms that are the default a lone client often waits for the tick after, and with fewer nothing more is won. Polling
for messages and answers instead is slower.

What holds for both:

* Its synchronous functions, on a thread for each client, are no slower than its asynchronous ones, which go to a thread
  and back for every statement.
* A plain step with an idempotent statement takes less than a transaction of its datasource does, which is exactly once
  at the price of several more statements.

Otherwise all is as DBOS has it by default, with a connection at least for each client, and for each workflow that lives
beside it; it logs warnings only.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from dbos import DBOS, SetWorkflowID
from pydantic import ValidationError
from sqlalchemy import Engine, create_engine

from benchmarks.peers.common import BenchMessage, Sent, Task, run

INITIATIVES = "CREATE TABLE initiative (id text PRIMARY KEY, taken integer NOT NULL)"
BEGIN = "INSERT INTO initiative (id, taken) VALUES (%(initiative)s, 0)"
# A step is run again if the process ends before its result is kept; then the message is known, and not counted twice.
COUNT = """
WITH known AS (
    SELECT number FROM message WHERE initiative = %(initiative)s AND id = %(id)s
), counted AS (
    UPDATE initiative SET taken = taken + 1 WHERE id = %(initiative)s AND NOT EXISTS (SELECT FROM known)
    RETURNING taken
), recorded AS (
    INSERT INTO message (initiative, id, number, name, body)
    SELECT %(initiative)s, %(id)s, taken, %(name)s, %(body)s::jsonb FROM counted
)
SELECT taken FROM counted UNION ALL SELECT number FROM known
"""
# Where the workflow has counted, its step has nothing to add when it is run again.
RECORD = """
INSERT INTO message (initiative, id, number, name, body)
VALUES (%(initiative)s, %(id)s, %(number)s, %(name)s, %(body)s::jsonb)
ON CONFLICT DO NOTHING
"""
DEFAULT_POOL = 20  # what DBOS takes if it is not told
A_WEEK = 7 * 24 * 60 * 60.0  # a receipt must have a deadline, after which the workflow waits anew


class ByMessage:
    def __init__(
        self,
        threads: ThreadPoolExecutor,
        begin: Callable[[str], None],
        take: Callable[[str, Sent], int],
    ) -> None:
        self._threads = threads
        self._begin = begin
        self._take = take

    async def begin(self, initiative: str) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, self._begin, initiative)

    async def take(self, initiative: str, sent: Sent) -> int:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._call, initiative, sent)

    def _call(self, initiative: str, sent: Sent) -> int:
        # A message that is sent again finds its workflow, and is answered as before.
        with SetWorkflowID(sent["id"]):
            return self._take(initiative, sent)


class ByInitiative:
    def __init__(self, threads: ThreadPoolExecutor, live: Callable[[str, int], None], last: int) -> None:
        self._threads = threads
        self._live = live
        self._last = last

    async def begin(self, initiative: str) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, self._start, initiative)

    async def take(self, initiative: str, sent: Sent) -> int:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._send, initiative, sent)

    def _start(self, initiative: str) -> None:
        with SetWorkflowID(initiative):
            DBOS.start_workflow(self._live, initiative, self._last)

    def _send(self, initiative: str, sent: Sent) -> int:
        # A message that is sent again is not delivered again, and is answered as before.
        DBOS.send(initiative, sent, idempotency_key=sent["id"])
        answer: int | None = DBOS.get_event(initiative, sent["id"])
        if answer is None:
            raise RuntimeError(f"{initiative} refused message {sent['id']}, or did not answer it in time")
        return answer


@contextmanager
def configured(task: Task, connections: int) -> Iterator[Engine]:
    """DBOS, whose tables are in a schema of the same database, and the engine of the steps; it is not launched yet."""
    url = task.url("postgresql+psycopg")
    DBOS(
        config={
            "name": "benchmark-peer",
            "system_database_url": url,
            "sys_db_pool_size": max(connections, DEFAULT_POOL),
            "notification_coalesce_sec": 0.005,
            "log_level": "WARNING",
        }
    )
    engine = create_engine(url, pool_size=task.at_once, max_overflow=0)
    try:
        yield engine
    finally:
        DBOS.destroy(workflow_completion_timeout_sec=10)
        engine.dispose()


def row_of(initiative: str, message: BenchMessage) -> dict[str, Any]:
    """The record of a message as the statements want it."""
    return {
        "initiative": initiative,
        "id": message.id,
        "name": message.name,
        "body": json.dumps(message.body),
    }


@asynccontextmanager
async def by_message(task: Task) -> AsyncIterator[ByMessage]:
    """A workflow for each message."""
    with configured(task, task.at_once) as engine:

        def begin(initiative: str) -> None:
            with engine.begin() as connection:
                connection.exec_driver_sql(BEGIN, {"initiative": initiative})

        def count(initiative: str, message: BenchMessage) -> int:
            with engine.begin() as connection:
                return int(connection.exec_driver_sql(COUNT, row_of(initiative, message)).scalar_one())

        step: Callable[[str, BenchMessage], int] = DBOS.step()(count)

        def take(initiative: str, sent: Sent) -> int:
            return step(initiative, BenchMessage.model_validate(sent))

        workflow: Callable[[str, Sent], int] = DBOS.workflow()(take)
        with engine.begin() as connection:
            connection.exec_driver_sql(INITIATIVES)
        DBOS.launch()
        with ThreadPoolExecutor(task.at_once) as threads:
            yield ByMessage(threads, begin, workflow)


@asynccontextmanager
async def by_initiative(task: Task) -> AsyncIterator[ByInitiative]:
    """A workflow for each initiative, with a connection for it and one for its client."""
    with configured(task, 2 * task.at_once) as engine:

        def record(initiative: str, key: str, number: int, message: BenchMessage) -> None:
            with engine.begin() as connection:
                connection.exec_driver_sql(RECORD, row_of(initiative, message) | {"number": number})
            DBOS.set_event(key, number)

        step: Callable[[str, str, int, BenchMessage], None] = DBOS.step()(record)

        def live(initiative: str, last: int) -> None:
            taken = 0
            while taken < last:
                sent: Sent | None = DBOS.recv(timeout_seconds=A_WEEK)
                if sent is None:
                    continue
                try:
                    message = BenchMessage.model_validate(sent)
                except ValidationError:
                    DBOS.set_event(sent["id"], None)
                    continue
                taken += 1
                step(initiative, sent["id"], taken, message)

        workflow: Callable[[str, int], None] = DBOS.workflow()(live)
        DBOS.launch()
        with ThreadPoolExecutor(task.at_once) as threads:
            try:
                yield ByInitiative(threads, workflow, len(task.messages))
            except BaseException:
                await asyncio.to_thread(withdraw)
                raise


def withdraw() -> None:
    """End the workflows that still wait, whose threads would keep the program from ending."""
    for found in DBOS.list_workflows(status="PENDING", load_input=False, load_output=False):
        DBOS.cancel_workflow(found.workflow_id)
        DBOS.send(found.workflow_id, None)  # a waiting workflow looks whether it is cancelled when it goes on


if __name__ == "__main__":
    run("dbos", "dbos", {"message": by_message, "initiative": by_initiative})
