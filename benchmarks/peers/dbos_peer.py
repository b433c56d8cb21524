"""DBOS: a durable workflow for each message, whose one step records the message and counts it.

Of its idiomatic ways to answer the sender of a message this is the quickest that was found:

* A workflow for each message, with the message's id, flushes four commits (its start, its step's statement, the step's
  result, its outcome) and answers with its return. A workflow that lives as long as the initiative, with ``send`` and
  ``recv`` for the message and ``set_event`` and ``get_event`` for the answer, flushes six, and each side waits for the
  other's notification: it takes about four times as long.
* Its synchronous functions, on a thread for each client, take less CPU than its asynchronous ones, which go to a thread
  and back for every statement.
* A plain step with an idempotent statement takes half of what a transaction of its datasource does, which is exactly
  once at the price of several more statements.

Otherwise all is as DBOS has it by default, with a connection for each client at least; it logs warnings only.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from dbos import DBOS, SetWorkflowID
from sqlalchemy import create_engine

from benchmarks.peers.common import BenchMessage, Sent, Task, run

INITIATIVES = "CREATE TABLE initiative (id text PRIMARY KEY, taken integer NOT NULL)"
BEGIN = "INSERT INTO initiative (id, taken) VALUES (%(initiative)s, 0)"
# A step is run again if the process ends before its result is kept; then the message is known, and not counted twice.
RECORD = """
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
DEFAULT_POOL = 20  # what DBOS takes if it is not told


class Dbos:
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


@asynccontextmanager
async def opened(task: Task) -> AsyncIterator[Dbos]:
    """DBOS has its tables in a schema of the same database."""
    url = task.url("postgresql+psycopg")
    DBOS(
        config={
            "name": "benchmark-peer",
            "system_database_url": url,
            "sys_db_pool_size": max(task.at_once, DEFAULT_POOL),
            "log_level": "WARNING",
        }
    )
    engine = create_engine(url, pool_size=task.at_once, max_overflow=0)

    def begin(initiative: str) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql(BEGIN, {"initiative": initiative})

    def record(initiative: str, message: BenchMessage) -> int:
        row = {
            "initiative": initiative,
            "id": message.id,
            "name": message.name,
            "body": json.dumps(message.body),
        }
        with engine.begin() as connection:
            return int(connection.exec_driver_sql(RECORD, row).scalar_one())

    step: Callable[[str, BenchMessage], int] = DBOS.step()(record)

    def take(initiative: str, sent: Sent) -> int:
        return step(initiative, BenchMessage.model_validate(sent))

    workflow: Callable[[str, Sent], int] = DBOS.workflow()(take)
    with engine.begin() as connection:
        connection.exec_driver_sql(INITIATIVES)
    DBOS.launch()
    try:
        with ThreadPoolExecutor(task.at_once) as threads:
            yield Dbos(threads, begin, workflow)
    finally:
        DBOS.destroy()
        engine.dispose()


if __name__ == "__main__":
    run("dbos", "dbos", opened)
