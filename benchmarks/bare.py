"""The bare twin: the least that a Temporal workflow can do for the same messages, and so the limit to hold against.

It takes a message as an Update, validates it, and answers when one plain INSERT by an ordinary activity is durable.
Everything else is as the SDK and the samples of Temporal have it. ``python -m benchmarks.bare`` is its worker.
"""

from __future__ import annotations

import asyncio
import os
import time
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    from pydantic import BaseModel, Field
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

QUEUE = "bare"
TABLE = (
    "CREATE TABLE IF NOT EXISTS bare (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text NOT NULL)"
)


class Message(BaseModel):
    """A message, whatever it says."""

    id: str = Field(min_length=1, max_length=128)
    name: str = Field(min_length=1, max_length=40)
    body: dict[str, Any]


class Record:
    """The one effect."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @activity.defn(name="bare_insert")
    async def insert(self, message: Message) -> int:
        async with self._engine.begin() as connection:
            return int(
                await connection.scalar(
                    text("INSERT INTO bare (body) VALUES (:body) RETURNING id"),
                    {"body": message.model_dump_json()},
                )
                or 0
            )


@workflow.defn(name="Bare")
class Bare:
    """Counts messages until it has had so many."""

    def __init__(self) -> None:
        self._seen = 0

    @workflow.run
    async def run(self, messages: int) -> int:
        await workflow.wait_condition(lambda: self._seen >= messages and workflow.all_handlers_finished())
        return self._seen

    @workflow.update
    async def take(self, message: Message) -> int:
        done: int = await workflow.execute_activity(
            "bare_insert", message, result_type=int, start_to_close_timeout=timedelta(seconds=20)
        )
        self._seen += 1
        return done

    @take.validator
    def validate_take(self, message: Message) -> None:
        if not message.body:
            raise ValueError("a message says something")


async def carry(
    client: Client, messages: list[Message], initiatives: int, at_once: int
) -> tuple[float, dict[str, list[float]]]:
    """So many twins with these messages each, so many at once: seconds in all, and of the answers to each message."""
    answers: dict[str, list[float]] = {}
    left = iter(range(initiatives))

    async def one_after_the_other() -> None:
        for number in left:
            handle = await client.start_workflow(
                Bare.run, len(messages), id=f"bare-{time.time_ns()}-{number}", task_queue=QUEUE
            )
            for message in messages:
                began = time.perf_counter()
                await handle.execute_update(Bare.take, message)
                answers.setdefault(message.name, []).append(time.perf_counter() - began)
            await handle.result()

    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(at_once):
            tasks.create_task(one_after_the_other())
    return time.perf_counter() - began, answers


async def main() -> None:
    """Serve the twin's queue until the process is ended."""
    engine = create_async_engine(os.environ["COUNTERSIGN_DATABASE_URL"], pool_size=10, max_overflow=10)
    async with engine.begin() as connection:
        await connection.execute(text(TABLE))
    client = await Client.connect(
        os.environ["COUNTERSIGN_TEMPORAL_ADDRESS"],
        namespace=os.environ["COUNTERSIGN_TEMPORAL_NAMESPACE"],
        data_converter=pydantic_data_converter,
    )
    async with Worker(client, task_queue=QUEUE, workflows=[Bare], activities=[Record(engine).insert]):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
