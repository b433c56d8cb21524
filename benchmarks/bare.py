"""The bare twin: the least that a Temporal workflow can do for the same messages, and so the limit to hold against.

It takes a message as an Update and answers when one plain INSERT by an ordinary activity is durable.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from temporalio import activity, workflow

with workflow.unsafe.imports_passed_through():
    from sqlalchemy import text

    from countersign.store.session import Database

TABLE = (
    "CREATE TABLE IF NOT EXISTS bare (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text NOT NULL)"
)


class BareRecord:
    """The one effect."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn(name="bare_insert")
    async def insert(self, body: str) -> int:
        async with self._database.transaction() as connection:
            return int(
                await connection.scalar(
                    text("INSERT INTO bare (body) VALUES (:body) RETURNING id"), {"body": body}
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
    async def take(self, message: dict[str, Any]) -> int:
        if not message.get("id"):
            raise ValueError("a message has an id")
        done: int = await workflow.execute_activity(
            "bare_insert", str(message), result_type=int, start_to_close_timeout=timedelta(seconds=20)
        )
        self._seen += 1
        return done
