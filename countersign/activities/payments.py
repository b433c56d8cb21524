"""Telling a side's bank to pay; runs on that side's own task queue, with that side's own worker."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Protocol

from temporalio import activity
from temporalio.exceptions import ApplicationError

from countersign.domain.funding import Instruction
from countersign.domain.model import Model
from countersign.store import payments
from countersign.store.session import Database, RecordAway


class PaymentOrder(Model):
    """One side's part of a tranche, both sides having authorised theirs; ``reference`` is for people to read.

    A ``claim`` asks for money: it is put on record under its end-to-end ids, by which the bank's word is matched, and
    nobody is told to pay.
    """

    initiative: str
    reference: str = ""
    tranche: int
    directorate: str
    instructions: tuple[Instruction, ...]
    at: datetime
    claim: bool = False


class Instructed(Model):
    """The sides whose banks were told."""

    directorates: tuple[str, ...]


class Bank(Protocol):
    """The way to the banks of the sides that a worker serves."""

    async def instruct(self, order: PaymentOrder) -> None:
        """Tell the side's bank of every instruction of an order, each once, however often this is asked.

        Raises:
            ApplicationError: it can't be told yet; the payment waits and this is asked again.
            RecordAway: PostgreSQL does not answer.
        """


class OnRecord:
    """No bank at all: what is on record counts as told. For the embedded default, and for sides that pay by hand."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def instruct(self, order: PaymentOrder) -> None:
        """Put the instructions on record; the end-to-end id keeps a retry from paying twice."""
        await payments.instruct(
            self._database,
            initiative=order.initiative,
            tranche=order.tranche,
            directorate=order.directorate,
            instructions=order.instructions,
            at=order.at,
        )


class Payments:
    """The payment activities of the sides that this worker serves."""

    def __init__(self, bank: Bank, served: Sequence[str]) -> None:
        self._bank, self._served = bank, frozenset(served)

    @activity.defn(name="instruct_here")
    async def instruct_here(self, orders: list[PaymentOrder]) -> Instructed:
        """Instruct for the sides that this very worker serves; the others are left to their own (ADR 0010)."""
        done: list[str] = []
        for order in orders:
            if order.directorate in self._served:
                # What goes wrong here is tried again on the side's queue, where it is seen to wait.
                with suppress(RecordAway, ApplicationError):
                    await self._bank.instruct(order)
                    done.append(order.directorate)
        return Instructed(directorates=tuple(done))

    @activity.defn(name="instruct_payment")
    async def instruct_payment(self, order: PaymentOrder) -> None:
        """Instruct for the side whose queue this is."""
        await self._bank.instruct(order)
