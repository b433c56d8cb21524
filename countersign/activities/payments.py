"""Telling a side's bank to pay; runs on that side's own task queue, with that side's own worker."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Protocol

from pydantic import Field
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


class Answered(Model):
    """What a bank said at once: the payments that it has booked, by end-to-end id, each with its own reference.

    A bank that is told by files says nothing here; its statement comes later.
    """

    booked: dict[str, str] = Field(default_factory=dict)


class Instructed(Answered):
    """The sides whose banks were told."""

    directorates: tuple[str, ...]


class Bank(Protocol):
    """The way to the banks of the sides that a worker serves."""

    async def instruct(self, order: PaymentOrder) -> Answered:
        """Tell the side's bank of every instruction of an order, each once, however often this is asked.

        Raises:
            ApplicationError: it can't be told yet; the payment waits and this is asked again.
            RecordAway: PostgreSQL does not answer.
        """


class OnRecord:
    """No bank at all: what is on record counts as told. For sides that pay by hand."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def instruct(self, order: PaymentOrder) -> Answered:
        """Put the instructions on record; the end-to-end id keeps a retry from paying twice."""
        await payments.instruct(
            self._database,
            initiative=order.initiative,
            tranche=order.tranche,
            directorate=order.directorate,
            instructions=order.instructions,
            at=order.at,
        )
        return Answered()


class AnsweringBank(OnRecord):
    """A stand-in that answers directly: whatever money it is told to pay is booked, and it says so at once.

    For the embedded default, which has no bank. Nobody is told to give back what is claimed: of that it says nothing.
    """

    async def instruct(self, order: PaymentOrder) -> Answered:
        """Put the instructions on record, and answer; asked again, it answers the same."""
        await super().instruct(order)
        money = [one.end_to_end_id for one in order.instructions if one.is_money and not order.claim]
        return Answered(booked={one: f"BOOKED-{one}" for one in money})


class Payments:
    """The payment activities of the sides that this worker serves."""

    def __init__(self, bank: Bank, served: Sequence[str]) -> None:
        self._bank, self._served = bank, frozenset(served)

    @activity.defn(name="instruct_here")
    async def instruct_here(self, orders: list[PaymentOrder]) -> Instructed:
        """Instruct for the sides that this very worker serves; the others are left to their own (ADR 0010)."""
        done: list[str] = []
        booked: dict[str, str] = {}
        for order in orders:
            if order.directorate in self._served:
                # What goes wrong here is tried again on the side's queue, where it is seen to wait.
                with suppress(RecordAway, ApplicationError):
                    booked |= (await self._bank.instruct(order)).booked
                    done.append(order.directorate)
        return Instructed(directorates=tuple(done), booked=booked)

    @activity.defn(name="instruct_payment")
    async def instruct_payment(self, order: PaymentOrder) -> Answered:
        """Instruct for the side whose queue this is."""
        return await self._bank.instruct(order)
