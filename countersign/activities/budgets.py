"""Telling those who wait for money that some may have come free."""

from __future__ import annotations

from temporalio import activity
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from countersign.domain.ids import workflow_id
from countersign.store import budgets
from countersign.store.session import Database


class Budgets:
    """The activities on budgets."""

    def __init__(self, database: Database, client: Client) -> None:
        self._database, self._client = database, client

    @activity.defn(name="offer_money")
    async def offer_money(self, agreement: str) -> None:
        """Have every initiative that waits for money look again, the first one first; told twice changes nothing.

        Who is first is held by the database: told in whatever order, none takes what another waited for before it.
        """
        async with self._database.reading() as connection:
            waiting = await budgets.waiting(connection, agreement)
        for initiative in waiting:
            try:
                await self._client.get_workflow_handle(workflow_id(initiative)).signal("budget_changed")
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:  # over, and gone from the queue at its end
                    raise
