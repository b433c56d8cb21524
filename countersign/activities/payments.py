"""Telling a side's bank to pay; runs on that side's own task queue, with that side's own worker."""

from __future__ import annotations

from datetime import datetime

from temporalio import activity

from countersign.domain.funding import Instruction
from countersign.domain.model import Model
from countersign.store import payments
from countersign.store.session import Database


class PaymentOrder(Model):
    """One side's part of a tranche, both sides having authorised theirs."""

    initiative: str
    tranche: int
    directorate: str
    instructions: tuple[Instruction, ...]
    at: datetime


class Payments:
    """The payment activities of a side."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn(name="instruct_payment")
    async def instruct_payment(self, order: PaymentOrder) -> None:
        """Put the instructions on record; the end-to-end id keeps a retry from paying twice."""
        async with self._database.transaction() as connection:
            await payments.instruct(
                connection,
                initiative=order.initiative,
                tranche=order.tranche,
                directorate=order.directorate,
                instructions=order.instructions,
                at=order.at,
            )
